"""How fast the memory of this machine and of its GPUs can be read: measured, because decoding is bound by it."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from vramctl.probes.children_run import ask_child
from vramctl.records import Device, Unknown
from vramctl.units import GIB, MIB

BLOCK_BYTES, LEAST_BYTES = 256 * MIB, 32 * MIB
ROUNDS = 4
DEVICE_SECONDS = 10.0
_MOST_RATE = 1e15


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes per second that all `threads` together read, the best of some rounds, and how it was measured."""

    bytes_per_second: float
    threads: int
    how: str


@dataclass(frozen=True, slots=True)
class DeviceBandwidth:
    """Bytes per second of a GPU's own memory, the best of some rounds: read by a kernel, and read plus written by a copy.

    `from_host_bytes_per_second`: copied from pinned system memory, the fastest way there is.
    """

    read_bytes_per_second: float | Unknown
    copy_bytes_per_second: float | Unknown
    from_host_bytes_per_second: float | Unknown
    block_bytes: int


def look_device_bandwidth(device: Device, *, seconds: float = DEVICE_SECONDS) -> DeviceBandwidth | Unknown:
    """What the CUDA driver reaches on this GPU, asked in a child process; a crash, a hang or another maker's GPU is Unknown."""
    if device.backend != "cuda":
        return Unknown(f"only CUDA is asked for it, and this is {device.backend}")
    uuid = device.uuid if isinstance(device.uuid, str) else ""
    answer = ask_child(sys.executable, "cuda_bandwidth", uuid, timeout_seconds=seconds, keep_noise=False)
    if not isinstance(answer, dict):
        return Unknown("the child process gave no answer")
    ended, why, block = (
        str(answer.get("ended") or ""),
        answer.get("error") or answer.get("unknown"),
        answer.get("block_bytes"),
    )
    read, copied, from_host = (_rate(answer.get(n), answer.get(f"{n}_error")) for n in ("read", "copy", "from_host"))
    if not isinstance(block, int) or (isinstance(read, Unknown) and isinstance(copied, Unknown)):
        return Unknown(f"the CUDA driver could not be asked: {why or ended or 'it gave no rate'}")
    return DeviceBandwidth(read, copied, from_host, block)


def _rate(value: object, why: object) -> float | Unknown:
    """A rate that can be one, else why there is none."""
    is_rate = isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < _MOST_RATE
    return float(value) if isinstance(value, float | int) and is_rate else Unknown(str(why or "not measured"))


def look_host_bandwidth(threads: int, *, available_bytes: int | Unknown, seconds: float = 2.0) -> Bandwidth | Unknown:
    """The rate at which `threads` threads read system memory with the C library's memchr, which uses the widest loads it has.

    Takes at most about `seconds`. Each thread reads a block of its own that no cache holds.
    """
    scan = _memchr()
    if isinstance(scan, Unknown):
        return scan
    room = available_bytes // 4 if isinstance(available_bytes, int) else GIB
    block = min(BLOCK_BYTES, room // max(threads, 1))
    if block < LEAST_BYTES:
        return Unknown("too little memory is free to measure its bandwidth")
    try:
        blocks = [(ctypes.c_char * block)() for _ in range(threads)]
    except MemoryError:
        return Unknown("no memory for measuring its bandwidth")
    for one in blocks:  # pages that were never written are one page of zeros
        ctypes.memset(one, 1, block)
    best, until = 0.0, time.monotonic() + seconds
    for number in range(64):
        if number >= ROUNDS and time.monotonic() > until:
            break
        best = max(best, threads * block / _round(scan, blocks, block))
    return Bandwidth(best, threads, f"memchr over {threads} x {block // MIB} MiB, best of the rounds")


def _round(scan: Callable[..., object], blocks: list[ctypes.Array[ctypes.c_char]], size: int) -> float:
    """Seconds in which every thread reads its block once; ctypes lets them run at the same time."""
    gate = threading.Barrier(len(blocks) + 1)

    def read(block: ctypes.Array[ctypes.c_char]) -> None:
        gate.wait()
        scan(block, 0, size)

    workers = [threading.Thread(target=read, args=(block,), daemon=True) for block in blocks]
    for worker in workers:
        worker.start()
    gate.wait()
    start = time.perf_counter()
    for worker in workers:
        worker.join()
    return max(time.perf_counter() - start, 1e-9)


def _memchr() -> Callable[..., object] | Unknown:
    try:
        library = ctypes.CDLL("msvcrt" if sys.platform == "win32" else ctypes.util.find_library("c"))
        scan = library.memchr
    except (OSError, AttributeError, TypeError) as error:
        return Unknown(f"the C library could not be asked: {error}")
    scan.argtypes, scan.restype = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t), ctypes.c_void_p
    return scan
