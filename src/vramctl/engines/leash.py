"""A process that ends when its parent does: `python -m vramctl.engines.leash PARENT-PID PROGRAM ARGUMENT...`.

Linux sends SIGKILL to such a process when the thread that started it ends, even if it is stopped or busy in a driver.  So a
load must be started from a thread that outlives it.  Elsewhere this does nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with(parent: int) -> None:
    """Ends this process when `parent` ends, and now where it has ended already."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it went before the kernel was told
        os._exit(0)


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
