"""Windows programs and DLLs (PE) as their headers say: imports, delayed imports, sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vramctl.formats.binary_window import BadBinary, Buffer, Window

MAGIC = b"MZ"
_MACHINES = {0x8664: "x86-64", 0x14C: "x86", 0xAA64: "aarch64", 0xA641: "arm64ec"}
_IMPORTS, _DELAYED = 1, 13
_MOST_SECTIONS, _MOST_IMPORTS = 96, 1024  # Windows loads no more than 96 sections


@dataclass(frozen=True, slots=True, kw_only=True)
class Pe:
    """What Windows' loader would read. `sections` maps a name (cut to 8 bytes by the format) to offset and size in
    bytes; `delayed` are imports that are looked for on first use."""

    bits: int
    machine: str
    imports: tuple[str, ...] = ()
    delayed: tuple[str, ...] = ()
    sections: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    address: int
    memory_bytes: int
    offset: int
    file_bytes: int


def read_pe(data: Buffer) -> Pe:
    """The headers of a PE file; BadBinary where the bytes are none, or are damaged where they are needed."""
    window = Window(data)
    if window.part(0, 2) != MAGIC:
        raise BadBinary("it is no PE file")
    (at,) = window.unpack("I", 60)
    if window.part(at, 4) != b"PE\0\0":
        raise BadBinary("it is an MS-DOS program, no PE file")
    machine, count, _, _, _, optional_bytes, _ = window.unpack("HHIIIHH", at + 4)
    optional = at + 24
    (magic,) = window.unpack("H", optional)
    if magic not in (0x10B, 0x20B):
        raise BadBinary("its optional header has an unknown form")
    wide = magic == 0x20B
    directories = optional + (112 if wide else 96)
    (number,) = window.unpack("I", directories - 4)
    sections = tuple(_sections(window, optional + optional_bytes, count))
    base = window.unpack("Q", optional + 24)[0] if wide else window.unpack("I", optional + 28)[0]

    def directory(index: int) -> int:
        return window.unpack("I", directories + index * 8)[0] if index < number else 0

    return Pe(
        bits=64 if wide else 32,
        machine=_MACHINES.get(machine, f"machine {machine:#x}"),
        imports=tuple(dict.fromkeys(_imported(window, sections, directory(_IMPORTS)))),
        delayed=tuple(dict.fromkeys(_imported_late(window, sections, directory(_DELAYED), base))),
        sections={section.name: (section.offset, section.file_bytes) for section in reversed(sections)},
    )


def _sections(window: Window, at: int, count: int) -> Iterator[_Section]:
    for number in range(min(count, _MOST_SECTIONS)):
        place = at + number * 40
        memory_bytes, address, file_bytes, offset = window.unpack("IIII", place + 8)
        yield _Section(window.name(place, longest=8), address, memory_bytes, offset, file_bytes)


def _offset(sections: tuple[_Section, ...], address: int) -> int | None:
    """Where an address relative to the image's base stands in the file."""
    for section in sections:
        if section.address <= address < section.address + max(section.file_bytes, section.memory_bytes):
            inside = address - section.address
            return section.offset + inside if inside < section.file_bytes else None
    return None


def _name(window: Window, sections: tuple[_Section, ...], address: int) -> str:
    offset = _offset(sections, address)
    return "" if offset is None else window.name(offset, longest=256)


def _imported(window: Window, sections: tuple[_Section, ...], address: int) -> Iterator[str]:
    """Names of the import directory: 20 bytes an entry, the name's address fourth, ended by zeros."""
    at = _offset(sections, address) if address else None
    for number in range(_MOST_IMPORTS if at is not None else 0):
        entry = window.unpack("IIIII", (at or 0) + number * 20)
        if entry[3] == 0:
            return
        if name := _name(window, sections, entry[3]):
            yield name


def _imported_late(window: Window, sections: tuple[_Section, ...], address: int, base: int) -> Iterator[str]:
    """Names of the delay-import directory: 32 bytes an entry; old linkers wrote absolute addresses (attribute 0)."""
    at = _offset(sections, address) if address else None
    for number in range(_MOST_IMPORTS if at is not None else 0):
        attributes, name_at, *_ = window.unpack("IIIIIIII", (at or 0) + number * 32)
        if name_at == 0:
            return
        if name := _name(window, sections, name_at if attributes & 1 else name_at - base):
            yield name
