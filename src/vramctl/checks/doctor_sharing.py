"""Checks of a GPU that is shared: MIG, vGPU, compute mode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, known
from vramctl.records.facts import (
    CudaDriver,
    NvmlGpu,
    Platform,
)  # fmt: skip
from vramctl.records.finding import ERROR, INFO, WARNING, Finding
from vramctl.records.unknown import Unknown

# The letter at the end of a vGPU's name is its series: A and B are for applications and desktops.
_SERIES = re.compile(r"-\d+([ABCQ])\d?$")


def mig_mode(gpu: NvmlGpu, platform: Platform) -> Iterator[Finding]:
    """
    MIG is on: the GPU is split into instances, or nothing can run because none was made.

    Why it matters: with MIG on CUDA sees only the instances that were made, one per process; without any there is no
    CUDA device.

    How it is seen: NVML's MIG mode and its list of instances.

    How sure: certain.
    """
    if not known(gpu.mig_enabled):
        return
    count = known(gpu.mig_instances)
    mode = BY_ID["mig-mode"]
    if count == 0:
        yield Finding(
            ERROR,
            f"MIG is on for GPU {gpu.index} and it has no instance, so CUDA finds no device.",
            (f"NVML on GPU {gpu.index}: MIG enabled, 0 instances",),
            mode.fix("none"),
        )
    else:
        yield Finding(
            INFO,
            f"GPU {gpu.index} is split into {count} MIG instances; a process uses one of them.",
            (f"NVML on GPU {gpu.index}: MIG enabled, {count} instances",),
            mode.fix(platform.kind),
        )


def vgpu_compute_or_licence(gpu: NvmlGpu, cuda: Any = None) -> Iterator[Finding]:
    """
    A virtual GPU whose profile runs no CUDA, or that has no licence.

    Why it matters: profiles of the A and B series (GRID T4-2B) are made for applications and desktops and refuse CUDA
    (error 801 or 46); without a licence a vGPU is slowed down in steps after some minutes.

    How it is seen: NVML's virtualization mode is vGPU; the profile's letter in the GPU's name; the state of its
    licensed features.

    How sure: high.
    """
    if known(gpu.virtualization) != "vgpu":
        return
    name = known(gpu.name)
    series = _SERIES.search(name)
    mode = BY_ID["vgpu-compute-or-licence"]
    code = cuda.init_code if isinstance(cuda, CudaDriver) else None
    if series and series[1] in "AB" and code != 0:
        yield Finding(
            ERROR if isinstance(code, int) else WARNING,
            f"The virtual GPU {name} runs no CUDA: its profile is of the {series[1]} series.",
            (f"NVML on GPU {gpu.index}: vGPU {name}",),
            mode.fix("profile"),
        )
    if gpu.licensed is False:
        yield Finding(
            WARNING,
            f"The virtual GPU {name} has no licence and is slowed down.",
            (f"NVML on GPU {gpu.index}: vGPU {name}, not licensed",),
            mode.fix("licence"),
        )


def compute_mode_exclusive(gpu: NvmlGpu, platform: Platform) -> Iterator[Finding]:
    """
    The GPU's compute mode lets no program in, or only one that is already there.

    Why it matters: a second engine then fails with "all CUDA-capable devices are busy or unavailable" (error 46).

    How it is seen: NVML's compute mode PROHIBITED, or EXCLUSIVE_PROCESS with a process on the GPU.

    How sure: certain.
    """
    mode = known(gpu.compute_mode)
    if mode == "default":
        return
    fix = BY_ID["compute-mode-exclusive"].fix(platform.kind)
    if mode == "prohibited":
        yield Finding(
            ERROR,
            f"GPU {gpu.index} lets no program compute: its compute mode is PROHIBITED.",
            (f"NVML on GPU {gpu.index}: {mode}",),
            fix,
        )
        return
    holders = [process for process in known(gpu.processes) if isinstance(process.used_bytes, int | Unknown)]
    if holders:
        first = holders[0]
        yield Finding(
            ERROR,
            f"GPU {gpu.index} is in exclusive mode and taken by process {first.pid} "
            f"({first.name if isinstance(first.name, str) else 'name unknown'}).",
            (f"NVML on GPU {gpu.index}: {mode}", f"process {first.pid} on it"),
            fix,
        )
    else:
        yield Finding(
            INFO,
            f"GPU {gpu.index} is in exclusive mode: only one program at a time can use it.",
            (f"NVML on GPU {gpu.index}: {mode}",),
            fix,
        )


CHECKS: tuple[Check, ...] = (mig_mode, vgpu_compute_or_licence, compute_mode_exclusive)
