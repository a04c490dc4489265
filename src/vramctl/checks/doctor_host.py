"""Checks of the host: processor, threads, nodes, disks; those of memory are in doctor_memory.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vramctl.checks import doctor_memory
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, NotThere, known
from vramctl.records.facts import Engine, HostFacts, Platform
from vramctl.records.finding import ERROR, INFO, WARNING, Finding
from vramctl.records.unknown import Absent

_FEATURE = re.compile(r"\b(AVX2|FMA|F16C|AVX512|AVX) = ([01])\b")
_ILLEGAL = ("SIGILL", "0xc000001d", "illegal instruction")
_SLOW_DISKS = {
    "rotational": "a rotating disk", "network": "a network disk", "9p": "Windows' disk through WSL (9p)",
    "fuse": "a FUSE file system", "shared folder": "a shared folder of the host",
}  # fmt: skip


def cpu_illegal_instruction(engine: Engine, host: HostFacts) -> Iterator[Finding]:
    """
    The engine's library ends with an illegal instruction: it was built for a newer processor.

    Why it matters: the program dies while it loads ("Illegal instruction (core dumped)", 0xc000001d on Windows).

    How it is seen: the engine was started in a child process, which ended by that signal; the processor's flags say
    what it lacks.

    How sure: certain.
    """
    ended = known(engine.ended)
    if not any(word.lower() in ended.lower() for word in _ILLEGAL):
        return
    flags = host.cpu_flags
    lacks = [
        name for name in ("avx", "avx2", "fma", "f16c", "avx512f") if isinstance(flags, frozenset) and name not in flags
    ]
    name = host.cpu_name if isinstance(host.cpu_name, str) else "this processor"
    yield Finding(
        ERROR,
        f"{engine.kind} needs instructions that {name} does not have.",
        (f"{engine.path}: ended with {ended}", *((f"the processor lacks {', '.join(lacks)}",) if lacks else ())),
        BY_ID["cpu-illegal-instruction"].fix("any"),
    )


def cpu_build_without_avx2(engine: Engine, host: HostFacts) -> Iterator[Finding]:
    """
    The engine's CPU code was built without instructions that this processor has (AVX2, FMA, F16C).

    Why it matters: layers on the CPU and prompts run several times slower than they could.

    How it is seen: llama.cpp's own line `system_info` against the flags of the processor. Builds that pick their CPU
    library when they start tell what they picked.

    How sure: certain.
    """
    features = dict(_FEATURE.findall(known(engine.system_info)))
    flags = known(host.cpu_flags)
    if not features:
        raise NotThere("its system_info names no x86 instructions")
    left = [name for name, value in features.items() if value == "0" and name.lower() in flags]
    # Lines of 2024 and later leave out what is off: then AVX without AVX2 tells the same.
    left += [
        name for name in ("AVX2", "FMA", "F16C") if name not in features and name.lower() in flags and "AVX" in features
    ]
    missing = [name for name in ("AVX2", "FMA", "F16C") if name in left]
    if missing:
        yield Finding(
            WARNING,
            f"{engine.kind}'s CPU code was built without {', '.join(missing)}, which this processor has.",
            (
                f"system_info: {', '.join(f'{name} = {value}' for name, value in features.items())}",
                f"processor: {', '.join(name.lower() for name in missing)}",
            ),
            BY_ID["cpu-build-without-avx2"].fix("any"),
        )


def cpu_quota_container(host: HostFacts, platform: Platform, calls: Any = None) -> Iterator[Finding]:
    """
    The container or service may use fewer cores than the machine has, and engines do not know it.

    Why it matters: engines start a thread per core of the machine; the kernel then stops them all together again and
    again, and each token takes several times longer.

    How it is seen: cpu.max (or cpu.cfs_quota_us) of the process's control group and those above it against the physical
    cores; the group's count of stops is shown. Where a configuration asks for no more threads than the quota nothing is
    said.

    How sure: certain for the quota.
    """
    if isinstance(host.cpu_quota_cores, Absent):
        return
    quota = known(host.cpu_quota_cores)
    cores = known(host.physical_cores)
    asked = [one.value for call in calls for one in call if one.name == "n_threads"] if isinstance(calls, tuple) else []
    if quota >= cores or (asked and all(isinstance(value, int) and value <= max(1, quota) for value in asked)):
        return
    stops = host.throttled_periods
    who = f"{platform.container} container" if platform.container else "service"
    yield Finding(
        WARNING,
        f"This {who} may use {quota:g} cores of {cores}; engines start a thread for each of the {cores}.",
        (
            f"control group: quota of {quota:g} cores",
            f"{cores} physical cores",
            *((f"stopped {stops} times",) if isinstance(stops, int) else ()),
        ),
        BY_ID["cpu-quota-container"].fix(platform.kind).replace("CORES", str(max(1, int(quota)))),
    )


def threads_oversubscribed(log_findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """
    An engine started more threads than the machine has processors.

    Why it matters: the threads wait for each other at every layer; half as many are faster. Some take n_threads for the number
    of CUDA cores.

    How it is seen: `n_threads = A ... / C` or `total_threads` of the engine's log. What a configuration asks for is
    threads-above-cores.

    How sure: high. With all layers on the GPU it hardly matters: one to four threads are enough.
    """
    return iter(())


def numa_placement(host: HostFacts, pci: Any = None) -> Iterator[Finding]:
    """
    A machine with several memory nodes whose kernel moves memory between them, and no GPU.

    Why it matters: with models on the CPU the weights lie on one node and half of the threads on the other; the
    kernel's balancing makes it worse. llama.cpp warns of it too. With all layers on a GPU it does not matter.

    How it is seen: nodes with processors under /sys/devices/system/node and /proc/sys/kernel/numa_balancing.

    How sure: medium - how much it costs depends on the machine.
    """
    nodes = known(host.numa_nodes)
    if nodes < 2:
        return
    if isinstance(pci, tuple) and any(gpu.vendor in {"nvidia", "amd"} for gpu in pci):
        raise NotThere("models run on the GPU")
    if known(host.numa_balancing):
        yield Finding(
            WARNING,
            f"The machine has {nodes} memory nodes and the kernel moves memory between them (numa_balancing).",
            (f"{nodes} nodes with processors", "/proc/sys/kernel/numa_balancing: 1"),
            BY_ID["numa-placement"].fix("linux"),
        )


def model_on_slow_disk(host: HostFacts) -> Iterator[Finding]:
    """
    Models lie on a network disk, a rotating disk or Windows' disk under WSL.

    Why it matters: loading takes minutes, mmap reads such disks in small pieces, and Ollama's time limit may pass.

    How it is seen: the mount that holds the folder of models (/proc/self/mountinfo) and the rotational flag of its
    disk; virtual disks call themselves rotational and are left out.

    How sure: certain for the kind of disk.
    """
    if not host.disks:
        raise NotThere("no folder of models was found")
    for folder, kind in host.disks.items():
        if kind in _SLOW_DISKS:
            severity = INFO if kind == "fuse" else WARNING
            yield Finding(
                severity,
                f"Models in {folder} lie on {_SLOW_DISKS[kind]}.",
                (f"{folder}: {kind}",),
                BY_ID["model-on-slow-disk"].fix("any"),
            )


CHECKS: tuple[Check, ...] = (
    cpu_illegal_instruction, cpu_build_without_avx2, cpu_quota_container, threads_oversubscribed, *doctor_memory.CHECKS,
    numa_placement, model_on_slow_disk,
)  # fmt: skip
