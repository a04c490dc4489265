"""Local files and folders: mapped, read with a bound, listed. Nothing here waits on a pipe or a device."""

from __future__ import annotations

import difflib
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vramctl.errors import BadInput

MAX_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder; `kind` is file, folder or other (pipes, devices, broken links), `size_bytes` a file's."""

    name: str
    kind: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Mapped:
    """The first bytes of a file, in memory as long as the `with` block lasts, and the whole file's size in bytes."""

    buffer: mmap.mmap | bytes
    file_bytes: int


@contextmanager
def mapped(path: str, *, limit: int) -> Iterator[Mapped]:
    """The first `limit` bytes of a regular file, mapped read-only; BadInput where that cannot be done.

    A file that changes its size meanwhile is an error at the end of the block.  (One that is cut while a page
    of it is being read ends the process by SIGBUS: no program that maps files can prevent that.)
    """
    descriptor = _open(path)
    try:
        size = os.fstat(descriptor).st_size
        if size == 0:  # cannot be mapped
            yield Mapped(b"", 0)
            return
        try:
            buffer = mmap.mmap(descriptor, min(size, limit), access=mmap.ACCESS_READ)
        except (OSError, ValueError, OverflowError) as error:
            raise _unreadable(path, error) from error
        with buffer:
            yield Mapped(buffer, size)
        now = os.fstat(descriptor).st_size
        if now != size:
            raise BadInput(
                "file-changed",
                f"{path} changed while it was read.",
                because=(f"it had {size} bytes, now {now}",),
                fix="Wait until the download or copy is complete, then try again.",
            )
    finally:
        os.close(descriptor)


def read_small(path: str, *, limit: int) -> bytes:
    """The whole of a small regular file, at most `limit` bytes; BadInput where it is larger or cannot be read."""
    descriptor = _open(path)
    try:
        parts, left = [], limit + 1
        while left > 0 and (part := os.read(descriptor, min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)
    data = b"".join(parts)
    if len(data) > limit:
        raise BadInput(
            "file-too-large",
            f"{path} is larger than such a file ever is.",
            because=(f"more than {limit} bytes",),
            fix="Check that the path names the file you mean.",
        )
    return data


def list_directory(path: str) -> tuple[Entry, ...]:
    """What a folder holds, sorted by name; BadInput where it cannot be listed."""
    entries = []
    try:
        with os.scandir(path) as scan:
            for found in scan:
                entries.append(_entry(found))
                if len(entries) > MAX_ENTRIES:
                    raise BadInput(
                        "folder-too-large",
                        f"{path} holds too many files to be a model's folder.",
                        because=(f"more than {MAX_ENTRIES} entries",),
                        fix="Give the model's own folder or file.",
                    )
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return tuple(sorted(entries, key=lambda entry: entry.name))


def kind_of(path: str) -> str:
    """`file`, `folder`, `other` (pipe, device), or `missing`; BadInput where the answer is refused."""
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def near_names(path: str) -> tuple[str, ...]:
    """Up to three existing paths whose name looks like `path`'s, best first."""
    wanted = Path(path)
    try:
        with os.scandir(wanted.parent) as scan:
            names = [entry.name for entry, _ in zip(scan, range(MAX_ENTRIES), strict=False)]
    except (OSError, ValueError):
        return ()
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(wanted.name.lower(), list(lowered), n=3, cutoff=0.6)
    return tuple(str(wanted.parent / lowered[name]) for name in close)


def _entry(found: os.DirEntry[str]) -> Entry:
    try:
        if found.is_file():
            return Entry(found.name, "file", found.stat().st_size)
        return Entry(found.name, "folder" if found.is_dir() else "other", 0)
    except OSError:
        return Entry(found.name, "other", 0)


def _open(path: str) -> int:
    """A descriptor of a regular file; never blocks on a pipe."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise BadInput(
                "not-a-file",
                f"{path} is not a regular file.",
                because=("it is a folder, a pipe, a socket or a device",),
                fix="Give the file itself.",
            )
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # swapped between the two calls
        os.close(descriptor)
        raise _unreadable(path, OSError("it was replaced while it was opened"))
    return descriptor


def _unreadable(path: str, error: Exception) -> BadInput:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        near = near_names(path)
        return BadInput(
            "file-not-found",
            f"There is no file {path}.",
            because=(f"near names: {', '.join(near)}" if near else "nothing in that folder has a similar name",),
            fix=f"Did you mean {near[0]}?" if near else "Check the path.",
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return BadInput(
        "file-not-readable",
        f"{path} cannot be read.",
        because=(reason,),
        fix="Check the path, its permissions and that its disk is mounted.",
    )
