"""Checks of a load: which part of the model is not on the GPU, and exactly why."""

from __future__ import annotations

from collections.abc import Iterator

from vramctl.checks.evidence import events, finding, in_words, load_name, text_of
from vramctl.checks.log_context import ran_out
from vramctl.checks.log_fit import Needs, fit_lines, missing, needs, what_makes_it_fit
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import CPU_ONLY, FAILED, PARTIAL, Load, Log

# Automatic: -1 (Ollama, llama-cpp-python's -1 becomes a huge number), nothing said.
_EVERYTHING = 99

_HELD_SHARE = 0.15

_HELD_BYTES = 1 << 30

_LARGE_BUFFERS = 2 << 30

# Tensors were kept off the GPU by hand: it takes more than a sum that just fits to call that needless.
_SURELY_FITS = 0.9


def n_gpu_layers_zero(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """A GPU build with a GPU, and no layer asked for: everything is on the CPU."""
    if log.source.engine == "ollama" or load.layers_on_gpu != 0 or load.outcome != CPU_ONLY:
        return
    yield finding(
        "error",
        f"The model runs on the CPU: none of its {load.layers_total} layers was asked to be on the GPU.",
        (
            f"offloaded 0/{load.layers_total} layers; the line is printed only where a GPU is there",
            _cpu_bytes(load),
        ),
        BY_ID["n-gpu-layers-zero"].fix(platform),
        _offload_lines(load),
    )


def ollama_num_gpu_forced(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """num_gpu of the Modelfile or the client pins the layer count below what would fit."""
    asked = load.settings.asked_layers
    if log.source.engine != "ollama" or not isinstance(asked, int) or asked < 0 or not log.gpus:
        return
    if load.fit is None:
        return
    total = load.layers_total if isinstance(load.layers_total, int) else _EVERYTHING
    if asked >= total or load.layers_on_gpu != asked or _command_only(load):
        return
    yield finding(
        "warning" if asked else "error",
        f"num_gpu={asked} keeps the model to {asked} of {total} layers on the GPU.",
        (f"requested {asked}, where -1 is automatic",),
        BY_ID["ollama-num-gpu-forced"].fix(platform),
        events(load, "fit.offload", "fit.loading_model"),
    )


def _command_only(load: Load) -> bool:
    """Whether the layer count is known from the runner's command only: Ollama writes its own choice there."""
    return "fit.offload" not in load.seen and "fit.loading_model" not in load.seen


def one_layer_short(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """All repeating layers are on the GPU, the output layer is not."""
    on_gpu, total = load.layers_on_gpu, load.layers_total
    if not isinstance(on_gpu, int) or not isinstance(total, int) or on_gpu != total - 1 or on_gpu == 0:
        return
    if load.outcome == FAILED:
        return
    need = needs(load, log)
    if need is not None and missing(need) and log.source.engine == "ollama":
        return
    output = in_words(load.fit.output_layer_bytes) if load.fit and isinstance(load.fit.output_layer_bytes, int) else ""
    yield finding(
        "warning",
        f"The output layer is on the CPU: {on_gpu} of {total} layers are on the GPU.",
        (
            "the count includes the output layer, so the block count is one too few",
            f"it takes {output}" if output else "",
        ),
        BY_ID["one-layer-short"].fix(platform),
        _offload_lines(load),
    )


def offload_kqv_false(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """Layers are on the GPU, their KV cache is in system memory: attention runs on the CPU."""
    host = sum(use.kv_bytes for use in load.on_host if isinstance(use.kv_bytes, int))
    gpu = sum(use.kv_bytes for use in load.on_gpus if isinstance(use.kv_bytes, int))
    if not host or gpu or not isinstance(load.layers_on_gpu, int) or load.layers_on_gpu < 1:
        return
    yield finding(
        "warning",
        f"The whole KV cache ({in_words(host)}) is in system memory, so attention runs on the CPU.",
        (f"{load.layers_on_gpu} of {load.layers_total} layers are on the GPU, no KV buffer is", _cache_asked(load)),
        BY_ID["offload-kqv-false"].fix(platform),
        events(load, "kv.buffer"),
    )


def _cache_asked(load: Load) -> str:
    if load.settings.kv_offload is False:
        return "the command says --no-kv-offload"
    return f"context of {load.settings.ctx} tokens" if isinstance(load.settings.ctx, int) else ""


def vram_held_by_other(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """The model would fit into the GPU's memory, but a good part of that was taken before the load."""
    crowded = ran_out(load)
    if load.outcome != PARTIAL and not crowded:
        return
    need = needs(load, log)
    total = sum(gpu.total_bytes for gpu in log.gpus if isinstance(gpu.total_bytes, int))
    if need is None or not (missing(need) or crowded) or need.needed > total or not total:
        return
    held = total - need.available
    if held < _HELD_BYTES or held < _HELD_SHARE * total:
        return
    yield finding(
        "error" if crowded else "warning",
        f"{load_name(load)} needs {in_words(need.needed)} and the GPU has {in_words(total)}, but {in_words(held)} "
        "of that was taken.",
        (f"free before the load: {in_words(need.available)}", need.parts),
        BY_ID["vram-held-by-other"].fix(platform),
        (*events(load, "memory.gpu", "fit.offload"), *events(log, "device.used")[:2], *crowded[:1]),
    )


def partial_offload(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """Some layers are on the CPU: what was needed, what was there, which part is biggest, what makes it fit."""
    if load.outcome != PARTIAL and not _planned_partly(load):
        return
    if isinstance(load.settings.overridden_tensors, int) or _full_count(load) or _more_bytes_than_layers(load):
        yield _by_choice(load, log)
        return
    need = needs(load, log)
    count = f"{load.layers_on_gpu} of {load.layers_total} layers" if isinstance(load.layers_on_gpu, int) else "a part"
    if need is None:
        yield finding(
            "warning",
            f"Only {count} of {load_name(load)} are on the GPU; the rest runs on the CPU.",
            (_cpu_bytes(load), _asked_for(load), "the log does not print how much GPU memory was free"),
            _smaller_buffers(load) + BY_ID["partial-offload"].fix(platform),
            _offload_lines(load),
        )
    elif missing(need):
        yield _too_big(load, need, count)
    else:
        yield finding(
            "warning",
            f"Only {count} are on the GPU although all would fit.",
            (f"needs {in_words(need.needed)} (an estimate from this log), free {in_words(need.available)}", need.parts),
            "Ask for all layers: `-ngl 99` or `-ngl auto` (llama-server), `n_gpu_layers=-1` (Python).",
            fit_lines(load),
        )


def _planned_partly(load: Load) -> bool:
    """Whether a load that failed would have been partial: the engine said beforehand that not all layers fit."""
    fit, on_gpu, total = load.fit, load.layers_on_gpu, load.layers_total
    known = (
        fit is not None
        and isinstance(fit.required_full_bytes, int)
        and isinstance(on_gpu, int)
        and isinstance(total, int)
    )
    return (
        load.outcome == FAILED and known and isinstance(on_gpu, int) and isinstance(total, int) and 0 < on_gpu < total
    )


def _too_big(load: Load, need: Needs, count: str) -> Finding:
    said = "" if need.said else " (added up from this log)"
    return finding(
        "warning",
        f"{load_name(load)} needs {in_words(need.needed)}{said} and the GPU has {in_words(need.available)} free, "
        f"so {count} are on it and the rest runs on the CPU.",
        (f"{need.parts}: {need.biggest} take{'s' if need.biggest != 'the weights' else ''} most", _cpu_bytes(load)),
        what_makes_it_fit(load, need),
        fit_lines(load),
    )


def _by_choice(load: Load, log: Log) -> Finding:
    """Tensors were kept in system memory on purpose (-ot, --n-cpu-moe): said, and whether all of them would fit, not blamed."""
    left, kv = _layers_left(load), sum(use.kv_bytes for use in load.on_host if isinstance(use.kv_bytes, int))
    need = needs(load, log)
    if need is not None and not left and need.needed < _SURELY_FITS * need.available:
        return _without_need(load, need)
    return finding(
        "info",
        f"{load.layers_on_gpu}/{load.layers_total} layers count as on the GPU; tensor overrides (-ot, --n-cpu-moe) keep "
        f"{_host_weights(load)} of the weights in system memory.",
        (
            "judge such a load by bytes, not by layers: the speed is that of system memory for those tensors",
            _engine_advice(load),
            f"{left} layers were left out altogether, and with them {in_words(kv)} of the KV cache: attention of those layers "
            "runs on the CPU"
            if left and kv
            else "",
        ),
        "Nothing, if that was the plan; with GPU memory to spare move more expert tensors there (fewer `-ot ...=CPU`)"
        + (", and ask for all layers (`-ngl 99`)." if left and kv else "."),
        _offload_lines(load),
    )


def _without_need(load: Load, need: Needs) -> Finding:
    """Every layer counts as on the GPU, a good part of their weights is in system memory, and there was room for it."""
    return finding(
        "info",
        f"{_host_weights(load)} of the weights are kept in system memory although all would fit: for every token the CPU works "
        f"through {'experts' if _has_experts(load) else 'tensors'} there, at the speed of that memory.",
        (
            f"{load.layers_on_gpu}/{load.layers_total} layers count as on the GPU",
            "the count does not see tensors that are placed one by one (--cpu-moe, --n-cpu-moe, -ot)",
            _engine_advice(load),
            f"needs {in_words(need.needed)} (an estimate from this log), free {in_words(need.available)}",
            need.parts,
        ),
        "Leave out `--cpu-moe`, `--n-cpu-moe` and `-ot`, or keep fewer tensors there; nothing, if the GPU's memory is meant for "
        "something else.",
        (*_offload_lines(load), *events(load, "tensors.override_hint")[:1]),
    )


def _engine_advice(load: Load) -> str:
    """The option that the loader itself names for such a load."""
    hints = events(load, "tensors.override_hint")[:1]
    return "".join(f"the engine advises `{text_of(hint, 'hint')}` where tensors are kept there" for hint in hints)


def _has_experts(load: Load) -> bool:
    return any(
        key.endswith(".expert_count") and isinstance(value, int) and value > 1 for key, value in load.header.items()
    )


def _layers_left(load: Load) -> int:
    on_gpu, total = load.layers_on_gpu, load.layers_total
    return total - on_gpu if isinstance(on_gpu, int) and isinstance(total, int) else 0


def _asked_for(load: Load) -> str:
    asked = load.settings.asked_layers
    return f"{asked} layers were asked for" if isinstance(asked, int) and asked >= 0 else ""


def _smaller_buffers(load: Load) -> str:
    """What frees memory for layers without touching the model: flash attention, where it is off and buffers are large."""
    compute = sum(use.compute_bytes for use in load.on_gpus if isinstance(use.compute_bytes, int))
    if load.settings.flash_attn != "off" or compute < _LARGE_BUFFERS:
        return ""
    return (
        f"Switch flash attention on (`-fa on`): without it the compute buffers take {in_words(compute)} of the GPUs. "
    )


def _more_bytes_than_layers(load: Load) -> bool:
    """Whether far more of the weights is on the GPU than the layer count says: tensors were placed one by one."""
    gpu, host = (
        sum(u.weights_bytes for u in uses if isinstance(u.weights_bytes, int)) for uses in (load.on_gpus, load.on_host)
    )
    if not isinstance(load.layers_on_gpu, int) or not isinstance(load.layers_total, int) or not load.layers_total:
        return False
    return gpu / max(gpu + host, 1) > load.layers_on_gpu / load.layers_total + 0.3


def _full_count(load: Load) -> bool:
    return isinstance(load.layers_on_gpu, int) and load.layers_on_gpu == load.layers_total


def _host_weights(load: Load) -> str:
    """Weights in system memory, at most what is left of the file: a mapped buffer spans tensors that are on the GPU too."""
    host = sum(use.weights_bytes for use in load.on_host if isinstance(use.weights_bytes, int))
    gpu = sum(use.weights_bytes for use in load.on_gpus if isinstance(use.weights_bytes, int))
    whole = load.model.file_bytes
    return in_words(min(host, max(whole - gpu, 0)) if isinstance(whole, int) and gpu else host)


def _cpu_bytes(load: Load) -> str:
    size = sum(use.weights_bytes for use in load.on_host if isinstance(use.weights_bytes, int))
    return f"{_host_weights(load)} of weights in system memory" if size else ""


def _offload_lines(load: Load) -> tuple[Event, ...]:
    return (*events(load, "layers.offloaded"), *events(load, "weights.buffer")[:3])
