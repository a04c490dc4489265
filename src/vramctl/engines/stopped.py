"""A process that somebody stopped (SIGSTOP) and that nobody lets go on: it answers nothing, and would be waited for in vain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from vramctl.records import Unknown

LOOK_SECONDS, STOPPED_SECONDS = 1.0, 10.0
STOPPED_WORDS = (
    f"the engine's process was stopped from outside (SIGSTOP) and did not go on within {STOPPED_SECONDS:g} s"
)


def is_stopped(pid: int | Unknown) -> bool:
    """Whether a process of this machine is stopped by a signal; not one that a debugger holds."""
    if isinstance(pid, Unknown):
        return False
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except (psutil.Error, OSError):
        return False


class StoppedFor:
    """Counts how long a process has been stopped, from one look to the next."""

    def __init__(self, pid: int) -> None:
        self._pid, self._seconds = pid, 0.0

    def too_long(self, since_last_look_seconds: float) -> bool:
        """Whether it has been stopped at every look of the last STOPPED_SECONDS."""
        self._seconds = self._seconds + since_last_look_seconds if is_stopped(self._pid) else 0.0
        return self._seconds >= STOPPED_SECONDS


@contextmanager
def watched(pid: int | Unknown, give_up: Callable[[str], None]) -> Iterator[None]:
    """Calls `give_up` with the reason, once and from another thread, where the process stays stopped while the block lasts."""
    if isinstance(pid, Unknown):
        yield
        return
    over, stopped = threading.Event(), StoppedFor(pid)

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            if stopped.too_long(LOOK_SECONDS):
                give_up(STOPPED_WORDS)
                return

    threading.Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        over.set()
