"""ELF shared libraries and programs as their headers say: imports, search paths, symbol versions, sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vramctl.formats.binary_window import BadBinary, Buffer, Window

MAGIC = b"\x7fELF"
_MACHINES = {3: "x86", 40: "arm", 62: "x86-64", 183: "aarch64", 243: "riscv64", 21: "ppc64le", 258: "loongarch64"}
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRTAB, _SONAME, _RPATH, _RUNPATH = 1, 5, 14, 15, 29
_VERNEED, _VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
# Bounds for what a real library has: the largest seen has 90 imports, 60 sections, 40 version needs.
_MOST_HEADERS, _MOST_DYNAMIC, _MOST_NEEDED, _MOST_VERSIONS = 4096, 8192, 1024, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """What the loader would read. `versions` are the symbol versions it asks for (GLIBC_2.34, GLIBCXX_3.4.29, ...).

    `sections` maps a name to its offset and size in bytes (the first of that name); empty where they were stripped.
    """

    bits: int
    machine: str
    soname: str = ""
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    versions: frozenset[str] = frozenset()
    sections: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    file_bytes: int


def read_elf(data: Buffer) -> Elf:
    """The headers of an ELF file; BadBinary where the bytes are none, or are damaged where they are needed."""
    head = bytes(data[:20])
    if len(head) < 20 or head[:4] != MAGIC or head[4] not in (1, 2) or head[5] not in (1, 2):
        raise BadBinary("it is no ELF file")
    window = Window(data, little=head[5] == 1)
    wide = head[4] == 2
    (machine,) = window.unpack("H", 18)
    segments = tuple(_segments(window, wide))
    found = _dynamic(window, wide, segments)
    strings = _offset(segments, found.get(_STRTAB, (0,))[0])
    interpreter = next((window.name(s.offset) for s in segments if s.kind == _INTERPRETER), "")

    def texts(tag: int) -> tuple[str, ...]:
        if strings is None:
            return ()
        return tuple(name for at in found.get(tag, ()) if (name := window.name(strings + at)))

    return Elf(
        bits=64 if wide else 32,
        machine=_MACHINES.get(machine, f"machine {machine}"),
        soname=next(iter(texts(_SONAME)), ""),
        interpreter=interpreter,
        needed=texts(_NEEDED),
        rpath=_paths(texts(_RPATH)),
        runpath=_paths(texts(_RUNPATH)),
        versions=frozenset(_versions(window, segments, found, strings)),
        sections=_sections(window, wide),
    )


def _paths(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(path for text in texts for path in text.split(":") if path)


def _segments(window: Window, wide: bool) -> Iterator[_Segment]:
    start, size, count = (
        (window.unpack("Q", 32)[0], *window.unpack("HH", 54))
        if wide
        else (window.unpack("I", 28)[0], *window.unpack("HH", 42))
    )
    if size < (56 if wide else 32):
        return
    for number in range(min(count, _MOST_HEADERS)):
        at = start + number * size
        if wide:
            kind, _, offset, address, _, file_bytes = window.unpack("IIQQQQ", at)
        else:
            kind, offset, address, _, file_bytes = window.unpack("IIIII", at)
        yield _Segment(kind, offset, address, file_bytes)


def _offset(segments: tuple[_Segment, ...], address: int) -> int | None:
    """Where an address of the loaded file stands in the file."""
    for segment in segments:
        if segment.kind == _LOAD and segment.address <= address < segment.address + segment.file_bytes:
            return segment.offset + address - segment.address
    return None


def _dynamic(window: Window, wide: bool, segments: tuple[_Segment, ...]) -> dict[int, tuple[int, ...]]:
    """The dynamic section: values by tag."""
    found: dict[int, tuple[int, ...]] = {}
    size, layout = (16, "qQ") if wide else (8, "iI")
    for segment in segments:
        if segment.kind != _DYNAMIC:
            continue
        for number in range(min(segment.file_bytes // size, _MOST_DYNAMIC)):
            tag, value = window.unpack(layout, segment.offset + number * size)
            if tag == 0:
                break
            if len(found.get(tag, ())) < _MOST_NEEDED:
                found[tag] = (*found.get(tag, ()), value)
    return found


def _versions(
    window: Window, segments: tuple[_Segment, ...], found: Mapping[int, tuple[int, ...]], strings: int | None
) -> Iterator[str]:
    """Names of the symbol versions that it needs of other libraries."""
    at = _offset(segments, found.get(_VERNEED, (0,))[0]) if _VERNEED in found else None
    if at is None or strings is None:
        return
    left = _MOST_VERSIONS
    for _ in range(min(found.get(_VERNEEDNUM, (0,))[0], _MOST_VERSIONS)):
        _, count, _, first, following = window.unpack("HHIII", at)
        entry = at + first
        for _ in range(count):
            left -= 1
            if left < 0:
                return
            _, _, _, name, next_entry = window.unpack("IHHII", entry)
            yield window.name(strings + name, longest=256)
            if next_entry == 0:
                break
            entry += next_entry
        if following == 0:
            return
        at += following


def _sections(window: Window, wide: bool) -> dict[str, tuple[int, int]]:
    """Offset and size of each section by name; empty where there is no section table (or a damaged one)."""
    try:
        start = window.unpack("Q", 40)[0] if wide else window.unpack("I", 32)[0]
        size, count, names = window.unpack("HHH", 58 if wide else 46)
        if start == 0 or count == 0 or names >= count:
            return {}
        table = [_section(window, wide, start + number * size) for number in range(min(count, _MOST_HEADERS))]
        at = table[names][1]
        found: dict[str, tuple[int, int]] = {}
        for name, offset, length in table:
            found.setdefault(window.name(at + name, longest=128), (offset, length))
    except (BadBinary, IndexError):
        return {}
    return found


def _section(window: Window, wide: bool, at: int) -> tuple[int, int, int]:
    """Name's place, offset, size in the file (0 for a section without bytes)."""
    if wide:
        name, kind, _, _, offset, size = window.unpack("IIQQQQ", at)
    else:
        name, kind, _, _, offset, size = window.unpack("IIIIII", at)
    return name, offset, 0 if kind == 8 else size
