"""`vramctl gpus [TEXT]`: the GPUs of this machine, and of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from vramctl.catalogue import GpuEntry, entries
from vramctl.cli.options import output_options
from vramctl.cli.output import Output, answer, answer_json
from vramctl.errors import BadInput
from vramctl.probes.gpus import look_gpus, look_other_gpus
from vramctl.probes.other_gpus import Sighting
from vramctl.records import Device, Unknown
from vramctl.show.listing import listing
from vramctl.show.plan_json import known
from vramctl.show.printable import printable
from vramctl.show.verdict import without_vendor
from vramctl.units import format_bytes

EPILOG = """\b
Examples:
  vramctl gpus                  the GPUs of this machine
  vramctl gpus 4090             what the catalogue knows of it
  vramctl gpus --all            the whole catalogue
"""


@click.command("gpus", epilog=EPILOG)
@click.argument("text", required=False)
@click.option("--all", "everything", is_flag=True, help="List the whole catalogue.")
@output_options
def command(*, text: str | None, everything: bool, out: Output) -> int:
    """Show this machine's GPUs, or those of the catalogue whose name has the words of TEXT."""
    found = _search(text or "") if text or everything else ()
    if text and not found:
        raise BadInput(
            "unknown-gpu",
            f"The catalogue has no GPU with {text!r} in its name.",
            because=(f"it has {len(entries())} GPUs",),
            fix="List them with vramctl gpus --all, or give the memory itself: --gpu 12GiB.",
        )
    if out.json:
        answer_json(_document(look_gpus(), look_other_gpus(), found))
    elif found:
        answer(_catalogue(found, out), None)
    else:
        answer(_machine(look_gpus(), look_other_gpus(), out), None)
    return 0


def _search(text: str) -> tuple[GpuEntry, ...]:
    """Entries whose names have every word of `text`."""
    words = text.lower().split()
    return tuple(
        entry
        for entry in entries()
        if all(word in " ".join((entry.name, entry.driver_name, *entry.aliases)).lower() for word in words)
    )


def _machine(devices: tuple[Device, ...] | Unknown, others: Sequence[Sighting], out: Output) -> str:
    """This machine's GPUs, and why there are none where there are none."""
    all_devices = [
        *(() if isinstance(devices, Unknown) else devices),
        *(other.device for other in others if isinstance(other.device, Device)),
    ]
    rows = [
        (
            device.name,
            without_vendor(device.description),
            _size(device.total_bytes),
            _size(device.free_bytes),
            device.source,
        )
        for device in all_devices
    ]
    lines = [
        f"{other.kind}: {other.what}: {other.device.reason}" for other in others if isinstance(other.device, Unknown)
    ]
    if not rows:
        lines.insert(0, f"No GPU here: {devices.reason if isinstance(devices, Unknown) else 'none was found'}.")
    lines.append(f"The catalogue has {len(entries())} GPUs to plan for: vramctl gpus TEXT searches it.")
    table = listing(("name", "GPU", "memory>", "free>", "source"), rows, out.page) + "\n" if rows else ""
    return table + "".join(f"{printable(line)}\n" for line in lines)


def _catalogue(found: Sequence[GpuEntry], out: Output) -> str:
    rows = [
        (
            without_vendor(entry.name),
            _size(entry.total_bytes),
            _size(entry.free_bytes),
            _rate(entry),
            _text(entry),
            _seen(entry),
        )
        for entry in found
    ]
    table = listing(("--gpu", "memory>", "free>", "GB/s>", "compute", "from"), rows, out.page, first_wraps=True)
    if len(found) > 1:
        return table
    return f"{table}\nmemory: {printable(found[0].total_source)}\nfree: {printable(found[0].free_source)}\n"


def _seen(entry: GpuEntry) -> str:
    """Where the memory's figure comes from, in one word; `--json` and one entry alone say it in full."""
    if isinstance(entry.total_bytes, Unknown):
        return "-"
    return "driver" if entry.reported else "rule"


def _size(size: int | Unknown) -> str:
    return "unknown" if isinstance(size, Unknown) else format_bytes(size)


def _rate(entry: GpuEntry) -> str:
    rate = entry.bandwidth_bytes_per_second
    return "unknown" if isinstance(rate, Unknown) else f"{rate / 1e9:.0f}"


def _text(entry: GpuEntry) -> str:
    return "-" if isinstance(entry.compute_capability, Unknown) else entry.compute_capability


def _document(
    devices: tuple[Device, ...] | Unknown, others: Sequence[Sighting], found: Sequence[GpuEntry]
) -> dict[str, Any]:
    return {
        "schema": "vramctl.gpus/1",
        "machine": known(devices) if isinstance(devices, Unknown) else [_device(device) for device in devices],
        "other": [
            {
                "kind": other.kind,
                "what": other.what,
                "device": known(other.device) if isinstance(other.device, Unknown) else _device(other.device),
            }
            for other in others
        ],
        "catalogue": [_entry(entry) for entry in found],
    }


def _device(device: Device) -> dict[str, Any]:
    names = (
        "name", "description", "backend", "total_bytes", "free_bytes", "compute_capability",
        "bandwidth_bytes_per_second", "driver", "uuid", "source",
    )  # fmt: skip
    return {name: known(getattr(device, name)) for name in names}


def _entry(entry: GpuEntry) -> dict[str, Any]:
    names = (
        "name", "driver_name", "vendor", "backend", "total_bytes", "total_source", "free_bytes", "free_source",
        "bandwidth_bytes_per_second", "compute_capability",
    )  # fmt: skip
    return {name: known(getattr(entry, name)) for name in names}
