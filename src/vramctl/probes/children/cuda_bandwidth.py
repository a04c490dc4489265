"""Copies and reads a GPU's own memory, and copies to it, through the CUDA driver, and says at what rate.

The argument is the GPU's UUID; without one there must be one GPU only.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Json = Any

_NAMES = ("nvcuda.dll",) if sys.platform == "win32" else ("libcuda.so.1", "libcuda.so")
_MOST_BLOCK, _LEAST_BLOCK, _HOST_BLOCK = 512 << 20, 64 << 20, 64 << 20
_WARM_UP, _COPIES, _ROUNDS = 3, 8, 5
_SECONDS = 1.5  # of measuring, at most
_THREADS, _BLOCKS_EACH, _UNROLLED = 256, 8, 4
_PROCESSORS = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT

# Every thread reads 4 x 16 bytes in a round, all threads side by side; the sum is stored where it is a value that does not
# come, so that no reading is left out.
_READER = b"""
.version 6.0
.target sm_50
.address_size 64

.visible .entry read_all(.param .u64 data, .param .u64 sink, .param .u32 rounds)
{
    .reg .pred %p<3>;
    .reg .b32 %r<40>;
    .reg .b64 %d<8>;

    ld.param.u64 %d1, [data];
    ld.param.u64 %d2, [sink];
    ld.param.u32 %r1, [rounds];
    cvta.to.global.u64 %d1, %d1;
    cvta.to.global.u64 %d2, %d2;
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    mov.u32 %r6, %nctaid.x;
    mul.lo.s32 %r7, %r6, %r3;
    mul.wide.u32 %d3, %r5, 16;
    add.s64 %d1, %d1, %d3;
    mul.wide.u32 %d4, %r7, 16;
    mov.u32 %r8, 0;
LOOP:
    setp.eq.u32 %p1, %r1, 0;
    @%p1 bra DONE;
    ld.global.v4.u32 {%r10, %r11, %r12, %r13}, [%d1];
    add.s64 %d5, %d1, %d4;
    ld.global.v4.u32 {%r14, %r15, %r16, %r17}, [%d5];
    add.s64 %d6, %d5, %d4;
    ld.global.v4.u32 {%r18, %r19, %r20, %r21}, [%d6];
    add.s64 %d7, %d6, %d4;
    ld.global.v4.u32 {%r22, %r23, %r24, %r25}, [%d7];
    add.s64 %d1, %d7, %d4;
    xor.b32 %r10, %r10, %r11;
    xor.b32 %r12, %r12, %r13;
    xor.b32 %r14, %r14, %r15;
    xor.b32 %r16, %r16, %r17;
    xor.b32 %r18, %r18, %r19;
    xor.b32 %r20, %r20, %r21;
    xor.b32 %r22, %r22, %r23;
    xor.b32 %r24, %r24, %r25;
    xor.b32 %r10, %r10, %r12;
    xor.b32 %r14, %r14, %r16;
    xor.b32 %r18, %r18, %r20;
    xor.b32 %r22, %r22, %r24;
    add.u32 %r10, %r10, %r14;
    add.u32 %r18, %r18, %r22;
    add.u32 %r8, %r8, %r10;
    add.u32 %r8, %r8, %r18;
    sub.u32 %r1, %r1, 1;
    bra LOOP;
DONE:
    setp.ne.u32 %p2, %r8, 0x7fedcba9;
    @%p2 bra END;
    st.global.u32 [%d2], %r8;
END:
    ret;
}
\0"""


def answer(stream: int, name: str, rate: Callable[[], float]) -> None:
    """Says one rate, or why there is none."""
    try:
        say(stream, {name: rate()})
    except Refused as error:
        say(stream, {f"{name}_error": str(error)})


class Refused(Exception):
    """A call of the driver returned an error."""


def say(stream: int, answer: Json) -> None:
    """Write one answer; later ones add to it."""
    os.write(stream, f"\nVRAMCTL-JSON {json.dumps(answer)}\n".encode())


def own_stdout() -> int:
    """The standard output for answers; what libraries print goes to the standard error."""
    stream = os.dup(1)
    os.dup2(2, 1)
    return stream


class Driver:
    """The driver's functions; a missing one and an error code both are Refused."""

    def __init__(self) -> None:
        errors = []
        for name in _NAMES:
            try:
                self.lib = (ctypes.WinDLL if sys.platform == "win32" else ctypes.CDLL)(name)  # type: ignore[attr-defined]
                return
            except (OSError, AttributeError) as error:
                errors.append(str(error))
        raise Refused(errors[0])

    def call(self, name: str, *arguments: Any) -> None:
        """One function, in its second version where there is one."""
        for version in (f"{name}_v2", name):
            function = getattr(self.lib, version, None)
            if function is not None:
                code = function(*arguments)
                if code:
                    raise Refused(f"{name} returned {code}{self._called(code)}")
                return
        raise Refused(f"this driver has no {name}")

    def _called(self, code: int) -> str:
        text = ctypes.c_char_p()
        try:
            self.lib.cuGetErrorName(ctypes.c_int(code), ctypes.byref(text))
        except AttributeError:
            return ""
        return f" ({text.value.decode('ascii', 'replace')})" if text.value else ""


def find_device(driver: Driver, uuid: str) -> ctypes.c_int:
    """The GPU with this UUID, or the only one there is."""
    count, device, raw = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(16)
    driver.call("cuDeviceGetCount", ctypes.byref(count))
    wanted = uuid.partition("-")[2].replace("-", "").lower()
    if not wanted and count.value != 1:
        raise Refused(f"the GPU has no UUID, and CUDA shows {count.value}")
    for index in range(count.value):
        driver.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(index))
        if not wanted:
            return device
        driver.call("cuDeviceGetUuid", raw, device)
        if raw.raw.hex() == wanted:
            return device
    raise Refused(f"CUDA shows {count.value} GPUs, and not this one")


def allocate(driver: Driver, size: int) -> ctypes.c_uint64:
    """Memory on the GPU."""
    address = ctypes.c_uint64()
    driver.call("cuMemAlloc", ctypes.byref(address), ctypes.c_size_t(size))
    return address


def timed(driver: Driver, do: Any, until: float) -> float:
    """The shortest time of one `do`, in seconds, by events on the GPU around several."""
    first, last = ctypes.c_void_p(), ctypes.c_void_p()
    driver.call("cuEventCreate", ctypes.byref(first), ctypes.c_uint(0))
    driver.call("cuEventCreate", ctypes.byref(last), ctypes.c_uint(0))
    for _ in range(_WARM_UP):
        do()
    best = 0.0
    for number in range(_ROUNDS):
        if number and time.monotonic() > until:
            break
        driver.call("cuEventRecord", first, None)
        for _ in range(_COPIES):
            do()
        driver.call("cuEventRecord", last, None)
        driver.call("cuEventSynchronize", last)
        milliseconds = ctypes.c_float()
        driver.call("cuEventElapsedTime", ctypes.byref(milliseconds), first, last)
        each = milliseconds.value / 1000 / _COPIES
        best = each if not best else min(best, each)
    if not best > 0:
        raise Refused("the driver's clock did not go on")
    return best


def read_rate(driver: Driver, device: ctypes.c_int, data: ctypes.c_uint64, size: int, sink: ctypes.c_uint64) -> float:
    """Bytes per second that a kernel reads."""
    module, function, processors = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int()
    try:
        driver.call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(_READER))
    except Refused:  # a driver that knows newer GPUs only
        newer = _READER.replace(b"sm_50", b"sm_75")
        driver.call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(newer))
    driver.call("cuModuleGetFunction", ctypes.byref(function), module, ctypes.c_char_p(b"read_all"))
    driver.call("cuDeviceGetAttribute", ctypes.byref(processors), ctypes.c_int(_PROCESSORS), device)
    blocks = max(1, processors.value) * _BLOCKS_EACH
    each_round = blocks * _THREADS * 16 * _UNROLLED
    rounds = ctypes.c_uint(size // each_round)
    if not rounds.value:
        raise Refused("the block of memory is too small for this GPU")
    values = (data, sink, rounds)
    table = (ctypes.c_void_p * 3)(*(ctypes.cast(ctypes.pointer(value), ctypes.c_void_p) for value in values))

    def launch() -> None:
        sizes = [ctypes.c_uint(n) for n in (blocks, 1, 1, _THREADS, 1, 1, 0)]
        driver.call("cuLaunchKernel", function, *sizes, None, table, None)

    return rounds.value * each_round / timed(driver, launch, time.monotonic() + _SECONDS / 2)


def copy_rate(driver: Driver, to: ctypes.c_uint64, source: ctypes.c_uint64, size: int) -> float:
    """Bytes per second that a copy inside the GPU's memory reads and writes together."""

    def copy() -> None:
        driver.call("cuMemcpyDtoDAsync", to, source, ctypes.c_size_t(size), None)

    return 2 * size / timed(driver, copy, time.monotonic() + _SECONDS / 2)


def from_host_rate(driver: Driver, to: ctypes.c_uint64) -> float:
    """Bytes per second that are copied from pinned system memory."""
    pinned, size = ctypes.c_void_p(), ctypes.c_size_t(_HOST_BLOCK)
    driver.call("cuMemHostAlloc", ctypes.byref(pinned), size, ctypes.c_uint(0))
    try:

        def copy() -> None:
            driver.call("cuMemcpyHtoDAsync", to, pinned, size, None)

        return _HOST_BLOCK / timed(driver, copy, time.monotonic() + _SECONDS / 2)
    finally:
        driver.call("cuMemFreeHost", pinned)


def measure(driver: Driver, uuid: str, stream: int) -> None:
    """Says both rates; what was allocated is freed, and the end of the process frees the rest."""
    driver.call("cuInit", ctypes.c_uint(0))
    device, context = find_device(driver, uuid), ctypes.c_void_p()
    driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    driver.call("cuCtxSetCurrent", context)
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    driver.call("cuMemGetInfo", ctypes.byref(free), ctypes.byref(total))
    size = min(_MOST_BLOCK, free.value // 4) // (1 << 20) * (1 << 20)
    if size < _LEAST_BLOCK:
        raise Refused(f"only {free.value >> 20} MiB of its memory are free")
    blocks = []
    try:
        blocks = [allocate(driver, size) for _ in range(2)]
        for number, block in enumerate(blocks):
            driver.call("cuMemsetD32", block, ctypes.c_uint(0x3C003A00 + number), ctypes.c_size_t(size // 4))
        say(stream, {"block_bytes": size})
        answer(stream, "copy", lambda: copy_rate(driver, blocks[1], blocks[0], size))
        answer(stream, "from_host", lambda: from_host_rate(driver, blocks[0]))
        answer(stream, "read", lambda: read_rate(driver, device, blocks[0], size, blocks[1]))
    finally:
        for block in blocks:
            driver.call("cuMemFree", block)
        driver.call("cuDevicePrimaryCtxRelease", device)


def main() -> None:
    """Measure, or say why not."""
    stream = own_stdout()
    try:
        measure(Driver(), sys.argv[1] if len(sys.argv) > 1 else "", stream)
    except Refused as error:
        say(stream, {"error": str(error)})


if __name__ == "__main__":
    main()
