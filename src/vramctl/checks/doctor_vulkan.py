"""Checks of Vulkan's own stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, NotKnown, NotThere
from vramctl.records.facts import (
    Engine,
)  # fmt: skip
from vramctl.records.finding import ERROR, Finding
from vramctl.records.unknown import Absent, Unknown

_SOFTWARE = ("llvmpipe", "lavapipe", "swiftshader", "softpipe")
_SOFTWARE_FILES = ("lvp_icd", "vk_swiftshader_icd")


def vulkan_software_renderer(
    engine: Engine, vulkan_drivers: Any = None, pci: Any = None, environment: Any = None
) -> Iterator[Finding]:
    """
    The engine's Vulkan backend has only a software device, or no driver of the GPU.

    Why it matters: llvmpipe computes on the CPU, slower than the engine's own CPU code; newer llama.cpp leaves it out
    and finds no GPU at all.

    How it is seen: devices that the engine lists are named llvmpipe, lavapipe or SwiftShader; or the folders of Vulkan
    drivers (/usr/share/vulkan/icd.d) hold no driver, or only that of llvmpipe, while a GPU is in the machine.

    How sure: certain where the engine lists its devices, high by the files.
    """
    if "vulkan" not in engine.backends:
        raise NotThere(f"{engine.kind} has no Vulkan backend")
    fix = BY_ID["vulkan-software-renderer"].fix("any")
    listed = [device for device in _tuple(engine.devices) if device.kind != "cpu"]
    software = [device for device in listed if any(word in device.description.lower() for word in _SOFTWARE)]
    if software and len(software) == len(listed):
        yield Finding(
            ERROR,
            f"{engine.kind} lists only a software device for Vulkan: {software[0].description}.",
            tuple(f"{device.name}: {device.description}" for device in software[:3]),
            fix,
        )
        return
    if listed or engine.backends & {"cuda", "hip", "sycl", "metal"}:
        return
    if isinstance(vulkan_drivers, Absent | Unknown) or vulkan_drivers is None:
        raise NotKnown(getattr(vulkan_drivers, "reason", "the Vulkan drivers were not looked at"))
    real = [name for name in vulkan_drivers if not name.startswith(_SOFTWARE_FILES)]
    here = [gpu for gpu in _tuple(pci) if gpu.vendor in {"nvidia", "amd", "intel"}]
    if not real and here:
        given = environment.get("NVIDIA_DRIVER_CAPABILITIES") if isinstance(environment, Mapping) else None
        note = (
            (f"NVIDIA_DRIVER_CAPABILITIES={given}: Vulkan needs graphics",)
            if given and "graphics" not in given and "all" not in given
            else ()
        )
        yield Finding(
            ERROR,
            f"{engine.kind} computes with Vulkan, and no Vulkan driver of the GPU is installed.",
            (f"Vulkan drivers: {', '.join(vulkan_drivers) or 'none'}", f"{here[0].address}: {here[0].vendor}", *note),
            fix,
        )


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else ()


CHECKS: tuple[Check, ...] = (vulkan_software_renderer,)
