"""Checks of the host's memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vramctl.checks.config_call import Asked, place
from vramctl.checks.gpus_seen import log_lines
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, NotKnown, NotThere, known
from vramctl.records.facts import (
    EngineProcess,
    HostFacts,
    Platform,
    Setting,
)  # fmt: skip
from vramctl.records.finding import INFO, WARNING, Finding
from vramctl.records.unknown import Absent, Unknown
from vramctl.units import GIB, MIB

Call = tuple[Setting, ...]
_KILLED = re.compile(r"Killed process (\d+) \(([^)]+)\)")
_ENGINES = re.compile(r"ollama|llama|python|kobold|tabby|local-ai", re.IGNORECASE)
_STAMP = re.compile(r"\[ *(\d+\.\d+)\]")
_LONG_AGO_SECONDS = 3600.0
_SMALL_LOCK = GIB
_SWAPPED = 256 * MIB
_PRESSED_PERCENT = 10.0
_WASTED_PAGES = GIB


def mlock_limit(call: Call, host: HostFacts, platform: Platform) -> Iterator[Finding]:
    """
    A program wants to lock the model in memory (mlock), and the limit is too small for it.

    Why it matters: locking fails with a warning, and the memory can be swapped out all the same. With all layers on the
    GPU mlock only takes memory away.

    How it is seen: use_mlock or --mlock of the configuration, and the limit of locked memory of the process
    (/proc/<pid>/limits) against the model's size, where it is known, else 1 GiB.

    How sure: certain for this user; a service has its own limit.
    """
    wish = next((one for one in call if one.name == "use_mlock" and one.value is True), None)
    if wish is None:
        raise NotThere("nothing asks for mlock")
    if isinstance(host.memlock_bytes, Absent):
        if platform.system != "linux":
            raise NotThere(host.memlock_bytes.reason)
        return
    limit, asked = known(host.memlock_bytes), Asked.of(call)
    size = max(host.models.values(), default=_SMALL_LOCK)
    if limit < size:
        yield Finding(
            WARNING,
            f"{asked.who('use_mlock')} asks for mlock, and only {limit / MIB:.0f} MiB may be locked.",
            (f"{place(wish)}: {wish.written}", f"limit of locked memory: {limit} bytes"),
            BY_ID["mlock-limit"].fix(platform.kind),
        )


def hugepages_reserved_for_nothing(host: HostFacts) -> Iterator[Finding]:
    """
    Memory is reserved for huge pages that nothing uses.

    Why it matters: llama.cpp and Ollama do not use them; what vm.nr_hugepages reserves is lost to models and page
    cache. Guides that set it to 2048 take 4 GiB away.

    How it is seen: HugePages_Total and HugePages_Free of /proc/meminfo are equal and together a GiB or more.

    How sure: high - a database or virtual machine that is not running now may own them.
    """
    total, free, size = known(host.hugepages_total), known(host.hugepages_free), known(host.hugepage_bytes)
    if total and free == total and total * size >= _WASTED_PAGES:
        yield Finding(
            WARNING,
            f"{total * size / GIB:.1f} GiB of memory are reserved for huge pages that nothing uses.",
            (f"/proc/meminfo: HugePages_Total {total}, HugePages_Free {free}, Hugepagesize {size // 1024} kB",),
            BY_ID["hugepages-reserved-for-nothing"].fix("linux"),
        )


def swap_or_cache_eviction(host: HostFacts, processes: Any = None) -> Iterator[Finding]:
    """
    The CPU's part of a model lies in swap, or the machine is short of memory right now.

    Why it matters: the first answer after a pause takes as long as a load, and tokens wait for the disk. A low
    vm.swappiness does not help: it makes the kernel drop the page cache first, which is where an mmapped model is.

    How it is seen: swapped memory of the process (--pid) or of running engines, and the kernel's measure of pressure
    (/proc/pressure/memory).

    How sure: high.
    """
    fix = BY_ID["swap-or-cache-eviction"].fix("linux")
    running = [one for one in processes if isinstance(one, EngineProcess)] if isinstance(processes, tuple) else []
    parts = [(one.swapped_bytes, f"{one.name} (process {one.pid})") for one in running]
    parts += [(host.swapped_bytes, "The process")] if not running else []
    pressure = host.memory_pressure_percent
    pressed = isinstance(pressure, int | float) and pressure >= _PRESSED_PERCENT
    waits = (
        (f"/proc/pressure/memory: full avg60={pressure:.2f}",) if isinstance(pressure, int | float) and pressed else ()
    )
    swapped = [(size, who) for size, who in parts if isinstance(size, int) and size >= _SWAPPED]
    for size, who in swapped:
        yield Finding(WARNING, f"{who} has {size / GIB:.1f} GiB in swap.", (f"VmSwap: {size // 1024} kB", *waits), fix)
    if pressed and not swapped:
        what = f"The machine is short of memory: {pressure:.0f} % of the last minute everything waited for it."
        yield Finding(WARNING, what, waits, fix)
    if not isinstance(processes, tuple) and isinstance(pressure, Unknown | Absent):
        raise NotKnown(pressure.reason)


def mmap_with_little_ram(host: HostFacts, calls: Any = None) -> Iterator[Finding]:
    """
    A model's file is larger than the machine's memory, and it is loaded with mmap.

    Why it matters: while it is copied to the GPU the page cache throws out what is read next; loading without mmap
    reads the file once.

    How it is seen: sizes of the files that configurations name, and of Ollama's loaded models, against MemTotal or the
    container's limit.

    How sure: high.
    """
    total = known(host.memory_total_bytes)
    limit = host.memory_limit_bytes
    most = min(total, limit) if isinstance(limit, int) else total
    if not host.models:
        raise NotThere("no model's size is known")
    unmapped = (
        any(one.name == "use_mmap" and one.value is False for call in calls for one in call)
        if isinstance(calls, tuple)
        else False
    )
    for name, size in host.models.items():
        if size > most and not unmapped:
            yield Finding(
                WARNING,
                f"{name} ({size / GIB:.1f} GiB) is larger than the {most / GIB:.1f} GiB of memory that it is loaded through.",
                (f"{name}: {size} bytes", f"memory: {most} bytes"),
                BY_ID["mmap-with-little-ram"].fix("any"),
            )


def host_oom_kill(host: HostFacts, platform: Platform, modules: Any = None) -> Iterator[Finding]:
    """
    An engine was killed for lack of memory since the machine or container was started.

    Why it matters: it ends with "Killed", `signal: killed` or exit code 137 and leaves no word of its own.

    How it is seen: oom_kill of the control group's memory.events, and "Out of memory: Killed process" of an engine in
    the kernel's log.

    How sure: high that it was killed; a remark only where the kernel logged the last one more than an hour ago.
    """
    lines = []
    for line in log_lines(modules, "Killed process"):
        found = _KILLED.search(line)
        if found and _ENGINES.search(found[2]):
            lines.append(line)
    kills = host.oom_kills if isinstance(host.oom_kills, int) else 0
    if not lines and not kills:
        if isinstance(host.oom_kills, Absent):
            raise NotThere(host.oom_kills.reason)
        if isinstance(host.oom_kills, Unknown) and not isinstance(getattr(modules, "log", None), tuple):
            raise NotKnown(host.oom_kills.reason)
        return
    limit = host.memory_limit_bytes
    age = _age_seconds(lines, host)
    because = [f"memory.events: oom_kill {kills}"] if kills else []
    because += [f"memory limit: {limit / GIB:.1f} GiB"] if isinstance(limit, int) else []
    where = f"in this {platform.container} container" if platform.container and kills else "on this machine"
    ago = "" if age is None else f", {_ago(age)} ago"
    yield Finding(
        INFO if age is not None and age > _LONG_AGO_SECONDS else WARNING,
        f"A process was killed {where} for lack of memory{ago}.",
        (*because, *lines[-2:]),
        BY_ID["host-oom-kill"].fix(platform.kind),
    )


def _age_seconds(lines: list[str], host: HostFacts) -> float | None:
    """How long ago the kernel logged the last of these; None where the log has no stamps or the uptime is not known."""
    stamps = [float(found[1]) for line in lines if (found := _STAMP.match(line))]
    if not stamps or not isinstance(host.uptime_seconds, int) or host.uptime_seconds < max(stamps):
        return None
    return host.uptime_seconds - max(stamps)


def _ago(seconds: float) -> str:
    if seconds < 2 * 3600:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.0f} hours" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} days"


CHECKS: tuple[Check, ...] = (
    host_oom_kill, mmap_with_little_ram, mlock_limit, hugepages_reserved_for_nothing, swap_or_cache_eviction,
)  # fmt: skip
