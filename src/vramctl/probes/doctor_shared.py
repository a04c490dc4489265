"""What Windows counts of GPU memory that lies in system memory, and which process was asked about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vramctl.records.facts import Platform
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

_COUNTER = "\\GPU Process Memory(*)\\Shared Usage"
_SCRIPT = (
    f"(Get-Counter '{_COUNTER}' -ErrorAction Stop).CounterSamples | Where-Object CookedValue -gt 1MB"
    " | ForEach-Object { @{ i = $_.InstanceName; v = [long]$_.CookedValue } } | ConvertTo-Json -Compress"
)


def look_gpu_shared(world: World, asked: Any, facts: Any) -> Mapping[str, int] | Unknown | Absent:
    """Bytes of system memory behind the GPU by process (`pid 1234`), as Windows' performance counter has them."""
    platform = facts.fact("platform")
    if not isinstance(platform, Platform):
        return Unknown("the operating system is not known")
    if platform.system != "windows":
        return Absent("only Windows moves GPU memory to system memory")
    ran = world.run("powershell", "-NoProfile", "-Command", _SCRIPT, timeout_seconds=8, key="windows shared gpu memory")
    if isinstance(ran, Unknown | Absent):
        return Unknown(ran.reason)
    try:
        samples = json.loads(ran.stdout or "[]")
    except ValueError:
        return Unknown("the counter's answer is not what was expected")
    found: dict[str, int] = {}
    for sample in samples if isinstance(samples, list) else [samples]:
        name, value = (sample.get("i"), sample.get("v")) if isinstance(sample, dict) else (None, None)
        parts = name.split("_") if isinstance(name, str) else []
        if len(parts) > 1 and parts[0] == "pid" and isinstance(value, int):
            key = f"pid {parts[1]}"
            found[key] = found.get(key, 0) + value
    return found


def look_asked_pid(world: World, asked: Any, facts: Any) -> int | Absent:
    """The process of --pid."""
    return asked.pid if asked.pid is not None else Absent("no process was asked about")
