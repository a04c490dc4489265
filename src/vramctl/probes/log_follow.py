"""Files that are still written: their lines as they come, through rotation, truncation and half-written lines."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from vramctl.probes.log_lines import LONGEST_LINE_BYTES, Note, finished, split_lines, unreadable

POLL_SECONDS = 0.25
_HEAD_BYTES = 1024
_READ_BYTES = 1 << 20


class Tail:
    """One file that is followed: `poll` gives what was written since the last call."""

    def __init__(self, path: str, note: Note) -> None:
        self.path = path
        self.note = note
        self.file: BinaryIO | None = None
        self.position = 0
        self.head = b""
        self.held = bytearray()
        self.lost = 0
        self.waited = False
        self.leaving = False

    def poll(self) -> list[bytes]:
        """Complete lines written since the last call; the unfinished line at the end is kept for later."""
        if self.file is None and not self._opened():
            return []
        lines = self._read()
        if lines:
            self.leaving = False
            return lines
        if not self._replaced():
            return []
        if not self.leaving:  # the writer may still finish its last line in the old file: one more look
            self.leaving = True
            return []
        lines = self.rest()
        self.note(f"{self.path}: rotated; reading the new file")
        self.close()
        return lines

    def rest(self) -> list[bytes]:
        """The unfinished line at the end, as the last of this file."""
        line = finished(self.held, self.lost)
        self.held.clear()
        self.lost = 0
        return [line.removesuffix(b"\r")] if line else []

    def close(self) -> None:
        """Leaves the file."""
        if self.file is not None:
            self.file.close()
        self.file, self.position, self.head, self.leaving = None, 0, b"", False

    def _opened(self) -> bool:
        """Whether the file is there and open now."""
        try:
            self.file = Path(self.path).open("rb", buffering=0)  # noqa: SIM115 - it stays open, `close` ends it
        except FileNotFoundError:
            if not self.waited:
                self.note(f"{self.path}: not there yet; waiting for it")
            self.waited = True
            return False
        except OSError as error:
            raise unreadable(self.path, error) from error
        return True

    def _read(self) -> list[bytes]:
        """The next complete lines; from the start again where the file was cut."""
        assert self.file is not None
        lines: list[bytes] = []
        if self._cut():
            lines = self.rest()
            self.note(f"{self.path}: truncated; reading it from its start")
            self.file.seek(0)
            self.position, self.head = 0, b""
        chunk = self.file.read(_READ_BYTES)
        if not chunk:
            return lines
        if len(self.head) < _HEAD_BYTES and self.position == len(self.head):
            self.head += chunk[: _HEAD_BYTES - len(self.head)]
        self.position += len(chunk)
        if not self.held:
            chunk = chunk.lstrip(b"\0")  # what a writer leaves that does not append, after the file was truncated
        complete, newline, unfinished = chunk.rpartition(b"\n")
        if newline:
            first, _, others = (complete + newline).partition(b"\n")
            self._hold(first)
            lines += self.rest() or [b""]
            lines += split_lines([others]) if others else []
        self._hold(unfinished)
        return lines

    def _hold(self, part: bytes) -> None:
        """Adds to the unfinished line, up to the length that lines may have."""
        room = max(LONGEST_LINE_BYTES - len(self.held), 0)
        self.held += part[:room]
        self.lost += max(len(part) - room, 0)

    def _cut(self) -> bool:
        """Whether the file lost what was read: it is shorter now, or begins with something else."""
        assert self.file is not None
        if os.fstat(self.file.fileno()).st_size < self.position:
            return True
        if not self.head:
            return False
        self.file.seek(0)
        same = self.file.read(len(self.head)) == self.head
        self.file.seek(self.position)
        return not same

    def _replaced(self) -> bool:
        """Whether the path names another file now."""
        assert self.file is not None
        try:
            there = Path(self.path).stat()
        except OSError:
            return False  # renamed, and the new one is not there yet
        here = os.fstat(self.file.fileno())
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)


def follow_files(
    paths: Sequence[str], *, note: Note, stop: threading.Event | None = None, poll_seconds: float = POLL_SECONDS
) -> Iterator[bytes]:
    """Lines of files from their start, and on as they are written, until `stop` is set or Ctrl-C.

    At the end the unfinished lines are given too.  Lines of several files come in the order in which they were found.
    """
    stop = stop or threading.Event()
    tails = [Tail(path, note) for path in paths]
    try:
        while True:
            ending = stop.is_set()
            found = False
            for tail in tails:
                lines = tail.poll()
                found = found or bool(lines) or (tail.file is not None and tail.position < _size(tail.file))
                yield from lines
            if ending and not found:
                break
            if not found:
                stop.wait(poll_seconds)
    except KeyboardInterrupt:
        pass
    finally:
        leftover = [line for tail in tails for line in tail.rest()]
        for tail in tails:
            tail.close()
    yield from leftover


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size
