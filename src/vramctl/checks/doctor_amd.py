"""Checks of AMD's own stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, NotKnown, NotThere
from vramctl.records.facts import DeviceNode, Engine, KernelModules, Nvml, PciGpu, Platform
from vramctl.records.finding import ERROR, INFO, WARNING, Finding
from vramctl.records.unknown import Unknown

_KFD = "/dev/kfd"
# Targets of processors with graphics (APUs): not using them is no great loss.
_IN_PROCESSORS = frozenset({"gfx902", "gfx909", "gfx90c", "gfx1013", "gfx1033", "gfx1035", "gfx1036", "gfx1037", "gfx1103",
                            "gfx1150", "gfx1152", "gfx1153"})  # fmt: skip
# AMD supports a driver and libraries that are two releases apart; its DKMS driver states 6.10 with ROCm 6.3, 6.14 with 7.0.
_DKMS_FOR_ROCM_7 = (6, 10)
_ROCM_7 = ("libamdhip64.so.7", "amdhip64_7.dll")


def rocm_unsupported_gfx(
    engine: Engine, pci: tuple[PciGpu, ...], platform: Platform, environment: Any = None, nvml: Any = None
) -> Iterator[Finding]:
    """
    The engine's ROCm build has no code for this AMD GPU.

    Why it matters: kernels and rocBLAS tables exist only for listed targets; others end with "invalid device function"
    or "Cannot read TensileLibrary.dat", and Ollama leaves the GPU out.

    How it is seen: the target that the kernel's compute driver names (/sys/class/kfd) against those inside the engine's
    HIP libraries; HSA_OVERRIDE_GFX_VERSION is taken into account.

    How sure: certain for what is in the files; whether a near relative's code runs is for a trial to show.
    """
    built = {
        name.partition(":")[0]
        for library in engine.libraries
        if library.backend == "hip"
        for name in _tuple(library.gfx)
    }
    if not built:
        raise NotThere(f"{engine.kind} has no HIP library whose targets are known")
    cards = [gpu for gpu in pci if gpu.vendor == "amd" and isinstance(gpu.gfx, str)]
    if not cards:
        raise NotThere("no AMD GPU with a known target is in this machine")
    override = _override(environment)
    wanted = [override or str(gpu.gfx) for gpu in cards]
    if any(name in built for name in wanted) or any(
        "rocm" in d.backend.lower() or "hip" in d.backend.lower() for d in _tuple(engine.devices)
    ):
        return
    spare = all(name in _IN_PROCESSORS for name in wanted) or (isinstance(nvml, Nvml) and bool(nvml.gpus))
    yield Finding(
        WARNING if spare else ERROR,
        f"{engine.kind} has no code for this AMD GPU ({wanted[0]}).",
        (
            f"{cards[0].address}: {cards[0].gfx}",
            f"built for {', '.join(sorted(built)[:12])}",
            *((f"HSA_OVERRIDE_GFX_VERSION gives {override}",) if override else ()),
        ),
        BY_ID["rocm-unsupported-gfx"].fix(platform.kind),
    )


def rocm_permissions(
    platform: Platform, pci: tuple[PciGpu, ...], nodes: Mapping[str, DeviceNode], engines: Any = None, nvml: Any = None
) -> Iterator[Finding]:
    """
    This user may not open the AMD GPU's device files, or the container was not given them.

    Why it matters: ROCm needs /dev/kfd and /dev/dri/renderD* for reading and writing; without them it finds no GPU ("Unable to
    open /dev/kfd read-write: Permission denied").

    How it is seen: both are opened and closed again; group and mode are shown.

    How sure: certain for the user who runs this; a service may run as another (user ollama).
    """
    cards = [gpu for gpu in pci if gpu.vendor == "amd" and gpu.driver == "amdgpu"]
    if not cards:
        raise NotThere("no AMD GPU with its driver is in this machine")
    has_rocm = any("hip" in engine.backends for engine in _tuple(engines))
    if not has_rocm and isinstance(nvml, Nvml) and nvml.gpus:
        raise NotThere("the NVIDIA GPU is the one that counts here, and no engine has ROCm")
    refused = [node for path, node in nodes.items() if _for_rocm(path) and node.opened in {"EACCES", "EPERM"}]
    fix = BY_ID["rocm-permissions"].fix(platform.kind)
    if refused:
        first = refused[0]
        yield Finding(
            ERROR,
            f"This user may not open {first.path} (mode {first.mode:o}, group {first.group}), which ROCm needs.",
            tuple(
                f"open {node.path}: {node.opened}, mode {node.mode:o}, {node.owner}:{node.group}"
                for node in refused[:4]
            ),
            fix,
        )
    elif _KFD not in nodes and platform.container:
        yield Finding(
            ERROR, f"This {platform.container} container was not given /dev/kfd.", (f"{_KFD}: no such file",), fix
        )
    elif unread := [node for path, node in nodes.items() if _for_rocm(path) and isinstance(node.opened, Unknown)]:
        raise NotKnown(f"{unread[0].path}: {getattr(unread[0].opened, 'reason', 'not tried')}")


def rocm_driver_too_old(
    platform: Platform, pci: tuple[PciGpu, ...], modules: Any = None, engines: Any = None, hip_runtimes: Any = None
) -> Iterator[Finding]:
    """
    AMD's driver is older than the engine's ROCm libraries want.

    Why it matters: libraries of ROCm 7 on a driver of ROCm 6 hang while they look for GPUs, or find none.

    How it is seen: Windows: amdhip64_6.dll is there and amdhip64_7.dll is not, which is Ollama's own test. Linux: the
    version that the DKMS module states (/sys/module/amdgpu/version), where an engine needs libamdhip64.so.7; the
    kernel's own amdgpu states none.

    How sure: certain on Windows for Ollama, medium on Linux.
    """
    if not any(gpu.vendor == "amd" for gpu in pci):
        raise NotThere("no AMD GPU is in this machine")
    fix = BY_ID["rocm-driver-too-old"].fix(platform.kind)
    runtimes = _tuple(hip_runtimes)
    if platform.system == "windows":
        if "amdhip64_6.dll" in runtimes and "amdhip64_7.dll" not in runtimes and _has(engines, "ollama"):
            yield Finding(
                ERROR,
                "AMD's driver is too old for this Ollama: it brings the HIP 6 runtime, 7 is needed.",
                ("amdhip64_6.dll is installed", "amdhip64_7.dll is not"),
                fix,
            )
        return
    stated = modules.versions.get("amdgpu") if isinstance(modules, KernelModules) else None
    if stated is None:
        return
    version = tuple(int(part) for part in stated.split(".") if part.isdecimal())
    needs = [
        engine
        for engine in _tuple(engines)
        if any(name in _ROCM_7 for library in engine.libraries for name in library.needed)
    ]
    if version and version < _DKMS_FOR_ROCM_7 and needs:
        yield Finding(
            WARNING,
            f"The amdgpu driver {stated} is of ROCm 6.2 or older; {needs[0].kind} brings libraries of ROCm 7.",
            (f"/sys/module/amdgpu/version: {stated}", f"{needs[0].kind}: needs libamdhip64.so.7"),
            fix,
        )


def amd_clocks_held(pci: tuple[PciGpu, ...]) -> Iterator[Finding]:
    """
    An AMD GPU whose clocks were set to low by hand.

    Why it matters: at `low` the card computes at a fraction of its speed, whatever the load.

    How it is seen: /sys/bus/pci/devices/<address>/power_dpm_force_performance_level is low or profile_min_*.

    How sure: certain.
    """
    cards = [gpu for gpu in pci if gpu.vendor == "amd" and isinstance(gpu.clock_policy, str)]
    if not cards:
        raise NotThere("no AMD GPU tells its clock policy")
    for gpu in cards:
        policy = str(gpu.clock_policy)
        severity = WARNING if policy == "low" or policy.startswith("profile_min") else INFO
        if severity == WARNING or policy == "manual":
            yield Finding(
                severity,
                f"The clocks of the AMD GPU at {gpu.address} were set by hand: {policy}.",
                (f"power_dpm_force_performance_level: {policy}",),
                BY_ID["amd-clocks-held"].fix("any"),
            )


def _for_rocm(path: str) -> bool:
    return path == _KFD or path.startswith("/dev/dri/renderD")


def _override(environment: object) -> str:
    """gfx1030 for HSA_OVERRIDE_GFX_VERSION=10.3.0, "" where it is not set."""
    given = environment.get("HSA_OVERRIDE_GFX_VERSION", "") if isinstance(environment, Mapping) else ""
    parts = given.split(".")
    return (
        f"gfx{parts[0]}{int(parts[1]):x}{int(parts[2]):x}"
        if len(parts) == 3 and all(part.isdecimal() for part in parts)
        else ""
    )


def _has(engines: object, kind: str) -> bool:
    return any(engine.kind == kind for engine in _tuple(engines))


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else ()


CHECKS: tuple[Check, ...] = (rocm_permissions, rocm_driver_too_old, rocm_unsupported_gfx, amd_clocks_held)
