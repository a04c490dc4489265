"""What each kind of event means for the load it belongs to: one table, kind to function."""

from __future__ import annotations

import re

from vramctl.logs.device_names import PROJECTOR
from vramctl.logs.draft import LoadDraft, as_bytes
from vramctl.logs.fold_model import MODEL_FOLDS, Fold, take_path, whole
from vramctl.logs.fold_ollama import OLLAMA_FOLDS, take_layers, take_settings
from vramctl.logs.moments import STEPS, moment_of
from vramctl.logs.requests import KINDS as REQUEST_KINDS
from vramctl.logs.stages import NOTED, STAGES, stage_of
from vramctl.records.event import Event
from vramctl.records.load import LOAD, MEMORY_WATCH
from vramctl.records.unknown import Unknown

_LAST_STEPS = frozenset({"runner.started", "server.listening"})
_CONTEXT_SETTINGS = {
    "n_ctx": "ctx",
    "n_seq_max": "parallel",
    "n_batch": "batch",
    "n_ubatch": "ubatch",
    "n_outputs_max": "outputs_max",
}
_ATTENTION = {"0": "off", "1": "on", "-1": "auto", "true": "on", "false": "off", "enabled": "on", "disabled": "off"}
# common/log.cpp: minutes, seconds, milliseconds and microseconds since the start of the process.
_CLOCK = re.compile(r"(\d{1,5})\.(\d\d)\.(\d{3})\.(\d{3}) [DIWEVT] ")
_BUFFERS = frozenset({"weights.buffer", "kv.buffer", "compute.buffer"})


def folding(kind: str) -> Fold:
    """The function that folds events of one kind of LOAD_KINDS into their load."""
    does = FOLDS.get(kind, _nothing)
    of_model = kind.startswith("model.")
    if kind not in STAGES and kind not in NOTED and kind not in STEPS:
        return _before_ready(does) if of_model else does
    says_stage = stage_of if kind == "runner.command" else None
    usual_stage, is_step = STAGES.get(kind), kind in STEPS
    noted, worked_out, last_step = kind in NOTED, kind in _BUFFERS, kind in _LAST_STEPS

    def take(draft: LoadDraft, event: Event) -> None:
        stage = says_stage(event) if says_stage else usual_stage
        if (stage is None and says_stage) or (of_model and draft.ready):
            return
        if stage is not None:
            if stage > draft.stage:
                draft.stage = stage
            if event.last_line > draft.last_line:
                draft.last_line = event.last_line
            if isinstance(draft.start_seconds, Unknown) and not event.inherited:
                draft.start_seconds = event.seconds
        if noted:
            draft.note(event)
        step = moment_of(event) if is_step else None
        if step is not None and (step[0] == MEMORY_WATCH or not draft.ready or last_step):
            draft.moment(*step, event, worked_out=worked_out and event.engine == "ollama")
        does(draft, event)

    return take


def _nothing(draft: LoadDraft, event: Event) -> None:
    """A kind that is only kept."""


def _before_ready(does: Fold) -> Fold:
    """A fold of what is printed of a model until it is loaded; what comes then is of another one."""

    def take(draft: LoadDraft, event: Event) -> None:
        if not draft.ready:
            does(draft, event)

    return take


def _tensors(draft: LoadDraft, event: Event) -> None:
    draft.printed.new_pass("weights")
    mode = event.fields.get("mode")
    take_settings(draft, {"mmap": event.fields.get("mmap") if mode is None else mode == "mmap"})


def _offloaded(draft: LoadDraft, event: Event) -> None:
    if event.engine == "ollama":
        # Its own engine prints this after it has placed the model: what it said before is no estimate.
        draft.timing["own engine"] = True
    draft.printed.new_pass("weights")
    take_layers(draft, event.fields.get("on_gpu"), event.fields.get("layers"))


def _buffer(part: str) -> Fold:
    """A fold for one part's buffer lines."""

    def take(draft: LoadDraft, event: Event) -> None:
        size, device = as_bytes(event.fields.get("size")), event.fields.get("device")
        if size is None or not isinstance(device, str):
            return
        if event.function == "reserve_compute_meta":
            device += PROJECTOR
        if event.engine == "ollama":
            draft.estimated.put(part, device, size)
        elif part in {"compute", "output"}:
            draft.printed.put(part, device, size)
        else:
            draft.printed.add(part, device, size)

    return take


def _context(draft: LoadDraft, event: Event) -> None:
    name = event.fields.get("name")
    values = {name: event.fields.get("value")} if isinstance(name, str) else event.fields
    for key in _CONTEXT_SETTINGS.keys() & values.keys():
        if key == "n_ctx":
            draft.printed.new_pass("kv")
            draft.printed.new_pass("compute")
        value = whole(values[key])
        if value is not None:
            draft.settings[_CONTEXT_SETTINGS[key]] = value
    if "flash_attn" in values:
        attention = str(values["flash_attn"]).lower()
        take_settings(draft, {"flash_attn": _ATTENTION.get(attention, attention)})


def _attention_resolved(draft: LoadDraft, event: Event) -> None:
    if draft.settings.get("flash_attn") == "auto":
        take_settings(draft, {"flash_attn_used": event.fields.get("on")})


def _kv_size(draft: LoadDraft, event: Event) -> None:
    take_settings(draft, {"type_k": event.fields.get("type_k"), "type_v": event.fields.get("type_v")})


def _output_layer(draft: LoadDraft, event: Event) -> None:
    if event.fields.get("device") == "CPU":
        draft.note(event)


def _kv_shape(draft: LoadDraft, event: Event) -> None:
    take_settings(draft, {"type_k": event.fields.get("k_type"), "type_v": event.fields.get("v_type")})


def _vram_total(draft: LoadDraft, event: Event) -> None:
    size = as_bytes(event.fields.get("weights") or event.fields.get("size"))
    if size is not None:
        draft.printed.put("weights", "GPU", size)


def _new_weights(draft: LoadDraft, event: Event) -> None:
    draft.printed.new_pass("weights")


def _new_context(draft: LoadDraft, event: Event) -> None:
    for part in ("kv", "compute", "output"):
        draft.printed.new_pass(part)


def _load_time(draft: LoadDraft, event: Event) -> None:
    seconds = event.fields.get("seconds")
    if isinstance(seconds, float) and draft.load_seconds is None:
        draft.load_seconds = seconds
    draft.ready = True


def _override(draft: LoadDraft, event: Event) -> None:
    draft.overridden += 1


def _overridden(draft: LoadDraft, event: Event) -> None:
    draft.timing["overridden"] = True


def _copies(draft: LoadDraft, event: Event) -> None:
    take_settings(draft, {"pipeline_copies": event.fields.get("copies")})


def _python(draft: LoadDraft, event: Event) -> None:
    draft.timing["python"] = True


def _started(draft: LoadDraft, event: Event) -> None:
    seconds = event.fields.get("seconds")
    if (not draft.ready or draft.load_seconds is None) and isinstance(seconds, float):
        draft.load_seconds = seconds
    draft.ready = True


def _server_model(draft: LoadDraft, event: Event) -> None:
    # A projector's file is named by such a line as well, after the model's.
    if "path" not in draft.model:
        take_path(draft, event.fields.get("path"))
        draft.timing["clock"] = _clock(event)


def _server_ready(draft: LoadDraft, event: Event) -> None:
    """llama-server is ready: by its own clock, where its lines carry it, that gives the seconds of the load."""
    start, end = draft.timing.get("clock"), _clock(event)
    if start is not None and end is not None and end >= start and not draft.command and draft.load_seconds is None:
        draft.load_seconds = round(end - start, 6)
    draft.ready = True


def _clock(event: Event) -> float | None:
    """Seconds since the process started, as llama.cpp puts them before its lines (`0.02.318.235 I`); None without."""
    found = _CLOCK.match(event.raw)
    if found is None:
        return None
    minutes, seconds, millis, micros = (int(part) for part in found.groups())
    return minutes * 60 + seconds + millis / 1e3 + micros / 1e6


def _slots(draft: LoadDraft, event: Event) -> None:
    """llama-server's word on slots, for logs that print no context: its level hides what the engine says."""
    slots, context = event.fields.get("slots"), event.fields.get("context")
    if not isinstance(slots, int) or not isinstance(context, int) or "ctx" in draft.settings:
        return
    unified = event.fields.get("unified") is True
    take_settings(draft, {"parallel": slots, "ctx": context if unified else context * slots})


def _fitting(draft: LoadDraft, event: Event) -> None:
    draft.timing["fitting"] = True


def _ended(words: str) -> Fold:
    """A fold for what ends a load; the first one counts."""

    def take(draft: LoadDraft, event: Event) -> None:
        draft.failed = True
        if not draft.ended:
            error = event.fields.get("error")
            draft.ended = f"{words}: {error}" if isinstance(error, str) and error else words
            draft.moment(LOAD, draft.ended, event)

    return take


FOLDS: dict[str, Fold] = {
    # What Ollama works out before it loads.
    **OLLAMA_FOLDS,
    # The file.
    **MODEL_FOLDS,
    # Where it goes.
    "fit.started": _fitting,
    "server.model": _server_model,
    "server.slots": _slots,
    "tensors.override": _override,
    "tensors.override_hint": _overridden,
    "tensors.loading": _tensors,
    "layers.offloading_repeating": _new_weights,
    "layers.offloading_output": _output_layer,
    "kv.shape": _kv_shape,
    "weights.vram_total": _vram_total,
    "layers.offloaded": _offloaded,
    "weights.buffer": _buffer("weights"),
    "context.creating": _new_context,
    "context.param": _context,
    "context.pipeline": _copies,
    "flash.resolved": _attention_resolved,
    "kv.buffer": _buffer("kv"),
    "rs.buffer": _buffer("kv"),
    "kv.state_buffer": _buffer("kv"),
    "kv.total": _kv_size,
    "compute.buffer": _buffer("compute"),
    "output.buffer": _buffer("output"),
    # What became of it.
    "runner.started": _started,
    "server.model_loaded": _server_ready,
    "llama_python.metadata": _python,
    "llama_python.template": _python,
    "llama_python.prefix_hit": _python,
    "timing.load": _load_time,
    "runner.load_failed": _ended("loading failed"),
    "runner.terminated": _ended("the runner died"),
    "runner.stopped": _ended("the runner stopped"),
    "model.load_failed": _ended("loading failed"),
    "memory.alloc_failed": _ended("an allocation failed"),
    "crash.library_missing": _ended("a library is missing"),
    "memory.buffer_failed": _ended("an allocation failed"),
    "context.failed": _ended("the context could not be made"),
    "cuda.error": _ended("GPU error"),
    "rocm.error": _ended("GPU error"),
    "gpu.arch_not_built": _ended("the build has no code for this GPU"),
    "gpu.hang": _ended("the GPU hung"),
    "gpu.fault": _ended("the GPU faulted"),
    "crash.exception": _ended("it crashed"),
    "crash.reason": _ended("it crashed"),
    "gpu.device_lost": _ended("the GPU was lost"),
    "crash.assert": _ended("an assertion failed"),
    "crash.fatal": _ended("it aborted"),
    "crash.signal": _ended("it crashed"),
    "crash.abort": _ended("it aborted"),
}
LOAD_KINDS: frozenset[str] = frozenset(REQUEST_KINDS) | FOLDS.keys() | STAGES.keys() | NOTED | STEPS.keys()
