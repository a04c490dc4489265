"""Checks of a log: memory that ran out, at which buffer and why, and memory that did not come back."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vramctl.checks.evidence import events, finding, how_often, in_words, load_name, size_of
from vramctl.checks.failure_modes import BY_ID
from vramctl.checks.log_fit import needs, what_makes_it_fit
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import Load, Log

# More than any planned buffer of a model that was otherwise placed: a wrong flag or a bug, not a small GPU.
_ABSURD_SHARE = 1.5
_COPIES_BYTES = 4 << 30
_LARGEST_GPU = 100 << 30
_LONG_CONTEXT = 16384
_NAMES = (
    ("compute", "the compute buffer"),
    ("kv", "the KV cache"),
    ("weights", "the weights"),
    ("serving", "a working buffer while serving"),
)


def buffer_too_large_for_driver(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """One buffer is larger than the driver's limit for a single allocation: the memory is there, the driver refuses."""
    refused = [e for e in events(load, "gpu.alloc_over_limit") if "exceeds device memory allocation limit" in e.raw]
    if not refused:
        return
    size = _asked(load)
    yield finding(
        "error",
        f"The Vulkan driver refuses a single buffer{f' of {in_words(size)}' if size else ''} while "
        f"{load_name(load)} is loaded: "
        "a limit of the driver, not a lack of memory.",
        (refused[0].text, _device_memory(log)),
        BY_ID["buffer-too-large-for-driver"].fix(platform),
        _allocation_lines(load),
    )


def multi_gpu_uneven(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """Several GPUs, and one overflows: four pipeline copies make the compute buffers huge, or the split is by layers only."""
    failed = _allocation_failed(load)
    asked = max(
        _asked(load), max((use.compute_bytes for use in load.on_gpus if isinstance(use.compute_bytes, int)), default=0)
    )
    copies = load.settings.pipeline_copies
    if grows_with_context(load):
        return
    if isinstance(copies, int) and copies > 1 and asked > _COPIES_BYTES:
        yield finding(
            "error" if failed else "warning",
            f"Pipeline parallelism keeps {copies} copies of the graph, which makes one compute buffer "
            f"{in_words(asked)}"
            + (": more than any GPU has." if asked > _LARGEST_GPU else ", which does not fit." if failed else "."),
            (
                f"pipeline parallelism enabled (n_copies={copies})",
                "with tensor overrides each copy holds its own staging of what lies in system memory",
                "weights and KV cache are not the problem",
            ),
            "Build with `-DGGML_SCHED_MAX_COPIES=1` (llama.cpp and forks): the buffers shrink to under a GiB and "
            "little speed is lost.",
            (*events(load, "context.pipeline"), *events(load, "compute.buffer")[:2], *failed),
        )
        return
    if failed and len(load.on_gpus) > 1 and not _at_compute(load):
        sizes = {use.name: use.known_bytes for use in load.on_gpus}
        fullest = max(sizes, key=lambda name: sizes[name])
        if sizes[fullest] > 1.3 * (sum(sizes.values()) / len(sizes)):
            yield finding(
                "error",
                f"The split over {len(sizes)} GPUs overflows {fullest}: it holds {in_words(sizes[fullest])}.",
                tuple(f"{name} {in_words(size)}" for name, size in sizes.items())[:6],
                BY_ID["multi-gpu-uneven"].fix(platform),
                (*failed, *events(load, "weights.buffer")[:2]),
            )


def out_of_memory(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """GPU memory ran out, and which buffer it was for."""
    failed = _allocation_failed(load)
    if not failed:
        return
    size, buffer = _asked(load), which_buffer(load)
    because = [f"{buffer} could not be allocated"]
    if size:
        because[0] += f": {in_words(size)} more was wanted"
    because += [_placed(load), _device_memory(log)]
    if size and _absurd(size, log):
        yield finding(
            "error",
            f"{load_name(load)}: {buffer} was asked to be {in_words(size)}, many times what the GPU has: "
            "a wrong setting or a bug, not a GPU that is too small.",
            tuple(because),
            "Check batch, context and override options; if they are right, update the engine and report this line.",
            _allocation_lines(load),
        )
        return
    yield finding(
        "error",
        f"GPU memory ran out {_when(load, buffer)}" + (f": {in_words(size)} more was wanted." if size else "."),
        tuple(because),
        _out_of_memory_fix(load, log, platform),
        _allocation_lines(load),
    )


def grows_with_context(load: Load) -> bool:
    """Whether the buffer that failed is one of attention scores: flash attention is off and the context long."""
    ctx = load.settings.ctx
    host = sum(use.weights_bytes for use in load.on_host if isinstance(use.weights_bytes, int))
    gpu = sum(use.weights_bytes for use in load.on_gpus if isinstance(use.weights_bytes, int))
    long = isinstance(ctx, int) and ctx >= _LONG_CONTEXT
    return (
        bool(_allocation_failed(load))
        and load.settings.flash_attn == "off"
        and long
        and host < 0.2 * gpu
        and which_buffer(load) == dict(_NAMES)["compute"]
    )


def _out_of_memory_fix(load: Load, log: Log, platform: str) -> str:
    """What to change, by the buffer that failed."""
    buffer = which_buffer(load)
    ctx, ubatch = load.settings.ctx, load.settings.ubatch
    if buffer == "the compute buffer":
        parts = []
        if load.settings.flash_attn in {"off", "disabled"}:
            parts.append("switch flash attention on (`-fa on`): without it the buffer grows with the context")
        if isinstance(ubatch, int) and ubatch > 256:
            parts.append(f"lower the micro-batch (`-ub {ubatch // 2}`): the buffer shrinks with it")
        if isinstance(ctx, int) and ctx > 8192:
            parts.append(f"lower the context (now {ctx})")
        if isinstance(load.settings.pipeline_copies, int) and load.settings.pipeline_copies > 1:
            parts.append("build with `-DGGML_SCHED_MAX_COPIES=1` (four copies of the graph are kept for pipelining)")
        parts.append("put a few layers fewer on that GPU")
        return "; ".join(parts).capitalize() + "." if len(parts) == 1 else _sentence("; or ".join(parts))
    need = needs(load, log)
    if need is not None and need.available:
        return what_makes_it_fit(load, need)
    return BY_ID["out-of-memory"].fix(platform)


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


def host_oom_kill(log: Log, platform: str) -> Iterator[Finding]:
    """The kernel ended the process for lack of system memory."""
    killed = [
        e
        for e in events(log, "runner.load_failed", "runner.terminated", "crash.signal")
        if re.search(r"signal: killed|\bKilled\b", e.raw)
    ]
    kernel = events(log, "system.oom_kill")
    if kernel or killed:
        yield finding(
            "error",
            "The process was killed"
            + (
                " by the kernel: system memory ran out."
                if kernel
                else ", most likely by the kernel for lack of system memory."
            ),
            (*(event.text for event in kernel[:1]), *(event.text for event in killed[:1])),
            BY_ID["host-oom-kill"].fix(platform),
            (*kernel, *killed),
        )
    too_large = events(log, "fit.too_large")
    if too_large and not kernel and not killed:
        fields = too_large[0].fields
        asked, there = size_of(fields.get("requested")), size_of(fields.get("available"))
        yield finding(
            "error",
            "The model was refused: it needs more than system and GPU memory together have.",
            (f"needs {in_words(asked)}, available {in_words(there)}" if asked and there else too_large[0].text,),
            "Take a smaller model, quantisation or context, or close other programs; more swap makes it start, "
            "but slow.",
            too_large,
        )


def mmap_with_little_ram(log: Log, platform: str) -> Iterator[Finding]:
    """System memory is smaller than the model file that is mapped, so pages are read again and again."""
    for load in log.loads:
        file_bytes, free = load.model.file_bytes, load.system_total_bytes
        slow = isinstance(load.load_seconds, float) and load.load_seconds > 60
        if (
            isinstance(file_bytes, int)
            and isinstance(free, int)
            and load.settings.mmap is True
            and free < file_bytes
            and slow
        ):
            yield finding(
                "warning",
                f"The model file ({in_words(file_bytes)}) is larger than system memory ({in_words(free)}) and is "
                "mapped: "
                f"loading took {load.load_seconds:.0f} s.",
                ("mapped pages are dropped and read again",),
                BY_ID["mmap-with-little-ram"].fix(platform),
                events(load, "memory.system", "tensors.loading"),
            )
            return


def _allocation_failed(load: Load) -> tuple[Event, ...]:
    """The lines that say so: an allocation while loading, or a CUDA error while serving."""
    serving = [e for e in events(load, "cuda.error") if "out of memory" in e.raw.lower()]
    return (*events(load, "memory.alloc_failed"), *serving)


def _allocation_lines(load: Load) -> tuple[Event, ...]:
    return (
        *_allocation_failed(load)[:2],
        *events(load, "model.load_failed", "model.load_failed")[:2],
    )


def _at_compute(load: Load) -> bool:
    return which_buffer(load) == "the compute buffer"


def which_buffer(load: Load) -> str:
    """The buffer that could not be had, in words."""
    last = events(load, "memory.alloc_failed", "memory.buffer_failed", "context.failed", "model.load_failed")
    text = " ".join(event.raw for event in last)
    if load.ready:
        return dict(_NAMES)["serving"]
    if re.search(r"compute|gallocr|graph_reserve", text):
        return dict(_NAMES)["compute"]
    if re.search(r"kv.?cache|self-attention|KV", text):
        return dict(_NAMES)["kv"]
    if "alloc_tensor_range" in text or "unable to allocate" in text or not load.on_gpus:
        return dict(_NAMES)["weights"]
    return (
        "a buffer"
        if any(isinstance(use.kv_bytes, int) and use.kv_bytes for use in load.devices)
        else dict(_NAMES)["weights"]
    )


def _asked(load: Load) -> int:
    """The size that was refused, in bytes; 0 where no line prints it."""
    sizes = [size_of(event.fields.get("size")) for event in events(load, "memory.alloc_failed", "memory.buffer_failed")]
    return max((size for size in sizes if size), default=0)


def _when(load: Load, buffer: str) -> str:
    if load.ready:
        return f"while {load_name(load)} was answering: a working buffer beyond what was set aside at the start"
    return f"at {buffer} of {load_name(load)}"


def _placed(load: Load) -> str:
    """What was on the GPUs by then."""
    placed = [f"{use.name} held {in_words(use.known_bytes)}" for use in load.on_gpus if use.known_bytes]
    return ", ".join(placed[:4])


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
