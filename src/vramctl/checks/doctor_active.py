"""The active check: a small model was loaded, and where it landed."""

from __future__ import annotations

from collections.abc import Iterator

from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, known
from vramctl.records.facts import Landing, Nvml, Platform
from vramctl.records.finding import Finding
from vramctl.units import format_bytes


def small_model_not_on_gpu(landing: Landing, nvml: Nvml, platform: Platform) -> Iterator[Finding]:
    """
    A small model that was asked to be on the GPU as a whole did not load there.

    Why it matters: it is the proof. What files and versions promise can still fail when a kernel is started.

    How it is seen: with --active, a model of half a billion invented weights is loaded in a child process with all its
    layers asked for on the GPU; the engine's own count of its buffers says where weights and KV cache are.

    How sure: certain - the bytes are the engine's, and the load is repeated each time.
    """
    if nvml.error or not nvml.gpus:
        return
    fix = BY_ID["small-model-not-on-gpu"].fix(platform.kind)
    if landing.failed:
        yield Finding(
            "error", f"{landing.engine} could not load a small model on the GPU.", (landing.failed, f"model {landing.model}"), fix
        )  # fmt: skip
        return
    weights, kv = known(landing.gpu_weights_bytes), known(landing.gpu_kv_bytes)
    if not weights:
        yield Finding(
            "error", f"{landing.engine} loaded a small model on the CPU, although all its layers were asked for on the GPU.",
            (f"weights on GPUs: {format_bytes(weights)}", f"GPUs that the engine lists: {landing.gpus_listed}"), fix,
        )  # fmt: skip
    elif not kv:
        yield Finding(
            "warning", f"{landing.engine} put the KV cache of a small model into system memory.",
            (f"weights on GPUs: {format_bytes(weights)}", "KV cache on GPUs: 0 B"), fix,
        )  # fmt: skip


CHECKS: tuple[Check, ...] = (small_model_not_on_gpu,)
