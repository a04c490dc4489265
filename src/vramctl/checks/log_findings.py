"""All checks of logs in causal order, and what runs them: the first finding is the root cause."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from vramctl.checks import (
    log_compute,
    log_context,
    log_crash,
    log_devices,
    log_exllama,
    log_hardware,
    log_host,
    log_libraries,
    log_memory,
    log_placement,
    log_requests,
    log_speed,
    log_start,
)
from vramctl.checks.modes import BY_ID
from vramctl.records.finding import INFO, Finding
from vramctl.records.load import Load, Log

Check = Callable[..., Iterator[Finding]]

# A cause stands before what it leads to. The name of a function is the id of its failure mode; a finding that is the same
# thing under another id of the catalogue (a hang in Ollama's log is a runner that died) says so itself.
CHECKS: tuple[Check, ...] = (
    # Hardware, driver, access.
    log_hardware.gpu_fell_off_bus,
    log_hardware.gpu_init_failed_bar,
    log_start.ecc_pending,
    log_hardware.legacy_gpu_dropped_by_driver,
    log_hardware.open_kernel_module_required,
    log_start.fabric_manager_not_running,
    log_start.kernel_module_not_loaded,
    log_start.driver_library_version_mismatch,
    log_start.driver_not_installed,
    log_start.container_toolkit_missing,
    log_start.container_cgroup_loss,
    log_start.container_gpu_not_passed,
    log_start.wsl_driver_problem,
    log_start.uvm_broken_after_suspend,
    log_start.uvm_hmm_init_error,
    log_start.nvidia_uvm_missing,
    log_start.compute_mode_exclusive,
    log_start.vgpu_compute_or_licence,
    log_start.cuda13_windows_null_error,
    log_start.driver_too_old_for_cuda,
    log_start.cuda_compat_on_unsupported_gpu,
    log_start.libcuda_not_found_or_stub,
    log_devices.ollama_driver_filter,
    log_devices.rocm_driver_too_old,
    log_start.rocm_permissions,
    # Libraries and build.
    log_requests.ollama_wrong_instance,
    log_requests.port_in_use,
    log_libraries.intel_oneapi_env,
    log_libraries.cuda_runtime_libs_missing_linux,
    log_libraries.glibc_or_libstdcxx_too_old,
    log_libraries.apple_x86_python,
    log_libraries.windows_cuda_dll_missing,
    log_exllama.torch_cpu_only,
    log_exllama.torch_arch_unsupported,
    log_exllama.exllama_jit_msvc,
    log_exllama.exllama_torch_cuda_mismatch,
    log_exllama.exllama_jit_no_nvcc,
    log_exllama.flash_attn_abi_mismatch,
    log_exllama.flash_attn_pre_ampere,
    log_exllama.exllamav2_hidden_importerror,
    log_exllama.flash_attn_missing,
    log_host.cpu_illegal_instruction,
    log_devices.rocm_unsupported_gfx,
    log_devices.distro_package_without_cuda,
    log_libraries.ggml_backend_api_mismatch,
    log_libraries.ggml_dll_conflict_in_path,
    log_libraries.ggml_cuda_backend_not_loaded,
    log_compute.gpu_arch_not_in_build,
    log_libraries.cpu_only_llama_cpp_python,
    # Configuration: no GPU is used at all.
    log_devices.ollama_llm_library_override,
    log_devices.ollama_igpu_dropped,
    log_devices.ollama_discovery_timeout,
    log_start.visible_devices_hides_gpu,
    log_devices.vulkan_software_renderer,
    log_devices.ollama_no_gpu_found,
    # It ends.
    log_compute.ptx_newer_than_driver,
    log_compute.quantized_v_needs_flash_attn,
    log_compute.quantized_kv_no_kernel,
    log_compute.context_full,
    log_speed.engine_regression_after_update,
    log_host.host_oom_kill,
    log_exllama.exllama_insufficient_vram,
    log_memory.buffer_too_large_for_driver,
    log_memory.multi_gpu_uneven,
    log_context.parallel_multiplies_kv,
    log_context.kv_cache_evicts_layers,
    log_placement.vram_held_by_other,
    log_memory.out_of_memory,
    log_hardware.gpu_hang,
    log_hardware.xid_errors,
    log_crash.ollama_load_timeout,
    log_crash.ollama_runner_crash,
    log_crash.engine_crash,
    log_crash.load_error_hidden,
    log_crash.model_load_failed,
    log_compute.results_not_numbers,
    # It runs, and slower than it could.
    log_speed.debug_build,
    log_placement.n_gpu_layers_zero,
    log_placement.ollama_num_gpu_forced,
    log_placement.one_layer_short,
    log_placement.offload_kqv_false,
    log_placement.partial_offload,
    log_speed.models_evict_each_other,
    log_speed.reload_thrash,
    log_memory.vram_not_released,
    log_host.mmap_with_little_ram,
    log_host.model_on_slow_disk,
    log_speed.no_tensor_cores,
    log_host.cpu_build_without_avx2,
    log_host.threads_oversubscribed,
    log_host.numa_placement,
    log_speed.ollama_kv_type_without_fa,
    log_speed.flash_attn_disabled,
    log_requests.ollama_context_default,
    log_requests.requests_queue,
    log_requests.requests_failed,
    log_host.mlock_limit,
    log_requests.client_gave_up,
)

_IDS = tuple(check.__name__.replace("_", "-") for check in CHECKS)


def _from_to(first: str, last: str) -> tuple[str, ...]:
    """The ids of the checks from one to another, both included: a stretch of the causal order."""
    return _IDS[_IDS.index(first) : _IDS.index(last) + 1]


_CPU_CAUSES = tuple(name for name in _from_to("gpu-fell-off-bus", "vulkan-software-renderer") if name not in {
    "ollama-wrong-instance", "port-in-use", "cpu-illegal-instruction", "glibc-or-libstdcxx-too-old",
})  # fmt: skip
# What keeps a process from starting or ends it; without its GPU alone an engine goes on with the CPU.
_START_CAUSES = (
    "gpu-fell-off-bus",
    "ecc-pending",
    "fabric-manager-not-running",
    "compute-mode-exclusive",
    "libcuda-not-found-or-stub",
    *_from_to("ollama-wrong-instance", "rocm-unsupported-gfx"),
    "gpu-arch-not-in-build",
)
_MEMORY_CAUSES = ("buffer-too-large-for-driver", "multi-gpu-uneven", "kv-cache-evicts-layers", "host-oom-kill")
_CRASH_CAUSES = (
    *_START_CAUSES,
    "ptx-newer-than-driver",
    "quantized-v-needs-flash-attn",
    "quantized-kv-no-kernel",
    "context-full",
    "engine-regression-after-update",
    "exllama-insufficient-vram",
    *_MEMORY_CAUSES,
    "vram-held-by-other",
    "out-of-memory",
    "gpu-hang",
    "xid-errors",
    "ollama-load-timeout",
)
# A finding of this id is only shown where none of its explanations is there.
EXPLAINED_BY: dict[str, tuple[str, ...]] = {
    "ollama-no-gpu-found": _CPU_CAUSES,
    "driver-not-installed": ("kernel-module-not-loaded", "driver-library-version-mismatch"),
    "container-gpu-not-passed": ("container-toolkit-missing", "container-cgroup-loss"),
    "uvm-hmm-init-error": ("uvm-broken-after-suspend",),
    "nvidia-uvm-missing": ("uvm-broken-after-suspend", "container-cgroup-loss", "gpu-fell-off-bus"),
    "driver-too-old-for-cuda": ("driver-not-installed", "kernel-module-not-loaded", "cuda13-windows-null-error"),
    "cuda-runtime-libs-missing-linux": ("intel-oneapi-env",),
    "ggml-cuda-backend-not-loaded": ("ggml-backend-api-mismatch", "libcuda-not-found-or-stub"),
    "cpu-only-llama-cpp-python": _from_to("gpu-fell-off-bus", "ggml-cuda-backend-not-loaded"),
    "visible-devices-hides-gpu": _from_to("gpu-fell-off-bus", "ollama-discovery-timeout"),
    "exllamav2-hidden-importerror": _from_to("cuda-runtime-libs-missing-linux", "flash-attn-abi-mismatch"),
    "exllama-jit-no-nvcc": ("exllama-jit-msvc", "exllama-torch-cuda-mismatch"),
    "gpu-arch-not-in-build": ("torch-arch-unsupported",),
    "out-of-memory": (*_MEMORY_CAUSES, "vram-held-by-other", "engine-regression-after-update"),
    "kv-cache-evicts-layers": (
        "parallel-multiplies-kv",
        "engine-regression-after-update",
        "multi-gpu-uneven",
        "buffer-too-large-for-driver",
    ),
    "gpu-hang": ("gpu-fell-off-bus", "gpu-arch-not-in-build"),
    "xid-errors": ("gpu-fell-off-bus", "gpu-hang", "gpu-arch-not-in-build", "ecc-pending"),
    "ollama-runner-crash": (*_CRASH_CAUSES, "ollama-runner-crash"),
    "engine-crash": _CRASH_CAUSES,
    "load-error-hidden": (*_CRASH_CAUSES, "engine-crash"),
    "model-load-failed": (*_CRASH_CAUSES, "ollama-runner-crash", "engine-crash", "load-error-hidden"),
    "partial-offload": (
        "kv-cache-evicts-layers",
        "parallel-multiplies-kv",
        "vram-held-by-other",
        "ollama-num-gpu-forced",
        "one-layer-short",
    ),
    "vram-held-by-other": (
        "parallel-multiplies-kv",
        "kv-cache-evicts-layers",
        "multi-gpu-uneven",
        "buffer-too-large-for-driver",
    ),
    "n-gpu-layers-zero": _CPU_CAUSES,
    "model-on-slow-disk": ("mmap-with-little-ram", "ollama-load-timeout"),
    "requests-failed": (*_CRASH_CAUSES, "ollama-runner-crash", "engine-crash", "model-load-failed"),
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
    name = found.id or name
    because = tuple(dict.fromkeys(part for part in found.because if part))
    return replace(found, id=name, title=found.title or BY_ID[name].title, because=because)


def _cause(one: Finding, found: list[Finding]) -> str:
    """The id of the finding that this one follows from, empty for a cause."""
    causes = FOLLOWS_FROM.get(one.id, ())
    return next((other.id for other in found if other.id in causes), "")
