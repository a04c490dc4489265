"""The watcher over an NVML that answers from a script."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from vramctl.probes.device_watch import NvmlWatcher
from vramctl.records import Device, Unknown
from vramctl.units import GIB

GPU = Device("CUDA0", "test", 24 * GIB, 24 * GIB, "test", uuid="GPU-1")


class NVMLError(Exception):
    """As pynvml's."""


class Nvml(SimpleNamespace):
    """Answers like pynvml: `used` and `held` are set by the test."""

    NVMLError = NVMLError
    nvmlMemory_v2 = 2
    NVML_CLOCK_SM = 1
    used, held = GIB, {77: GIB}
    supports_processes = True

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str, version: int = 1) -> Any:
        return SimpleNamespace(used=self.used)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> Any:
        if not self.supports_processes:
            raise NVMLError
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in self.held.items()]

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return SimpleNamespace(gpu=93)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return 350_000

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:
        return 1980

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        return 4


def watched(nvml: Nvml) -> Any:
    with NvmlWatcher([GPU], nvml=nvml, interval_seconds=60) as watcher:
        watcher.mark("loading", pid=500)
        nvml.used, nvml.held = 6 * GIB, {77: GIB, 500: 5 * GIB}
        watcher.mark("loaded")
        watcher.mark("decode")
        return watcher.watches()[0]


def test_the_engines_own_memory_is_told_from_that_of_others() -> None:
    seen = watched(Nvml())
    assert (seen.before_bytes, seen.loaded_bytes, seen.peak_bytes) == (GIB, 6 * GIB, 6 * GIB)
    assert seen.process_bytes == seen.grown_bytes == 5 * GIB
    assert (seen.others_before_bytes, seen.others_bytes) == (GIB, 0)
    assert (seen.busy_percent, seen.power_watts, seen.sm_clock_mhz, seen.throttle_reasons) == (
        (93,),
        (350.0,),
        (1980,),
        (4,),
    )


def test_what_an_engine_that_runs_already_holds_is_not_anothers() -> None:
    nvml = Nvml()
    nvml.used, nvml.held = 6 * GIB, {77: GIB, 500: 5 * GIB}
    with NvmlWatcher([GPU], nvml=nvml, pid=500, interval_seconds=60) as watcher:
        watcher.mark("decode")
        seen = watcher.watches()[0]
    assert (seen.others_before_bytes, seen.others_bytes, seen.process_bytes) == (GIB, 0, 5 * GIB)


def test_without_a_list_of_processes_the_devices_growth_counts() -> None:
    nvml = Nvml()
    nvml.supports_processes = False
    seen = watched(nvml)
    assert isinstance(seen.process_bytes, Unknown)
    assert seen.grown_bytes == 5 * GIB


def test_without_a_gpu_nothing_is_seen() -> None:
    with NvmlWatcher([], nvml=Nvml()) as watcher:
        watcher.mark("decode")
        assert watcher.watches() == ()
