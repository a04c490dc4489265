"""Which NVIDIA GPUs are on the bus, and which of them the driver lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from vramctl.records.facts import KernelModules, Nvml, PciGpu

_VERSION_IN_PATH = re.compile(r"\.so\.(\d{3,4}(?:\.\d+)+)$")
_LOADING = re.compile(
    r"NVRM: loading NVIDIA UNIX .*?(\d{3,4}\.\d+(?:\.\d+)?)\s|The (\d{3,4}\.\d+(?:\.\d+)?) NVIDIA driver will ignore"
)


def nvidia_on_bus(pci: Iterable[PciGpu]) -> tuple[PciGpu, ...]:
    """NVIDIA GPUs on the bus that are not kept for virtual machines."""
    return tuple(gpu for gpu in pci if gpu.vendor == "nvidia" and gpu.driver not in {"vfio-pci", "pci-stub"})


def not_listed(pci: Sequence[PciGpu], nvml: Nvml) -> tuple[PciGpu, ...]:
    """NVIDIA GPUs on the bus that NVML does not list, as far as addresses tell."""
    if any(gpu.address.startswith("adapter") for gpu in pci):  # Windows' registry gives no addresses
        return () if nvml.gpus else nvidia_on_bus(pci)
    listed = {_key(gpu.pci_address) for gpu in nvml.gpus if isinstance(gpu.pci_address, str)}
    # A card that was left to nouveau beside one that NVIDIA's driver has is there for the screen.
    wanted = [gpu for gpu in nvidia_on_bus(pci) if not (nvml.gpus and gpu.driver == "nouveau")]
    unseen = [gpu for gpu in wanted if _key(gpu.address) not in listed]
    unnamed = sum(not isinstance(gpu.pci_address, str) for gpu in nvml.gpus)
    return tuple(unseen[: max(0, len(unseen) - unnamed)])


def log_lines(modules: object, *words: str) -> tuple[str, ...]:
    """The kernel's log lines that have one of the words; empty where the log could not be read."""
    log = modules.log if isinstance(modules, KernelModules) else ()
    return tuple(line.strip() for line in log if any(word in line for word in words)) if isinstance(log, tuple) else ()


def driver_version(modules: object, nvml: object) -> tuple[int, ...] | None:
    """The installed driver's version: of the loaded module, else as the kernel's log or NVML's file name has it."""
    if isinstance(modules, KernelModules) and isinstance(modules.nvidia_version, tuple):
        return modules.nvidia_version
    if isinstance(nvml, Nvml) and isinstance(nvml.driver_version, tuple):
        return nvml.driver_version
    found = [match for line in log_lines(modules, "NVRM:") if (match := _LOADING.search(line))]
    text = (found[-1][1] or found[-1][2]) if found else ""
    if not text and isinstance(nvml, Nvml) and isinstance(nvml.library_path, str):
        in_path = _VERSION_IN_PATH.search(nvml.library_path)
        text = in_path[1] if in_path else ""
    return tuple(int(part) for part in text.split(".")) if text else None


def named(gpu: PciGpu, generation: str = "") -> str:
    """An NVIDIA GPU in words: its address and device number."""
    place = "" if gpu.address.startswith("adapter") else f" at {gpu.address}"
    return f"the {generation or 'NVIDIA'} GPU{place} (10de:{gpu.device_id:04x})"


def first_up(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def _key(address: str) -> str:
    domain, _, rest = address.lower().partition(":")
    return f"{domain[-4:]:0>4}:{rest}"
