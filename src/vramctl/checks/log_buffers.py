"""What a load's lines say of an allocation that failed: which buffer, how large, and whether the engine got over it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vramctl.checks.evidence import events, size_of
from vramctl.records.event import Event
from vramctl.records.load import Load, Log, LoggedGpu, LoggedUse

_LONG_CONTEXT = 16384
# Less than this share of a GPU is no room: the driver, the display and pools take it.
_ROOM_SHARE = 0.15

BUFFERS = (
    ("compute", "the compute buffer"),
    ("kv", "the KV cache"),
    ("weights", "the weights"),
    ("serving", "a working buffer while serving"),
)

# What Ollama itself takes for lack of GPU memory in a runner's last words (llm/status.go, 0.30).
_LACKING = re.compile(
    r"out of (?:device )?memory|(?:cuda|hip)Malloc failed|unable to allocate (?!CPU)\w+ buffer|OutOfDeviceMemory|"
    r"ErrorOutOfMemory|insufficient memory",
    re.IGNORECASE,
)


def allocation_failed(load: Load) -> tuple[Event, ...]:
    """The lines that say so: an allocation while loading, a CUDA error while serving, or a runner's last words."""
    placed = [e for e in events(load, "memory.alloc_failed") if not on_host(e) and "pinned memory" not in e.raw]
    serving = [e for e in events(load, "cuda.error") if "out of memory" in e.raw.lower()]
    last_words = [e for e in events(load, "runner.load_failed", "runner.terminated") if _LACKING.search(e.raw)]
    computing = [e for e in events(load, "gpu.error", "server.panic") if _LACKING.search(e.raw)]
    return (*placed, *serving, *computing, *last_words)


def on_host(event: Event) -> bool:
    return event.function.startswith(("ggml_backend_cpu", "ggml_aligned_malloc"))


def recovered(load: Load) -> bool:
    """Whether the load became ready after the allocation that failed: the engine tried again with less."""
    failed = events(load, "memory.alloc_failed")
    ready = events(load, "runner.started", "server.model_loaded", "timing.load")
    later = any(event.line > failed[-1].line for event in ready) if failed else False
    return later and not any("out of memory" in event.raw.lower() for event in events(load, "cuda.error"))


def which_buffer(load: Load) -> str:
    """The buffer that could not be had, in words."""
    last = events(load, "memory.alloc_failed", "memory.buffer_failed", "context.failed", "model.load_failed")
    text = " ".join(event.raw for event in last)
    if load.ready and not recovered(load):
        return dict(BUFFERS)["serving"]
    if re.search(r"compute|gallocr|graph_reserve", text):
        return dict(BUFFERS)["compute"]
    if re.search(r"kv.?cache|self-attention|KV", text):
        return dict(BUFFERS)["kv"]
    if "alloc_tensor_range" in text or "unable to allocate" in text or not load.on_gpus:
        return dict(BUFFERS)["weights"]
    return (
        "a buffer"
        if any(isinstance(use.kv_bytes, int) and use.kv_bytes for use in load.devices)
        else dict(BUFFERS)["weights"]
    )


def asked_bytes(load: Load) -> int:
    """The size that was refused, in bytes; 0 where no line prints it."""
    sizes = [size_of(event.fields.get("size")) for event in events(load, "memory.alloc_failed", "memory.buffer_failed")]
    return max((size for size in sizes if size), default=0)


def at_compute(load: Load) -> bool:
    return which_buffer(load) == "the compute buffer"


def grows_with_context(load: Load) -> bool:
    """Whether the buffer that failed is one of attention scores: flash attention is off and the context long."""
    ctx = load.settings.ctx
    host = sum(use.weights_bytes for use in load.on_host if isinstance(use.weights_bytes, int))
    gpu = sum(use.weights_bytes for use in load.on_gpus if isinstance(use.weights_bytes, int))
    long = isinstance(ctx, int) and ctx >= _LONG_CONTEXT
    return (
        bool(allocation_failed(load))
        and load.settings.flash_attn == "off"
        and long
        and host < 0.2 * gpu
        and which_buffer(load) == dict(BUFFERS)["compute"]
    )


def room_elsewhere(load: Load, log: Log, full: LoggedUse, wanted: int) -> tuple[LoggedUse, int] | None:
    """The GPU beside the `full` one that had most memory left, with those bytes; None where none had room for `wanted`.

    What a GPU can hold is printed as free or as total; where it is not, a GPU of the same name is taken to hold as much as
    the fullest.
    """
    most = max((use.known_bytes for use in load.on_gpus), default=0)
    gpus = {gpu.device: gpu for gpu in log.gpus if isinstance(gpu.device, str)}
    left = [(use, _room(use, full, gpus, most)) for use in load.on_gpus if use.name != full.name]
    use, room = max(left, key=lambda one: one[1], default=(full, 0))
    return (use, room) if room > 0 and room >= max(wanted, _ROOM_SHARE * (room + use.known_bytes)) else None


def _room(use: LoggedUse, full: LoggedUse, gpus: Mapping[str, LoggedGpu], most: int) -> int:
    """Bytes that a GPU had left, 0 where that is not known."""
    gpu, other = gpus.get(use.name), gpus.get(full.name)
    for size in (gpu.available_bytes, gpu.total_bytes) if gpu else ():
        if isinstance(size, int):
            return size - use.known_bytes
    same = gpu is None or other is None or gpu.name == other.name
    return most - use.known_bytes if same else 0
