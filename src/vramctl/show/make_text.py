"""What `vramctl make` says: before it writes, when it has written, and of the stand-ins that are kept."""

from __future__ import annotations

import time
from pathlib import Path

from vramctl.records import Model, Unknown
from vramctl.records.stand_in import Kept, Room, Shelf, Written
from vramctl.show.bar import format_seconds
from vramctl.show.listing import listing
from vramctl.show.page import Page
from vramctl.show.printable import printable
from vramctl.units import format_bytes

_NOISE = "Text is noise; speculative acceptance and expert routing are not the model's."


def room_text(room: Room, path: str) -> str:
    """One line: what will be written where, what is free there, and how long it will take."""
    speed = room.bytes_per_second
    takes = (
        f"how long is not known ({speed.reason})"
        if isinstance(speed, Unknown)
        else f"about {format_seconds(room.file_bytes / speed)} at {format_bytes(int(speed))}/s"
    )
    return f"{printable(path)}: {format_bytes(room.file_bytes)}, {format_bytes(room.free_bytes)} free, {takes}\n"


def written_text(written: Written, model: Model) -> str:
    """The file, what it stands for, its tensor types, and what is real in it."""
    name = model.reference if isinstance(model.name, Unknown) else model.name
    quant = "" if isinstance(model.quantization, Unknown) else f" {model.quantization}"
    shares = ", ".join(f"{one.tensors} {one.type} ({format_bytes(one.data_bytes)})" for one in written.types)
    real = ["metadata", *(() if "vocabulary" in invented(model) else ("vocabulary",)), "tensor names, types and sizes"]
    return (
        f"{printable(written.path)}: a stand-in of {printable(name)}{quant}, {format_bytes(written.file_bytes)},"
        f" written in {format_seconds(written.seconds)}\n"
        f"tensors: {shares}\n"
        f"real: {', '.join(real)}; memory and speed are the model's\n"
        f"invented: {' and '.join(invented(model))}. {_NOISE}\n"
    )


def invented(model: Model) -> tuple[str, ...]:
    """What a stand-in of this model does not have from it: the weights, and a built-in shape's tokens as well."""
    return ("weights", "vocabulary") if model.reference.startswith("shape:") else ("weights",)


def shelf_text(shelf: Shelf, page: Page, *, now_seconds: float | None = None) -> str:
    """The stand-ins that are kept, last used first, or those that were removed."""
    now = time.time() if now_seconds is None else now_seconds
    held = sum(one.file_bytes for one in shelf.kept)
    note = f"{format_bytes(held)} of at most {format_bytes(shelf.limit_bytes)} in {shelf.folder}"
    freed = "".join(f"removed {Path(one.path).name}, {format_bytes(one.file_bytes)}\n" for one in shelf.removed)
    if not shelf.kept and not shelf.unfinished:
        return f"{freed}No stand-ins are kept. {note}\n"
    rows = [_row(one, now) for one in sorted(shelf.kept, key=lambda one: -one.used_at_seconds)]
    rows += [(*_row(one, now)[:2], "being written" if one.in_use else "unfinished") for one in shelf.unfinished]
    return freed + listing(("stand-in", "size>", "last used"), rows, page, note=note, first_wraps=True)


def _row(one: Kept, now: float) -> tuple[str, str, str]:
    ago = max(now - one.used_at_seconds, 0)
    used = "in use" if one.in_use else "just now" if ago < 60 else f"{format_seconds(ago)} ago"
    return Path(one.path).name, format_bytes(one.file_bytes), used
