"""A program of its own: writes what NVML says as JSON. It is started with the folder of pynvml as its argument, and
imports nothing else that is not Python's own: NVML may crash or hang, and must not take the caller with it."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Where NVML lies when the loader does not know it: WSL, GKE, NixOS, Debian.
FOLDERS = (
    "/usr/lib/wsl/lib", "/usr/local/nvidia/lib64", "/run/opengl-driver/lib", "/usr/lib/x86_64-linux-gnu/nvidia/current",
)  # fmt: skip
MOST_GPUS, MOST_PROCESSES = 64, 256
RECOVERY_ACTION_FIELD = 230


def dump(nvml: Any) -> dict[str, Any]:
    """All that NVML says; a call that failed is {"error": name of the return code}."""
    names = {
        getattr(nvml, name): name.removeprefix("NVML_ERROR_").lower().replace("_", "-")
        for name in dir(nvml)
        if name.startswith("NVML_ERROR_")
    }

    def ask(question: Callable[[], Any]) -> Any:
        try:
            return question()
        except nvml.NVMLError as error:
            return {"error": names.get(getattr(error, "value", None), "unknown")}
        except Exception as error:  # an old driver, or no NVML at all: what one call does must not end the others
            return {"error": f"{type(error).__name__}: {error}"[:300]}

    started = time.monotonic()
    failed = ask(nvml.nvmlInit)
    if isinstance(failed, dict) and failed["error"] == "library-not-found":
        found = _preload()
        failed = ask(nvml.nvmlInit) if found else failed
    told = {"init_seconds": round(time.monotonic() - started, 3), "library": _library()}
    if isinstance(failed, dict):
        return {**told, "error": failed["error"]}
    told["driver_version"] = ask(nvml.nvmlSystemGetDriverVersion)
    told["cuda_version"] = ask(nvml.nvmlSystemGetCudaDriverVersion_v2)
    count = ask(nvml.nvmlDeviceGetCount)
    told["gpus"] = (
        [_gpu(nvml, ask, index) for index in range(min(count, MOST_GPUS))] if isinstance(count, int) else count
    )
    return told


def _gpu(nvml: Any, ask: Callable[[Callable[[], Any]], Any], index: int) -> dict[str, Any]:
    handle = ask(lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    if isinstance(handle, dict):
        return {"index": index, **handle}
    return {"index": index, **{name: ask(question) for name, question in _questions(nvml, handle)}}


def _questions(nvml: Any, h: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every question to one GPU, with the name of its answer."""
    for name, call in (
        ("name", "Name"), ("uuid", "UUID"), ("capability", "CudaComputeCapability"), ("compute_mode", "ComputeMode"),
        ("mig_mode", "MigMode"), ("persistence", "PersistenceMode"), ("driver_model", "CurrentDriverModel"),
        ("virtualization", "VirtualizationMode"), ("performance_state", "PerformanceState"), ("power_milliwatts", "PowerUsage"),
        ("enforced_power_limit_milliwatts", "EnforcedPowerLimit"),
        ("default_power_limit_milliwatts", "PowerManagementDefaultLimit"),
        ("power_source", "PowerSource"), ("link_generation", "CurrPcieLinkGeneration"), ("link_width", "CurrPcieLinkWidth"),
        ("max_link_generation", "MaxPcieLinkGeneration"), ("max_link_width", "MaxPcieLinkWidth"),
        ("replay_counter", "PcieReplayCounter"),
        ("retired_pending", "RetiredPagesPendingStatus"), ("display_active", "DisplayActive"),
    ):  # fmt: skip
        yield name, lambda call=call: _plain(getattr(nvml, f"nvmlDeviceGet{call}")(h))  # type: ignore[misc]
    yield "pci", lambda: _plain(nvml.nvmlDeviceGetPciInfo(h).busId)
    yield "memory", lambda: _memory(nvml, h)
    yield "bar1_bytes", lambda: nvml.nvmlDeviceGetBAR1MemoryInfo(h).bar1Total
    yield "utilization_percent", lambda: nvml.nvmlDeviceGetUtilizationRates(h).gpu
    yield "throttle_reasons", lambda: _throttle(nvml, h)
    yield "temperature_celsius", lambda: nvml.nvmlDeviceGetTemperature(h, nvml.NVML_TEMPERATURE_GPU)
    yield (
        "slowdown_celsius",
        lambda: nvml.nvmlDeviceGetTemperatureThreshold(h, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
    )
    for name, kind in (("sm", nvml.NVML_CLOCK_SM), ("memory", nvml.NVML_CLOCK_MEM)):
        yield f"{name}_clock_mhz", lambda kind=kind: nvml.nvmlDeviceGetClockInfo(h, kind)  # type: ignore[misc]
        yield f"max_{name}_clock_mhz", lambda kind=kind: nvml.nvmlDeviceGetMaxClockInfo(h, kind)  # type: ignore[misc]
    yield (
        "ecc_uncorrected",
        lambda: nvml.nvmlDeviceGetTotalEccErrors(h, 1, 0),
    )  # uncorrected, since the driver was loaded
    yield "remapped_rows", lambda: list(nvml.nvmlDeviceGetRemappedRows(h))
    yield "recovery_action", lambda: _field(nvml, h, RECOVERY_ACTION_FIELD)
    yield "fabric_state", lambda: _fabric(nvml, h)
    yield "licences", lambda: _licences(nvml, h)
    yield "mig_instances", lambda: _mig_instances(nvml, h)
    for name, call in (("compute_processes", "Compute"), ("graphics_processes", "Graphics")):
        yield name, lambda call=call: _processes(nvml, h, call)  # type: ignore[misc]


def _memory(nvml: Any, h: Any) -> dict[str, Any]:
    """Bytes; `reserved` is what the driver keeps for itself."""
    version = getattr(nvml, "nvmlMemory_v2", None)
    if version is not None:
        try:
            found = nvml.nvmlDeviceGetMemoryInfo(h, version=version)
            return {"total": found.total, "free": found.free, "used": found.used, "reserved": found.reserved}
        except nvml.NVMLError:
            pass  # an older driver knows the first form only
    found = nvml.nvmlDeviceGetMemoryInfo(h)
    return {"total": found.total, "free": found.free, "used": found.used}


def _throttle(nvml: Any, h: Any) -> Any:
    """The mask of reasons; its call was renamed in driver 535."""
    try:
        return nvml.nvmlDeviceGetCurrentClocksEventReasons(h)
    except (nvml.NVMLError, AttributeError):
        return nvml.nvmlDeviceGetCurrentClocksThrottleReasons(h)


def _field(nvml: Any, h: Any, number: int) -> Any:
    value = nvml.nvmlDeviceGetFieldValues(h, [number])[0]
    if value.nvmlReturn != 0:
        raise nvml.NVMLError(value.nvmlReturn)
    return value.value.uiVal


def _fabric(nvml: Any, h: Any) -> Any:
    found = nvml.c_nvmlGpuFabricInfo_t()
    nvml.nvmlDeviceGetGpuFabricInfo(h, ctypes.byref(found))
    return found.state


def _licences(nvml: Any, h: Any) -> list[Any]:
    """Whether each licensable feature that is enabled has its licence: [feature, licensed]."""
    found = nvml.nvmlDeviceGetGridLicensableFeatures(h)
    features = found.gridLicensableFeatures[: found.licensableFeaturesCount]
    return [[int(one.featureCode), int(one.featureState)] for one in features if one.featureEnabled]


def _mig_instances(nvml: Any, h: Any) -> int:
    if nvml.nvmlDeviceGetMigMode(h)[0] != 1:
        return 0
    found = 0
    for slot in range(nvml.nvmlDeviceGetMaxMigDeviceCount(h)):
        try:
            nvml.nvmlDeviceGetMigDeviceHandleByIndex(h, slot)
        except nvml.NVMLError:
            continue
        found += 1
    return found


def _processes(nvml: Any, h: Any, kind: str) -> list[dict[str, Any]]:
    found = []
    try:
        running = getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses")(h)
    except nvml.NVMLLibraryMismatchError:  # drivers before 510 know the older form of the call only
        running = getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses_v2")(h)
    for process in running[:MOST_PROCESSES]:
        try:
            name = _plain(nvml.nvmlSystemGetProcessName(process.pid))
        except nvml.NVMLError:
            name = ""
        found.append({"pid": process.pid, "name": name, "used": process.usedGpuMemory})
    return found


def _preload() -> bool:
    """Whether NVML was found in a folder that the loader does not search; loaded, its name then resolves to it."""
    for folder in FOLDERS:
        try:
            ctypes.CDLL(f"{folder}/libnvidia-ml.so.1", mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return True
    return False


def _library() -> str:
    """The file of NVML that this process loaded, "" where it cannot be told."""
    try:
        with Path("/proc/self/maps").open(encoding="utf-8", errors="replace") as maps:
            return next((line.split(maxsplit=5)[5].strip() for line in maps if "libnvidia-ml" in line), "")
    except (OSError, IndexError):
        return ""


def _plain(value: Any) -> Any:
    """Text for bytes, a list for a pair."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return list(value) if isinstance(value, tuple) else value


def main(folder: str) -> None:
    """Write the answer to the standard output that was given; what libraries print goes to the standard error."""
    stream = os.dup(1)
    os.dup2(2, 1)
    sys.path.insert(0, folder)
    try:
        import pynvml
    except ImportError as missing:
        answer: dict[str, Any] = {"unknown": f"nvidia-ml-py cannot be imported: {missing}"}
    else:
        answer = dump(pynvml)
    with os.fdopen(stream, "w", encoding="utf-8") as out:
        out.write(json.dumps(answer, default=repr) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
