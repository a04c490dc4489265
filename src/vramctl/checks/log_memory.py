"""Checks of a log: memory that ran out, at which buffer and why, and memory that did not come back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from vramctl.checks.evidence import events, finding, how_often, in_words, load_name, size_of
from vramctl.checks.log_buffers import (
    BUFFERS,
    allocation_failed,
    asked_bytes,
    at_compute,
    grows_with_context,
    on_host,
    recovered,
    room_elsewhere,
    which_buffer,
)
from vramctl.checks.log_fit import needs, what_makes_it_fit
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import Load, Log

# More than any planned buffer of a model that was otherwise placed: a wrong flag or a bug, not a small GPU.
_ABSURD_SHARE = 1.5

_COPIES_BYTES = 4 << 30

_LARGEST_GPU = 100 << 30
_SHOWN_GPUS = 4

RAN_OUT = "GPU memory ran out"
FAR_MORE = "Far more memory was asked for than there is"
"""The title of every finding that says so, whatever asked for too much."""


def buffer_too_large_for_driver(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """One buffer is larger than the driver's limit for a single allocation: the memory is there, the driver refuses."""
    refused = [e for e in events(load, "gpu.alloc_over_limit") if "exceeds device memory allocation limit" in e.raw]
    if not refused:
        return
    size = asked_bytes(load)
    yield finding(
        "error",
        f"The Vulkan driver refuses a single buffer{f' of {in_words(size)}' if size else ''} while "
        f"{load_name(load)} is loaded: a limit of the driver, not a lack of memory.",
        (refused[0].text, _device_memory(log)),
        BY_ID["buffer-too-large-for-driver"].fix(platform),
        (*allocation_failed(load)[:1], *refused[:1], *events(load, "model.load_failed")[:1]),
    )


def multi_gpu_uneven(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """Several GPUs, and one overflows: four pipeline copies make the compute buffers huge, or the split is by layers only."""
    failed = allocation_failed(load)
    asked = max(
        asked_bytes(load),
        max((use.compute_bytes for use in load.on_gpus if isinstance(use.compute_bytes, int)), default=0),
    )
    copies = load.settings.pipeline_copies
    if grows_with_context(load):
        return
    if isinstance(copies, int) and copies > 1 and asked > _COPIES_BYTES:
        copied = finding(
            "error" if failed else "warning",
            _copies_told(copies, asked, bool(failed)),
            (
                f"pipeline parallelism enabled (n_copies={copies})",
                "with tensor overrides each copy holds its own staging of what lies in system memory",
                "weights and KV cache are not the problem",
            ),
            "Build with `-DGGML_SCHED_MAX_COPIES=1` (llama.cpp and forks): where others did, 17 GiB became 0.7, and little "
            "speed was lost.",
            (*events(load, "context.pipeline"), *events(load, "compute.buffer")[:2], *failed),
        )
        yield replace(copied, title="Pipeline copies make the compute buffers too large")
        return
    if failed and len(load.on_gpus) > 1 and not at_compute(load):
        sizes = {use.name: use.known_bytes for use in load.on_gpus}
        fullest = max(load.on_gpus, key=lambda use: use.known_bytes)
        beside = room_elsewhere(load, log, fullest, asked_bytes(load))
        if beside is not None and fullest.known_bytes > 1.3 * (sum(sizes.values()) / len(sizes)):
            yield finding(
                "error",
                f"The split over {len(sizes)} GPUs overflows {fullest.name}: it was to hold "
                f"{in_words(fullest.known_bytes)}, {beside[0].name} only {in_words(beside[0].known_bytes)}.",
                tuple(f"{name} {in_words(size)}" for name, size in sizes.items())[:6],
                BY_ID["multi-gpu-uneven"].fix(platform),
                (*failed, *events(load, "weights.buffer")[:2]),
            )


def _copies_told(copies: int, asked: int, failed: bool) -> str:
    """What the copies of the graph do to a load."""
    why = f"pipeline parallelism keeps {copies} copies of the compute graph"
    if not failed:
        return f"A GPU gives {in_words(asked)} to its compute buffer, because {why}; one copy takes a fraction of it."
    limit = "more than any GPU has" if asked > _LARGEST_GPU else "which does not fit"
    return f"The model could not be loaded: one compute buffer came to {in_words(asked)}, {limit}, because {why}."


def out_of_memory(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """GPU memory ran out, and which buffer it was for; or system memory did."""
    yield from _host_memory_ran_out(load, platform)
    failed = allocation_failed(load)
    if not failed:
        return
    size, buffer = asked_bytes(load), which_buffer(load)
    because = [f"{buffer} could not be allocated" + (f": {in_words(size)} more was wanted" if size else "")]
    because += [_placed(load), _device_memory(log), _estimate(load)]
    name = _id_of(load, log, buffer, failed)
    if recovered(load):
        yield finding(
            "info",
            f"An allocation of {buffer} failed at first, and the engine went on with another layout.",
            tuple(because),
            "Nothing, if the load below is placed as it should be.",
            failed[:2],
        )
        return
    if size and _absurd(size, log):
        what = _far_too_large(load, log, size, buffer)
        fix, title = _CHECK_OPTIONS, FAR_MORE
    else:
        more = f": {in_words(size)} more was wanted" if size else ""
        what = f"GPU memory ran out {_when(load, buffer)}{more}{_beside(load) if name == 'multi-gpu-uneven' else ''}."
        fix, title = _out_of_memory_fix(load, log, platform), RAN_OUT
        if name == "ollama-num-gpu-forced":
            fix = BY_ID[name].fix(platform)
    found = finding("error", what, tuple(because), fix, _allocation_lines(load))
    yield replace(found, id=name, title=title)


def _far_too_large(load: Load, log: Log, size: int, buffer: str) -> str:
    """A buffer that no layout of these GPUs has room for: with a long context that is what asks for it."""
    sizes = [gpu.total_bytes for gpu in log.gpus if isinstance(gpu.total_bytes, int)]
    has = f"{in_words(sum(sizes))} in all" if sizes and len(sizes) == len(log.gpus) else "far less"
    ctx = load.settings.ctx
    if buffer == "the KV cache" and isinstance(ctx, int):
        return (
            f"{load_name(load)}: a context of {ctx} tokens asks for {in_words(size)} of KV cache, and the GPU has {has}: "
            "it needs a shorter context."
        )
    return (
        f"{load_name(load)}: {buffer} was asked to be {in_words(size)}, and the GPU has {has}: "
        "a wrong setting or a bug, not a GPU that is too small."
    )


_CHECK_OPTIONS = "Check batch, context and override options; if they are right, update the engine and report this line."


def _estimate(load: Load) -> str:
    """That the engine thought it would fit, where it printed so."""
    fit = load.fit
    if fit is None or not isinstance(fit.required_full_bytes, int) or not fit.available_bytes:
        return ""
    if fit.required_full_bytes > sum(fit.available_bytes):
        return ""
    return (
        f"the engine had estimated {in_words(fit.required_full_bytes)} of {in_words(sum(fit.available_bytes))} free: "
        "its estimate was too low, or another process took memory meanwhile"
    )


def _id_of(load: Load, log: Log, buffer: str, failed: tuple[Event, ...]) -> str:
    """The catalogue's id for it: what asked for too much, where the log shows that; else ours."""
    if log.source.engine == "ollama":
        asked = load.settings.asked_layers
        return "ollama-num-gpu-forced" if isinstance(asked, int) and asked > 0 else "ollama-runner-crash"
    if buffer == dict(BUFFERS)["kv"]:
        return "kv-cache-evicts-layers"
    return "multi-gpu-uneven" if _uneven(load, log, failed) else "out-of-memory"


def _beside(load: Load) -> str:
    """That another GPU holds little."""
    least = min(load.on_gpus, key=lambda use: use.known_bytes)
    return f", while {least.name} holds only {in_words(least.known_bytes)}"


def _uneven(load: Load, log: Log, failed: tuple[Event, ...]) -> bool:
    """Whether it failed on one of several GPUs while another one had really room for what was wanted."""
    where = [e.fields.get("device") for e in (*failed, *events(load, "cuda.error_where"))]
    number = next((device for device in where if isinstance(device, int)), None)
    full = next((use for use in load.on_gpus if re.fullmatch(rf"\D+{number}", use.name)), None)
    return full is not None and room_elsewhere(load, log, full, asked_bytes(load)) is not None


def _host_memory_ran_out(load: Load, platform: str) -> Iterator[Finding]:
    """System memory could not be had for a part of the model."""
    found = tuple(event for event in events(load, "memory.alloc_failed") if on_host(event))
    if not found or recovered(load):
        return
    size = max((n for event in found if (n := size_of(event.fields.get("size")))), default=0)
    there = f"{in_words(load.system_total_bytes)} of system memory" if isinstance(load.system_total_bytes, int) else ""
    one = finding(
        "error",
        f"System memory ran out while {load_name(load)} was loaded"
        + (f": a buffer of {in_words(size)} could not be had." if size else "."),
        (found[0].text, there),
        BY_ID["host-oom-kill"].fix(platform),
        found,
    )
    yield replace(one, id="host-oom-kill", title="System memory ran out")


def _out_of_memory_fix(load: Load, log: Log, platform: str) -> str:
    """What to change, by the buffer that failed."""
    buffer = which_buffer(load)
    if buffer in {dict(BUFFERS)["compute"], dict(BUFFERS)["serving"]}:
        return _sentence("; or ".join(_smaller_compute(load)))
    need = needs(load, log)
    if need is not None and need.available:
        return what_makes_it_fit(load, need)
    return BY_ID["out-of-memory"].fix(platform)


def _smaller_compute(load: Load) -> Iterator[str]:
    """What makes the compute buffers smaller, as far as it is not done already."""
    ctx, ubatch, copies = load.settings.ctx, load.settings.ubatch, load.settings.pipeline_copies
    if load.settings.flash_attn in {"off", "disabled"}:
        yield "switch flash attention on (`-fa on`): without it the buffer grows with the context"
    if isinstance(ubatch, int) and ubatch > 256:
        yield f"lower the micro-batch (`-ub {ubatch // 2}`): the buffer shrinks with it"
    if isinstance(ctx, int) and ctx > 8192:
        yield f"lower the context (now {ctx})"
    if isinstance(copies, int) and copies > 1:
        yield f"build with `-DGGML_SCHED_MAX_COPIES=1` ({copies} copies of the graph are kept for pipelining)"
    if len(load.on_gpus) > 1:
        yield "give that GPU less (`--tensor-split`, or a few tensors fewer with `-ot`)"
    else:
        yield "put a few layers fewer on the GPU"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def vram_not_released(log: Log, platform: str) -> Iterator[Finding]:
    """After an unload the GPU's memory did not come back in time."""
    found = events(log, "memory.vram_not_recovered")
    if not found:
        return
    often = how_often(log, "memory.vram_not_recovered")
    yield finding(
        "warning",
        "After a model was unloaded or had crashed, its GPU memory did not come back within the time Ollama waits.",
        (
            f"{often} such line{'s' if often > 1 else ''} (one event repeats it every 0.25 s)",
            "the next model may find too little room",
        ),
        BY_ID["vram-not-released"].fix(platform),
        found,
        most=2,
    )


def _allocation_lines(load: Load) -> tuple[Event, ...]:
    return (*allocation_failed(load)[:2], *events(load, "cuda.error_where")[:1], *events(load, "model.load_failed")[:2])


def _when(load: Load, buffer: str) -> str:
    if load.ready:
        return f"while {load_name(load)} was answering: computing took more than was set aside at the start"
    return f"at {buffer} of {load_name(load)}"


def _placed(load: Load) -> str:
    """What was on the GPUs by then."""
    used = [use for use in load.on_gpus if use.known_bytes]
    least = min(used, key=lambda use: use.known_bytes, default=None)
    shown = used if len(used) <= _SHOWN_GPUS else [*used[: _SHOWN_GPUS - 1], *([least] if least else [])]
    words = dict.fromkeys(f"{use.name} held {in_words(use.known_bytes)}" for use in shown)
    return ", ".join(words) + (f" (of {len(used)} GPUs)" if len(used) > len(words) else "")


def _device_memory(log: Log) -> str:
    """What the GPUs had, in words; empty where the log does not print it."""
    words = []
    for gpu in log.gpus[:4]:
        name = gpu.device if isinstance(gpu.device, str) else gpu.name
        if isinstance(gpu.available_bytes, int):
            words.append(f"{name} had {in_words(gpu.available_bytes)} free")
        elif isinstance(gpu.total_bytes, int):
            words.append(f"{name} has {in_words(gpu.total_bytes)}")
    return ", ".join(words)


def _absurd(size: int, log: Log) -> bool:
    """Whether this is more than all GPUs together could have (80 GiB each where the log does not say)."""
    whole = sum(gpu.total_bytes if isinstance(gpu.total_bytes, int) else 80 << 30 for gpu in log.gpus) or 80 << 30
    return size > _ABSURD_SHARE * whole
