"""AMD's runtime on Windows and the Vulkan drivers that are installed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from vramctl.records.facts import Platform
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

_RUNTIMES = ("amdhip64.dll", "amdhip64_6.dll", "amdhip64_7.dll")
_VULKAN = (
    "/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/run/opengl-driver/share/vulkan/icd.d",
)  # fmt: skip
_CHOSEN = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")


def look_hip_runtimes(world: World, asked: Any, facts: Any) -> tuple[str, ...] | Unknown | Absent:
    """Windows: AMD's HIP runtimes of the driver, by the names of their files."""
    platform = facts.fact("platform")
    if not isinstance(platform, Platform):
        return Unknown("the platform is not known")
    if platform.system != "windows":
        return Absent("only on Windows the driver brings the runtime")
    root = world.environ().get("SystemRoot", r"C:\Windows")
    return tuple(name for name in _RUNTIMES if world.exists(f"{root}\\System32\\{name}"))


def look_vulkan_drivers(world: World, asked: Any, facts: Any) -> tuple[str, ...] | Unknown | Absent:
    """Linux: names of the Vulkan drivers' files (nvidia_icd.json, radeon_icd.x86_64.json, lvp_icd.x86_64.json ...)."""
    platform = facts.fact("platform")
    if not isinstance(platform, Platform):
        return Unknown("the platform is not known")
    if platform.system != "linux":
        return Absent("only Linux lists its Vulkan drivers in files")
    environment = facts.fact("environment")
    variables = environment if isinstance(environment, Mapping) else {}
    chosen = next((variables[name] for name in _CHOSEN if variables.get(name)), "")
    if chosen:
        return tuple(path.rsplit("/", 1)[-1] for path in chosen.split(os.pathsep if world.live else ":") if path)
    found: list[str] = []
    for folder in _VULKAN:
        names = world.names(folder)
        if isinstance(names, Unknown):
            return Unknown(f"{folder}: {names.reason}")
        found += [name for name in names if name.endswith(".json")] if isinstance(names, tuple) else []
    return tuple(found)
