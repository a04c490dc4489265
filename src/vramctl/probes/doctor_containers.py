"""What WSL and container tools give, and the engines that run."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vramctl.probes.doctor_platform import container_of
from vramctl.records.facts import Containers, EngineProcess, Platform, WslFacts
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

WSL_LIBRARIES, WSL_DRIVERS = "/usr/lib/wsl/lib", "/usr/lib/wsl/drivers"
_TOOLS = ("/usr/bin/docker", "/usr/local/bin/docker", "/snap/bin/docker", "/usr/bin/podman")
_TOOLKIT = ("/usr/bin/nvidia-ctk", "/usr/bin/nvidia-container-runtime", "/etc/cdi/nvidia.yaml", "/var/run/cdi/nvidia.yaml",
            "/snap/bin/nvidia-ctk", "/run/current-system/sw/bin/nvidia-ctk")  # fmt: skip
_DAEMON = "/etc/docker/daemon.json"
# Packages and files of an NVIDIA driver for Linux, which WSL must not have.
_PACKAGES = ("libnvidia-compute-*.list", "nvidia-driver-*.list", "libcuda1.list", "nvidia-utils-*.list")
_LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/aarch64-linux-gnu")
_PROGRAMS = frozenset(
    {"ollama", "llama-server", "llama-cli", "llama-bench", "koboldcpp", "local-ai", "llama-swap", "tabbyapi"}
)
_PYTHON = re.compile(r"^python[\d.]*$|^uvicorn$")
_IN_PYTHON = re.compile(r"llama_cpp|xllamacpp|exllama|tabby", re.IGNORECASE)
_SCAN_SECONDS = 0.3


def look_wsl(world: World, asked: Any, facts: Any) -> WslFacts | Unknown | Absent:
    """What Windows gives to WSL; Absent outside it."""
    platform = facts.fact("platform")
    if not isinstance(platform, Platform):
        return Unknown("the platform is not known")
    if isinstance(platform.wsl, Unknown):
        return platform.wsl
    if not platform.wsl:
        return Absent("this is not WSL")
    told = world.ask("linux drivers inside wsl", _linux_drivers)
    inside = tuple(str(name) for name in told) if isinstance(told, list) else Unknown("what is installed was not told")
    return WslFacts(libraries=world.names(WSL_LIBRARIES), drivers=world.names(WSL_DRIVERS), linux_drivers=inside)


def look_containers(world: World, asked: Any, facts: Any) -> Containers | Unknown | Absent:
    """Container tools of this host, signs of NVIDIA's toolkit, and engines that run in containers."""
    platform = facts.fact("platform")
    if not isinstance(platform, Platform):
        return Unknown("the platform is not known")
    if platform.system != "linux" or platform.container:
        return Absent("only the host can see it")
    tools = tuple(path for path in _TOOLS if world.exists(path))
    toolkit = [path for path in _TOOLKIT if world.exists(path)] if tools else []
    daemon = world.text(_DAEMON) if tools else ""
    if isinstance(daemon, str) and "nvidia" in daemon:
        toolkit.append(_DAEMON)
    processes = facts.fact("processes")
    inside = tuple(one for one in processes if one.container) if isinstance(processes, tuple) else processes
    return Containers(tools=tools, nvidia=tuple(toolkit), engines=inside)


def look_processes(world: World, asked: Any, facts: Any) -> tuple[EngineProcess, ...] | Unknown | Absent:
    """Engines that run on this machine, those in containers too where this is their host."""
    platform = facts.fact("platform")
    if isinstance(platform, Platform) and platform.system != "linux":
        return Absent("processes are only looked at on Linux")
    told = world.ask("engine processes", lambda: list(_scan()))
    if not isinstance(told, list):
        return told if isinstance(told, Unknown | Absent) else Unknown("the list of processes has another form")
    return tuple(_process(one) for one in told if isinstance(one, dict) and isinstance(one.get("pid"), int))


def _process(one: dict[str, Any]) -> EngineProcess:
    swapped = one.get("swapped_kib")
    size = swapped * 1024 if isinstance(swapped, int) else Unknown("its status does not tell it")
    return EngineProcess(
        pid=one["pid"],
        name=str(one.get("name", "")),
        container=container_of(str(one.get("cgroup", ""))),
        swapped_bytes=size,
    )


def _scan() -> Iterator[dict[str, Any]]:
    """Running engines, as far as /proc can be walked in the time it has."""
    until = time.monotonic() + _SCAN_SECONDS
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or time.monotonic() > until:
            continue
        name = _file(folder / "comm").strip()
        command = _file(folder / "cmdline") if _PYTHON.match(name) else ""
        if name not in _PROGRAMS and not _IN_PYTHON.search(command):
            continue
        swap = re.search(r"^VmSwap:\s+(\d+) kB", _file(folder / "status"), re.MULTILINE)
        groups = container_of(_file(folder / "cgroup"))
        yield {"pid": int(folder.name), "name": name, "cgroup": groups, "swapped_kib": int(swap[1]) if swap else None}


def _linux_drivers() -> list[str]:
    """Names of NVIDIA driver packages, and of libcuda files that do not lead to Windows' own."""
    packages = Path("/var/lib/dpkg/info")
    found = [path.stem for pattern in _PACKAGES for path in sorted(packages.glob(pattern))]
    for folder in _LIBRARY_FOLDERS:
        path = Path(folder) / "libcuda.so.1"
        try:
            if path.exists() and "/wsl/" not in str(path.resolve()):
                found.append(str(path))
        except (OSError, RuntimeError):
            continue
    return found[:50]


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""
