"""What the doctor sees of the system: platform, kernel modules, device files, WSL, containers, host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vramctl.records.facts.basics import NOT_SEEN, Count, Flag, Number, Text, Version
from vramctl.records.unknown import Absent, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The operating system and what stands between it and the hardware.

    `system` is linux, windows or macos. `wsl` is "" outside WSL, else its version; `container` is "" outside a
    container, else
    docker, podman, kubernetes, lxc or another name; `hypervisor` is "" on bare metal.
    """

    system: str
    release: Text = NOT_SEEN
    distribution: Text = NOT_SEEN
    machine: Text = NOT_SEEN
    wsl: str | Unknown = ""
    container: str | Unknown = ""
    hypervisor: str | Unknown = NOT_SEEN
    is_root: Flag = NOT_SEEN
    glibc: Version | Unknown | Absent = NOT_SEEN
    board: Text = NOT_SEEN
    """The product's name by firmware or device tree (a Jetson is known by it)."""
    suspends: Count = NOT_SEEN
    """How often the machine slept and woke since it was started."""

    @property
    def kind(self) -> str:
        """Whose remedy fits: `container`, else the system (WSL counts as linux)."""
        return "container" if self.container else self.system


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelModules:
    """Kernel modules: those loaded, the NVIDIA module's version and flavour, those built for the running kernel but
    not loaded."""

    loaded: frozenset[str] | Unknown = NOT_SEEN
    nvidia_version: Version | Unknown | Absent = NOT_SEEN
    nvidia_open: Flag = NOT_SEEN
    available: frozenset[str] | Unknown = NOT_SEEN
    blacklisted: frozenset[str] | Unknown = NOT_SEEN
    secure_boot: Flag = NOT_SEEN
    parameters: Mapping[str, str] = field(default_factory=dict)
    """`module.parameter` -> value: of the loaded modules that matter here, and NVIDIA's own (`nvidia.OpenRmEnable...`)."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions that modules outside the kernel's own tree state (amdgpu, nvidia)."""
    log: tuple[str, ...] | Unknown = NOT_SEEN
    """What the kernel logged on GPUs, memory and sleep since it was started, the fact kernel_log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A device file. `readable`, `writable`: by the user in question; `opened`: whether opening it works ("" or the
    error's name)."""

    path: str
    mode: int
    owner: str
    group: str
    readable: bool
    writable: bool
    opened: Text = NOT_SEEN
    """"" where it can be opened for reading and writing, else the error's name (EACCES, EPERM, ENODEV ...)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WslFacts:
    """What Windows gives to WSL 2: `libraries` the files of /usr/lib/wsl/lib, `drivers` the folders of
    /usr/lib/wsl/drivers, `linux_drivers` NVIDIA driver libraries or packages that were installed inside."""

    libraries: tuple[str, ...] | Unknown | Absent = NOT_SEEN
    drivers: tuple[str, ...] | Unknown | Absent = NOT_SEEN
    linux_drivers: tuple[str, ...] | Unknown = NOT_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineProcess:
    """A running engine: its pid, the name of its program, the kind of container around it ("" for none)."""

    pid: int
    name: str
    container: str = ""
    swapped_bytes: Count = NOT_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """Container tools of this host: `tools` their programs' paths, `nvidia` signs of the NVIDIA container toolkit,
    `engines` engines that run in containers."""

    tools: tuple[str, ...] = ()
    nvidia: tuple[str, ...] = ()
    engines: tuple[EngineProcess, ...] | Unknown = NOT_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Processor, memory, limits and disks of the host or container."""

    cpu_name: Text = NOT_SEEN
    cpu_flags: frozenset[str] | Unknown = NOT_SEEN
    physical_cores: Count = NOT_SEEN
    logical_cores: Count = NOT_SEEN
    cpu_quota_cores: Number = NOT_SEEN
    """Absent: there is no quota."""
    numa_nodes: Count = NOT_SEEN
    memory_total_bytes: Count = NOT_SEEN
    memory_available_bytes: Count = NOT_SEEN
    memory_limit_bytes: Count = NOT_SEEN
    swap_total_bytes: Count = NOT_SEEN
    swap_used_bytes: Count = NOT_SEEN
    swappiness: Count = NOT_SEEN
    hugepages_total: Count = NOT_SEEN
    hugepages_free: Count = NOT_SEEN
    hugepage_bytes: Count = NOT_SEEN
    memlock_bytes: Count = NOT_SEEN
    """Absent: unlimited."""
    oom_kills: Count = NOT_SEEN
    """How many processes of this container or service were killed for its memory limit."""
    uptime_seconds: Count = NOT_SEEN
    """Since the kernel was started, which its log counts from."""
    disks: Mapping[str, str] = field(default_factory=dict)
    """Of folders that hold models: ssd, rotational, network, fuse, 9p, tmpfs, overlay."""
    models: Mapping[str, int] = field(default_factory=dict)
    """Sizes in bytes of the model files that a configuration or a server names."""
    numa_balancing: Flag = NOT_SEEN
    memory_pressure_percent: Number = NOT_SEEN
    """Share of the last minute in which every process waited for memory (PSI full avg60)."""
    swapped_bytes: Count = NOT_SEEN
    """Of the process in question: how much of it lies in swap."""
    on_battery: Flag = NOT_SEEN
    throttled_periods: Count = NOT_SEEN
    """How often the CPU quota stopped this container or service."""
