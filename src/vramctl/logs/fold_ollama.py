"""What Ollama's lines say before it loads: free memory, its estimate of a placement, the command of its runner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vramctl.logs.command import asked, request_settings
from vramctl.logs.draft import PARTS, LoadDraft, as_bytes
from vramctl.logs.fold_model import Fold, take_path
from vramctl.logs.stages import command_words
from vramctl.records.event import Event
from vramctl.records.load import EXTENDED_LOAD
from vramctl.records.unknown import Unknown


def take_settings(draft: LoadDraft, values: Mapping[str, Any]) -> None:
    """Take over settings that are known."""
    draft.settings.update(
        {name: value for name, value in values.items() if value is not None and not isinstance(value, Unknown)}
    )


def take_layers(draft: LoadDraft, on_gpu: Any, total: Any) -> None:
    """Take over how many layers the GPU has of how many, as far as they are numbers."""
    if isinstance(on_gpu, int):
        draft.layers_on_gpu = on_gpu
    if isinstance(total, int):
        draft.layers_total = total


def _system_memory(draft: LoadDraft, event: Event) -> None:
    draft.system_total = as_bytes(event.fields.get("total"))
    draft.system_free = as_bytes(event.fields.get("free"))


def _gpu_memory(draft: LoadDraft, event: Event) -> None:
    available = as_bytes(event.fields.get("available"))
    if available is None:
        return
    by_gpu = draft.timing.setdefault("available", {})
    by_gpu[str(event.fields.get("id", len(by_gpu)))] = available
    draft.fit["available_bytes"] = tuple(by_gpu.values())
    draft.fit.setdefault("line", event.line)


def _offload(draft: LoadDraft, event: Event) -> None:
    fields = event.fields
    available = fields.get("available")
    if isinstance(available, tuple):
        draft.fit["available_bytes"] = tuple(size for size in map(as_bytes, available) if size is not None)
    for name, key in (
        ("required_full", "required_full_bytes"),
        ("required_partial", "required_partial_bytes"),
        ("required_kv", "kv_bytes"),
        ("weights_total", "weights_bytes"),
        ("weights_nonrepeating", "output_layer_bytes"),
        ("graph_full", "graph_full_bytes"),
        ("graph_partial", "graph_partial_bytes"),
        ("projector_weights", "projector_bytes"),
    ):
        size = as_bytes(fields.get(name))
        if size is not None:
            draft.fit[key] = size
    draft.fit["line"] = event.line
    take_layers(draft, fields.get("layers_offload"), fields.get("layers_model"))
    take_settings(draft, {"asked_layers": fields.get("layers_requested")})


def _model_layers(draft: LoadDraft, event: Event) -> None:
    take_layers(draft, None, event.fields.get("layers"))
    take_settings(draft, {"asked_layers": event.fields.get("requested")})


def _load_request(draft: LoadDraft, event: Event) -> None:
    values = request_settings(str(event.fields.get("request") or event.raw.partition("request=")[2].strip('"')))
    operation = values.pop("operation", "")
    if operation == "close":
        return
    on_gpu = values.pop("gpu_layers", None)
    take_layers(draft, on_gpu, None)
    take_settings(draft, values)
    draft.moment(
        EXTENDED_LOAD,
        f"layout tried: {operation or 'fit'}, {on_gpu if on_gpu is not None else '?'} layers on GPU",
        event,
    )


def _command(draft: LoadDraft, event: Event) -> None:
    words = command_words(event)
    draft.command = tuple(words)
    values = asked(words)
    take_path(draft, values.pop("path", None))
    if event.engine == "ollama":
        # What Ollama chose itself, not what somebody asked for.
        values.pop("asked_layers", None)
    take_settings(draft, values)


def _estimated(draft: LoadDraft, event: Event) -> None:
    for part in PARTS:
        draft.estimated.new_pass(part)


OLLAMA_FOLDS: dict[str, Fold] = {
    "memory.system": _system_memory,
    "memory.gpu": _gpu_memory,
    "memory.total": _estimated,
    "fit.offload": _offload,
    "fit.loading_model": _model_layers,
    "fit.load_requested": _load_request,
    "runner.command": _command,
}
