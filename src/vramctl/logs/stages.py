"""How far a load is when a kind of event is printed, and which events begin a new one."""

from __future__ import annotations

from vramctl.logs.draft import LoadDraft
from vramctl.logs.values import arguments
from vramctl.records.event import Event

# Too many of these in every log to keep examples of.
BULK = frozenset({"model.kv", "model.tensor_type", "model.info", "tensors.override"})

# Kinds that are compared with each other, so that more than a few are kept: measurements, and the builds they are of.
COMPARED = {"bench.row": 200, "bench.build": 60, "build.info": 60, "timing.prompt": 100, "timing.generated": 100}

PLANNED, COMMANDED, DESCRIBED, PLACED, MADE, READY = 1, 2, 3, 4, 5, 6


STAGES: dict[str, int] = {
    "memory.system": PLANNED, "memory.gpu": PLANNED, "fit.offload": PLANNED, "fit.loading_model": PLANNED,
    "fit.will_fit": PLANNED, "fit.started": PLANNED, "server.model": PLANNED,
    "runner.command": COMMANDED,
    "model.loaded_meta": DESCRIBED, "model.name": DESCRIBED, "model.size": DESCRIBED, "model.arch": DESCRIBED,
    "tensors.loading": PLACED, "layers.offloading_repeating": PLACED, "layers.offloaded": PLACED,
    "weights.buffer": PLACED,
    "context.creating": MADE, "context.param": MADE, "kv.buffer": MADE, "kv.total": MADE, "compute.buffer": MADE,
    "runner.started": READY, "server.model_loaded": READY,
}  # fmt: skip
# Kinds of which a load keeps examples: what findings quote.
NOTED = frozenset({
    "memory.system", "memory.gpu", "fit.offload", "fit.loading_model", "fit.will_fit", "runner.command",
    "layers.offloaded", "weights.buffer", "kv.buffer", "kv.total", "compute.buffer", "tensors.loading", "tensors.override_hint",
    "context.pipeline", "graph.splits", "runner.started", "timing.load", "runner.load_failed", "runner.terminated",
    "runner.stopped", "model.load_failed", "memory.alloc_failed", "memory.buffer_failed", "context.failed",
    "gpu.alloc_over_limit", "crash.library_missing", "cuda.error", "cuda.error_where", "rocm.error", "gpu.arch_not_built",
    "gpu.device_lost", "gpu.hang", "gpu.fault", "gpu.error", "server.panic", "crash.assert", "crash.fatal",
    "crash.signal", "crash.abort", "ctx.truncated",
})  # fmt: skip


def starts_load(event: Event, draft: LoadDraft | None) -> bool:
    """Whether this event is the first of a new load, given the load that is open."""
    stage = stage_of(event)
    if stage is None:
        return False
    if draft is None or not draft.stage:
        return draft is None
    if draft.ended or draft.ready:
        return event.kind in _FIRST
    if stage == COMMANDED:
        return bool(draft.command)
    if event.kind == "model.loaded_meta" and draft.printed.passes:
        path = event.fields.get("path")
        # llama.cpp's fit loads the same file once without memory before the real load.
        return not ("fitting" in draft.timing and (path is None or path == draft.model.get("path")))
    return False


# The kinds that begin a load where another one is over; what else is printed then belongs to the old one.
_FIRST = frozenset({
    "memory.system", "memory.gpu", "fit.offload", "fit.loading_model", "fit.will_fit", "fit.started", "runner.command",
    "model.loaded_meta", "tensors.loading", "layers.offloading_repeating", "layers.offloaded",
})  # fmt: skip


def stage_of(event: Event) -> int | None:
    """How far a load is when this kind is printed; None for kinds that say nothing of it."""
    if event.kind == "runner.command" and not _names_model(event):
        return None
    return STAGES.get(event.kind)


def command_words(event: Event) -> tuple[str, ...]:
    """The words of a command line, whether the rule split it or not."""
    command = event.fields.get("cmd", ())
    return arguments(command) if isinstance(command, str) else tuple(command)


def _names_model(event: Event) -> bool:
    words = command_words(event)
    return "--model" in words or "-m" in words
