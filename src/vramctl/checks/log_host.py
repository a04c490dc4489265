"""Checks of a log: the machine around the GPU: system memory, processor, threads, NUMA, disk."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from vramctl.checks.evidence import events, finding, in_words, load_name, runners_gone, size_of, text_of
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import FAILED, Load, Log

_SLOW_LOAD_SECONDS, _SLOW_DISK, _SSD_RATE, _CACHED_SECONDS = 60.0, 250e6, 500e6, 0.25
_ENDED = ("runner.load_failed", "runner.terminated", "crash.signal", "crash.exception")


def host_oom_kill(log: Log, platform: str) -> Iterator[Finding]:
    """The kernel ended the process for lack of system memory."""
    ended = (*runners_gone(log), *events(log, "crash.signal", "crash.exception"))
    killed = [e for e in ended if re.search(r"signal: killed|\b[Kk]illed\b|exit(?: code| status)? 137", e.raw)]
    kernel = (*events(log, "system.oom_kill", "system.oom_invoked"), *_unit_ended(log, "oom-kill", "9/KILL"))
    sure = [e for e in kernel if e.kind != "system.unit_exited"]
    if kernel or killed:
        yield finding(
            "error",
            "The process was killed"
            + (
                " by the kernel: system memory ran out."
                if sure
                else ", most likely by the kernel for lack of system memory."
            ),
            (
                *(event.text for event in sure[:1]),
                *(event.text for event in killed[:1]),
                _memory_then(log),
                "" if sure else "the kernel log of that moment would prove it: `journalctl -k | grep -i oom`",
            ),
            BY_ID["host-oom-kill"].fix(platform),
            (*kernel, *killed),
        )
        return
    too_large = events(log, "fit.too_large")
    if too_large:
        fields = too_large[0].fields
        asked, there = size_of(fields.get("requested")), size_of(fields.get("available"))
        yield finding(
            "error",
            "The model was refused: it needs more than system and GPU memory together have.",
            (f"needs {in_words(asked)}, available {in_words(there)}" if asked and there else too_large[0].text,),
            "Take a smaller model, quantisation or context, or close other programs; more swap makes it start, but slow.",
            too_large,
        )


def _unit_ended(log: Log, result: str, status: str) -> tuple[Event, ...]:
    """What systemd says of a unit that ended so."""
    found = events(log, "system.unit_failed", "system.unit_exited")
    return tuple(e for e in found if e.fields.get("result") == result or e.fields.get("status") == status)


def _memory_then(log: Log) -> str:
    """System memory before the load that was killed, where the log prints it."""
    failed = [load for load in log.loads if load.outcome == FAILED] or list(log.loads[-1:])
    for load in failed:
        if isinstance(load.system_free_bytes, int):
            return f"{in_words(load.system_free_bytes)} of system memory were free before the load"
    return ""


def cpu_illegal_instruction(log: Log, platform: str) -> Iterator[Finding]:
    """The program uses an instruction that this CPU lacks."""
    pattern = r"illegal (?:hardware )?instruction|SIGILL|0xc000001d"
    found = [e for e in events(log, *_ENDED) if re.search(pattern, e.raw, re.IGNORECASE)]
    if found:
        yield finding(
            "error",
            "The program uses CPU instructions that this CPU does not have.",
            (found[0].text,),
            BY_ID["cpu-illegal-instruction"].fix(platform),
            found,
        )


def cpu_build_without_avx2(log: Log, platform: str) -> Iterator[Finding]:
    """The CPU code is built for an old processor, and layers run on the CPU."""
    for event in events(log, "cpu.info"):
        said = text_of(event, "features")
        if (
            not re.search(r"\bAVX2 = 0\b", said)
            or re.search(r"\b(?:NEON|VSX) = 1\b", said)
            or not re.search(r"\bAVX\w* = ", said)
        ):
            continue
        if log.loads and all(load.outcome == "on-gpu" for load in log.loads):
            return
        yield finding(
            "warning",
            "The CPU code is built without AVX2: what runs on the CPU is several times slower than it could be.",
            (f"system_info: {', '.join(re.findall(r'(?:AVX|AVX2|FMA|F16C|SSE3) = [01]', said))}",),
            BY_ID["cpu-build-without-avx2"].fix(platform),
            (event,),
        )
        return


def threads_oversubscribed(log: Log, platform: str) -> Iterator[Finding]:
    """More threads compute than the machine has processors."""
    for event in events(log, "cpu.info"):
        threads, there = event.fields.get("threads"), event.fields.get("processors")
        if not isinstance(threads, int) or not isinstance(there, int) or there < 1 or threads <= there:
            continue
        yield finding(
            "warning",
            f"{threads} threads are started on {there} logical processors: they wait for each other.",
            (f"n_threads = {threads} of {there}",),
            BY_ID["threads-oversubscribed"].fix(platform),
            (event,),
        )
        return


def numa_placement(log: Log, platform: str) -> Iterator[Finding]:
    """The kernel moves pages between memory nodes while the engine computes."""
    found = [event for event in events(log, "load.numa") if "numa_balancing is enabled" in event.raw]
    if found and any(load.on_host for load in log.loads if load.outcome != "on-gpu"):
        yield finding(
            "info",
            "Automatic NUMA balancing is on, and a part of the model is in system memory: it costs speed.",
            (found[0].text,),
            BY_ID["numa-placement"].fix(platform),
            found[:1],
        )


def mlock_limit(log: Log, platform: str) -> Iterator[Finding]:
    """The model could not be locked in memory."""
    found = events(log, "memory.mlock_failed")
    if found:
        yield finding(
            "warning",
            "The model could not be locked in memory (mlock), so it may be swapped out.",
            (found[0].text,),
            BY_ID["mlock-limit"].fix(platform),
            found,
        )


def mmap_with_little_ram(log: Log, platform: str) -> Iterator[Finding]:
    """System memory is smaller than the model file that is mapped, so pages are read again and again."""
    for load in log.loads:
        file_bytes, total = load.model.file_bytes, load.system_total_bytes
        if not isinstance(file_bytes, int) or not isinstance(total, int) or load.settings.mmap is not True:
            continue
        if total < file_bytes and isinstance(load.load_seconds, float) and load.load_seconds > _SLOW_LOAD_SECONDS:
            yield finding(
                "warning",
                f"The model file ({in_words(file_bytes)}) is larger than system memory ({in_words(total)}) and is "
                f"mapped: loading took {load.load_seconds:.0f} s.",
                ("mapped pages are dropped and read again",),
                BY_ID["mmap-with-little-ram"].fix(platform),
                events(load, "memory.system", "tensors.loading"),
            )
            return


def model_on_slow_disk(load: Load, log: Log, platform: str) -> Iterator[Finding]:
    """Reading the file took most of a long load."""
    seconds, size = load.load_seconds, load.model.file_bytes
    if not isinstance(seconds, float) or not isinstance(size, int) or seconds < _SLOW_LOAD_SECONDS:
        return
    rate = size / seconds
    if rate > _SLOW_DISK:
        return
    yield finding(
        "warning",
        f"Loading {load_name(load)} took {seconds:.0f} s ({rate / 1e6:.0f} MB/s); a local SSD reads its file of "
        f"{in_words(size)} in about {math.ceil(size / _SSD_RATE)} s.",
        (_loaded_fast(load, log) or "a second load of the same file from memory would be fast: then it is the disk",),
        BY_ID["model-on-slow-disk"].fix(platform),
        events(load, "runner.started", "timing.load")[:1],
    )


def _loaded_fast(load: Load, log: Log) -> str:
    """That the same file was loaded in a fraction of the time at another moment: it came from memory then."""
    quick = [
        other.load_seconds for other in log.loads
        if other.model.path == load.model.path and isinstance(other.load_seconds, float) and isinstance(load.load_seconds, float)
        and other.load_seconds < _CACHED_SECONDS * load.load_seconds
    ]  # fmt: skip
    return (
        f"the same file loads in {min(quick):.1f} s once it is in memory: the disk it lies on is slow" if quick else ""
    )
