"""What the NVIDIA driver says through NVML, asked in a child process: NVML may crash or hang."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from vramctl.formats.nvidia_proc import version_numbers
from vramctl.records.facts import GpuProcess, Nvml, NvmlGpu, Platform
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World
from vramctl.world.programs import run_program

TIMEOUT_SECONDS = 10.0
# Without persistence mode the driver starts one GPU after the other when NVML is first asked.
SECONDS_PER_GPU = 3.0
MODES = {
    "compute_mode": {0: "default", 1: "exclusive-thread", 2: "prohibited", 3: "exclusive-process"},
    "driver_model": {0: "wddm", 1: "tcc", 2: "mcdm"},
    "virtualization": {0: "none", 1: "passthrough", 2: "vgpu", 3: "host-vgpu", 4: "host-vsga"},
    "fabric_state": {0: "not-supported", 1: "not-started", 2: "in-progress", 3: "completed"},
    "power_source": {0: "ac", 1: "battery", 2: "undersized"},
    "recovery_action": {0: "none", 1: "reset", 2: "reboot", 3: "drain", 4: "drain-and-reset", 5: "recover-imex-domain",
                        6: "bus-reset", 7: "reboot"},
}  # fmt: skip
# NVML's "not available" for the memory of a process (Windows' WDDM).
_NO_VALUE = (1 << 64) - 1
_MOST_BYTES = 1 << 50  # no GPU has a pebibyte: a driver that says so says nothing
_NO_MIG = Absent("this GPU has no MIG")
_SHARED_MEMORY_NAMES = ("GB10", "ORIN", "THOR", "TEGRA", "XAVIER")

T = TypeVar("T")


def look_nvml(world: World, asked: Any, facts: Any) -> Nvml | Unknown | Absent:
    """What NVML says; Absent where the machine has no NVIDIA GPU and no driver for one."""
    platform = facts.fact("platform")
    if isinstance(platform, Platform) and platform.system == "macos":
        return Absent("macOS has no NVIDIA driver")
    pci = facts.fact("pci")
    count = sum(gpu.vendor == "nvidia" for gpu in pci) if isinstance(pci, tuple) else 1
    patience = TIMEOUT_SECONDS + SECONDS_PER_GPU * max(0, count - 1)
    told = world.ask("nvml", lambda: ask_nvml(timeout_seconds=patience))
    if not isinstance(told, dict):
        return told if isinstance(told, Unknown | Absent) else Unknown("NVML's answer has another form")
    error = told.get("error", "")
    if not isinstance(error, str):
        return Unknown("NVML's answer has another form")
    if error == "library-not-found" and not _might_have_one(facts):
        return Absent("this machine has no NVIDIA GPU and no NVIDIA driver")
    raw = told.get("gpus", [])
    gpus = tuple(read_gpu(one, number, world) for number, one in enumerate(raw)) if isinstance(raw, list) else ()
    return Nvml(
        error=error or (_error(raw) if not isinstance(raw, list) else ""),
        driver_version=_version(told.get("driver_version")),
        cuda_version=_cuda_version(told.get("cuda_version")),
        library_path=_take(told, "library", str) or Unknown("which file of NVML was loaded is not told"),
        init_seconds=_number(told, "init_seconds"),
        gpus=gpus,
    )


def look_gpus(world: World, asked: Any, facts: Any) -> tuple[NvmlGpu, ...] | Unknown | Absent:
    """NVML's GPUs; Absent where it lists none."""
    nvml = facts.fact("nvml")
    if not isinstance(nvml, Nvml):
        return nvml if isinstance(nvml, Unknown | Absent) else Unknown("NVML was not asked")
    if nvml.error:
        return Unknown(f"NVML: {nvml.error}")
    return nvml.gpus or Absent("the NVIDIA driver lists no GPU")


def ask_nvml(arguments: Sequence[str] | None = None, timeout_seconds: float = TIMEOUT_SECONDS) -> dict[str, Any]:
    """The child's answer; {"unknown": reason} where it crashed, hung or wrote something else."""
    if arguments is None:
        found = find_spec("pynvml")
        if found is None or found.origin is None:
            return {"unknown": "nvidia-ml-py is not installed"}
        child = Path(__file__).parent / "children" / "nvml.py"
        arguments = (sys.executable, "-I", "-S", str(child), str(Path(found.origin).parent))
    ran = run_program(arguments, timeout_seconds=timeout_seconds, output_limit=4 << 20)
    if isinstance(ran, Unknown):
        return {"unknown": ran.reason}
    if ran.timed_out:
        return {"unknown": f"NVML gave no answer within {timeout_seconds:g} s"}
    if ran.code != 0:
        return {"unknown": f"the process that asked NVML ended with {_ending(ran.code)}"}
    try:
        answer = json.loads(ran.stdout)
    except (ValueError, RecursionError):
        return {"unknown": f"NVML's answer is no JSON: {ran.stdout.strip()[:60]!r}"}
    return answer if isinstance(answer, dict) else {"unknown": "NVML's answer has another form"}


def read_gpu(raw: object, number: int, world: World) -> NvmlGpu:
    """One GPU of the dump; what is missing, an error or of another type is Unknown."""
    if not isinstance(raw, dict):
        return NvmlGpu(index=number, error=Unknown("NVML's answer on it has another form"))
    if "error" in raw:
        return NvmlGpu(index=number, error=str(raw["error"]))
    uuid = _take(raw, "uuid", str)
    name = _take(raw, "name", str)
    total, free, used, reserved, shared = _memory(raw.get("memory"), name, world)
    mig = raw.get("mig_mode")
    rows = raw.get("remapped_rows")
    mode = {key: _named(raw, key) for key in MODES}
    return NvmlGpu(
        index=_whole(raw, "index") if isinstance(raw.get("index"), int) else number,  # type: ignore[arg-type]
        name=name, uuid=uuid, pci_address=_take(raw, "pci", str),
        compute_capability=_pair(raw.get("capability"), tuple, "compute capability"),
        total_bytes=total, free_bytes=free, used_bytes=used, reserved_bytes=reserved, integrated=shared,
        processes=_processes(raw), compute_mode=mode["compute_mode"],
        mig_enabled=_NO_MIG if _error(mig) == "not-supported" else _pair(mig, lambda pair: pair[0] == 1, "MIG"),
        mig_instances=_whole(raw, "mig_instances"), persistence=_flag(raw, "persistence"), driver_model=mode["driver_model"],
        virtualization=mode["virtualization"], licensed=_licensed(raw.get("licences")), fabric_state=mode["fabric_state"],
        performance_state=_whole(raw, "performance_state"), utilization_percent=_whole(raw, "utilization_percent"),
        throttle_reasons=_whole(raw, "throttle_reasons"), temperature_celsius=_number(raw, "temperature_celsius"),
        slowdown_celsius=_number(raw, "slowdown_celsius"), power_watts=_number(raw, "power_milliwatts", 1e-3),
        power_limit_watts=_number(raw, "enforced_power_limit_milliwatts", 1e-3),
        default_power_limit_watts=_number(raw, "default_power_limit_milliwatts", 1e-3), power_source=mode["power_source"],
        sm_clock_mhz=_whole(raw, "sm_clock_mhz"), max_sm_clock_mhz=_whole(raw, "max_sm_clock_mhz"),
        memory_clock_mhz=_whole(raw, "memory_clock_mhz"), max_memory_clock_mhz=_whole(raw, "max_memory_clock_mhz"),
        link_generation=_whole(raw, "link_generation"), link_width=_whole(raw, "link_width"),
        max_link_generation=_whole(raw, "max_link_generation"), max_link_width=_whole(raw, "max_link_width"),
        replay_counter=_whole(raw, "replay_counter"), ecc_errors_uncorrected=_whole(raw, "ecc_uncorrected"),
        retired_pending=_flag(raw, "retired_pending"),
        remap_pending=_pair(rows, lambda four: bool(four[2]), "row remapping", 4),
        remap_failed=_pair(rows, lambda four: bool(four[3]), "row remapping", 4),
        recovery_action=mode["recovery_action"], display_active=_flag(raw, "display_active"),
        bar1_bytes=_whole(raw, "bar1_bytes"), error="",
    )  # fmt: skip


def _might_have_one(facts: Any) -> bool:
    """Whether an NVIDIA GPU is in the machine, or that cannot be told."""
    pci = facts.fact("pci")
    if isinstance(pci, tuple):
        if any(gpu.vendor == "nvidia" for gpu in pci):
            return True
        wsl = facts.fact("wsl")
        drivers = getattr(wsl, "drivers", ())
        return isinstance(drivers, tuple) and any(name.lower().startswith("nv") for name in drivers)
    return isinstance(pci, Unknown)


def _ending(code: int) -> str:
    """How a process ended, in words: exit code 3, SIGSEGV."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"the signal {signal.Signals(-code).name}"
    except ValueError:
        return f"the signal {-code}"


def _error(value: object) -> str:
    """The name of NVML's return code in an answer, "" where it is none."""
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, str) else ""


def _missing(raw: Mapping[str, Any], key: str) -> Unknown:
    value = raw.get(key)
    error = _error(value)
    if error:
        return Unknown(f"NVML on {key}: {error}")
    return Unknown(f"NVML was not asked for {key}" if value is None else f"NVML's answer on {key} has another form")


def _take(raw: Mapping[str, Any], key: str, kind: type[T]) -> T | Unknown:
    value = raw.get(key)
    return value if isinstance(value, kind) else _missing(raw, key)


def _whole(raw: Mapping[str, Any], key: str) -> int | Unknown:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else _missing(raw, key)


def _bytes(raw: Mapping[str, Any], key: str) -> int | Unknown:
    value = _whole(raw, key)
    return value if isinstance(value, Unknown) or value < _MOST_BYTES else Unknown(f"NVML tells {value} bytes")


def _number(raw: Mapping[str, Any], key: str, scale: float = 1.0) -> float | Unknown:
    value = raw.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
        return value * scale
    return _missing(raw, key)


def _flag(raw: Mapping[str, Any], key: str) -> bool | Unknown:
    value = raw.get(key)
    return bool(value) if isinstance(value, int) and value in {0, 1} else _missing(raw, key)


def _named(raw: Mapping[str, Any], key: str) -> str | Unknown:
    value = raw.get(key)
    known = MODES[key]
    return known[value] if isinstance(value, int) and value in known else _missing(raw, key)


def _pair(value: object, read: Callable[[tuple[int, ...]], T], what: str, length: int = 2) -> T | Unknown:
    if isinstance(value, list) and len(value) == length and all(isinstance(part, int) for part in value):
        return read(tuple(value))
    return Unknown(f"NVML on {what}: {_error(value) or 'not told'}")


def _version(value: object) -> tuple[int, ...] | Unknown:
    found = version_numbers(value) if isinstance(value, str) else None
    return found or Unknown(f"NVML on the driver's version: {_error(value) or 'not told'}")


def _cuda_version(value: object) -> tuple[int, ...] | Unknown:
    """12090 is CUDA 12.9."""
    if isinstance(value, int) and 1000 <= value < 1_000_000:
        return value // 1000, value % 1000 // 10
    return Unknown(f"NVML on CUDA's version: {_error(value) or 'not told'}")


Size = int | Unknown


def _memory(value: object, name: object, world: World) -> tuple[Size, Size, Size, Size, bool]:
    """Total, free, used and reserved bytes, and whether they are the system's memory."""
    if isinstance(value, dict) and isinstance(value.get("total"), int) and value["total"] > 0:
        total, free, used, reserved = (_bytes(value, key) for key in ("total", "free", "used", "reserved"))
        return total, free, used, reserved, _shares_memory(name)
    why = Unknown(f"NVML on memory: {_error(value) or 'not told'}")
    if _error(value) == "not-supported" and _shares_memory(name):
        total, free = (_meminfo(world, key) for key in ("MemTotal", "MemAvailable"))
        return total, free, why, why, True
    return why, why, why, why, _shares_memory(name)


def _shares_memory(name: object) -> bool:
    return isinstance(name, str) and any(word in name.upper() for word in _SHARED_MEMORY_NAMES)


def _meminfo(world: World, key: str) -> Size:
    text = world.text("/proc/meminfo")
    for line in text.splitlines() if isinstance(text, str) else ():
        words = line.split()
        if len(words) > 1 and words[0] == f"{key}:" and words[1].isdecimal():
            return int(words[1]) * 1024
    return Unknown(f"/proc/meminfo does not tell {key}")


def _licensed(value: object) -> bool | Unknown | Absent:
    """Whether every enabled feature has its licence."""
    if not isinstance(value, list):
        return Unknown(f"NVML on licences: {_error(value) or 'not told'}")
    if not value:
        return Absent("no feature of it needs a licence")
    states = [one[1] for one in value if isinstance(one, list) and len(one) == 2]
    return all(states) if states else Unknown("NVML's answer on licences has another form")


def _processes(raw: Mapping[str, Any]) -> tuple[GpuProcess, ...] | Unknown:
    """Processes that compute or draw on it, each once."""
    lists = [raw.get(key) for key in ("compute_processes", "graphics_processes")]
    if not any(isinstance(one, list) for one in lists):
        return _missing(raw, "compute_processes")
    found: dict[int, GpuProcess] = {}
    for one in (one for some in lists if isinstance(some, list) for one in some):
        pid = one.get("pid") if isinstance(one, dict) else None
        if isinstance(pid, int):
            used, name = one.get("used"), one.get("name")
            size = used if isinstance(used, int) and 0 <= used < _NO_VALUE else Unknown("the driver does not tell it")
            found[pid] = GpuProcess(
                pid=pid, name=name if isinstance(name, str) and name else Unknown("not told"), used_bytes=size
            )
    return tuple(found.values())
