"""What `vramctl make --json` prints: vramctl.make/1, and vramctl.make-list/1 of what is kept."""

from __future__ import annotations

from typing import Any

from vramctl.records import Model, Unknown
from vramctl.records.stand_in import Kept, Room, Shelf, Written
from vramctl.show.make_text import invented


def make_document(written: Written, room: Room, model: Model) -> dict[str, Any]:
    """A stand-in that was written."""
    return {
        "schema": "vramctl.make/1",
        "model": {
            "reference": model.reference,
            "name": _known(model.name),
            "architecture": model.architecture,
            "parameters": model.parameters,
            "quantization": _known(model.quantization),
        },
        "file": {"path": written.path, "file_bytes": written.file_bytes, "header_bytes": written.header_bytes},
        "tensors": [{"type": one.type, "tensors": one.tensors, "data_bytes": one.data_bytes} for one in written.types],
        "generator": written.generator,
        "seed": written.seed,
        "estimate": {
            "free_bytes": room.free_bytes,
            "bytes_per_second": _known(room.bytes_per_second),
            "writing_seconds": _known(room.seconds),
        },
        "written_seconds": written.seconds,
        "invented": list(invented(model)),
        "not_measured": ["text", "speculative acceptance", "expert routing"],
    }


def shelf_document(shelf: Shelf) -> dict[str, Any]:
    """The stand-ins that are kept, and what was just removed."""
    return {
        "schema": "vramctl.make-list/1",
        "folder": shelf.folder,
        "limit_bytes": shelf.limit_bytes,
        "kept_bytes": sum(one.file_bytes for one in shelf.kept),
        "kept": [_kept(one) for one in shelf.kept],
        "unfinished": [_kept(one) for one in shelf.unfinished],
        "removed": [_kept(one) for one in shelf.removed],
    }


def _kept(one: Kept) -> dict[str, Any]:
    return {
        "path": one.path,
        "file_bytes": one.file_bytes,
        "used_at_seconds": one.used_at_seconds,
        "in_use": one.in_use,
    }


def _known(value: Any) -> Any:
    return {"unknown": value.reason} if isinstance(value, Unknown) else value
