"""Lets a dry run use the scheduler's real path.

llama.cpp's own no_alloc mode measures with `ggml_backend_sched_reserve_size`, which first resets the scheduler and so
forgets the backends that building the graph had pinned (each layer's norm to its device, the attention output to the CPU
without KV offload). On several GPUs the sizes then differ from those of a real load: 386.55 instead of 354.55 MiB on the
last of two for an 8B at n_ctx 16384. Here the calls that llama.cpp makes to `..._reserve_size` and `..._split_graph` are
redirected, in this process's own memory, to `ggml_backend_sched_reserve`, which is what a real load calls; on phantom
devices it allocates nothing.
"""

from __future__ import annotations

import ctypes as C
import struct
import sys
from pathlib import Path

from vramctl.engines.dry_run.library import Library

P = C.c_void_p
_JUMP_SLOT = (7, 1026)  # R_X86_64_JUMP_SLOT, R_AARCH64_JUMP_SLOT
_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_JMPREL = 2, 5, 6, 23


class RealReserve:
    """Redirects one library's scheduler calls; `installed` says whether it could."""

    def __init__(self, library: Library) -> None:
        self.lib = library
        self._sched = 0
        self._sizes = 0
        self._inside = False
        self._sized = C.CFUNCTYPE(None, P, P, P)(self._reserve_size)
        self._split = C.CFUNCTYPE(None, P, P)(self._split_graph)
        self._original_size = library.function("ggml_backend_sched_reserve_size", None, P, P, P)
        wanted = {
            b"ggml_backend_sched_reserve_size": C.cast(self._sized, P).value or 0,
            b"ggml_backend_sched_split_graph": C.cast(self._split, P).value or 0,
        }
        self.installed = sys.platform.startswith("linux") and _patch(library.llama_file, wanted)

    def start(self) -> None:
        """Forgets the last context; call before each llama_init_from_model."""
        self._sched = self._sizes = 0

    def _reserve_size(self, sched: int, graph: int, sizes: int) -> None:
        self._sched, self._sizes = sched, sizes
        if not self._reserve(graph):
            self._sizes = 0
            self._original_size(sched, graph, sizes)

    def _split_graph(self, sched: int, graph: int) -> None:
        if self._inside or not self._sizes or sched != self._sched or not self._reserve(graph):
            self.lib.sched_split(sched, graph)

    def _reserve(self, graph: int) -> bool:
        self._inside = True
        try:
            done = bool(self.lib.sched_reserve(self._sched, graph))
        finally:
            self._inside = False
        if done:
            count = self.lib.sched_n_backends(self._sched)
            sizes = (C.c_size_t * count).from_address(self._sizes)
            for i in range(count):
                sizes[i] = self.lib.sched_size(self._sched, self.lib.sched_backend(self._sched, i))
        return done


def _patch(file: str, wanted: dict[bytes, int]) -> bool:
    """Points the procedure-linkage slots of `file` (as mapped here) for the wanted names at other functions."""
    base = _base_address(Path(file))
    if base is None:
        return False
    table = _dynamic(base)
    if not {_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_JMPREL} <= table.keys():
        return False
    relocations = C.string_at(table[_DT_JMPREL], table[_DT_PLTRELSZ])
    found = 0
    for offset, info, _ in struct.iter_unpack("<QQq", relocations):
        if info & 0xFFFFFFFF not in _JUMP_SLOT:
            continue
        name_at = C.c_uint32.from_address(table[_DT_SYMTAB] + 24 * (info >> 32)).value
        text = C.string_at(table[_DT_STRTAB] + name_at, 8)
        if text != b"ggml_bac":
            continue
        target = wanted.get(C.string_at(table[_DT_STRTAB] + name_at))
        if target is not None and _write(base + offset, target):
            found += 1
    return found == len(wanted)


def _base_address(file: Path) -> int | None:
    real = str(file.resolve())
    for line in Path("/proc/self/maps").read_text().splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and parts[5] == real and int(parts[2], 16) == 0:
            return int(parts[0].split("-")[0], 16)
    return None


def _dynamic(base: int) -> dict[int, int]:
    """The dynamic section's entries of a mapped ELF64 image; addresses made absolute where the loader has not."""
    header = C.string_at(base, 64)
    if header[:5] != b"\x7fELF\x02":
        return {}
    phoff, phentsize, phnum = struct.unpack_from("<Q", header, 32)[0], *struct.unpack_from("<HH", header, 54)
    for i in range(phnum):
        kind, _, _, vaddr, _, _, size, _ = struct.unpack("<IIQQQQQQ", C.string_at(base + phoff + i * phentsize, 56))
        if kind == 2:
            entries = dict(struct.iter_unpack("<QQ", C.string_at(base + vaddr, size // 16 * 16)))
            for tag in (_DT_STRTAB, _DT_SYMTAB, _DT_JMPREL):
                if tag in entries and entries[tag] < base:
                    entries[tag] += base
            return entries
    return {}


def _write(slot: int, value: int) -> bool:
    page = 4096 if sys.platform != "darwin" else 16384
    start = slot // page * page
    libc = C.CDLL(None)
    libc.mprotect.argtypes = [P, C.c_size_t, C.c_int]
    if libc.mprotect(start, page, 3):  # PROT_READ | PROT_WRITE; a slot is 8 bytes and never crosses a page
        return False
    C.c_uint64.from_address(slot).value = value
    return True
