"""The NVIDIA GPUs that this machine has, asked through NVML; others are in other_gpus.py."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from vramctl import catalogue
from vramctl.errors import BadInput
from vramctl.probes.other_gpus import Sighting, look_other_gpus, system_memory
from vramctl.records import Device, Unknown

__all__ = ["Sighting", "look_gpus", "look_other_gpus"]

# GDDR and HBM move data on both edges of the clock that NVML reports: 7501 MHz x 2 x 192 bit = 360 GB/s (RTX 3060).
TRANSFERS_PER_CLOCK = 2
# NVML_ERROR_* codes and what a user should hear.
REASONS = {
    4: "the NVIDIA driver refuses access to its devices (permissions of /dev/nvidia*)",
    9: "the NVIDIA kernel driver is not loaded",
    12: "there is no NVIDIA driver here (libnvidia-ml was not found)",
    15: "a GPU has fallen off the bus (GPU is lost): see the kernel's log",
    18: "the NVIDIA kernel module and its libraries have different versions: restart the machine after the update",
}

T = TypeVar("T")


def look_gpus(
    *, nvml: Any = None, environ: Mapping[str, str] | None = None, root: Path = Path("/")
) -> tuple[Device, ...] | Unknown:
    """The NVIDIA GPUs that a CUDA program started now would see, memory in bytes; Unknown with the reason.

    Numbered as CUDA_VISIBLE_DEVICES orders them (indices, UUIDs and their beginnings, MIG UUIDs; CUDA stops at the
    first entry that names nothing), else in PCI order. `total_bytes` is what CUDA calls the total: NVML's total less
    what the driver reserves. `nvml` answers like the module pynvml.
    """
    nvml = nvml or _pynvml()
    if nvml is None:
        return Unknown("nvidia-ml-py is not installed")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Unknown(_reason(error))
    try:
        return _look(nvml, os.environ if environ is None else environ, root)
    except nvml.NVMLError as error:
        return Unknown(_reason(error))
    finally:
        _ask(nvml, nvml.nvmlShutdown)


def _pynvml() -> Any:
    try:
        import pynvml
    except ImportError:
        return None
    return pynvml


def _look(nvml: Any, environ: Mapping[str, str], root: Path) -> tuple[Device, ...] | Unknown:
    count = nvml.nvmlDeviceGetCount()
    if count == 0:
        return Unknown("the NVIDIA driver is loaded and sees no GPU")
    driver = _ask(nvml, nvml.nvmlSystemGetDriverVersion)
    version = driver if isinstance(driver, Unknown) else _text(driver)
    found = [device for index in range(count) for device in _look_one(nvml, index, version, root)]
    if not found:
        return Unknown(f"NVML counts {count} GPU(s) and gives the memory of none")
    return _visible(found, environ)


def _look_one(nvml: Any, index: int, driver: str | Unknown, root: Path) -> list[Device]:
    """The GPU at NVML's index, or its MIG instances where MIG is on; empty where it cannot be opened."""
    handle = _ask(nvml, lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    if isinstance(handle, Unknown):
        return []
    mig = _ask(nvml, lambda: nvml.nvmlDeviceGetMigMode(handle))
    if isinstance(mig, Unknown) or mig[0] != 1:
        device = _device(nvml, handle, handle, driver, root)
        return [] if device is None else [device]
    slots = _ask(nvml, lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(handle))
    devices = []
    for slot in range(0 if isinstance(slots, Unknown) else slots):
        part = _ask(nvml, lambda slot=slot: nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, slot))  # type: ignore[misc]
        device = None if isinstance(part, Unknown) else _device(nvml, part, handle, driver, root)
        if device is not None:
            devices.append(replace(device, source=f"{device.source}; MIG instance {slot} of GPU {index}"))
    return devices


def _device(nvml: Any, handle: Any, board: Any, driver: str | Unknown, root: Path) -> Device | None:
    """One device, None where no memory is told; `board` is the physical GPU, which alone knows its clocks."""
    name = _ask(nvml, lambda: nvml.nvmlDeviceGetName(handle))
    description = "NVIDIA GPU" if isinstance(name, Unknown) else _text(name)
    memory = _memory(nvml, handle) or system_memory(root)
    if memory is None:
        return None
    total, free, source = memory
    uuid = _ask(nvml, lambda: nvml.nvmlDeviceGetUUID(handle))
    compute = _ask(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(board))
    bandwidth, bandwidth_source = _bandwidth(nvml, board, description)
    return Device(
        name="",
        description=description,
        total_bytes=total,
        free_bytes=free,
        source=f"nvml: {source}; bandwidth: {bandwidth_source}",
        backend="cuda",
        compute_capability=compute if isinstance(compute, Unknown) else f"{compute[0]}.{compute[1]}",
        bandwidth_bytes_per_second=bandwidth,
        driver=driver,
        uuid=uuid if isinstance(uuid, Unknown) else _text(uuid),
    )


def _memory(nvml: Any, handle: Any) -> tuple[int, int, str] | None:
    """Total and free bytes and how they were told; None on GPUs that use the system's memory (GB10: Not Supported)."""
    version = getattr(nvml, "nvmlMemory_v2", None)
    if version is not None:
        memory = _ask(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle, version=version))
        if not isinstance(memory, Unknown):
            return memory.total - memory.reserved, memory.free, "memory less what the driver reserves"
    memory = _ask(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    if isinstance(memory, Unknown):
        return None
    return memory.total, memory.free, "memory, the driver's reserve counted as used"


def _bandwidth(nvml: Any, board: Any, description: str) -> tuple[int | Unknown, str]:
    """Bytes per second from the memory clock and bus width, else the catalogue's."""
    clock = _ask(nvml, lambda: nvml.nvmlDeviceGetMaxClockInfo(board, nvml.NVML_CLOCK_MEM))
    width = _ask(nvml, lambda: nvml.nvmlDeviceGetMemoryBusWidth(board))
    if isinstance(clock, int) and isinstance(width, int) and clock > 0 and width > 0:
        rate = clock * 1_000_000 * TRANSFERS_PER_CLOCK * width // 8
        return rate, f"{clock} MHz x {TRANSFERS_PER_CLOCK} x {width} bit by NVML"
    try:
        entry = catalogue.find(description)
    except BadInput as error:
        return Unknown(f"NVML gives no clock and bus width; {error.what}"), "unknown"
    return entry.bandwidth_bytes_per_second, "catalogue"


def _visible(found: Sequence[Device], environ: Mapping[str, str]) -> tuple[Device, ...] | Unknown:
    """The devices that CUDA_VISIBLE_DEVICES leaves, named CUDA0, CUDA1 ... in its order."""
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        chosen = _enumerated(found)
        by_pci = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len({d.description for d in chosen}) == 1
        note = "" if by_pci else "; PCI order (CUDA puts the fastest first unless CUDA_DEVICE_ORDER=PCI_BUS_ID)"
    else:
        chosen, note = _selected(found, listed), f"; CUDA_VISIBLE_DEVICES={listed}"
    if not chosen:
        return Unknown(f"CUDA_VISIBLE_DEVICES={listed!r} hides all {len(found)} NVIDIA GPUs")
    return tuple(replace(d, name=f"CUDA{i}", source=d.source + note) for i, d in enumerate(chosen))


def _enumerated(found: Sequence[Device]) -> list[Device]:
    """What CUDA lists unasked: all GPUs, but of MIG instances only the first (it takes one instance per process)."""
    whole = [device for device in found if not _is_mig(device)]
    return whole or list(found[:1])


def _selected(found: Sequence[Device], listed: str) -> list[Device]:
    """Devices by CUDA's own reading of the list: up to the first entry that names nothing, none twice."""
    chosen: list[Device] = []
    whole = _enumerated(found)
    for item in (part.strip() for part in listed.split(",")):
        if item.isdigit():
            device = whole[int(item)] if int(item) < len(whole) else None
        else:
            device = next((d for d in found if item and isinstance(d.uuid, str) and d.uuid.startswith(item)), None)
        if device is None or device in chosen:
            break
        chosen.append(device)
    return chosen


def _is_mig(device: Device) -> bool:
    return isinstance(device.uuid, str) and device.uuid.startswith("MIG-")


def _ask(nvml: Any, question: Callable[[], T]) -> T | Unknown:
    """The answer of one NVML call, Unknown where it fails or this pynvml has no such call."""
    try:
        return question()
    except nvml.NVMLError as error:
        return Unknown(_reason(error))
    except AttributeError as error:
        return Unknown(f"this nvidia-ml-py is too old: {error}")


def _reason(error: Exception) -> str:
    value = getattr(error, "value", None)
    return REASONS.get(value, f"NVML: {error}") if isinstance(value, int) else f"NVML: {error}"


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
