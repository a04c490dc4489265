"""What changed between the plans of two builds: as changes, as vramctl.plan-diff/1 and as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vramctl.records import Plan, Unknown
from vramctl.show.page import Page, paint
from vramctl.show.plan_json import known, plan_document
from vramctl.show.printable import printable
from vramctl.show.verdict import model_title, verdict
from vramctl.units import MIB, format_mib

SCHEMA = "vramctl.plan-diff/1"
_NOT_THERE = Unknown("the other build's plan has no such device")
_DEVICE_PARTS = ("weights", "kv", "compute", "overhead")
_HOST_PARTS = ("weights", "kv", "compute", "output")

Bytes = int | Unknown


@dataclass(frozen=True, slots=True)
class Change:
    """One part on one device (or `host`) that differs between two plans, in bytes."""

    device: str
    part: str
    before_bytes: Bytes
    after_bytes: Bytes


def changes(before: Plan, after: Plan) -> tuple[Change, ...]:
    """The parts that differ, device by device, then the host's; an unknown part differs from every known one."""
    return tuple(change for change in _parts(before, after) if change.before_bytes != change.after_bytes)


def _parts(before: Plan, after: Plan) -> Iterator[Change]:
    old = {use.name: use for use in before.placement.devices}
    new = {use.name: use for use in after.placement.devices}
    for name in dict.fromkeys((*old, *new)):
        for part in _DEVICE_PARTS:
            field = f"{part}_bytes"
            yield Change(
                name,
                part,
                getattr(old[name], field) if name in old else _NOT_THERE,
                getattr(new[name], field) if name in new else _NOT_THERE,
            )
    for part in _HOST_PARTS:
        field = f"{part}_bytes"
        yield Change("host", part, getattr(before.placement.host, field), getattr(after.placement.host, field))


def diff_document(before: Plan, after: Plan) -> dict[str, Any]:
    """Both plans and what changed, as a JSON value."""
    return {
        "schema": SCHEMA,
        "plans": [plan_document(before), plan_document(after)],
        "changes": [
            {
                "device": change.device,
                "part": change.part,
                "before_bytes": known(change.before_bytes),
                "after_bytes": known(change.after_bytes),
            }
            for change in changes(before, after)
        ],
    }


def diff_text(before: Plan, after: Plan, page: Page) -> str:
    """The changes as a table in MiB, with the verdict of the second plan above."""
    from rich.table import Table
    from rich.text import Text

    builds = Text(f"{printable(before.witness.engine)}  ->  {printable(after.witness.engine)}", style="dim")
    found = changes(before, after)
    if not found:
        same = Text(f"{model_title(after)} takes the same memory in both builds, to the byte.", style="bold")
        return paint(same, builds, page=page)
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    table.add_column("MiB")
    table.add_column("part")
    for heading in ("before", "after", "change"):
        table.add_column(heading, justify="right")
    for change in found:
        table.add_row(
            change.device,
            "KV" if change.part == "kv" else change.part,
            _mib(change.before_bytes),
            _mib(change.after_bytes),
            _difference(change.before_bytes, change.after_bytes),
        )
    return paint(verdict(after), builds, Text(), table, Text(), _footer(before, after, found), page=page)


def _footer(before: Plan, after: Plan, found: tuple[Change, ...]) -> str:
    unchanged = len(tuple(_parts(before, after))) - len(found)
    reasons = [
        printable(f"{change.part} of {change.device} is unknown: {value.reason}.")
        for change in found
        for value in (change.before_bytes, change.after_bytes)
        if isinstance(value, Unknown)
    ]
    fits = "" if before.fits == after.fits else " It fits in the first build only." if before.fits else " It fits now."
    return "\n".join([f"The other {unchanged} parts are equal to the byte.{fits}", *reasons])


def _mib(size: Bytes) -> str:
    return "unknown" if isinstance(size, Unknown) else format_mib(size)


def _difference(before: Bytes, after: Bytes) -> str:
    if isinstance(before, Unknown) or isinstance(after, Unknown):
        return ""
    share = f" ({(after - before) / before:+.1%})" if before else ""
    return f"{(after - before) / MIB:+.2f}{share}"
