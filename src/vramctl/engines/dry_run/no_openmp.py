"""A stand-in for libgomp where a machine has none: a bare Debian lacks it, and wheels of llama.cpp link it.

A dry run computes nothing, so no OpenMP region ever runs; the loader only wants the names. This writes the smallest shared
object that has them (ELF64, System V ABI, two segments, a DT_HASH table), whose functions return 0. It is loaded in the dry
run's child process only, and only after the real library was not found.
"""

from __future__ import annotations

import platform
import struct

SONAME = "libgomp.so.1"
# libgomp.map of GCC 12: what compilers emit for parallel regions, loops, barriers, and the omp_* API.
SYMBOLS = (
    "GOMP_atomic_end", "GOMP_atomic_start", "GOMP_barrier", "GOMP_critical_end", "GOMP_critical_name_end",
    "GOMP_critical_name_start", "GOMP_critical_start", "GOMP_loop_dynamic_next", "GOMP_loop_dynamic_start", "GOMP_loop_end",
    "GOMP_loop_end_nowait", "GOMP_loop_guided_next", "GOMP_loop_guided_start", "GOMP_loop_nonmonotonic_dynamic_next",
    "GOMP_loop_nonmonotonic_dynamic_start", "GOMP_loop_nonmonotonic_guided_next", "GOMP_loop_nonmonotonic_guided_start",
    "GOMP_loop_runtime_next", "GOMP_loop_runtime_start", "GOMP_loop_static_next", "GOMP_loop_static_start",
    "GOMP_ordered_end", "GOMP_ordered_start", "GOMP_parallel", "GOMP_parallel_end", "GOMP_parallel_start",
    "GOMP_sections_end", "GOMP_sections_end_nowait", "GOMP_sections_next", "GOMP_sections_start", "GOMP_single_start",
    "GOMP_task", "GOMP_taskwait", "omp_get_max_threads", "omp_get_num_procs", "omp_get_num_threads", "omp_get_thread_num",
    "omp_get_wtime", "omp_in_parallel", "omp_set_dynamic", "omp_set_num_threads",
)  # fmt: skip
_MACHINES = {"x86_64": (62, b"\x31\xc0\xc3"), "aarch64": (183, b"\x00\x00\x80\x52\xc0\x03\x5f\xd6")}
_PAGE = 0x10000  # as large as any page, so that the two segments never share one
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT, _DT_SONAME = 4, 5, 6, 10, 11, 14


def shared_object() -> bytes | None:
    """The file's bytes for this machine's processor, None where none is known."""
    known = _MACHINES.get(platform.machine())
    if known is None:
        return None
    machine, code = known
    strings = b"\0" + SONAME.encode() + b"\0" + b"".join(name.encode() + b"\0" for name in SYMBOLS)
    at_code = 64 + 3 * 56
    at_symbols = -(-(at_code + len(code)) // 8) * 8
    symbols = bytes(24)
    offset = len(SONAME) + 2
    for name in SYMBOLS:  # STB_GLOBAL, STT_FUNC, default visibility, section 1 (any defined one)
        symbols += struct.pack("<IBBHQQ", offset, 0x12, 0, 1, at_code, len(code))
        offset += len(name) + 1
    at_hash = at_symbols + len(symbols)
    table = _hash_table()
    at_strings = at_hash + len(table)
    text_end = at_strings + len(strings)
    dynamic = b"".join(
        struct.pack("<QQ", tag, value)
        for tag, value in (
            (_DT_SONAME, 1), (_DT_HASH, at_hash), (_DT_STRTAB, at_strings), (_DT_SYMTAB, at_symbols),
            (_DT_STRSZ, len(strings)), (_DT_SYMENT, 24), (0, 0),
        )
    )  # fmt: skip
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    segments = _segment(1, 5, 0, text_end) + _segment(1, 6, _PAGE, len(dynamic)) + _segment(2, 6, _PAGE, len(dynamic))
    text = header + segments + code
    text += bytes(at_symbols - len(text)) + symbols + table + strings
    return text + bytes(_PAGE - len(text)) + dynamic


def _segment(kind: int, flags: int, at: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, at, at, at, size, size, _PAGE)


def _hash_table() -> bytes:
    """DT_HASH with one bucket: a chain through all symbols."""
    count = len(SYMBOLS) + 1
    chain = [0, *range(2, count), 0]
    return struct.pack(f"<III{count}I", 1, count, 1, *chain)
