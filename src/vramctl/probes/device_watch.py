"""The GPUs while something runs on them: memory, load, clocks and power, sampled through NVML."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, TypeVar

from vramctl.records import Device, Unknown
from vramctl.records.placement import Bytes
from vramctl.records.verification import DeviceWatch

T = TypeVar("T")

INTERVAL_SECONDS = 0.05
MOST_SAMPLES = 20_000
NO_GPU = Unknown("no GPU that NVML can watch")


class Watcher(Protocol):
    """What sees the devices: `mark` names the phase that begins now."""

    def mark(self, phase: str, *, pid: int | None = None) -> None:
        """From here on samples belong to this phase (before, loading, loaded, decode, prefill, ...)."""
        ...

    def watches(self) -> tuple[DeviceWatch, ...]:
        """What was seen so far."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment of one GPU; None where NVML does not say."""

    phase: str
    used_bytes: int | None
    process_bytes: int | None
    others_bytes: int | None
    busy_percent: int | None
    power_watts: float | None
    sm_clock_mhz: int | None
    throttle_reasons: int | None


@dataclass(slots=True)
class _Seen:
    device: Device
    handle: Any
    samples: list[Sample] = field(default_factory=list)


class NvmlWatcher:
    """Samples in a thread from `__enter__` to `__exit__`; works with no GPU too (nothing is seen).

    `pid` is the engine's process where it runs already: what it holds is not another's.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        nvml: Any = None,
        pid: int | None = None,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._nvml, self._devices, self._interval = nvml, devices, interval_seconds
        self._seen: list[_Seen] = []
        self._phase, self._pid = "before", pid
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> NvmlWatcher:
        self._open()
        if self._seen:
            self._sample()
            self._thread = threading.Thread(target=self._run, name="nvml-watcher", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
        if self._seen:
            self._call(self._nvml.nvmlShutdown)

    def mark(self, phase: str, *, pid: int | None = None) -> None:
        """Samples from now on belong to `phase`; one is taken at once."""
        with self._lock:
            self._phase = phase
            self._pid = pid if pid is not None else self._pid
        if self._seen:
            self._sample()

    def watches(self) -> tuple[DeviceWatch, ...]:
        """Every device with what was seen of it up to now."""
        return tuple(watch_of(seen.device, seen.samples) for seen in self._seen)

    def samples(self, phase: str) -> dict[str, tuple[Sample, ...]]:
        """The samples of one phase, by device name."""
        return {seen.device.name: tuple(s for s in seen.samples if s.phase == phase) for seen in self._seen}

    def _open(self) -> None:
        if self._nvml is None:
            try:
                import pynvml
            except ImportError:
                return
            self._nvml = pynvml
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError:
            return
        for device in self._devices:
            if isinstance(device.uuid, str):
                handle = self._call(functools.partial(self._nvml.nvmlDeviceGetHandleByUUID, device.uuid))
                if handle is not None:
                    self._seen.append(_Seen(device, handle))

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            phase, pid = self._phase, self._pid
        for seen in self._seen:
            if len(seen.samples) < MOST_SAMPLES:
                seen.samples.append(self._look(seen.handle, phase, pid))

    def _look(self, handle: Any, phase: str, pid: int | None) -> Sample:
        nvml = self._nvml
        memory = self._call(lambda: nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2))
        memory = memory or self._call(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        processes = self._call(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
        held = {int(p.pid): p.usedGpuMemory for p in processes or ()}
        told = {number: size for number, size in held.items() if isinstance(size, int)}
        rates = self._call(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        power = self._call(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        return Sample(
            phase=phase,
            used_bytes=int(memory.used) if memory is not None else None,
            process_bytes=told.get(pid) if pid is not None else None,
            others_bytes=sum(size for number, size in told.items() if number != pid) if processes is not None else None,
            busy_percent=int(rates.gpu) if rates is not None else None,
            power_watts=power / 1000 if power is not None else None,
            sm_clock_mhz=self._call(lambda: int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))),
            throttle_reasons=self._call(lambda: int(_reasons(nvml)(handle))),
        )

    def _call(self, question: Callable[[], Any]) -> Any:
        """The answer of one NVML call, None where it fails."""
        try:
            return question()
        except (self._nvml.NVMLError, AttributeError, TypeError, ValueError):
            return None


def _reasons(nvml: Any) -> Callable[[Any], int]:
    new = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
    found: Callable[[Any], int] = new or nvml.nvmlDeviceGetCurrentClocksThrottleReasons
    return found


def watch_of(device: Device, samples: Sequence[Sample]) -> DeviceWatch:
    """What the samples of one device come to."""
    before = [s for s in samples if s.phase == "before"]
    loaded = [s for s in samples if s.phase == "loaded"]
    after = [s for s in samples if s.phase != "before"]
    decode = [s for s in samples if s.phase == "decode"]
    return DeviceWatch(
        name=device.name,
        total_bytes=device.total_bytes,
        before_bytes=_bytes([s.used_bytes for s in before], "before the load"),
        loaded_bytes=_bytes([s.used_bytes for s in loaded], "after the load"),
        peak_bytes=_bytes([s.used_bytes for s in after], "while it ran"),
        process_bytes=_bytes([s.process_bytes for s in after], "of the engine's process: the driver does not say"),
        others_before_bytes=_bytes([s.others_bytes for s in before], "of other processes: the driver does not say"),
        others_bytes=_grown([s.others_bytes for s in samples]),
        busy_percent=_all([s.busy_percent for s in decode]),
        power_watts=_all([s.power_watts for s in decode]),
        sm_clock_mhz=_all([s.sm_clock_mhz for s in decode]),
        throttle_reasons=_all([s.throttle_reasons for s in decode]),
    )


def _bytes(values: Sequence[int | None], what: str) -> Bytes:
    told = [value for value in values if value is not None]
    return max(told) if told else Unknown(f"not seen {what}")


def _grown(values: Sequence[int | None]) -> Bytes:
    told = [value for value in values if value is not None]
    return told[-1] - told[0] if told else Unknown("the driver does not say what other processes hold")


def _all(values: Sequence[T | None]) -> tuple[T, ...] | Unknown:
    told = tuple(value for value in values if value is not None)
    return told or Unknown("no sample while decoding")
