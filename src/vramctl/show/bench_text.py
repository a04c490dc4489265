"""A benchmark as text: whether it counts, the table, what bounds it; the same as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vramctl.records import Unknown
from vramctl.records.measurement import Activity, Bench, Measured, Ratio, Row, Stat
from vramctl.show.page import Page, labelled, paint
from vramctl.show.printable import printable
from vramctl.units import format_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

PARALLEL_COLUMNS = ("requests", "all tok/s", "each tok/s", "TTFT", "gap", "requests/s")
COLUMNS = ("row", "prefill tok/s", "decode tok/s", "TTFT", "load", "of the limit")


def bench_text(bench: Bench, page: Page) -> str:
    """The whole answer on the page."""
    from rich.table import Table
    from rich.text import Text

    head = "These figures count." if bench.valid else f"These figures do not count: {bench.invalid_because[0]}."
    parts: list[RenderableType] = [Text(printable(head), style="bold green" if bench.valid else "bold yellow")]
    parts += [Text(), labelled(list(_facts(bench))), Text()]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, column in enumerate(columns(bench)):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    for row in bench.rows:
        table.add_row(*cells(row))
    parts.append(table)
    parts += [Text(), labelled(list(_below(bench)))]
    return paint(*parts, page=page)


def columns(bench: Bench) -> tuple[str, ...]:
    """The heads of the table: those of a load test where several requests ran at a time."""
    return PARALLEL_COLUMNS if any(_is_load_test(row) for row in bench.rows) else COLUMNS


def _is_load_test(row: Row) -> bool:
    return isinstance(row.throughput_tokens_per_second, Stat)


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table: medians with half their interval's width, `?` for what is not known."""
    if _is_load_test(row):
        return (
            printable(row.name), _with_interval(row.throughput_tokens_per_second), _with_interval(row.decode_tokens_per_second),
            _seconds(row.ttft_seconds), _seconds(row.gap_seconds), _with_interval(row.requests_per_second),
        )  # fmt: skip
    name = row.name or (f"{row.layers} layers on the GPU" if row.layers and not row.layers.startswith("0/") else "CPU")
    if row.failed:
        return (printable(name), printable(f"failed: {row.failed}"), "", "", "", "")
    share = f"{row.limit.share:.0%}" if isinstance(row.limit.share, float) else "?"
    return (
        printable(name), _with_interval(row.prefill_tokens_per_second), _with_interval(row.decode_tokens_per_second),
        _seconds(row.ttft_seconds), _seconds(row.load_seconds), share,
    )  # fmt: skip


def _with_interval(value: Measured) -> str:
    if isinstance(value, Unknown):
        return "?"
    digits = 0 if value.median >= 1000 else 1 if value.median >= 10 else 2
    if isinstance(value.ci95, Unknown):
        return f"{value.median:.{digits}f}"
    half = max(value.ci95[1] - value.median, value.median - value.ci95[0])
    return f"{value.median:.{digits}f} ±{half:.{digits}f}"


def _seconds(value: Measured) -> str:
    if isinstance(value, Unknown):
        return "?"
    if value.median < 0.01:
        return f"{value.median * 1000:.1f} ms"
    return f"{value.median * 1000:.0f} ms" if value.median < 1 else f"{value.median:.2f} s"


def _facts(bench: Bench) -> Iterator[tuple[str, Text]]:
    from rich.text import Text

    yield "model", Text(printable(bench.model + (" (stand-in: invented weights)" if bench.stand_in else "")))
    yield "engine", Text(printable(bench.engine or "unknown"))
    cpu = bench.machine.get("cpu")
    cores = bench.machine.get("physical_cores")
    told = [f"{cpu}" if isinstance(cpu, str) else "", f"{cores} cores" if isinstance(cores, int) else ""]
    gpus = bench.machine.get("gpus")
    told += [str(gpu.get("description")) for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []
    yield "machine", Text(printable(", ".join(part for part in told if part)))


def _below(bench: Bench) -> Iterator[tuple[str, Text]]:
    from rich.text import Text

    for row in bench.rows[:1]:
        if _is_load_test(row):
            continue
        limit = row.limit
        if isinstance(limit.decode_tokens_per_second, float):
            most = limit.decode_tokens_per_second
            text = f"decode can reach {most:.0f} tok/s at most: {limit.bound_by} ({'; '.join(limit.sources)})"
        else:
            text = f"unknown: {limit.decode_tokens_per_second.reason}"
        yield "limit", Text(printable(text))
        if isinstance(row.first_run_seconds, float):
            yield "first run", Text(f"{row.first_run_seconds:.2f} s (not among the samples)")
        for one in row.activity:
            yield one.device, Text(printable(_activity(one)))
    for reason in bench.invalid_because[1:]:
        yield "also", Text(printable(reason))
    for note in bench.notes:
        yield "note", Text(printable(note))
    yield "figures", Text("medians with their 95 % interval; --json has every sample and the definitions")


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
    lines = [f"**{bench.model}** on {bench.machine.get('cpu')}, {bench.engine}", ""]
    if not bench.valid:
        lines += [f"> Does not count: {'; '.join(bench.invalid_because)}", ""]
    heads = columns(bench)
    lines += ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(row)) + " |" for row in bench.rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in bench.notes)]) + "\n"


def compare_text(before: str, after: str, ratios: Sequence[Ratio], page: Page) -> str:
    """What changed from one run to another."""
    from rich.table import Table
    from rich.text import Text

    worse = [one for one in ratios if is_worse(one)]
    head = f"{len(worse)} of {len(ratios)} figures are worse." if worse else "Nothing is provably worse."
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("row", "figure", "ratio", "95 % interval", "verdict"):
        table.add_column(column)
    for one in ratios:
        interval = f"{one.ci95[0]:.3f} to {one.ci95[1]:.3f}" if isinstance(one.ci95, tuple) else "too few samples"
        table.add_row(printable(one.row or "-"), one.quantity, f"{one.ratio:.3f}", interval, one.verdict)
    parts: list[RenderableType] = [Text(head, style="bold red" if worse else "bold green"), Text()]
    parts += [labelled([("before", Text(printable(before))), ("after", Text(printable(after)))]), Text(), table]
    return paint(*parts, page=page)


def is_worse(one: Ratio) -> bool:
    return one.verdict == ("lower" if one.quantity.endswith("per_second") else "higher")
