"""A stand-in for libgomp where a machine has none: a bare Debian lacks it, and wheels of llama.cpp link it.

A dry run computes nothing, so no OpenMP region ever runs; the loader only wants the names. A model that runs does so on one
thread: `GOMP_parallel` calls its function once, and there is one thread, number 0. This writes the smallest shared object that
has the names (ELF64, System V ABI, two segments, a DT_HASH table); what is not said otherwise returns 0. It is loaded in
children of ours only, and only after the real library was not found.
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
# The versions that references may name (libgomp.map); every symbol here is unversioned and so matches all of them.
VERSIONS = (
    "GOMP_1.0", "GOMP_2.0", "GOMP_3.0", "GOMP_4.0", "GOMP_4.0.1", "GOMP_4.5", "GOMP_5.0", "GOMP_5.0.1", "GOMP_5.1",
    "OMP_1.0", "OMP_2.0", "OMP_3.0", "OMP_3.1", "OMP_4.0", "OMP_4.5", "OMP_5.0", "OMP_5.0.1", "OMP_5.0.2", "OMP_5.1",
)  # fmt: skip
# Machine code of the four kinds of function, by the processor's name and its ELF number. x86-64: rdi, rsi, ... are the arguments;
# aarch64: x0, x1, ... `call` jumps to its first argument with the second one; `one` returns 1; `range` gives out a loop's
# whole range once (libgomp's loop.c: start, end, incr, chunk, *istart, *iend; true where there is any).
_MACHINES: dict[str, tuple[int, dict[str, bytes]]] = {
    "x86_64": (62, {
        "nothing": bytes.fromhex("31c0c3"),
        "call": bytes.fromhex("4889f8 4889f7 ffe0"),
        "one": bytes.fromhex("b801000000 c3"),
        "range": bytes.fromhex("498938 498931 31c0 4839f7 0f95c0 c3"),
    }),
    "aarch64": (183, {
        "nothing": bytes.fromhex("00008052 c0035fd6"),
        "call": bytes.fromhex("e80300aa e00301aa 00011fd6"),
        "one": bytes.fromhex("20008052 c0035fd6"),
        "range": bytes.fromhex("800000f9 a10000f9 1f0001eb e0079f1a c0035fd6"),
    }),
}  # fmt: skip
_KINDS = {
    "GOMP_parallel": "call", "GOMP_single_start": "one", "omp_get_max_threads": "one", "omp_get_num_procs": "one",
    "omp_get_num_threads": "one", "GOMP_loop_dynamic_start": "range", "GOMP_loop_guided_start": "range",
    "GOMP_loop_nonmonotonic_dynamic_start": "range", "GOMP_loop_nonmonotonic_guided_start": "range",
    "GOMP_loop_static_start": "range",
}  # fmt: skip
_PAGE = 0x10000  # as large as any page, so that the two segments never share one
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT, _DT_SONAME = 4, 5, 6, 10, 11, 14
_DT_VERSYM, _DT_VERDEF, _DT_VERDEFNUM = 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD


def shared_object() -> bytes | None:
    """The file's bytes for this machine's processor, None where none is known."""
    known = _MACHINES.get(platform.machine())
    if known is None:
        return None
    machine, functions = known
    code, offsets = b"", {}
    for kind, body in functions.items():
        offsets[kind] = len(code)
        code += body + bytes(-len(body) % 16)
    names = (SONAME, *SYMBOLS, *VERSIONS)
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    places = {name: strings.index(b"\0" + name.encode() + b"\0") + 1 for name in names}
    at_code = 64 + 3 * 56
    at_symbols = -(-(at_code + len(code)) // 8) * 8
    symbols = bytes(24)
    for name in SYMBOLS:  # STB_GLOBAL, STT_FUNC, default visibility, section 1 (any defined one)
        kind = _KINDS.get(name, "nothing")
        symbols += struct.pack("<IBBHQQ", places[name], 0x12, 0, 1, at_code + offsets[kind], len(functions[kind]))
    at_hash = at_symbols + len(symbols)
    table = _hash_table()
    at_versym = at_hash + len(table)
    versym = struct.pack(f"<{len(SYMBOLS) + 1}H", 0, *(1 for _ in SYMBOLS))
    versym += bytes(-len(versym) % 8)
    at_verdef = at_versym + len(versym)
    verdef = _versions(places)
    at_strings = at_verdef + len(verdef)
    text_end = at_strings + len(strings)
    dynamic = b"".join(
        struct.pack("<QQ", tag, value)
        for tag, value in (
            (_DT_SONAME, 1), (_DT_HASH, at_hash), (_DT_STRTAB, at_strings), (_DT_SYMTAB, at_symbols),
            (_DT_STRSZ, len(strings)), (_DT_SYMENT, 24), (_DT_VERSYM, at_versym), (_DT_VERDEF, at_verdef),
            (_DT_VERDEFNUM, len(VERSIONS) + 1), (0, 0),
        )
    )  # fmt: skip
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    segments = _segment(1, 5, 0, text_end) + _segment(1, 6, _PAGE, len(dynamic)) + _segment(2, 6, _PAGE, len(dynamic))
    text = header + segments + code
    text += bytes(at_symbols - len(text)) + symbols + table + versym + verdef + strings
    return text + bytes(_PAGE - len(text)) + dynamic


def _segment(kind: int, flags: int, at: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, at, at, at, size, size, _PAGE)


def _hash_table() -> bytes:
    """DT_HASH with one bucket: a chain through all symbols."""
    count = len(SYMBOLS) + 1
    chain = [0, *range(2, count), 0]
    return struct.pack(f"<III{count}I", 1, count, 1, *chain)


def _versions(places: dict[str, int]) -> bytes:
    """DT_VERDEF: the base version (the soname) and one entry a version, each with one name."""
    entries = b""
    every = (SONAME, *VERSIONS)
    for index, name in enumerate(every, 1):
        follow = 28 if index < len(every) else 0
        entries += struct.pack("<HHHHIII", 1, int(index == 1), index, 1, _elf_hash(name), 20, follow)
        entries += struct.pack("<II", places[name], 0)
    return entries


def _elf_hash(name: str) -> int:
    """The System V ABI's hash of a name."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value
