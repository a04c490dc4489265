"""Checks of a load: what the context takes: its cache and buffers, and the slots that multiply them."""

from __future__ import annotations

from collections.abc import Iterator

from vramctl.checks.evidence import events, finding, in_words, size_of
from vramctl.checks.log_buffers import allocation_failed, grows_with_context, recovered
from vramctl.checks.log_fit import fit_lines, missing, needs, what_makes_it_fit
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import PARTIAL, Load, Log

# Where it ran out of memory although much less was needed than was free, the context is not the reason.
_NEARLY_ALL = 0.9


def kv_cache_evicts_layers(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """Weights alone would fit; the context's cache and buffers are what does not."""
    if grows_with_context(load):
        yield _scores(load)
        return
    need = needs(load, log)
    if need is None or need.kv + need.compute < need.weights * 0.25 or not _cache_on_gpu(load):
        return
    crowded = ran_out(load)
    if load.outcome != PARTIAL and not crowded:
        return
    if (not missing(need) and not crowded) or need.weights > need.available:
        return
    if need.needed < _NEARLY_ALL * need.available:
        return
    context = load.settings.ctx
    yield finding(
        "error" if crowded else "warning",
        f"The context of {context} tokens takes {in_words(need.kv + need.compute)} of {in_words(need.available)}: "
        + (
            "the GPU ran out of memory."
            if crowded
            else f"only {load.layers_on_gpu} of {load.layers_total} layers fit beside it."
        ),
        (f"{need.parts}; free {in_words(need.available)}", f"the weights alone would fit ({in_words(need.weights)})"),
        what_makes_it_fit(load, need),
        (*fit_lines(load), *crowded),
    )


def _cache_on_gpu(load: Load) -> bool:
    sizes = [use.kv_bytes for use in load.on_gpus if isinstance(use.kv_bytes, int)]
    return sum(sizes) > 0 or not any(isinstance(use.kv_bytes, int) and use.kv_bytes for use in load.on_host)


def _scores(load: Load) -> Finding:
    """The compute buffer holds attention scores of the whole context."""
    sizes = [size_of(event.fields.get("size")) for event in events(load, "memory.alloc_failed")]
    asked = max((size for size in sizes if size), default=0)
    size = f" of {in_words(asked)}" if asked else ""
    return finding(
        "error",
        f"At a context of {load.settings.ctx} tokens without flash attention the compute buffer{size} does not "
        "fit beside the weights.",
        (
            "it holds the attention scores of every token against the whole context, for each head",
            "the KV cache itself is smaller than that",
        ),
        "Switch flash attention on (`-fa on`); or lower the context or the micro-batch (`-ub 128`): the buffer "
        "shrinks with both "
        "(ik_llama.cpp: `-amb 512` limits it).",
        (*events(load, "memory.alloc_failed")[:2], *events(load, "kv.total")[:1]),
    )


def ran_out(load: Load) -> tuple[Event, ...]:
    """The lines that say that the GPU's memory ran out for this load, or that a library found none left."""
    if recovered(load):
        return ()
    lacking = ("out of memory", "NOT_INITIALIZED", "ALLOC_FAILED", "OutOfDeviceMemory")
    errors = [event for event in events(load, "cuda.error") if any(word in event.raw for word in lacking)]
    failed = allocation_failed(load)
    return (*failed, *(event for event in errors if event not in failed))


def parallel_multiplies_kv(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """The slots' contexts together push layers off the GPU; one slot's would not."""
    slots, need = load.settings.parallel, needs(load, log)
    if load.outcome != PARTIAL or need is None or not isinstance(slots, int) or slots < 2:
        return
    if not missing(need) or need.weights + need.compute + need.kv // slots > need.available:
        return
    yield finding(
        "warning",
        f"{slots} parallel slots make the KV cache {in_words(need.kv)}; with one slot the model would fit.",
        (f"{need.parts}; free {in_words(need.available)}", f"context {load.settings.ctx} = {slots} slots together"),
        BY_ID["parallel-multiplies-kv"].fix(platform),
        fit_lines(load),
    )
