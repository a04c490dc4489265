"""Large files written at the disk's speed: in big aligned blocks, past the page cache where the system can.

Real blocks, one after the other: a sparse file's holes would all be read from one page of zeros, and reflinked copies from
one place of the disk, so that neither memory nor disk would be as busy as with the model.  Writing past the cache
(O_DIRECT) leaves other programs' cached files alone and no write-back behind that would disturb a measurement.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from vramctl.records import Unknown

_STAGE_BYTES = 8 << 20
_ALIGNMENT = 4096
_PROBE_BYTES = 64 << 20
_DIRECT = getattr(os, "O_DIRECT", 0)
_PLAIN = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

Progress = Callable[[int, int], None]  # bytes done, bytes in all


def write_all(descriptor: int, pieces: Iterable[memoryview], *, file_bytes: int, progress: Progress) -> None:
    """Fill an open, empty file with the pieces and wait until they are on the disk; OSError where that fails."""
    with mmap.mmap(-1, _STAGE_BYTES) as stage:
        direct = _set_direct(descriptor, on=True)
        used = done = 0
        for piece in pieces:
            rest = piece
            while rest:
                part = rest[: _STAGE_BYTES - used]
                stage[used : used + len(part)] = part
                used += len(part)
                rest = rest[len(part) :]
                if used == _STAGE_BYTES:
                    direct = _flush(descriptor, stage, used, done, direct=direct)
                    done, used = done + used, 0
                    progress(min(done, file_bytes), file_bytes)
        if used:
            whole = -(-used // _ALIGNMENT) * _ALIGNMENT
            stage[used:whole] = bytes(whole - used)
            _flush(descriptor, stage, whole, done, direct=direct)
    os.ftruncate(descriptor, file_bytes)
    os.fsync(descriptor)
    progress(file_bytes, file_bytes)


def write_speed(folder: Path) -> float | Unknown:
    """How many bytes a second this folder's disk takes, tried with 64 MiB that are removed again; Unknown where it fails."""
    block = memoryview(os.urandom(1 << 20) * 8)
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            started = time.perf_counter()
            write_all(file.fileno(), [block] * (_PROBE_BYTES // len(block)), file_bytes=_PROBE_BYTES, progress=_ignore)
            return _PROBE_BYTES / (time.perf_counter() - started)
    except OSError as error:
        return Unknown(f"a trial of {_PROBE_BYTES >> 20} MiB failed: {error.strerror}")


def _ignore(done: int, total: int) -> None:
    """Tell nobody."""


def _set_direct(descriptor: int, *, on: bool) -> bool:
    """Whether the file is now written past the cache: where it is asked for and the file system can."""
    if not _DIRECT:
        return False
    import fcntl

    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | _DIRECT if on else flags & ~_DIRECT)
    except OSError:
        return False
    return on


def _flush(descriptor: int, stage: mmap.mmap, length: int, at: int, *, direct: bool) -> bool:
    """Write the stage's first bytes at `at`; whether the next ones can be written past the cache as well."""
    start = 0
    with memoryview(stage) as view:
        while start < length:
            try:
                with view[start:length] as part:
                    start += os.pwrite(descriptor, part, at + start)
            except OSError as error:
                if not direct or error.errno not in (errno.EINVAL, errno.ENOTSUP):
                    raise
                direct = _set_direct(descriptor, on=False)
            else:
                if direct and start % _ALIGNMENT:  # cut short: what follows is not aligned any more
                    direct = _set_direct(descriptor, on=False)
    return direct


def open_new(path: Path) -> int:
    """A descriptor of the file, made where it is not there; what it holds stays."""
    return os.open(path, _PLAIN | os.O_CREAT, 0o666)
