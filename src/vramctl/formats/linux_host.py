"""Text of /proc and /sys on processors, memory, limits and mounts, as records' values."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "afs", "beegfs", "gpfs", "wekafs"}
)
_NO_LIMIT = 1 << 60  # cgroup v1 writes "no limit" as the largest multiple of the page size below 2^63
_OCTAL = re.compile(r"\\(\d{3})")


def parse_processor(text: str) -> tuple[str, frozenset[str] | None]:
    """Name and flags of the first processor of /proc/cpuinfo; None where flags are not listed."""
    name, flags = "", None
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        key = key.strip()
        if not colon:
            if name and flags:
                break
            continue
        if key in {"model name", "Model", "cpu model"} and not name:
            name = value.strip()
        if key in {"flags", "Features"} and flags is None:
            flags = frozenset(value.split())
    return name, flags


def parse_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo by key: bytes, plain counts where it gives no unit."""
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdecimal() and len(words[0]) < 20:
            found[key] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found


def parse_locked_memory(text: str) -> int | None:
    """The soft limit of locked memory in bytes of /proc/<pid>/limits, -1 for none; None where it is not there."""
    found = re.search(r"^Max locked memory\s+(unlimited|\d{1,20})\s", text, re.MULTILINE)
    if not found:
        return None
    return -1 if found[1] == "unlimited" else int(found[1])


def parse_quota(text: str) -> float | None:
    """Cores of a cgroup's cpu.max (`200000 100000` is 2); None without a quota."""
    words = text.split()
    if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]) > 0:
        return int(words[0]) / int(words[1])
    return None


def parse_limit(text: str) -> int | None:
    """Bytes of memory.max or memory.limit_in_bytes; None without a limit."""
    word = text.strip()
    return int(word) if word.isdecimal() and len(word) < 20 and int(word) < _NO_LIMIT else None


def parse_counter(text: str, name: str) -> int | None:
    """A counter of a cgroup's file of lines such as `oom_kill 3`."""
    found = re.search(rf"^{re.escape(name)}\s+(\d{{1,19}})$", text, re.MULTILINE)
    return int(found[1]) if found else None


def parse_pressure(text: str) -> float | None:
    """Percent of the last minute in which all waited: `full avg10=0.00 avg60=1.25 ...`."""
    found = re.search(r"^full .*?\bavg60=(\d{1,3}(?:\.\d+)?)", text, re.MULTILINE)
    return float(found[1]) if found else None


def cgroup_paths(text: str) -> dict[str, str]:
    """A process's path by controller, "" for version 2, of lines such as `4:memory:/a/b` and `0::/a`."""
    found = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            found.update(dict.fromkeys(controllers.split(","), path))
    return found


def folders_up(path: str) -> Iterator[str]:
    """`/a/b`, `/a`, `` for the path /a/b; dots are left out, so that no path leads outside."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")][:16]
    for depth in range(len(parts), -1, -1):
        yield "".join(f"/{part}" for part in parts[:depth])


def mount_of(text: str, path: str) -> tuple[str, str, str] | None:
    """File system type, source and device number (`259:2`) of the mount that holds the path, of /proc/self/mountinfo."""
    best: tuple[str, str, str] | None = None
    longest = -1
    for line in text.splitlines():
        fields, dash, rest = line.partition(" - ")
        words, after = fields.split(), rest.split()
        if not dash or len(words) < 5 or len(after) < 2:
            continue
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), words[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:
            best, longest = (after[0], after[1], words[2]), len(point)
    return best


def kind_of_mount(file_system: str) -> str:
    """network, 9p, fuse, tmpfs or overlay by the file system's type; "" for one on a block device."""
    if file_system in _NETWORK:
        return "network"
    if file_system in {"9p", "drvfs", "virtiofs", "vboxsf", "prl_fs"}:
        return "9p" if file_system in {"9p", "drvfs"} else "shared folder"
    if file_system.startswith(("fuse.sshfs", "fuse.rclone", "fuse.s3", "fuse.gcs", "fuse.blob")):
        return "network"
    if file_system.startswith("fuse"):
        return "fuse"
    return file_system if file_system in {"tmpfs", "overlay"} else ""
