"""A benchmark as text: whether it counts, the table, what bounds it; the same as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeGuard

from vramctl.records import Unknown
from vramctl.records.measurement import Activity, Bench, Measured, Ratio, Row, Stat
from vramctl.show.bench_limit import limit_lines, share_cell
from vramctl.show.page import Page, labelled, paint
from vramctl.show.printable import printable
from vramctl.units import format_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

PARALLEL_COLUMNS = ("requests", "all tok/s", "each tok/s", "TTFT", "gap", "requests/s")
FAILED = "failed"
IN_THE_TABLE = {"figures", "also", FAILED}
"""Remarks that a page or a picture has elsewhere."""
FIGURES = {"prefill_tokens_per_second": "prefill", "decode_tokens_per_second": "decode", "ttft_seconds": "TTFT"}
COLUMNS = ("row", "prefill tok/s", "of limit", "decode tok/s", "of limit", "TTFT", "load")
_SHARES = {2: "prefill_share", 4: "share"}
"""The column behind each quantity that has a limit: shown where a row's share of it is known."""


def bench_text(bench: Bench, page: Page) -> str:
    """The whole answer on the page."""
    from rich.table import Table
    from rich.text import Text

    told = verdict_line(bench)
    parts: list[RenderableType] = [Text(printable(told), style="bold green" if bench.valid else "bold yellow")]
    parts += [Text(), labelled(list(facts(bench))), Text()]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, column in enumerate(columns(bench)):
        head = column.replace(" ", "\n")
        table.add_column(head, justify="left" if number == 0 else "right", overflow="fold", vertical="bottom")
    for row in bench.rows:
        table.add_row(*((cells(row)[0], "failed") if is_without_figures(row) else shown_cells(bench, row)))
    parts.append(table)
    parts += [Text(), labelled(list(remarks(bench)))]
    return paint(*parts, page=page)


def verdict_line(bench: Bench) -> str:
    """Whether the figures count, in a sentence."""
    if all(row.failed and not is_load_test(row) for row in bench.rows):
        return "Nothing was measured."
    if not bench.valid:
        return f"These figures do not count: {bench.invalid_because[0]}."
    counts = [len(row.decode_tokens_per_second.samples) for row in bench.rows if _is_bare(row.decode_tokens_per_second)]
    if counts:
        told = "1 sample is" if min(counts) == 1 else f"{min(counts)} samples are"
        return f"Nothing disturbed these figures, but {told} too few for an interval."
    return "These figures count."


def _is_bare(value: Measured) -> TypeGuard[Stat]:
    """Whether it is a median of too few samples for an interval."""
    return isinstance(value, Stat) and isinstance(value.ci95, Unknown)


def columns(bench: Bench) -> tuple[str, ...]:
    """The heads of the table: those of a load test where several requests ran at a time; a limit's only where one is known."""
    if any(is_load_test(row) for row in bench.rows):
        return PARALLEL_COLUMNS
    return tuple(COLUMNS[number] for number in _shown(bench))


def shown_cells(bench: Bench, row: Row) -> tuple[str, ...]:
    """A row's cells below `columns`."""
    found = cells(row)
    return found if is_load_test(row) else tuple(found[number] for number in _shown(bench))


def _shown(bench: Bench) -> tuple[int, ...]:
    """Which of COLUMNS are shown."""
    known = {n for n, share in _SHARES.items() for row in bench.rows if isinstance(getattr(row.limit, share), float)}
    return tuple(number for number in range(len(COLUMNS)) if number not in _SHARES or number in known)


def is_without_figures(row: Row) -> bool:
    """Whether a row says why it failed, and nothing else."""
    return bool(row.failed) and not is_load_test(row)


def is_load_test(row: Row) -> bool:
    return isinstance(row.throughput_tokens_per_second, Stat)


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table: medians with half their interval's width, `?` for what is not known."""
    if is_load_test(row):
        return (
            printable(row.name), with_interval(row.throughput_tokens_per_second), with_interval(row.decode_tokens_per_second),
            seconds_cell(row.ttft_seconds), seconds_cell(row.gap_seconds), with_interval(row.requests_per_second),
        )  # fmt: skip
    name = row.name or (f"{row.layers} layers on the GPU" if row.layers and not row.layers.startswith("0/") else "CPU")
    if row.failed:
        return (printable(name), printable(f"failed: {row.failed}"), *[""] * (len(COLUMNS) - 2))
    return (
        printable(name), with_interval(row.prefill_tokens_per_second), share_cell(row.limit.prefill_share),
        with_interval(row.decode_tokens_per_second), share_cell(row.limit.share), seconds_cell(row.ttft_seconds),
        seconds_cell(row.load_seconds),
    )  # fmt: skip


def with_interval(value: Measured) -> str:
    if isinstance(value, Unknown):
        return "?"
    digits = 0 if value.median >= 1000 else 1 if value.median >= 10 else 2
    if isinstance(value.ci95, Unknown):
        return f"{value.median:.{digits}f}"
    half = max(value.ci95[1] - value.median, value.median - value.ci95[0])
    return f"{value.median:.{digits}f} ±{half:.{digits}f}"


def seconds_cell(value: Measured) -> str:
    return "?" if isinstance(value, Unknown) else _time(value.median)


def _time(seconds: float) -> str:
    """Seconds with two or three digits that mean something: `85 us`, `3.3 ms`, `471 ms`, `16.99 s`."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    return f"{seconds:.2f} s"


def facts(bench: Bench) -> Iterator[tuple[str, Text]]:
    from rich.text import Text

    yield "model", Text(printable(model_line(bench)))
    yield "engine", Text(printable(bench.engine or "unknown"))
    yield "machine", Text(printable(machine_line(bench) or "unknown"))


def model_line(bench: Bench) -> str:
    return bench.model + (" (stand-in: invented weights)" if bench.stand_in else "")


def machine_line(bench: Bench) -> str:
    """Processor, cores and GPUs in a line."""
    cpu, cores, gpus = (bench.machine.get(name) for name in ("cpu", "physical_cores", "gpus"))
    told = [f"{cpu}" if isinstance(cpu, str) else "", f"{cores} cores" if isinstance(cores, int) else ""]
    told += [str(gpu.get("description")) for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []
    return ", ".join(part for part in told if part)


def remarks(bench: Bench) -> Iterator[tuple[str, Text]]:
    from rich.text import Text

    alone = len(bench.rows) == 1
    for row in bench.rows:
        if is_without_figures(row):
            yield FAILED, Text(printable(row.failed if alone else f"{cells(row)[0]}: {row.failed}"))
            continue
        if alone and not is_load_test(row):
            yield "measured", Text(_sizes(row))
        for one in row.activity:
            yield one.device, Text(printable(f"{'' if alone else cells(row)[0] + ': '}{_activity(one)}"))
        if alone and not is_load_test(row):
            yield from ((label, Text(printable(text))) for label, text in _alone(row))
    named = {row.name: cells(row)[0] for row in bench.rows}
    for name, told in limit_lines(bench):
        yield "limit", Text(printable(told if alone or name is None else f"{named[name]}: {told}"))
    for reason in bench.invalid_because[1:]:
        yield "also", Text(printable(reason))
    for note in bench.notes:
        yield "note", Text(printable(note))
    yield "figures", Text("medians with their 95 % interval; --json has every sample and the definitions")


def _sizes(row: Row) -> str:
    """What a round was, and how many there were."""
    decode = row.decode_tokens_per_second
    rounds = len(decode.samples) if isinstance(decode, Stat) else 0
    before = f" on {row.depth} before" if row.depth else ""
    return f"{rounds} round{'' if rounds == 1 else 's'} with {row.prompt_tokens} tokens of prompt{before}"


def _alone(row: Row) -> Iterator[tuple[str, str]]:
    """What is told of a single row beside the table."""
    if isinstance(row.gap_seconds, Stat):
        yield "gap", f"{seconds_cell(row.gap_seconds)} between two tokens of an answer"
    if isinstance(row.host_resident_bytes, int):
        yield "memory", f"{format_bytes(row.host_resident_bytes)} of system memory in use by the engine"
    if isinstance(row.first_run_seconds, float):
        yield (
            "first run",
            f"{_time(row.first_run_seconds)} for 32 tokens of prompt and 8 decoded (not among the samples)",
        )


def _activity(one: Activity) -> str:
    told = (("busy", one.busy_percent), ("power", one.power_watts), ("clock", one.sm_clock_mhz))
    parts = [f"{label} {value.median:.0f} {value.unit}" for label, value in told if isinstance(value, Stat)]
    if isinstance(one.used_bytes, int):
        parts.append(f"{format_bytes(one.used_bytes)} in use")
    if isinstance(one.energy_joules_per_token, float):
        parts.append(f"{one.energy_joules_per_token:.2f} J/token")
    if isinstance(one.throttled, tuple):
        parts.append(f"slowed: {', '.join(one.throttled)}" if one.throttled else "not slowed down")
    return ", ".join(parts) or "NVML gave no samples"


def markdown(bench: Bench) -> str:
    """The table as GitHub Markdown, with what it was measured on."""
    lines = [f"**{model_line(bench)}** on {machine_line(bench) or 'an unknown machine'}, {bench.engine}", ""]
    if not bench.valid:
        lines += [f"> Does not count: {'; '.join(bench.invalid_because)}", ""]
    heads = columns(bench)
    lines += ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in shown_cells(bench, row)) + " |" for row in bench.rows
    ]
    return "\n".join([*lines, "", *(f"- {note}" for note in bench.notes)]) + "\n"


def compare_text(before: tuple[str, Bench], after: tuple[str, Bench], ratios: Sequence[Ratio], page: Page) -> str:
    """What changed from one run to another; each comes with its name."""
    from rich.table import Table
    from rich.text import Text

    worse = any(is_worse(one) for one in ratios)
    head = compare_head(before[1], after[1], ratios)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("row", "figure", "ratio", "95 % interval", "verdict"):
        table.add_column(column)
    for one in ratios:
        interval = f"{one.ci95[0]:.3f} to {one.ci95[1]:.3f}" if isinstance(one.ci95, tuple) else "too few samples"
        table.add_row(
            printable(one.row or "-"),
            FIGURES.get(one.quantity, one.quantity),
            f"{one.ratio:.3f}",
            interval,
            one.verdict,
        )
    parts: list[RenderableType] = [Text(head, style="bold red" if worse else "bold green"), Text()]
    names = [("before", Text(printable(before[0]))), ("after", Text(printable(after[0])))]
    parts += [labelled([*names, *unlike(before[1], after[1])]), Text(), table]
    return paint(*parts, page=page)


def compare_head(before: Bench, after: Bench, ratios: Sequence[Ratio]) -> str:
    """How many figures are worse, and whether that proves something."""
    worse = [one for one in ratios if is_worse(one)]
    head = f"{len(worse)} of {len(ratios)} figures are worse." if worse else "Nothing is provably worse."
    return head if before.valid and after.valid else f"{head} But a run that was disturbed proves nothing."


def unlike(before: Bench, after: Bench) -> Iterator[tuple[str, Text]]:
    """In what the two runs differ beside their figures, and whether they count."""
    from rich.text import Text

    for label, old, new in (
        ("model", model_line(before), model_line(after)),
        ("engine", before.engine, after.engine),
        ("machine", machine_line(before), machine_line(after)),
    ):
        if old != new:
            yield label, Text(printable(f"{old or 'unknown'} before, {new or 'unknown'} after"), style="yellow")
    for label, bench in (("before", before), ("after", after)):
        if not bench.valid:
            yield label, Text(printable(f"does not count: {'; '.join(bench.invalid_because)}"), style="yellow")


def is_worse(one: Ratio) -> bool:
    return one.verdict == ("lower" if one.quantity.endswith("per_second") else "higher")
