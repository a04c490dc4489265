"""Checks of GPU memory that is taken: by other programs, by what was left behind, and what Windows moves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vramctl.checks.evidence import in_words
from vramctl.checks.failure_modes import BY_ID
from vramctl.checks.modes_config import fix
from vramctl.checks.runner import Check, NotThere, known
from vramctl.records.facts import GpuProcess, NvmlGpu, OllamaServer, Platform
from vramctl.records.finding import Finding

# A desktop with a browser takes about a GiB; a quarter of the card is felt.
_HELD_BYTES, _HELD_SHARE = 1 << 30, 0.25
_NEARLY_ALL = 0.8
_LOST_BYTES, _LOST_SHARE = 1 << 30, 0.1
_FULL_SHARE = 0.95
_SPILLED_BYTES = 512 << 20


def vram_held_by_other(
    gpu: NvmlGpu, platform: Platform, ollama: Any = None, asked_pid: Any = None
) -> Iterator[Finding]:
    """
    Other programs hold a good part of the GPU's memory.

    Why it matters: what they hold is missing for weights and cache: loading fails, or layers go to the CPU.

    How it is seen: NVML's used memory and its processes; what the Ollama server has loaded is not counted, nor the process of
    --pid. From a quarter of the card and one GiB on; a desktop alone takes less.

    How sure: certain for the sizes; names need the same process namespace (containers, WSL and Windows show none or no sizes).
    """
    total, used = known(gpu.total_bytes), known(gpu.used_bytes)
    if gpu.integrated is True:
        raise NotThere("its memory is the system's")
    own = _own_bytes(ollama, gpu)
    listed = gpu.processes if isinstance(gpu.processes, tuple) else ()
    others = [one for one in listed if one.pid != asked_pid and not _is_ollama(one, own)]
    sizes = [one.used_bytes for one in others if isinstance(one.used_bytes, int)]
    bare = (
        platform.system == "linux" and not platform.container and not platform.wsl and isinstance(gpu.processes, tuple)
    )
    # Where sizes are told for all, their sum is what others hold; else all that is used and not our own.
    held = sum(sizes) if len(sizes) == len(others) and (others or bare) else used - own
    if held < _HELD_BYTES or held < _HELD_SHARE * total:
        return
    most = sorted((one for one in others if isinstance(one.used_bytes, int)), key=_size, reverse=True)[:4]
    who = f"{most[0].name} (pid {most[0].pid})" if most and isinstance(most[0].name, str) else ""
    alone = bool(who) and _size(most[0]) >= _NEARLY_ALL * held
    first = f"{who} holds" if alone else f"{len(most)} other programs hold" if len(most) > 1 else "Other programs hold"
    step = f"Stop {who} if it is not needed now." if alone else BY_ID["vram-held-by-other"].fix(platform.kind)
    held = _size(most[0]) if alone else held
    yield Finding(
        "warning", f"{first} {in_words(held)} of the {in_words(total)} of GPU {gpu.index} ({gpu.name}).",
        (*(f"pid {one.pid} {one.name}: {in_words(_size(one))}" for one in most),
         f"NVML: {in_words(used)} used of {in_words(total)}"),
        step,
    )  # fmt: skip


def _size(process: GpuProcess) -> int:
    return process.used_bytes if isinstance(process.used_bytes, int) else 0


def _own_bytes(ollama: object, gpu: NvmlGpu) -> int:
    """What the Ollama server says it has on GPUs, at most what is used on this one."""
    if not isinstance(ollama, OllamaServer) or not isinstance(ollama.models, tuple):
        return 0
    loaded = sum(model.vram_bytes for model in ollama.models if isinstance(model.vram_bytes, int))
    return min(loaded, gpu.used_bytes) if isinstance(gpu.used_bytes, int) else loaded


def _is_ollama(process: GpuProcess, own: int) -> bool:
    return own > 0 and isinstance(process.name, str) and "ollama" in process.name.lower()


def vram_not_released(gpu: NvmlGpu, platform: Platform, ollama: Any = None) -> Iterator[Finding]:
    """
    GPU memory is taken, but by no process that lives.

    Why it matters: after a crash or a hard stop a runner's memory may stay taken; the next model finds too little room and goes
    partly to the CPU.

    How it is seen: NVML's used memory less its reserve and all processes; runner processes whose server is gone; or Ollama's
    `gpu VRAM usage didn't recover within timeout` in its log.

    How sure: high on bare Linux. In containers and WSL other processes are invisible, on Windows their sizes: it stays silent.
    """
    orphans = ollama.orphans if isinstance(ollama, OllamaServer) and isinstance(ollama.orphans, tuple) else ()
    if orphans:
        yield Finding(
            "warning",
            f"{len(orphans)} runner process{'es' if len(orphans) > 1 else ''} of an Ollama server that is gone "
            f"still run{'' if len(orphans) > 1 else 's'}.",
            tuple(f"pid {pid}: its parent is pid 1" for pid in orphans[:4]),
            f"End it: `kill {orphans[0]}`; then restart the server.",
        )  # fmt: skip
        return
    if platform.system != "linux" or platform.container or platform.wsl:
        raise NotThere("not all processes can be seen from here")
    total, used, processes = known(gpu.total_bytes), known(gpu.used_bytes), known(gpu.processes)
    if gpu.integrated is True or gpu.mig_enabled is True:
        raise NotThere("its memory is not counted by process")
    sizes = [known(one.used_bytes) for one in processes]
    reserved = gpu.reserved_bytes if isinstance(gpu.reserved_bytes, int) else 0
    lost = used - sum(sizes) - reserved
    if lost > _LOST_BYTES and lost > _LOST_SHARE * total:
        yield Finding(
            "warning", f"{in_words(lost)} of GPU {gpu.index} ({gpu.name}) are taken by no process that lives.",
            (f"NVML: {in_words(used)} used, {len(processes)} processes with {in_words(sum(sizes))}",),
            "Find what still holds the device (`sudo fuser -v /dev/nvidia*`) and end it by its pid; a reboot frees it "
            "for certain.",
        )  # fmt: skip


def windows_sysmem_fallback(gpu: NvmlGpu, platform: Platform, gpu_shared: Mapping[str, int]) -> Iterator[Finding]:
    """
    Windows has moved GPU memory to system memory instead of refusing it.

    Why it matters: with a full GPU the driver (536.40 on) puts what no longer fits behind PCIe. Nothing fails, all layers are
    "on the GPU", and generation is many times slower.

    How it is seen: a GPU over 95 % full under WDDM, and a process with more than 512 MiB in Windows' counter "GPU Process
    Memory, Shared Usage".

    How sure: high - the counter is decisive; a few hundred MiB of pinned buffers are normal and stay below the limit.
    """
    if platform.system != "windows":
        raise NotThere("only Windows does that")
    total, used = known(gpu.total_bytes), known(gpu.used_bytes)
    if gpu.driver_model == "tcc":
        raise NotThere("the GPU runs in TCC mode, which never does that")
    spilled = {name: size for name, size in gpu_shared.items() if size > _SPILLED_BYTES}
    if used < _FULL_SHARE * total or not spilled:
        return
    name, size = max(spilled.items(), key=lambda item: item[1])
    yield Finding(
        "warning", f"GPU {gpu.index} ({gpu.name}) is full, and {in_words(size)} of {name} lies in system memory behind it.",
        (
            f"NVML: {in_words(used)} used of {in_words(total)}",
            *(f"{one}: {in_words(shared)} shared" for one, shared in list(spilled.items())[:4]),
        ),
        fix("windows-sysmem-fallback", platform="windows"),
    )  # fmt: skip


CHECKS: tuple[Check, ...] = (vram_not_released, windows_sysmem_fallback, vram_held_by_other)
