"""How busy the processor is with what is not ours, and whether the machine runs on its battery."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from vramctl.records import Unknown


@dataclass(frozen=True, slots=True)
class CpuUse:
    """Shares of all `cores` over some time, 0 to 1: of the watched process, and of everything else (foreign)."""

    own: float | Unknown
    foreign: float | Unknown
    seconds: float
    cores: int = 1


class CpuWatch:
    """Counts from its making; `use()` says what happened since.

    `children` counts processes of ours as well that begin and end meanwhile.
    """

    def __init__(self, pid: int | None, *, children: bool = False) -> None:
        self._pids = [pid] if pid is not None else []
        self._times = 4 if children else 2  # user, system, and those of children that were waited for
        self._start, self._busy, self._own = time.monotonic(), _busy_seconds(), self._own_seconds()

    def use(self) -> CpuUse:
        """What the processor did since this watch began."""
        seconds = time.monotonic() - self._start
        cores = psutil.cpu_count() or 1
        whole = seconds * cores
        busy, own = _busy_seconds(), self._own_seconds()
        if whole <= 0 or isinstance(own, Unknown) or isinstance(self._own, Unknown):
            reason = own if isinstance(own, Unknown) else Unknown("the process was not there at the start")
            return CpuUse(reason, reason, seconds, cores)
        mine = max(0.0, own - self._own)
        foreign = max(0.0, busy - self._busy - mine)
        return CpuUse(min(1.0, mine / whole), min(1.0, foreign / whole), seconds, cores)

    def _own_seconds(self) -> float | Unknown:
        """Processor seconds of the engine's process and of this one (which waits, and asks NVML)."""
        total = sum(psutil.Process().cpu_times()[: self._times])
        for pid in self._pids:
            try:
                total += sum(psutil.Process(pid).cpu_times()[:2])
            except psutil.Error as error:
                return Unknown(f"process {pid}: {error}")
        return total


def on_battery() -> bool | Unknown:
    """Whether the machine runs on its battery; False where it has none."""
    look = getattr(psutil, "sensors_battery", None)
    if look is None:
        return Unknown("psutil cannot ask for a battery here")
    try:
        found = look()
    except (OSError, RuntimeError, NotImplementedError) as error:
        return Unknown(str(error))
    return bool(found is not None and found.power_plugged is False)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return sum(getattr(times, name, 0.0) for name in ("user", "system", "nice", "irq", "softirq", "steal"))
