"""Files that lock themselves: held shared while they are used, alone while they are written or removed.

Locks are flock's: they belong to the open file and end with it, so a crash leaves none behind.  Where a file system has
none (some network ones), everything goes on without.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


def hold_shared(descriptor: int) -> None:
    """Hold an open file so that nobody removes it; waits for one who holds it alone."""
    _lock(descriptor, fcntl.LOCK_SH)


def hold_alone(descriptor: int, *, waiting: Callable[[], None]) -> None:
    """Hold an open file alone; `waiting` is called before the first wait."""
    if not try_alone(descriptor):
        waiting()
        _lock(descriptor, fcntl.LOCK_EX)


def try_alone(descriptor: int) -> bool:
    """Hold an open file alone if nobody else holds it; whether that was so."""
    try:
        _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_still(descriptor: int, path: Path) -> bool:
    """Whether the path still names the open file: it may have been renamed or removed before it was locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def remove_unused(path: Path) -> bool:
    """Remove a file that nobody holds; whether it was."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if try_alone(descriptor) and is_still(descriptor, path):
            path.unlink()
            return True
    except OSError:  # not ours
        return False
    finally:
        os.close(descriptor)
    return False


def in_use(path: Path) -> bool:
    """Whether somebody holds the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not try_alone(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, how: int) -> None:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
