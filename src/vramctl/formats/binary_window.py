"""Bounded reads of a file's bytes, for binaries that may be cut, damaged or hostile."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from functools import cached_property

Buffer = bytes | mmap.mmap | memoryview


class BadBinary(ValueError):
    """The bytes are not what their header says; the message is a reason a person can read."""


@dataclass(frozen=True)
class Window:
    """Bytes that are never read past their end. `little` is the byte order of multi-byte numbers."""

    data: Buffer
    little: bool = True

    @cached_property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        """Numbers at an offset, by a struct layout without byte order; BadBinary where they are not all there."""
        packed = struct.Struct(("<" if self.little else ">") + layout)
        if offset < 0 or offset + packed.size > self.size:
            raise BadBinary(f"it ends before byte {offset + packed.size}")
        found: tuple[int, ...] = packed.unpack_from(self.data, offset)
        return found

    def part(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from an offset; fewer at the end."""
        if offset < 0 or offset >= self.size or count <= 0:
            return b""
        return bytes(self.data[offset : min(offset + count, self.size)])

    def name(self, offset: int, *, longest: int = 4096) -> str:
        """Text up to its zero byte, at most `longest` bytes; empty outside the file."""
        return self.part(offset, longest).partition(b"\0")[0].decode("utf-8", "replace")

    def find(self, wanted: bytes, start: int, end: int) -> int:
        """Where bytes first stand between two offsets, -1 where they do not."""
        start, end = max(start, 0), min(end, self.size)
        if start >= end:
            return -1
        if isinstance(self.data, memoryview):
            found = bytes(self.data[start:end]).find(wanted)
            return found if found < 0 else start + found
        return self.data.find(wanted, start, end)
