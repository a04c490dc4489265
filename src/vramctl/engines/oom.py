"""Whether the kernel ended a process because memory ran out."""

from __future__ import annotations

import signal
from pathlib import Path

VMSTAT = Path("/proc/vmstat")


def oom_kills(vmstat: Path = VMSTAT) -> int | None:
    """How many processes the kernel's out-of-memory killer has ended since boot, None where it does not say (not Linux)."""
    try:
        lines = vmstat.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def was_out_of_memory(code: int, before: int | None, *, vmstat: Path = VMSTAT) -> bool:
    """Whether a process that ended with `code` was killed while that count, `before` at its start, went up."""
    now = oom_kills(vmstat)
    return code == -signal.SIGKILL and before is not None and now is not None and now > before
