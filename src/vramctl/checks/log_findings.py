"""All checks of logs in causal order, and what runs them: the first finding is the root cause."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from vramctl.checks import log_crash, log_devices, log_memory, log_placement, log_requests, log_speed
from vramctl.checks.failure_modes import BY_ID
from vramctl.records.finding import INFO, Finding
from vramctl.records.load import Load, Log

Check = Callable[..., Iterator[Finding]]

# A cause stands before what it leads to. The name of a function is the id of its failure mode.
CHECKS: tuple[Check, ...] = (
    log_crash.gpu_fell_off_bus,
    log_requests.ollama_wrong_instance,
    log_crash.cuda_runtime_libs_missing_linux,
    log_crash.cpu_illegal_instruction,
    log_devices.driver_too_old_for_cuda,
    log_devices.ollama_driver_filter,
    log_devices.rocm_driver_too_old,
    log_devices.rocm_permissions,
    log_devices.rocm_unsupported_gfx,
    log_devices.ggml_backend_api_mismatch,
    log_devices.ggml_dll_conflict_in_path,
    log_devices.ggml_cuda_backend_not_loaded,
    log_devices.cpu_only_llama_cpp_python,
    log_devices.ollama_llm_library_override,
    log_devices.ollama_igpu_dropped,
    log_devices.ollama_discovery_timeout,
    log_devices.visible_devices_hides_gpu,
    log_devices.vulkan_software_renderer,
    log_devices.ollama_no_gpu_found,
    log_crash.gpu_arch_not_in_build,
    log_crash.ptx_newer_than_driver,
    log_crash.quantized_v_needs_flash_attn,
    log_crash.quantized_kv_no_kernel,
    log_crash.context_full,
    log_speed.engine_regression_after_update,
    log_memory.host_oom_kill,
    log_memory.buffer_too_large_for_driver,
    log_memory.multi_gpu_uneven,
    log_placement.kv_cache_evicts_layers,
    log_memory.out_of_memory,
    log_crash.gpu_hang,
    log_crash.xid_errors,
    log_crash.ollama_load_timeout,
    log_crash.ollama_runner_crash,
    log_crash.engine_crash,
    log_crash.model_load_failed,
    log_speed.debug_build,
    log_placement.n_gpu_layers_zero,
    log_placement.ollama_num_gpu_forced,
    log_placement.one_layer_short,
    log_placement.offload_kqv_false,
    log_placement.vram_held_by_other,
    log_placement.parallel_multiplies_kv,
    log_placement.partial_offload,
    log_speed.models_evict_each_other,
    log_speed.reload_thrash,
    log_memory.vram_not_released,
    log_memory.mmap_with_little_ram,
    log_speed.model_on_slow_disk,
    log_speed.ollama_kv_type_without_fa,
    log_speed.flash_attn_disabled,
    log_requests.ollama_context_default,
    log_requests.requests_queue,
    log_requests.requests_failed,
    log_speed.mlock_limit,
    log_requests.client_gave_up,
)

_CPU_CAUSES = (
    "driver-too-old-for-cuda",
    "ollama-driver-filter",
    "rocm-driver-too-old",
    "rocm-permissions",
    "rocm-unsupported-gfx",
    "ggml-backend-api-mismatch",
    "ggml-dll-conflict-in-path",
    "ggml-cuda-backend-not-loaded",
    "cpu-only-llama-cpp-python",
    "ollama-llm-library-override",
    "ollama-igpu-dropped",
    "ollama-discovery-timeout",
    "visible-devices-hides-gpu",
)
_MEMORY_CAUSES = ("buffer-too-large-for-driver", "multi-gpu-uneven", "kv-cache-evicts-layers", "host-oom-kill")
_CRASH_CAUSES = (
    "gpu-fell-off-bus",
    "cuda-runtime-libs-missing-linux",
    "cpu-illegal-instruction",
    "rocm-unsupported-gfx",
    "gpu-arch-not-in-build",
    "ptx-newer-than-driver",
    "quantized-v-needs-flash-attn",
    "quantized-kv-no-kernel",
    "context-full",
    "engine-regression-after-update",
    *_MEMORY_CAUSES,
    "out-of-memory",
    "gpu-hang",
    "xid-errors",
    "ollama-load-timeout",
)
# A finding of this id is only shown where none of its explanations is there.
EXPLAINED_BY: dict[str, tuple[str, ...]] = {
    "ollama-no-gpu-found": _CPU_CAUSES,
    "visible-devices-hides-gpu": _CPU_CAUSES[:10],
    "out-of-memory": (*_MEMORY_CAUSES, "engine-regression-after-update"),
    "kv-cache-evicts-layers": ("engine-regression-after-update", "multi-gpu-uneven", "buffer-too-large-for-driver"),
    "xid-errors": ("gpu-hang", "gpu-arch-not-in-build"),
    "ollama-runner-crash": _CRASH_CAUSES,
    "engine-crash": _CRASH_CAUSES,
    "model-load-failed": (*_CRASH_CAUSES, "ollama-runner-crash", "engine-crash"),
    "partial-offload": (
        "kv-cache-evicts-layers",
        "parallel-multiplies-kv",
        "vram-held-by-other",
        "ollama-num-gpu-forced",
        "one-layer-short",
    ),
    "vram-held-by-other": ("kv-cache-evicts-layers",),
    "parallel-multiplies-kv": ("kv-cache-evicts-layers",),
    "n-gpu-layers-zero": _CPU_CAUSES,
    "model-on-slow-disk": ("mmap-with-little-ram", "ollama-load-timeout"),
    "requests-failed": (*_CRASH_CAUSES, "ollama-runner-crash"),
}
# A finding of this id is shown under the first of these that is there: it follows from it.
FOLLOWS_FROM: dict[str, tuple[str, ...]] = {
    "vram-not-released": (*_CRASH_CAUSES, "ollama-runner-crash"),
    "reload-thrash": ("models-evict-each-other",),
    "offload-kqv-false": ("partial-offload",),
}


def findings(log: Log) -> tuple[Finding, ...]:
    """What is wrong in this log, root cause first, consequences after; empty for a healthy one."""
    platform = log.source.system if isinstance(log.source.system, str) else "any"
    found: list[Finding] = []
    for check in CHECKS:
        name = check.__name__.replace("_", "-")
        if any(other.id in EXPLAINED_BY.get(name, ()) and other.severity != INFO for other in found):
            continue
        found.extend(_run(check, name, log, platform))
    found = [replace(one, under=_cause(one, found)) for one in found]
    return tuple(sorted(found, key=lambda one: one.severity == INFO))


def _run(check: Check, name: str, log: Log, platform: str) -> list[Finding]:
    """What one check finds: once for the log, or once over all loads with the first one shown."""
    needs = inspect.signature(check).parameters
    given: dict[str, Any] = {"log": log, "platform": platform}
    if "load" not in needs:
        return [_stamped(one, name) for one in check(**given)]
    hits: list[tuple[Load, Finding]] = [(load, one) for load in log.loads for one in check(load=load, **given)]
    if not hits:
        return []
    worst = min(hits, key=lambda hit: (_RANK[hit[1].severity], hit[0].lines[0]))[1]
    others = len({id(load) for load, _ in hits}) - 1
    if others:
        worst = replace(
            worst, because=(*worst.because, f"the same in {others} more load{'s' if others > 1 else ''} of this log")
        )
    return [_stamped(worst, name)]


_RANK = {"error": 0, "warning": 1, "info": 2}


def _stamped(found: Finding, name: str) -> Finding:
    because = tuple(part for part in found.because if part)
    return replace(found, id=name, title=BY_ID[name].title, because=because)


def _cause(one: Finding, found: list[Finding]) -> str:
    """The id of the finding that this one follows from, empty for a cause."""
    causes = FOLLOWS_FROM.get(one.id, ())
    return next((other.id for other in found if other.id in causes), "")
