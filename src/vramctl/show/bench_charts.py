"""What a benchmark's charts show, before anyone draws them: bars with their intervals and what the hardware allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from vramctl.records.measurement import Bench, Row, Stat
from vramctl.show.bench_text import cells, is_load_test, seconds_cell, with_interval

GPU, PARTLY, CPU = "all layers on the GPU", "some layers", "none"
COLOURS = {GPU: "#3b78c4", PARTLY: "#4a9d9c", CPU: "#b98534"}
BOUND_COLOUR = "#cc3333"
BOUND_NOTE = "Dashed: what the hardware allows."
_BY = {"layers": " by n_gpu_layers", "context": " by length of context", "load": "", "": ""}
_FIGURES = (
    ("decode_tokens_per_second", "Decode", "tokens/s"),
    ("prefill_tokens_per_second", "Prefill", "tokens/s"),
)
_UNDER_LOAD = (
    ("throughput_tokens_per_second", "All requests together", "tokens/s"),
    ("decode_tokens_per_second", "Each request", "tokens/s"),
    ("ttft_seconds", "Time to first token (less is better)", "s"),
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One median with its interval in the chart's unit, and the most that the hardware allows, each None where not known."""

    label: str
    told: str
    median: float
    interval: tuple[float, float] | None
    bound: float | None
    where: str

    @property
    def end(self) -> float:
        """How far the bar and its interval reach."""
        return max(self.median, self.interval[1] if self.interval else 0.0)


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars of one quantity, one below the other, all from zero."""

    title: str
    bars: tuple[Bar, ...]

    @property
    def most(self) -> float:
        """What the whole width stands for."""
        return max(max(bar.end, bar.bound or 0.0) for bar in self.bars)

    @property
    def bounded(self) -> bool:
        return any(bar.bound for bar in self.bars)

    @property
    def places(self) -> tuple[str, ...]:
        """Where the rows ran, if not all in one place: a legend is needed then."""
        found = tuple(place for place in COLOURS if any(bar.where == place for bar in self.bars))
        return found if len(found) > 1 else ()


def charts(bench: Bench) -> Iterator[Chart]:
    """Every quantity that was measured, for each table of the run: layers, lengths of context, requests at a time."""
    for kind, rows in groupby(bench.rows, _kind):
        listed = list(rows)
        for quantity, title, unit in _UNDER_LOAD if kind == "load" else _FIGURES:
            bars = tuple(_bars(listed, quantity, kind))
            if bars:
                yield Chart(f"{title}{_BY[kind]}, {unit}", bars)


def told_of(bar: Bar) -> str:
    """The figure behind a bar: `258 ±1 of 1039`."""
    return bar.told + (f" of {bar.bound:.{0 if bar.bound >= 100 else 1}f}" if bar.bound else "")


def _kind(row: Row) -> str:
    """Which table a row belongs to."""
    if is_load_test(row):
        return "load"
    if row.name.startswith("n_gpu_layers "):
        return "layers"
    return "context" if " tokens, " in row.name else ""


def _bars(rows: Sequence[Row], quantity: str, kind: str) -> Iterator[Bar]:
    for row in rows:
        value = getattr(row, quantity)
        if not isinstance(value, Stat) or value.median <= 0:
            continue
        bound = getattr(row.limit, quantity, None)
        yield Bar(
            label=cells(row)[0] + (f" ({row.layers})" if kind == "layers" and row.layers else ""),
            told=seconds_cell(value) if value.unit == "s" else with_interval(value),
            median=value.median,
            interval=value.ci95 if isinstance(value.ci95, tuple) else None,
            bound=bound if isinstance(bound, float | int) else None,
            where=_where(row),
        )


def _where(row: Row) -> str:
    on_gpu, _, all_of_them = row.layers.partition("/")
    if not all_of_them or on_gpu == all_of_them:
        return GPU
    return CPU if on_gpu == "0" else PARTLY
