"""A verification as text: the verdict, a box for each memory with what sits and what runs in it, differences, causes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vramctl.records import Placement, Unknown
from vramctl.records.placement import Bytes
from vramctl.records.verification import CPU_ONLY, MISMATCH, ON_GPU, PARTIAL, DeviceWatch, Verification
from vramctl.show.page import Page, labelled, paint
from vramctl.show.printable import printable
from vramctl.units import MIB

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_STYLES = {ON_GPU: "bold green", PARTIAL: "bold yellow", CPU_ONLY: "bold red", MISMATCH: "bold red"}
_ATTENTION_AWAY = {"offload-kqv-false", "quantized-kv-no-kernel", "attention-on-cpu"}
_PARTS = ("weights", "kv", "compute")


def verify_text(found: Verification, page: Page, *, model: str, engine: str) -> str:
    """The whole answer on the page."""
    from rich.text import Text

    parts: list[RenderableType] = [
        Text(printable(found.words), style=_STYLES.get(found.verdict, "bold yellow")),
        Text(),
    ]
    told = f"{model} (stand-in: invented weights)" if found.stand_in else model
    parts += [labelled([("model", Text(printable(told))), ("engine", Text(printable(engine)))]), Text()]
    parts += [_boxes(found, page), Text(), _witnesses(found)]
    for cause in found.findings:
        rows = [("cause" if cause.severity != "info" else "note", Text(printable(cause.what), style="bold"))]
        rows += [("because" if n == 0 else "", Text(printable(why))) for n, why in enumerate(cause.because)]
        rows += [("fix", Text(printable(cause.fix), style="green")), ("id", Text(cause.id, style="dim"))]
        parts += [Text(), labelled(rows)]
    differ = list(_differences(found))
    parts += [Text(), labelled(differ)] if differ else []
    notes = list(_notes(found))
    if notes:
        parts += [Text(), labelled(notes)]
    return paint(*parts, page=page)


def _differences(found: Verification) -> Iterator[tuple[str, Text]]:
    """Where witnesses differ, but for what a cause says already."""
    from rich.text import Text

    said = {one.what.rstrip(".") for one in found.findings}
    told = [one.what for one in found.differences if one.what.rstrip(".") not in said]
    for number, what in enumerate(told):
        yield "" if number else "differs", Text(printable(what), style="yellow")


def _boxes(found: Verification, page: Page) -> RenderableType:
    """One box per memory: what sits there, and what runs there."""
    from rich import box
    from rich.columns import Columns
    from rich.panel import Panel

    by_plan = not isinstance(found.reported, Placement)
    shown = found.planned if by_plan else found.reported
    shape = box.ROUNDED if page.unicode else box.ASCII
    panels = [
        Panel("\n".join(lines), title=f"{title}, planned" if by_plan else title, box=shape, width=36, title_align="left")
        for title, lines in _memories(found, shown)
    ]  # fmt: skip
    return Columns(panels)


def _memories(found: Verification, shown: Placement | Unknown) -> Iterator[tuple[str, list[str]]]:
    evidence = found.evidence
    if isinstance(shown, Unknown):
        return
    on, total = evidence.layers_on_gpu, evidence.layers_total
    counted = isinstance(on, int) and isinstance(total, int)
    away = any(one.id in _ATTENTION_AWAY and one.severity == "error" for one in found.findings)
    for use in shown.devices:
        lines = [
            _line("weights", use.weights_bytes),
            _line("KV cache", use.kv_bytes),
            _line("compute", use.compute_bytes),
        ]
        if counted:
            lines.append(f"runs      {on} of {total} layers")
            lines += ["          without attention"] if away and on else []
        yield use.name, lines
    host = shown.host
    lines = [
        _line("weights", host.weights_bytes),
        _line("KV cache", host.kv_bytes),
        _line("compute", host.compute_bytes),
    ]
    if isinstance(on, int) and isinstance(total, int):
        left = total - on
        lines += ["runs      attention (all layers)"] if away else []
        runs = (
            f"{left} of {total} layers"
            if left
            else "input embeddings"
            if away or evidence.kept_in_ram
            else "input embeddings only"
        )
        lines.append(f"{'' if away else 'runs':10}{runs}")
        lines += [f"{'':10}{evidence.kept_in_ram.removeprefix('the ')[:24]}"] if evidence.kept_in_ram else []
    yield "system memory, CPU", lines


def _line(name: str, size: Bytes) -> str:
    return f"{name:9} {_mib(size)}"


def _mib(size: Bytes) -> str:
    if isinstance(size, Unknown):
        return "unknown"
    return f"{size / MIB:.1f} MiB" if size else "none"


def _witnesses(found: Verification) -> RenderableType:
    """The three witnesses beside each other, in MiB."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, column in enumerate(("MiB", "planned", "reported", "observed")):
        table.add_column(column, justify="left" if number == 0 else "right")
    names = dict.fromkeys(
        use.name for one in (found.planned, found.reported) if isinstance(one, Placement) for use in one.devices
    )
    watches = {watch.name: watch for watch in found.watches}
    for name in names:
        for part in _PARTS:
            table.add_row(f"{name} {part}", _part(found.planned, name, part), _part(found.reported, name, part), "-")
        table.add_row(
            f"{name} beside", _part(found.planned, name, "overhead"), "-", _beside(found, name, watches.get(name))
        )
        table.add_row(f"{name} in all", _part(found.planned, name, "used"), "-", _grown(watches.get(name)))
    for part in _PARTS:
        table.add_row(f"host {part}", _host(found.planned, part), _host(found.reported, part), "-")
    return table


def _part(placement: Placement | Unknown, name: str, part: str) -> str:
    if isinstance(placement, Unknown):
        return "?"
    for use in placement.devices:
        if use.name == name:
            return _number(getattr(use, f"{part}_bytes"))
    return "0"


def _host(placement: Placement | Unknown, part: str) -> str:
    return "?" if isinstance(placement, Unknown) else _number(getattr(placement.host, f"{part}_bytes"))


def _beside(found: Verification, name: str, watch: DeviceWatch | None) -> str:
    """What the device holds beside the parts that the engine counts: the driver's context and pools."""
    if watch is None or isinstance(watch.grown_bytes, Unknown) or isinstance(found.reported, Unknown):
        return "?"
    uses = [use for use in found.reported.devices if use.name == name]
    counted = [getattr(use, f"{part}_bytes") for use in uses for part in _PARTS]
    left = watch.grown_bytes - sum(size for size in counted if isinstance(size, int))
    return "?" if any(isinstance(size, Unknown) for size in counted) or left < 0 else _number(left)


def _grown(watch: DeviceWatch | None) -> str:
    return "?" if watch is None else _number(watch.grown_bytes)


def _number(size: Bytes) -> str:
    return "?" if isinstance(size, Unknown) else f"{size / MIB:.2f}"


def _notes(found: Verification) -> Iterator[tuple[str, Text]]:
    from rich.text import Text

    share = found.evidence.decode_share
    if isinstance(share, float) and found.verdict in {ON_GPU, MISMATCH}:
        yield "speed", Text(f"decode runs at {share:.0%} of what the memory bandwidth allows for this placement")
    if isinstance(found.observed, Unknown):
        yield "observed", Text(printable(found.observed.reason))
    for note in found.notes:
        yield "note", Text(printable(note))
