"""The platform, what stands between it and the hardware, the environment in question, and the kernel's log."""

from __future__ import annotations

import os
import platform as python_platform
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vramctl.formats.nvidia_proc import version_numbers
from vramctl.records.facts import OllamaServer, Platform
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World
from vramctl.world.programs import Ran, run_program

_SYSTEMS = {"linux": "linux", "windows": "windows", "darwin": "macos"}
# Words in a cgroup path, a mount or /run/systemd/container, and what they say.
_CONTAINERS = (
    ("kubepods", "kubernetes"), ("kubelet", "kubernetes"), ("docker", "docker"), ("libpod", "podman"),
    ("podman", "podman"), ("containerd", "containerd"), ("crio", "kubernetes"), ("lxc", "lxc"), ("garden", "garden"),
    ("systemd-nspawn", "systemd-nspawn"), ("containers/storage", "podman"),
)  # fmt: skip
_HYPERVISORS = (
    ("vmware", "vmware"), ("virtualbox", "virtualbox"), ("innotek", "virtualbox"), ("qemu", "kvm"), ("kvm", "kvm"),
    ("xen", "xen"), ("amazon ec2", "kvm"), ("google", "kvm"), ("openstack", "kvm"),
    ("microsoft corporation virtual machine", "hyper-v"),
    ("parallels", "parallels"), ("bhyve", "bhyve"), ("nutanix", "kvm"), ("proxmox", "kvm"),
)  # fmt: skip
# Lines of the kernel's log that say something on GPUs, memory that ran out, or sleep.
_TELLING = re.compile(
    r"NVRM|nvidia|nouveau|amdgpu|amdkfd|\bi915\b|\bxe \d|\bkfd\b|Out of memory|oom-kill|oom_reaper|Killed process"
    r"|PM: suspend|PM: hibernation|\bBAR \d.*(?:can't assign|failed to assign|no space)|module verification"
    r"|Loading of (?:unsigned )?module"
    r"|key was rejected",
    re.IGNORECASE,
)
# The first processors are enough: name and flags; a large server's whole file is megabytes.
CPUINFO_LIMIT = 1 << 13
_MOST_LINES = 750  # of the beginning, where drivers start, and of the end
_LOG_SECONDS = 3.0
_LOG_PROGRAMS = (
    ("dmesg",),
    ("journalctl", "-k", "-b", "--no-pager", "--no-hostname", "-q", "-o", "short-monotonic", "-n", "20000"),
)


def look_platform(world: World, asked: Any, facts: Any) -> Platform | Unknown:
    """The operating system, its release, WSL, container and hypervisor."""
    told = world.ask("platform", _platform)
    if not isinstance(told, dict) or _text(told.get("system")) not in _SYSTEMS:
        reason = told.reason if isinstance(told, Unknown | Absent) else f"no known system: {told!r:.80}"
        return Unknown(_no_system(world, told, reason))
    system = _SYSTEMS[_text(told["system"])]
    linux = system == "linux"
    libc = told.get("libc")
    wsl = _wsl(world) if linux else ""
    euid = told.get("euid")
    return Platform(
        system=system,
        release=_or_unknown(told.get("release")),
        distribution=_distribution(world) if linux else _or_unknown(told.get("version")),
        machine=_or_unknown(told.get("machine")),
        wsl=wsl,
        container=_container(world) if linux else "",
        hypervisor=(_hypervisor(world, wsl) if linux else Unknown("only told on Linux")),
        is_root=euid == 0 if isinstance(euid, int) else Unknown("the system has no user numbers"),
        glibc=_glibc(libc) if linux else Absent("only Linux has it"),
        board=_board(world) if linux else Absent("only told on Linux"),
        suspends=_number(world.text("/sys/power/suspend_stats/success")) if linux else Unknown("only told on Linux"),
    )


def _no_system(world: World, told: object, reason: str) -> str:
    missing = not world.live and isinstance(told, Unknown | Absent)
    return (
        "the operating system is not in this recording" if missing else f"the operating system is not known: {reason}"
    )


def look_environment(world: World, asked: Any, facts: Any) -> Mapping[str, str] | Unknown | Absent:
    """The variables of the process in question: that of --pid, the Ollama service where it alone is asked about,
    else ours."""
    if asked.pid is not None:
        return _environment_of(world, asked.pid)
    if tuple(asked.engines) == ("ollama",):
        server = facts.fact("ollama")
        if isinstance(server, OllamaServer) and not isinstance(server.environment, Unknown):
            return server.environment
    return world.environ()


def look_kernel_log(world: World, asked: Any, facts: Any) -> tuple[str, ...] | Unknown | Absent:
    """Lines on GPUs, memory and sleep that the kernel logged since it was started, oldest first; Unknown where this
    user may not read them."""
    platform = facts.fact("platform")
    if isinstance(platform, Platform) and platform.system != "linux":
        return Absent("only Linux has a kernel log that can be read")
    told = world.ask("kernel log", _kernel_log)
    lines = told.get("lines") if isinstance(told, dict) else None
    if isinstance(lines, list):
        return tuple(str(line) for line in lines)
    return told if isinstance(told, Unknown | Absent) else Unknown("the kernel's log has another form")


def container_of(text: str) -> str:
    """The kind of container that a cgroup path or a mount names, "" for none."""
    return next((kind for word, kind in _CONTAINERS if word in text.lower()), "")


def _platform() -> dict[str, Any]:
    found = python_platform.uname()
    version = found.version
    if found.system == "Darwin":
        version = f"macOS {python_platform.mac_ver()[0]}"
    elif found.system == "Windows":
        version = f"Windows {found.release} {found.version}"
    libc = ""
    try:
        libc = (os.confstr("CS_GNU_LIBC_VERSION") or "") if hasattr(os, "confstr") else ""
    except (OSError, ValueError):
        libc = ""
    return {
        "system": found.system, "release": found.release, "version": version, "machine": found.machine, "libc": libc,
        "euid": os.geteuid() if sys.platform != "win32" else None,
    }  # fmt: skip


def _wsl(world: World) -> str | Unknown:
    """1 or 2 by the kernel's own name: `...-microsoft-standard-WSL2` is WSL 2, `4.4.0-19041-Microsoft` WSL 1."""
    version = world.text("/proc/version")
    if isinstance(version, Unknown):
        return Unknown(f"/proc/version: {version.reason}")
    if isinstance(version, Absent) or "microsoft" not in version.lower():
        return ""
    old = re.search(r"\b[34]\.\d+\.\d+-\d+-Microsoft", version) and "WSL2" not in version
    return "1" if old else "2"


def _container(world: World) -> str | Unknown:
    """Its kind by marks that container programs leave: files, variables, the cgroup's path, the root's mount."""
    ours = world.environ()
    if ours.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if world.exists("/.dockerenv"):
        return "docker"
    if world.exists("/run/.containerenv"):
        return "podman"
    named = [ours.get("container", ""), _words(world, "/run/systemd/container")]
    for name in (name.strip() for name in named):
        if name and name != "wsl":
            return container_of(name) or name
    groups = _words(world, "/proc/self/cgroup") + _words(world, "/proc/1/cgroup")
    if found := container_of(groups):
        return found
    mounts = world.text("/proc/self/mountinfo")
    if isinstance(mounts, str):
        return container_of(_root_mount(mounts.splitlines()))
    unread = world.status("/.dockerenv")
    return Unknown(f"/proc/self/mountinfo: {mounts.reason}") if isinstance(unread, Unknown) else ""


def _root_mount(lines: Iterable[str]) -> str:
    """The mount of `/` where it is an overlay or lies in a container program's folder, else ""."""
    for line in lines:
        fields = line.split()
        if len(fields) > 6 and fields[4] == "/":
            return line if " - overlay " in line or "/containers/" in line else ""
    return ""


def _hypervisor(world: World, wsl: str | Unknown) -> str | Unknown:
    if wsl:
        return "hyper-v"
    firmware = " ".join(
        _words(world, f"/sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name", "bios_vendor")
    )
    named = next((kind for word, kind in _HYPERVISORS if word in firmware.lower()), "")
    processor = world.text("/proc/cpuinfo", limit=CPUINFO_LIMIT)
    flagged = isinstance(processor, str) and re.search(r"^flags\s*:.*\bhypervisor\b", processor, re.MULTILINE)
    if flagged or named:
        return named or "another"
    if isinstance(processor, Unknown) and not firmware.strip():
        return Unknown(f"/proc/cpuinfo: {processor.reason}")
    return ""


def _board(world: World) -> str | Unknown | Absent:
    tree = world.text("/proc/device-tree/model")
    if isinstance(tree, str):
        return tree.strip("\0\n ")
    name = world.text("/sys/class/dmi/id/product_name")
    return name.strip() if isinstance(name, str) else name


def _distribution(world: World) -> str | Unknown | Absent:
    release = world.text("/etc/os-release")
    if not isinstance(release, str):
        return release
    pairs = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    name = pairs.get("PRETTY_NAME", pairs.get("NAME", "")).strip("\"'")
    return name or Unknown("/etc/os-release has no name")


def _glibc(libc: object) -> tuple[int, ...] | Unknown | Absent:
    text = _text(libc)
    if text.startswith("glibc "):
        return version_numbers(text.removeprefix("glibc ")) or Unknown(f"glibc's version is written {text!r}")
    return (
        Absent("Python's C library is not glibc") if libc is not None else Unknown("Python does not say its C library")
    )


def _environment_of(world: World, pid: int) -> Mapping[str, str] | Unknown | Absent:
    told = world.ask(f"environ {pid}", lambda: _variables(pid))
    if isinstance(told, dict):
        return {str(name): str(value) for name, value in told.items()}
    reason = told.reason if isinstance(told, Unknown | Absent) else "the answer has another form"
    return Unknown(f"the environment of process {pid}: {reason}")


def _variables(pid: int) -> dict[str, str]:
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
        line = raw or Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return {"absent": "there is no such process, or this system has no /proc"}
    except OSError as error:
        return {"unknown": error.strerror or type(error).__name__}
    if not line:
        return {"unknown": "it has ended already, or belongs to the kernel"}
    pairs = (part.partition("=") for part in raw.decode("utf-8", "replace").split("\0") if part)
    return {name: value for name, equals, value in pairs if equals}


def _kernel_log() -> dict[str, Any]:
    """The telling lines of dmesg, else of the journal."""
    reasons = []
    for program in _LOG_PROGRAMS:
        ran = run_program(program, timeout_seconds=_LOG_SECONDS, output_limit=8 << 20)
        if isinstance(ran, Ran) and ran.code == 0 and ran.stdout.strip() and not ran.timed_out:
            lines = [line for line in ran.stdout.splitlines() if _TELLING.search(line)]
            kept = lines if len(lines) <= 2 * _MOST_LINES else lines[:_MOST_LINES] + lines[-_MOST_LINES:]
            return {"lines": kept, "by": program[0]}
        reasons.append(f"{program[0]}: {_why(ran)}")
    return {"unknown": f"the kernel's log cannot be read by this user ({'; '.join(reasons)})"}


def _why(ran: Ran | Unknown) -> str:
    if isinstance(ran, Unknown):
        return "it is not installed" if "No such file" in ran.reason else ran.reason
    if ran.timed_out:
        return "no answer in time"
    return next(iter(ran.stderr.strip().splitlines()), "it shows no lines")


def _words(world: World, path: str) -> str:
    text = world.text(path)
    return text if isinstance(text, str) else ""


def _number(text: str | Unknown | Absent) -> int | Unknown | Absent:
    if not isinstance(text, str):
        return text
    return int(text) if text.strip().isdecimal() else Unknown(f"it is written {text.strip()!r:.40}")


def _text(value: object) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


def _or_unknown(value: object) -> str | Unknown:
    return value if isinstance(value, str) and value else Unknown("the system does not say it")
