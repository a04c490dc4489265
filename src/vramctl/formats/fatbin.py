"""The programs inside a library's CUDA fat binaries: for which GPU architectures it has code, and of which kind.

The container is not documented.  What is read here was found by compiling one kernel with nvcc 13.0.88 for many targets
(with and without compression) and holds for libraries made by CUDA 11.8, 12.1, 12.4, 12.6, 12.8, 12.9, 13.0 and 13.2:

- container: u32 magic, u16 version 1, u16 header bytes (16), u64 payload bytes; entries follow each other;
- entry: u16 kind (1 PTX, 2 cubin), u16 version, u32 header bytes, u64 payload bytes, u32 compressed bytes, ...;
  at 24 u16 minor and u16 major (of a PTX entry: its ISA version), at 28 u32 architecture (86 = 8.6), at 40 u64 flags;
- flags: 0x2000 LZ4, 0x8000 Zstandard; 0x100000 an architecture-specific target (sm_90a), 0x200000 a family-specific
  one (sm_120f).

Payloads are never read: entries are hopped over, so a library of 700 MB costs as much as its number of kernels.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from vramctl.formats.binary_window import BadBinary, Buffer, Window
from vramctl.records.facts import Fatbin

CONTAINER = b"\x50\xed\x55\xba\x01\x00"
_KINDS = {1: "ptx", 2: "cubin"}
_SPECIFIC, _FAMILY = 0x100000, 0x200000
_LZ4, _ZSTD = 0x2000, 0x8000
_MOST_ENTRIES = 400_000
_LONGEST_HEADER = 4096
# Where padding between two containers is longer than this, the search for the next one gives up.
_GAP = 1 << 20
_COMPILER = re.compile(rb"Cuda compilation tools, release (\d{1,3})\.(\d{1,3})")
_COMPILER_WINDOW = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fatbins:
    """All programs of a library. `containers` is how many fat binaries (source files) it holds.

    `compressions` names how payloads are packed: lz4, zstd. `compiler` is the CUDA toolkit's version where a payload
    tells it in plain text, else None.
    """

    programs: tuple[Fatbin, ...]
    containers: int
    compressions: tuple[str, ...] = ()
    compiler: tuple[int, int] | None = None


def read_fatbins(data: Buffer, start: int, size: int) -> Fatbins:
    """The programs between two offsets of a file (its `.nv_fatbin` or `.nv_fatb` section); BadBinary where there is
    something else."""
    window = Window(data)
    end = min(start + size, window.size)
    found: Counter[tuple[str, int, tuple[int, int] | None, str]] = Counter()
    packed: set[str] = set()
    containers, left, at = 0, _MOST_ENTRIES, start
    while (at := window.find(CONTAINER, at, min(at + _GAP, end))) >= 0 and left > 0:
        header, payload = window.unpack("HQ", at + 6)
        if not 16 <= header <= _LONGEST_HEADER or at + header + payload > end:
            raise BadBinary(f"a fat binary at byte {at} is longer than its section")
        seen = _entries(window, at + header, at + header + payload, left)
        left -= sum(seen.values())
        containers += 1
        for (kind, arch, isa, variant, how), count in seen.items():
            found[kind, arch, isa, variant] += count
            if how:
                packed.add(how)
        at += header + payload
    if not containers and end - start >= 16:
        raise BadBinary("its section of GPU code holds no fat binary of a known form")
    return Fatbins(
        programs=_sorted(found),
        containers=containers,
        compressions=tuple(sorted(packed)),
        compiler=_compiler(window, start, end),
    )


def _entries(
    window: Window, at: int, end: int, most: int
) -> Counter[tuple[str, int, tuple[int, int] | None, str, str]]:
    """Programs of one container: kind, architecture, ISA, variant, compression; each counted once a container."""
    seen: Counter[tuple[str, int, tuple[int, int] | None, str, str]] = Counter()
    while at < end and most > 0:
        kind, _, header, payload = window.unpack("HHIQ", at)
        if not 32 <= header <= _LONGEST_HEADER or at + header + payload > end:
            raise BadBinary(f"an entry of a fat binary at byte {at} is longer than the fat binary")
        minor, major, arch = window.unpack("HHI", at + 24)
        flags = window.unpack("Q", at + 40)[0] if header >= 48 else 0
        name = _KINDS.get(kind)
        if name is not None and arch < 10_000:
            how = "zstd" if flags & _ZSTD else "lz4" if flags & _LZ4 else ""
            seen[name, arch, (major, minor) if kind == 1 else None, _variant(flags), how] += 1
        at += header + payload
        most -= 1
    return seen


def _variant(flags: int) -> str:
    return "a" if flags & _SPECIFIC else "f" if flags & _FAMILY else ""


def _sorted(found: Counter[tuple[str, int, tuple[int, int] | None, str]]) -> tuple[Fatbin, ...]:
    rows = sorted(found.items(), key=lambda row: (row[0][0], row[0][1], row[0][3], row[0][2] or (0, 0)))
    return tuple(
        Fatbin(kind=kind, arch=divmod(arch, 10), isa=isa, count=count, variant=variant)
        for (kind, arch, isa, variant), count in rows
    )


def _compiler(window: Window, start: int, end: int) -> tuple[int, int] | None:
    """The toolkit that compiled the first uncompressed cubins, as they say themselves."""
    found = _COMPILER.search(window.part(start, min(end - start, _COMPILER_WINDOW)))
    return (int(found[1]), int(found[2])) if found else None
