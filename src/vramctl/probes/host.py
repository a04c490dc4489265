"""The host's memory and cores: psutil, narrowed by a container's limits."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from vramctl.records import Host, Unknown
from vramctl.units import format_bytes

# cgroup v1 writes "no limit" as the largest multiple of the page size below 2^63.
_NO_LIMIT = 1 << 60
_CONTAINER_WORDS = ("docker", "kubepods", "containerd", "libpod", "lxc", "garden")


def look_host(*, root: Path = Path("/"), system: str | None = None, machine: Any = None) -> Host:
    """Total and available memory in bytes and the cores that compute, as this process may use them.

    `machine` answers like the module psutil; `root` holds /proc, /sys and the marks of containers.
    """
    machine = machine or import_module("psutil")
    total, available = _memory(machine)
    sources = ["psutil"]
    if (system or platform.system()) == "Linux":
        limit = _cgroup_limit(root)
        if limit is not None and (not isinstance(total, int) or limit[0] < total):
            total, free = limit
            available = free if not isinstance(available, int) else min(available, free)
            sources.append(f"cgroup limit {format_bytes(total)}")
        container = _container(root)
        if container:
            sources.append(f"in a container ({container})")
    cores, cores_source = _cores(machine, root)
    return Host(
        total_bytes=total,
        available_bytes=available,
        physical_cores=cores,
        source="; ".join([*sources, cores_source] if cores_source else sources),
    )


def _memory(machine: Any) -> tuple[int | Unknown, int | Unknown]:
    try:
        memory = machine.virtual_memory()
    except (OSError, RuntimeError, NotImplementedError, ValueError) as error:
        unknown = Unknown(f"psutil could not read the memory: {error}")
        return unknown, unknown
    return int(memory.total), int(memory.available)


def _cgroup_limit(root: Path) -> tuple[int, int] | None:
    """The smallest memory limit over this process and what is left below it, in bytes; None without a limit."""
    found = [
        (limit, max(0, limit - max(0, used - reclaimable)))
        for limit, used, reclaimable in (*_cgroup_v2(root), *_cgroup_v1(root))
        if limit < _NO_LIMIT
    ]
    if not found:
        return None
    return min(limit for limit, _ in found), min(left for _, left in found)


def _cgroup_v2(root: Path) -> Iterator[tuple[int, int, int]]:
    for folder in _cgroup_folders(root, controller=None):
        limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        if limit is not None:
            yield limit, used or 0, _stat(folder / "memory.stat", "inactive_file")


def _cgroup_v1(root: Path) -> Iterator[tuple[int, int, int]]:
    for folder in _cgroup_folders(root, controller="memory"):
        limit, used = _number(folder / "memory.limit_in_bytes"), _number(folder / "memory.usage_in_bytes")
        if limit is not None:
            yield limit, used or 0, _stat(folder / "memory.stat", "total_inactive_file")


def _cgroup_folders(root: Path, *, controller: str | None) -> Iterator[Path]:
    """The process's cgroup folder and its parents; inside a container its path may lead out, then only the top."""
    mounts = [root / "sys/fs/cgroup"] if controller is None else [root / "sys/fs/cgroup" / controller]
    if controller is None:
        mounts.append(root / "sys/fs/cgroup/unified")
    path = _cgroup_path(root, controller)
    for mount in mounts:
        if not mount.is_dir():
            continue
        relative = [part for part in path.split("/") if part not in ("", ".", "..")]
        for depth in range(len(relative), -1, -1):
            folder = mount.joinpath(*relative[:depth])
            if folder.is_dir():
                yield folder


def _cgroup_path(root: Path, controller: str | None) -> str:
    """This process's path in the hierarchy of `controller` (None: version 2), from lines such as `4:memory:/a/b`."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (controller is None and not controllers) or (controller and controller in controllers.split(",")):
            return path
    return "/"


def _container(root: Path) -> str:
    """The kind of container that this process runs in, empty outside one."""
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    groups = _text(root / "proc/self/cgroup") + _text(root / "proc/1/cgroup")
    return next((word for word in _CONTAINER_WORDS if word in groups), "")


def _cores(machine: Any, root: Path) -> tuple[int | Unknown, str]:
    """Performance cores where the CPU has two kinds (Linux lists them under /sys/devices/cpu_core), else all cores."""
    fast = _cpu_list(_text(root / "sys/devices/cpu_core/cpus"))
    if fast:
        topology = root / "sys/devices/system/cpu"
        siblings = {_text(topology / f"cpu{cpu}/topology/thread_siblings_list").strip() or str(cpu) for cpu in fast}
        return len(siblings), f"{len(siblings)} performance cores of a hybrid CPU"
    try:
        cores = machine.cpu_count(logical=False)
    except (OSError, RuntimeError, NotImplementedError, ValueError):
        cores = None
    if not cores:
        return Unknown("the operating system does not say how many physical cores there are"), ""
    return int(cores), ""


def _cpu_list(text: str) -> list[int]:
    """The CPUs of a list such as `0-3,8`; empty where it is not one."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            return []
        cpus.extend(range(int(first), min(int(last or first), int(first) + 4095) + 1))
    return cpus


def _stat(path: Path, key: str) -> int:
    for line in _text(path).splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.isdigit():
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
