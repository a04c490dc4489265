"""Bytes of a log to its lines: decompressed, UTF-16 turned into UTF-8, and no line longer than memory allows."""

from __future__ import annotations

import bz2
import codecs
import gzip
import importlib
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from vramctl.errors import BadInput

CHUNK_BYTES = 1 << 16
LONGEST_LINE_BYTES = 4 << 20
_ZSTD_BYTES = 1 << 12
"""Little at once: 4 KiB of zstd can be 128 MiB of text."""
Note = Callable[[str], None]
_BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError)


class Unpacked(NamedTuple):
    """A stream that gives the text, the compression it had (empty for none), and what its reader raises when broken."""

    stream: Any
    packed: str
    errors: tuple[type[Exception], ...]


def lines_of(stream: Any, name: str, *, note: Note) -> Iterator[bytes]:
    """The lines of an open buffered stream, without their ends; compression and UTF-16 are told by the first bytes."""
    return chain.from_iterable(lists_of_lines(stream, name, note=note))


def lists_of_lines(stream: Any, name: str, *, note: Note) -> Iterator[list[bytes]]:
    """The same lines, in the lists in which they are read: a list costs its reader less than a generator's step a line."""
    return _split(utf8(_chunks(stream, name, note)), LONGEST_LINE_BYTES)


def _chunks(stream: Any, name: str, note: Note) -> Iterator[bytes]:
    """The stream's bytes, decompressed; what is left of a broken archive is given, and the break is noted."""
    try:
        opened, packed, errors = unpacked(stream, name)
    except OSError as error:
        raise unreadable(name, error) from error
    got = 0
    while True:
        try:
            chunk = opened.read1(CHUNK_BYTES)
        except errors as error:
            if not packed:
                raise unreadable(name, error) from error
            if not got:
                raise _broken(name, packed, error) from error
            note(f"{name}: the {packed} data break off after {got} bytes of text ({error}); what came before is used")
            return
        if not chunk:
            return
        got += len(chunk)
        yield chunk


def unpacked(stream: Any, name: str) -> Unpacked:
    """The stream that gives the text; compression is told by the first bytes, not by the name."""
    head = bytes(stream.peek(6)[:6])
    if head.startswith(b"\x1f\x8b"):
        return Unpacked(gzip.GzipFile(fileobj=stream, mode="rb"), "gzip", _BROKEN)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstd(stream, name)
    if head.startswith(b"\xfd7zXZ\0"):
        return Unpacked(lzma.LZMAFile(stream, "rb"), "xz", _BROKEN)
    if head.startswith(b"BZh"):
        return Unpacked(bz2.BZ2File(stream, "rb"), "bzip2", _BROKEN)
    return Unpacked(stream, "", (OSError,))


def _zstd(stream: Any, name: str) -> Unpacked:
    """A reader of zstd data: the standard library's (3.14), or the package zstandard's."""
    try:
        module = importlib.import_module("compression.zstd")
        return Unpacked(module.ZstdFile(stream, "rb"), "zstd", (*_BROKEN, module.ZstdError))
    except ImportError:
        pass
    try:
        module = importlib.import_module("zstandard")
    except ImportError as error:
        raise BadInput(
            "cannot-read-zstd",
            f"{name} is compressed with zstd, and nothing here can read that.",
            because=("Python's standard library reads zstd from 3.14 on", "the package zstandard is not installed"),
            fix="Install it (pip install 'vramctl[zstd]'), or pipe the text: zstd -dc FILE | vramctl explain -",
        ) from error
    return Unpacked(_ZstdFrames(stream, module), "zstd", (*_BROKEN, module.ZstdError))


class _ZstdFrames:
    """The text of zstd frames one behind the other; the package's own reader does not tell when the last one is cut."""

    def __init__(self, stream: Any, module: Any) -> None:
        self.stream = stream
        self.module = module
        self.frame: Any = None
        self.waiting = b""

    def read1(self, _size: int) -> bytes:
        """The next text; empty at the end, EOFError where the data end inside a frame."""
        while True:
            packed = self.waiting or self.stream.read1(_ZSTD_BYTES)
            self.waiting = b""
            if not packed:
                if self.frame is not None:
                    raise EOFError("the data end inside a frame")
                return b""
            if self.frame is None:
                self.frame = self.module.ZstdDecompressor().decompressobj()
            text: bytes = self.frame.decompress(packed)
            if self.frame.eof:
                self.waiting, self.frame = self.frame.unused_data, None
            if text:
                return text


def utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same text in UTF-8: UTF-16 is told by its mark, or by the zeros of its first characters."""
    decoder: codecs.IncrementalDecoder | None = None
    first = True
    for chunk in chunks:
        part = chunk
        if first:
            first = False
            encoding, skip = encoding_of(part)
            part = part[skip:]
            if encoding:
                decoder = codecs.getincrementaldecoder(encoding)("replace")
        if decoder is not None:
            part = decoder.decode(part).encode("utf-8", "replace")
        if part:
            yield part
    if decoder is not None and (part := decoder.decode(b"", True).encode("utf-8", "replace")):
        yield part


def encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding of a text by its first bytes (empty: bytes as they are) and how many bytes are its mark.

    Without a mark it is UTF-16 where at least four fifths of the even or of the odd bytes are zero, as in ASCII.
    """
    for mark, encoding in (
        (codecs.BOM_UTF8, ""),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if head.startswith(mark):
            return encoding, len(mark)
    sample = head[:1024]
    if len(sample) < 8:
        return "", 0
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        half, other = sample[start::2], sample[1 - start :: 2]
        if half.count(0) * 5 >= len(half) * 4 and other.count(0) * 5 < len(other):
            return encoding, 0
    return "", 0


def split_lines(chunks: Iterable[bytes], *, longest: int = LONGEST_LINE_BYTES) -> Iterator[bytes]:
    """Lines without LF or CR LF; of one longer than `longest` bytes the first are kept, with a mark that says so."""
    return chain.from_iterable(_split(chunks, longest))


def _split(chunks: Iterable[bytes], longest: int) -> Iterator[list[bytes]]:
    """The lines that end in each chunk."""
    held = bytearray()
    lost = 0
    for read in chunks:
        chunk = read
        if not held and chunk[:1] == b"\0":  # a log that was truncated under its writer begins with zeros
            chunk = chunk.lstrip(b"\0")
        lines = chunk.split(b"\n")
        room = max(longest - len(held), 0)
        if len(lines) == 1:
            held += chunk[:room]
            lost += max(len(chunk) - room, 0)
            continue
        last = lines.pop()
        if len(chunk) > longest:
            lines[1:] = [_bounded(line, longest) for line in lines[1:]]
        first = lines[0]
        held += first[:room]
        lines[0] = finished(held, lost + max(len(first) - room, 0))
        if b"\r" in chunk or lines[0][-1:] == b"\r":
            lines = [line[:-1] if line[-1:] == b"\r" else line for line in lines]
        yield lines
        held = bytearray(last[:longest])
        lost = max(len(last) - longest, 0)
    if held or lost:
        line = finished(held, lost)
        yield [line[:-1] if line[-1:] == b"\r" else line]


def _bounded(line: bytes, longest: int) -> bytes:
    return finished(line[:longest], max(len(line) - longest, 0))


def finished(held: bytes | bytearray, lost: int) -> bytes:
    """A line's kept bytes, with a mark where `lost` bytes are missing."""
    return bytes(held) + b" [cut: %d bytes more]" % lost if lost else bytes(held)


def unreadable(name: str, error: BaseException) -> BadInput:
    """What a user is told where a log cannot be read."""
    return BadInput(
        "log-unreadable",
        f"{name} could not be read.",
        because=(str(error) or type(error).__name__,),
        fix="Check the file's permissions and the disk, then try again.",
    )


def _broken(name: str, packed: str, error: BaseException) -> BadInput:
    return BadInput(
        "archive-broken",
        f"{name} begins like {packed} data and cannot be unpacked.",
        because=(str(error) or type(error).__name__,),
        fix="Copy or download the file again.",
    )
