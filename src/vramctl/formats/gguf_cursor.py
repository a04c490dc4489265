"""A checked walk through a GGUF header: numbers, texts and names, each compared with the file before use.

The bounds here are what keeps a hostile header cheap; real models stay far below them.
"""

from __future__ import annotations

import mmap
import re
import struct
from functools import cache
from itertools import repeat
from typing import Literal, NoReturn

from vramctl.errors import BadInput
from vramctl.units import format_bytes

Buffer = bytes | bytearray | memoryview | mmap.mmap
ByteOrder = Literal["little", "big"]

MAX_HEADER_BYTES = 128 << 20  # the largest seen is below 32 MiB (a vocabulary of 500k tokens)
MAX_KEYS = 65536  # the largest seen is about 100
MAX_TENSORS = 65536  # DeepSeek R1 with every expert on its own has 47k
MAX_STRINGS = 4 << 20  # in all arrays together; a Llama 3 header has 408k
MAX_TUPLE = 4096  # longer arrays are counted, not read
MAX_KEPT_ELEMENTS = 1 << 20  # in all tuples together
MAX_KEPT_TEXT = 1 << 20  # of one string value; longer ones are counted, not read
MAX_KEPT_TEXTS = 16 << 20
MAX_KEY_BYTES = 65535
MAX_NAME_BYTES = 255  # llama.cpp refuses 64 and more, other users of ggml allow 127

AGAIN = "Download or convert the file again and compare its size and checksum with the publisher's."


class MoreBytesNeeded(Exception):
    """The buffer ends inside the header while the file goes on: `at_least` bytes from its start are needed."""

    def __init__(self, at_least: int) -> None:
        super().__init__(f"at least {at_least} bytes of the file are needed")
        self.at_least = at_least


class Cursor:
    """A position in the buffer; every step is checked against the buffer and against the file."""

    __slots__ = ("_structs", "buffer", "end", "file_bytes", "offset", "order", "strings", "where")

    def __init__(self, buffer: Buffer, file_bytes: int, where: str) -> None:
        self.buffer = buffer
        self.file_bytes = file_bytes
        self.where = where
        self.offset = 0
        self.strings = 0
        self.end = min(len(buffer), file_bytes, MAX_HEADER_BYTES)
        self.set_order("little")

    def set_order(self, order: ByteOrder) -> None:
        """Read numbers in this byte order from here on."""
        self.order = "<" if order == "little" else ">"
        self._structs: dict[str, struct.Struct] = {}

    def unpacker(self, letters: str) -> struct.Struct:
        """The compiled layout of `letters` in the file's byte order."""
        found = self._structs.get(letters)
        if found is None:
            found = self._structs[letters] = struct.Struct(self.order + letters)
        return found

    def advance(self, count: int, what: str) -> int:
        """The offset before a step of `count` bytes; raises where the file or the buffer ends before it."""
        start = self.offset
        stop = start + count
        if stop > self.end:
            self.short(stop, what)
        self.offset = stop
        return start

    def short(self, stop: int, what: str) -> NoReturn:
        """Raises: `what` would end at byte `stop`, which the file, the header's bound or the buffer lacks."""
        if stop > self.file_bytes:
            self.bad(
                "gguf-truncated",
                f"{self.where} is cut short or corrupt: {what} would end past the end of the file.",
                because=(f"{what} ends at byte {stop}", f"the file has {self.file_bytes} bytes"),
                fix=AGAIN,
            )
        if stop > MAX_HEADER_BYTES:
            self.bad(
                "gguf-header-too-large",
                f"{self.where} has a header of more than {format_bytes(MAX_HEADER_BYTES)}: {what} is there.",
                because=(f"{what} ends at byte {stop}", "headers of real models are below 32 MiB"),
                fix=AGAIN,
            )
        raise MoreBytesNeeded(stop)

    def bad(self, code: str, what: str, *, because: tuple[str, ...], fix: str) -> NoReturn:
        """Raises BadInput."""
        raise BadInput(code, what, because=because, fix=fix)

    def number(self, letter: str, what: str) -> int:
        """The next number."""
        layout = self.unpacker(letter)
        start = self.advance(layout.size, what)
        value: int = layout.unpack_from(self.buffer, start)[0]
        return value

    def text(self, what: str, limit: int) -> bytes:
        """The next length-prefixed string, of at most `limit` bytes."""
        length = self.number("Q", f"the length of {what}")
        if length > limit:
            if self.offset + length > self.file_bytes:
                self.short(self.offset + length, what)
            self.bad(
                "gguf-bad-length",
                f"{self.where} is corrupt: {what} claims a length of {length} bytes.",
                because=(f"at byte {self.offset - 8}", f"at most {limit} bytes are sensible there"),
                fix=AGAIN,
            )
        start = self.advance(length, what)
        return bytes(self.buffer[start : start + length])

    def name(self, code: str, what: str, limit: int) -> str:
        """The next string as a key or tensor name; raises `code` where it is empty or not UTF-8."""
        raw = self.text(what, limit)
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            name = ""
        if not name or "\0" in name:
            self.bad(
                code,
                f"{self.where} is corrupt: {what} is no name.",
                because=(f"it reads {raw[:40]!r} (byte {self.offset - len(raw)})",),
                fix=AGAIN,
            )
        return name

    def skip_strings(self, count: int, what: str) -> None:
        """Steps over `count` length-prefixed strings: the one hot loop, 408k steps for a Llama 3 header."""
        if self.offset + 8 * count > self.file_bytes:
            self.short(self.offset + 8 * count, what)
        self.strings += count
        if self.strings > MAX_STRINGS:
            self.bad(
                "gguf-too-many-strings",
                f"{self.where} is corrupt: it claims {self.strings} strings in arrays.",
                because=(f"{what}", f"more than {MAX_STRINGS} in one header are not read"),
                fix=AGAIN,
            )
        offset, buffer, unpack = self.offset, self.buffer, self.unpacker("Q").unpack_from
        runs, rest = divmod(count, _RUN) if self.order == "<" else (0, count)
        match = _run_of_short_strings().match
        try:
            for _ in repeat(None, runs):
                if found := match(buffer, offset):
                    offset = found.end()
                    continue
                for _ in repeat(None, _RUN):
                    offset += 8 + unpack(buffer, offset)[0]
            for _ in repeat(None, rest):
                offset += 8 + unpack(buffer, offset)[0]
        except (struct.error, OverflowError):  # the length field at `offset` is outside the buffer
            self.short(offset + 8, what)
        if offset > self.end:
            self.short(offset, what)
        self.offset = offset


_RUN = 256  # strings stepped over by one match


@cache
def _run_of_short_strings() -> re.Pattern[bytes]:
    """A pattern that matches exactly `_RUN` strings in a row, each of fewer than 64 bytes, little-endian lengths.

    An alternative a length: its low byte, seven zero bytes, and as many bytes as it says.  At most one can match
    at a place, so a match is a true walk; where there is none (a longer string) the caller steps by itself.  Twice as
    fast as stepping; usual lengths come first.
    """
    usual_first = sorted(range(64), key=lambda length: abs(length - 9))
    ways = (b"\\x%02x" % n + rb"\0\0\0\0\0\0\0" + (b".{%d}" % n if n else b"") for n in usual_first)
    return re.compile(b"(?:%s){%d}" % (b"|".join(ways), _RUN), re.DOTALL)


def quoted(name: str) -> str:
    """A name from the file, safe to print: escaped and cut to 64 characters."""
    return repr(name if len(name) <= 64 else name[:61] + "...")
