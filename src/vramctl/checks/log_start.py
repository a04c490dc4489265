"""Checks of a log: the GPU's runtime does not start, and its error says why."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vramctl.checks.evidence import events, finding, text_of
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import CPU_ONLY, Log

# Kinds that carry the error of a runtime that does not start, and those that end a running one.
_STARTS = ("gpu.init_failed", "gpu.library_failed", "gpu.not_detected", "gpu.discovery_failed", "system.nvml_failed")
_ENDS = ("cuda.error", "rocm.error", "runner.load_failed", "runner.terminated")
# Older Ollama prints the number instead of the text: CUDA driver API and runtime codes, NVML's return codes.
_CUDA_CODE = re.compile(
    r"(?:cudart|nvcuda|cuda driver library|cu[A-Z]\w+)(?: init)?(?: failure| err)?:? (\d+)|CUDA error (\d+)\b"
)
_NVML_CODE = re.compile(r"(?:nvml vram init failure|nvmlInit err): (\d+)")


def fabric_manager_not_running(log: Log, platform: str) -> Iterator[Finding]:
    """A board with NVSwitch waits for the fabric manager."""
    yield from _refused(
        log, platform, "fabric-manager-not-running", r"system not yet initialized", cuda=(802,),
        what="CUDA does not start: the NVSwitch fabric is not initialised, because the fabric manager does not run.",
    )  # fmt: skip


def compute_mode_exclusive(log: Log, platform: str) -> Iterator[Finding]:
    """Another process has the GPU for itself, or the compute mode forbids any."""
    yield from _refused(
        log, platform, "compute-mode-exclusive", r"busy or unavailable", cuda=(46,),
        what="The GPU refuses this process: its compute mode lets one process in (or none), or a dying one still holds it.",
    )  # fmt: skip


def uvm_hmm_init_error(log: Log, platform: str) -> Iterator[Finding]:
    """CUDA ends its start with error 3 although the driver is there."""
    yield from _refused(
        log, platform, "uvm-hmm-init-error", r": initialization error\b", cuda=(3,), starting=True,
        what="CUDA ends its start with an initialization error although the driver answers: most often nvidia_uvm's HMM.",
    )  # fmt: skip


def cuda13_windows_null_error(log: Log, platform: str) -> Iterator[Finding]:
    """A CUDA 13 build on Windows with a driver older than 580: even the text of the error cannot be had."""
    yield from _refused(
        log, platform, "cuda13-windows-null-error", r"failed to initialize CUDA: \(null\)", starting=True,
        what="CUDA 13 does not start: the Windows driver is older than branch 580.",
        why="the runtime cannot even name the error, which is what an older driver without nvcudart_hybrid64.dll looks like",
    )  # fmt: skip


def driver_library_version_mismatch(log: Log, platform: str) -> Iterator[Finding]:
    """The driver's libraries were upgraded, the kernel module is still the old one."""
    mismatch = events(log, "system.driver_mismatch")
    if mismatch:
        yield _finding(mismatch, "driver-library-version-mismatch", platform, _UPGRADED)
        return
    if platform == "container":
        return
    yield from _refused(
        log, platform, "driver-library-version-mismatch",
        r"version mismatch|unsupported display driver|forward compatibility was attempted", cuda=(803, 804), nvml=(18,),
        what=_UPGRADED,
    )  # fmt: skip


_UPGRADED = (
    "The driver's libraries and its kernel module are of different versions: it was upgraded and not rebooted since."
)


def cuda_compat_on_unsupported_gpu(log: Log, platform: str) -> Iterator[Finding]:
    """An image brings a CUDA driver library of its own, for which this GPU is not made."""
    yield from _refused(
        log, platform, "cuda-compat-on-unsupported-gpu",
        r"unsupported display driver|forward compatibility was attempted", cuda=(803, 804),
        what="The image's own CUDA compatibility library is taken instead of the host's driver, and this GPU is not made for it.",
    )  # fmt: skip


def libcuda_not_found_or_stub(log: Log, platform: str) -> Iterator[Finding]:
    """The driver's library is not found, or the linker's stub is."""
    yield from _refused(
        log, platform, "libcuda-not-found-or-stub", r"CUDA driver is a stub library|libcuda\.so\S*: cannot open shared",
        cuda=(34,), more=("crash.library_missing", "backend.load_failed", "llama_python.library_failed"),
        what="The driver's library libcuda.so.1 is not found where the engine looks (or only the linker's stub is).",
    )  # fmt: skip


def vgpu_compute_or_licence(log: Log, platform: str) -> Iterator[Finding]:
    """A virtual GPU whose profile forbids CUDA."""
    yield from _refused(
        log, platform, "vgpu-compute-or-licence", r"CUDA: operation not supported", cuda=(801,), starting=True,
        what="CUDA is not supported by this (virtual) GPU's profile.",
    )  # fmt: skip


def kernel_module_not_loaded(log: Log, platform: str) -> Iterator[Finding]:
    """The driver's libraries are there, its kernel module is not loaded."""
    yield from _refused(
        log, platform, "kernel-module-not-loaded", r"couldn't communicate with the NVIDIA driver|Driver Not Loaded", nvml=(9,),
        what="NVIDIA's kernel module is not loaded: its libraries are there, the driver does not answer.",
    )  # fmt: skip


def driver_not_installed(log: Log, platform: str) -> Iterator[Finding]:
    """There is no NVIDIA driver."""
    yield from _refused(
        log, platform, "driver-not-installed", r"Found no NVIDIA driver|nvidia-smi command failed|driver is too old or missing",
        nvml=(12,), what="No NVIDIA driver is found on this system.",
    )  # fmt: skip


def container_toolkit_missing(log: Log, platform: str) -> Iterator[Finding]:
    """Docker knows no runtime that hands GPUs in."""
    found = events(log, "system.container_no_runtime")
    if found:
        what = "Docker cannot hand a GPU to the container: the NVIDIA container toolkit is not installed or not configured."
        yield _finding(found, "container-toolkit-missing", platform, what)


def wsl_driver_problem(log: Log, platform: str) -> Iterator[Finding]:
    """Under WSL the driver of Windows is not reached."""
    yield from _refused(
        log, platform, "wsl-driver-problem", r"GPU access blocked by the operating system",
        what="Under WSL the GPU is not reached: the driver must come from Windows alone.",
    )  # fmt: skip


def container_cgroup_loss(log: Log, platform: str) -> Iterator[Finding]:
    """A container that had its GPU has lost it."""
    lost = tuple(event for event in events(log, "system.nvml_failed") if text_of(event, "error") == "Unknown Error")
    if log.gpus and not lost:
        lost = tuple(
            e for e in _said(log, r"no CUDA-capable device", (100,), ()) if e.line > min(g.line for g in log.gpus)
        )
        if platform != "container":
            lost = ()
    if lost:
        what = "The container has lost its GPU while it ran: the host's systemd took the device away from its cgroup."
        yield _finding(lost, "container-cgroup-loss", platform, what)


def container_gpu_not_passed(log: Log, platform: str) -> Iterator[Finding]:
    """The container was started without a GPU."""
    found = events(log, "system.container_no_driver")
    if not found and platform == "container" and not log.gpus:
        found = _said(log, r"no CUDA-capable device|no nvidia devices detected|no CUDA devices found", (100,), ())
    if found and not log.gpus:
        what = "The container sees no GPU: it was started without one."
        yield _finding(found, "container-gpu-not-passed", platform, what)


def uvm_broken_after_suspend(log: Log, platform: str) -> Iterator[Finding]:
    """CUDA is dead since the machine slept."""
    unknown = _said(log, r"CUDA(?: error)?: unknown error", (999,), (999,))
    slept = events(log, "system.resumed")
    after = tuple(event for event in unknown if any(sleep.line < event.line for sleep in slept))
    if after:
        what = "CUDA does not start any more since the machine woke up: nvidia_uvm has lost its state."
        yield _finding((*slept[:1], *after), "uvm-broken-after-suspend", platform, what)


def nvidia_uvm_missing(log: Log, platform: str) -> Iterator[Finding]:
    """CUDA answers with an unknown error: the device file of unified memory is missing or dead."""
    yield from _refused(
        log, platform, "nvidia-uvm-missing", r"CUDA(?: error)?: unknown error", cuda=(999,), nvml=(999,), starting=True,
        what="CUDA does not start (unknown error): most often /dev/nvidia-uvm is missing, or dead after a suspend.",
    )  # fmt: skip


def driver_too_old_for_cuda(log: Log, platform: str) -> Iterator[Finding]:
    """The CUDA runtime of the build is newer than the driver."""
    yield from _refused(
        log, platform, "driver-too-old-for-cuda", r"driver version is insufficient", cuda=(35,),
        what="CUDA does not start: the driver is missing or older than the CUDA version of this build.",
    )  # fmt: skip
    if not log.gpus:
        for event in events(log, "gpu.driver_old")[:1]:
            what = "The GPU is not used: its driver is older than the CUDA version of this build."
            yield _finding((event,), "driver-too-old-for-cuda", platform, what)


def ecc_pending(log: Log, platform: str) -> Iterator[Finding]:
    """The GPU's memory has an error that cannot be corrected."""
    yield from _refused(
        log, platform, "ecc-pending", r"uncorrectable ECC error", cuda=(214,),
        what="The GPU's memory has an error that it cannot correct: defective memory, not the engine.",
    )  # fmt: skip


def rocm_permissions(log: Log, platform: str) -> Iterator[Finding]:
    """The server may not open the AMD GPU's device files."""
    found = events(log, "gpu.amd_no_permission")
    if found:
        what = "The AMD GPU is there, but the server may not open its device files."
        yield _finding(found[:1], "rocm-permissions", platform, what)
        return
    yield from _refused(
        log, platform, "rocm-permissions", r"no ROCm-capable device|Unable to open /dev/kfd", starting=True,
        what="The ROCm runtime sees no GPU: most often the user may not open /dev/kfd, or the container was not given it.",
    )  # fmt: skip


def visible_devices_hides_gpu(log: Log, platform: str) -> Iterator[Finding]:
    """A variable names no GPU that exists, and none was found."""
    names = (
        "CUDA_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "GGML_VK_VISIBLE_DEVICES",
        "GPU_DEVICE_ORDINAL",
    )
    hidden = [f"{name}={log.environment[name]}" for name in names if log.environment.get(name)]
    cpu = tuple(e for e in events(log, "gpu.inference_compute") if text_of(e, "library").lower() == "cpu")
    none = (*events(log, "gpu.none_found"), *cpu)
    told = events(log, "gpu.visible_overridden")
    if (hidden or told) and not log.gpus and (none or any(load.outcome == CPU_ONLY for load in log.loads)):
        limits = hidden[0] if hidden else told[0].text
        yield finding(
            "error",
            f"No GPU was found while {limits} limits which ones may be seen.",
            (*hidden, "no GPU in the list that the server printed"),
            BY_ID["visible-devices-hides-gpu"].fix(platform),
            (*told, *none),
        )
        return
    yield from _refused(
        log, platform, "visible-devices-hides-gpu",
        r"no CUDA-capable device|invalid device ordinal|no CUDA devices found", cuda=(100, 101),
        what="The driver answers, but shows this program no GPU: a variable hides it, or there is none.",
    )  # fmt: skip


def _refused(
    log: Log, platform: str, name: str, pattern: str, *, what: str, why: str = "", cuda: tuple[int, ...] = (),
    nvml: tuple[int, ...] = (), starting: bool = False, more: tuple[str, ...] = (),
) -> Iterator[Finding]:  # fmt: skip
    """A finding of this mode where an error of the runtime says these words or has one of these numbers."""
    found = _said(log, pattern, cuda, nvml, starting=starting, more=more)
    if found:
        yield _finding(found, name, platform, what, why)


def _finding(found: tuple[Event, ...], name: str, platform: str, what: str, why: str = "") -> Finding:
    return finding("error", what, (found[0].text, why), BY_ID[name].fix(platform), found, most=3)


def _said(
    log: Log,
    pattern: str,
    cuda: tuple[int, ...],
    nvml: tuple[int, ...],
    *,
    starting: bool = False,
    more: tuple[str, ...] = (),
) -> tuple[Event, ...]:
    """The errors that say so; those of a start count only where no GPU came up in the end."""
    kinds = () if log.gpus else _STARTS
    found = events(log, *kinds, *more, *(() if starting else _ENDS))
    return tuple(event for event in found if _says(event, pattern, cuda, nvml))


def _says(event: Event, pattern: str, cuda: tuple[int, ...], nvml: tuple[int, ...]) -> bool:
    code, other = _CUDA_CODE.search(event.raw), _NVML_CODE.search(event.raw)
    return bool(
        re.search(pattern, event.raw, re.IGNORECASE)
        or (code and int(code[1] or code[2]) in cuda)
        or (other and int(other[1]) in nvml)
    )
