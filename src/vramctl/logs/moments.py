"""The steps of a load that a kind of event stands for, in three sequences: load, extended load, memory watch.

`load` holds the steps from the start of a server to its readiness, `extended load` those in between, `memory watch` what
memory was free when. Both engines' words for the same step are the same step here.
"""

from __future__ import annotations

from collections.abc import Callable

from vramctl.records.event import Event, Printed
from vramctl.records.load import EXTENDED_LOAD, LOAD, MEMORY_WATCH
from vramctl.units import GIB, MIB

Words = Callable[[Event], str]


def moment_of(event: Event) -> tuple[str, str] | None:
    """The sequence that this event is a step of and what happened, None for an event that is no step."""
    step = STEPS.get(event.kind)
    if step is None:
        return None
    sequence, words = step
    text = words if isinstance(words, str) else words(event)
    return (sequence, text) if text else None


def _size(value: object) -> str:
    """A printed size with one decimal, empty where there is none."""
    if not isinstance(value, Printed):
        return ""
    return f"{value.bytes / GIB:.1f} GiB" if value.bytes >= GIB else f"{value.bytes / MIB:.0f} MiB"


def _will_fit(event: Event) -> str:
    needed, free = _size(event.fields.get("required")), _size(event.fields.get("available"))
    fits = f"found to fit: {needed} needed" if needed not in {"", "0 MiB"} else "found to fit"
    return fits + (f", {free} free" if free else "")


def _planned(event: Event) -> str:
    return f"{event.fields.get('layers_offload', '?')}/{event.fields.get('layers_model', '?')} layers planned"


def _offloaded(event: Event) -> str:
    return f"{event.fields.get('on_gpu', '?')}/{event.fields.get('layers', '?')} layers on GPU"


def _engine(event: Event) -> str:
    return f"{event.fields.get('engine', 'engine')} starts"


def _context(event: Event) -> str:
    fields = event.fields
    name = fields.get("name")
    key = "value" if name == "n_ctx" else "n_ctx" if not isinstance(name, str) else ""
    return f"context of {fields.get(key)}" if key == "value" or key in fields else ""


def _system(event: Event) -> str:
    free, total, swap = (_size(event.fields.get(name)) for name in ("free", "total", "free_swap"))
    if not free:
        return ""
    return f"system {free}" + (f" of {total}" if total else "") + " free" + (f", swap {swap}" if swap else "")


def _gpu(event: Event) -> str:
    available, free = _size(event.fields.get("available")), _size(event.fields.get("free"))
    name = str(event.fields.get("id", ""))[:12]
    return f"GPU {name} {available} available" + (f" of {free} free" if free else "") if available else ""


def _updated(event: Event) -> str:
    available, total = _size(event.fields.get("available")), _size(event.fields.get("total"))
    name = str(event.fields.get("gpu", ""))[:12]
    return f"GPU {name} {available} of {total} free" if available else ""


STEPS: dict[str, tuple[str, str | Words]] = {
    "runner.command": (LOAD, "server started"),
    "fit.will_fit": (LOAD, _will_fit),
    "fit.offload": (LOAD, _planned),
    "weights.buffer": (LOAD, "weights"),
    "compute.buffer": (LOAD, "compute graph"),
    "kv.buffer": (LOAD, "KV cache"),
    "runner.started": (LOAD, "ready"),
    "server.model_loaded": (LOAD, "ready"),
    "runner.starting": (EXTENDED_LOAD, _engine),
    "model.loaded_meta": (EXTENDED_LOAD, "model file read"),
    "tensors.loading": (EXTENDED_LOAD, "tensors loading"),
    "layers.offloaded": (EXTENDED_LOAD, _offloaded),
    "context.param": (EXTENDED_LOAD, _context),
    "runner.listening": (EXTENDED_LOAD, "runner listening"),
    "server.listening": (EXTENDED_LOAD, "server listening"),
    "memory.system": (MEMORY_WATCH, _system),
    "memory.gpu": (MEMORY_WATCH, _gpu),
    "memory.vram_updated": (MEMORY_WATCH, _updated),
    "memory.vram_not_recovered": (MEMORY_WATCH, "GPU memory has not come back in time"),
}
