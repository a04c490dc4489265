"""Small ELF and PE libraries and CUDA fat binaries, made byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

FATBIN_MAGIC = 0xBA55ED50


def fatbin_entry(
    kind: int, arch: int, *, isa: tuple[int, int] = (0, 0), flags: int = 0x11, payload: bytes = b"\0" * 32
) -> bytes:
    """One program: kind 1 is PTX, 2 compiled code; `arch` 89 is 8.9."""
    head = struct.pack("<HHIQ", kind, 0x101, 64, len(payload)) + struct.pack("<IIHHI", 0, 0, isa[1], isa[0], arch)
    return (head + b"\0" * 8 + struct.pack("<Q", flags)).ljust(64, b"\0") + payload


def fatbin(*entries: bytes) -> bytes:
    """One container with these programs."""
    body = b"".join(entries)
    return struct.pack("<IHHQ", FATBIN_MAGIC, 1, 16, len(body)) + body


def elf_library(
    *,
    needed: Sequence[str] = (),
    runpath: str = "",
    rpath: str = "",
    soname: str = "",
    versions: Mapping[str, Sequence[str]] | None = None,
    sections: Mapping[str, bytes] | None = None,
    bits: int = 64,
    little: bool = True,
    machine: int = 62,
) -> bytes:
    """A shared library whose headers say this. Addresses in it are its own offsets."""
    order, wide = "<" if little else ">", bits == 64
    head_bytes, segment_bytes, section_bytes = (64, 56, 64) if wide else (52, 32, 40)
    strings = _Strings()
    dynamic = [(1, strings.add(name)) for name in needed]
    dynamic += [(29, strings.add(runpath))] if runpath else []
    dynamic += [(15, strings.add(rpath))] if rpath else []
    dynamic += [(14, strings.add(soname))] if soname else []
    needs = b""
    for number, (file, names) in enumerate((versions or {}).items()):
        last = number == len(versions or {}) - 1
        entries = b"".join(
            struct.pack(order + "IHHII", 0, 0, 0, strings.add(name), 0 if at == len(names) - 1 else 16)
            for at, name in enumerate(names)
        )
        following = 0 if last else 16 + len(entries)
        needs += struct.pack(order + "HHIII", 1, len(names), strings.add(file), 16, following) + entries
    at = head_bytes + 2 * segment_bytes
    strings_at = at
    needs_at = strings_at + len(strings.data)
    dynamic += [(0x6FFFFFFE, needs_at), (0x6FFFFFFF, len(versions))] if versions else []
    dynamic += [(5, strings_at), (0, 0)]
    dynamic_at = needs_at + len(needs)
    table = b"".join(struct.pack(order + ("qQ" if wide else "iI"), tag, value) for tag, value in dynamic)
    body = strings.data + needs + table
    names, rows, place = _Strings(), [(0, 0, 0, 0)], at + len(body)
    for name, data in (sections or {}).items():
        rows.append((names.add(name), 1, place, len(data)))
        body += data
        place += len(data)
    rows.append((names.add(".shstrtab"), 3, place, len(names.data)))
    body += names.data
    place += len(names.data)
    file_bytes = place
    headers = b"".join(_section(order, wide, *row) for row in rows)
    header = _header(order, wide, machine, little, place, len(rows), head_bytes, segment_bytes, section_bytes)
    segments = _segment(order, wide, 1, 0, file_bytes) + _segment(order, wide, 2, dynamic_at, len(table))
    return header + segments + body + headers


class _Strings:
    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


def _header(
    order: str,
    wide: bool,
    machine: int,
    little: bool,
    sections_at: int,
    count: int,
    own: int,
    segment: int,
    section: int,
) -> bytes:
    start = b"\x7fELF" + bytes([2 if wide else 1, 1 if little else 2, 1]) + b"\0" * 9
    layout = "HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"
    return start + struct.pack(
        order + layout, 3, machine, 1, 0, own, sections_at, 0, own, segment, 2, section, count, count - 1
    )


def _segment(order: str, wide: bool, kind: int, at: int, size: int) -> bytes:
    if wide:
        return struct.pack(order + "IIQQQQQQ", kind, 5, at, at, at, size, size, 8)
    return struct.pack(order + "IIIIIIII", kind, at, at, at, size, size, 5, 4)


def _section(order: str, wide: bool, name: int, kind: int, at: int, size: int) -> bytes:
    layout = "IIQQQQIIQQ" if wide else "IIIIIIIIII"
    return struct.pack(order + layout, name, kind, 0, at, at, size, 0, 0, 1, 0)


def pe_library(
    *,
    imports: Sequence[str] = (),
    delayed: Sequence[str] = (),
    sections: Mapping[str, bytes] | None = None,
    text: bytes = b"",
    wide: bool = True,
) -> bytes:
    """A DLL whose import tables name these libraries; `text` stands in its read-only data."""
    base, address = 0x180000000 if wide else 0x10000000, 0x1000
    blob = b""

    def put(data: bytes) -> int:
        nonlocal blob
        at = address + len(blob)
        blob += data
        return at

    names = {name: put(name.encode() + b"\0") for name in (*imports, *delayed)}
    directory = put(b"".join(struct.pack("<IIIII", 0, 0, 0, names[name], 0) for name in imports) + b"\0" * 20)
    late = put(b"".join(struct.pack("<IIIIIIII", 1, names[name], 0, 0, 0, 0, 0, 0) for name in delayed) + b"\0" * 32)
    put(text)
    parts = {".rdata": blob, **(sections or {})}
    directories = [(0, 0)] * 16
    directories[1] = (directory, 20) if imports else (0, 0)
    directories[13] = (late, 32) if delayed else (0, 0)
    optional = struct.pack("<HBBIIIII", 0x20B if wide else 0x10B, 14, 0, 0, 0, 0, 0, 0)
    optional += struct.pack("<Q", base) if wide else struct.pack("<II", 0, base)
    optional = optional.ljust(108 if wide else 92, b"\0") + struct.pack("<I", 16)
    optional += b"".join(struct.pack("<II", *row) for row in directories)
    table, data, offset = b"", b"", 0x400
    for name, content in parts.items():
        table += struct.pack(
            "<8sIIIIIIHHI", name.encode()[:8], len(content), address, len(content), offset, 0, 0, 0, 0, 0
        )
        data += content
        offset += len(content)
        address += (len(content) // 0x1000 + 1) * 0x1000
    coff = struct.pack("<HHIIIHH", 0x8664 if wide else 0x14C, len(parts), 0, 0, 0, len(optional), 0x2022)
    head = (b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0" + coff + optional + table).ljust(0x400, b"\0")
    return head + data
