"""What a log's lines say of the model that is loaded: its header as printed, or the words of Ollama's own engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from vramctl.logs.draft import LoadDraft, as_bytes
from vramctl.logs.source import sha256_of
from vramctl.records.event import Event
from vramctl.records.unknown import Unknown

Fold = Callable[[LoadDraft, Event], None]
_KEPT_HEADER, _SHORT_TEXT = 256, 64


def take_model(draft: LoadDraft, **values: Any) -> None:
    """Take over what is known of the model."""
    draft.model.update(
        {name: value for name, value in values.items() if value not in (None, "") and not isinstance(value, Unknown)}
    )


def take_path(draft: LoadDraft, path: Any) -> None:
    """Take over where the file is, and the digest in an Ollama blob's name."""
    if isinstance(path, str) and path:
        path = path.replace("\\\\", "\\")
        take_model(draft, path=path, sha256=sha256_of(path))


def _metadata(draft: LoadDraft, event: Event) -> None:
    draft.header.clear()
    draft.tensor_types.clear()
    take_path(draft, event.fields.get("path"))
    draft.printed.new_pass("weights")


def _key_value(draft: LoadDraft, event: Event) -> None:
    fields = event.fields
    key, value = str(fields.get("key", "")), fields.get("value")
    _header(draft, key, value, fields.get("count"))
    if key == "general.name":
        take_model(draft, name=value)
    elif key == "general.architecture":
        take_model(draft, architecture=value)
    elif key.endswith(".context_length"):
        take_model(draft, train_ctx=whole(value))
    elif key.endswith(".block_count"):
        take_model(draft, layers=whole(value))


def _header(draft: LoadDraft, key: str, value: Any, count: Any) -> None:
    """Keep what sizes a model: numbers, lengths of arrays, short words; no texts and no token lists."""
    if len(draft.header) >= _KEPT_HEADER:
        return
    if isinstance(count, int):
        draft.header[key] = count
    elif isinstance(value, str):
        if len(value) <= _SHORT_TEXT:
            draft.header[key] = value
    elif isinstance(value, int | float) and math.isfinite(value):
        draft.header[key] = value


def _tensor_type(draft: LoadDraft, event: Event) -> None:
    count = event.fields.get("count")
    if isinstance(count, int) and len(draft.tensor_types) < _KEPT_HEADER:
        draft.tensor_types[str(event.fields.get("type"))] = count


def whole(value: Any) -> int | None:
    """A whole number, None where the value is none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _described(draft: LoadDraft, event: Event) -> None:
    """What Ollama's own engine says of a file: it prints no header."""
    for field, name in (("architecture", "architecture"), ("file_type", "quantization"), ("name", "name")):
        _told(field, name)(draft, event)


def _sized(field: str, name: str) -> Fold:
    """A fold that takes a size of the event for the model."""

    def take(draft: LoadDraft, event: Event) -> None:
        take_model(draft, **{name: as_bytes(event.fields.get(field))})

    return take


def _told(field: str, name: str) -> Fold:
    """A fold that takes a field of the event for the model."""

    def take(draft: LoadDraft, event: Event) -> None:
        if str(event.fields.get(field)).startswith(("unknown", "?")):
            return
        take_model(draft, **{name: event.fields.get(field)})

    return take


MODEL_FOLDS: dict[str, Fold] = {
    "model.loaded_meta": _metadata,
    "model.described": _described,
    "model.kv": _key_value,
    "model.tensor_type": _tensor_type,
    "model.name": _told("name", "name"),
    "model.arch": _told("arch", "architecture"),
    "model.params": _told("count", "parameters"),
    "model.ftype": _told("value", "quantization"),
    "model.size": _sized("size", "file_bytes"),
    "model.n_ctx_train": _told("value", "train_ctx"),
    "model.n_layer": _told("value", "layers"),
}
