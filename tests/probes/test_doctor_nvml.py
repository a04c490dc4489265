"""NVML in a child process: its crash, hang or garbage is an observation, and its dump is read with distrust."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from answers import answers_of, world
from vramctl.doctor.facts import Asked, MachineFacts
from vramctl.doctor.looks import LOOKS
from vramctl.probes import doctor_nvml
from vramctl.probes.children import nvml as child
from vramctl.records.facts import Nvml, NvmlGpu
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = (
    "index", "name", "uuid", "pci", "capability", "memory", "mig_mode", "mig_instances", "throttle_reasons", "licences",
    "remapped_rows", "compute_processes", "graphics_processes", "compute_mode", "power_milliwatts", "persistence",
)  # fmt: skip


def asked(answers: dict[str, Any]) -> MachineFacts:
    return MachineFacts(world(answers), Asked(), LOOKS)


def run_child(folder: Path, body: str) -> tuple[str, ...]:
    """The command that asks a pynvml with this text."""
    (folder / "pynvml.py").write_text(body, encoding="utf-8")
    return (sys.executable, "-I", "-S", str(Path(child.__file__)), str(folder))


def test_a_crash_by_a_signal_is_named(tmp_path: Path) -> None:
    crash = run_child(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    assert doctor_nvml.ask_nvml(crash) == {"unknown": "the process that asked NVML ended with the signal SIGSEGV"}


def test_a_hang_ends_at_the_time_limit(tmp_path: Path) -> None:
    started = time.monotonic()
    answer = doctor_nvml.ask_nvml(run_child(tmp_path, "import time\ntime.sleep(60)\n"), timeout_seconds=0.5)
    assert answer == {"unknown": "NVML gave no answer within 0.5 s"}
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('no JSON at all')", "is no JSON"),
        ("print('[1, 2]')", "another form"),
        ("print('[' * 100000)", "is no JSON"),
        ("raise SystemExit(7)", "exit code 7"),
    ],
)
def test_garbage_is_unknown_with_its_reason(code: str, reason: str) -> None:
    answer = doctor_nvml.ask_nvml((sys.executable, "-I", "-S", "-c", code))
    assert reason in answer["unknown"]


def test_a_missing_program_is_unknown() -> None:
    assert "could not be started" in doctor_nvml.ask_nvml(("/nowhere/python",))["unknown"]


def test_a_pynvml_that_cannot_be_imported_is_unknown(tmp_path: Path) -> None:
    answer = doctor_nvml.ask_nvml(run_child(tmp_path, "raise ImportError('broken')\n"))
    assert answer == {"unknown": "nvidia-ml-py cannot be imported: broken"}


FAKE = """
class NVMLError(Exception):
    def __init__(self, value): self.value = value
NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_GPU_IS_LOST, NVML_ERROR_LIBRARY_NOT_FOUND = 3, 15, 12
NVML_TEMPERATURE_GPU = NVML_TEMPERATURE_THRESHOLD_SLOWDOWN = NVML_CLOCK_SM = NVML_CLOCK_MEM = 0
nvmlMemory_v2 = 0x2000028
class Memory: total, free, used, reserved = 1 << 34, 1 << 33, 1 << 32, 1 << 28
class Bus: busId = b"00000000:01:00.0"
def nvmlInit(): pass
def nvmlSystemGetDriverVersion(): return "580.95.05"
def nvmlSystemGetCudaDriverVersion_v2(): return 13000
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index):
    if index == 1: raise NVMLError(NVML_ERROR_GPU_IS_LOST)
    return "handle"
def nvmlDeviceGetName(handle): return b"NVIDIA RTX"
def nvmlDeviceGetMemoryInfo(handle, version=None): return Memory
def nvmlDeviceGetPciInfo(handle): return Bus
def nvmlDeviceGetCudaComputeCapability(handle): return (8, 9)
def nvmlDeviceGetMigMode(handle): raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
def nvmlDeviceGetPowerUsage(handle): raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
def nvmlDeviceGetPersistenceMode(handle): return "wrong type"
"""


def test_every_call_is_guarded_by_itself(tmp_path: Path) -> None:
    answer = doctor_nvml.ask_nvml(run_child(tmp_path, FAKE))
    first, second = answer["gpus"]
    assert first["name"] == "NVIDIA RTX"
    assert first["memory"]["reserved"] == 1 << 28
    assert first["power_milliwatts"] == {"error": "not-supported"}
    assert first["uuid"]["error"].startswith("AttributeError")
    assert second == {"index": 1, "error": "gpu-is-lost"}
    gpu = doctor_nvml.read_gpu(first, 0, World())
    assert (gpu.name, gpu.compute_capability, gpu.total_bytes) == ("NVIDIA RTX", (8, 9), 1 << 34)
    assert isinstance(gpu.persistence, Unknown)
    assert isinstance(gpu.mig_enabled, Absent)


def test_a_missing_library_is_told_by_the_return_code(tmp_path: Path) -> None:
    answer = doctor_nvml.ask_nvml(
        run_child(tmp_path, FAKE.replace("def nvmlInit(): pass", "def nvmlInit(): raise NVMLError(12)"))
    )
    assert answer["error"] == "library-not-found"


def test_the_child_answers_on_this_machine_in_time() -> None:
    started = time.monotonic()
    answer = doctor_nvml.ask_nvml()
    assert answer.get("error") or "gpus" in answer
    assert time.monotonic() - started < 5


def test_the_child_needs_nothing_but_python(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-I", "-S", str(child.__file__), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "unknown" in json.loads(ran.stdout)


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
@settings(max_examples=150, deadline=None)
def test_a_gpu_of_any_form_is_read_without_an_error(raw: dict[str, Any]) -> None:
    gpu = doctor_nvml.read_gpu(raw, 0, world({}))
    assert isinstance(gpu, NvmlGpu)
    for size in (gpu.total_bytes, gpu.free_bytes, gpu.used_bytes):
        assert isinstance(size, int | Unknown)


@given(JSON)
@settings(max_examples=80, deadline=None)
def test_a_dump_of_any_form_is_a_fact_or_unknown(raw: Any) -> None:
    found = asked({**answers_of("healthy-linux"), "nvml": raw}).fact("nvml")
    assert isinstance(found, Nvml | Unknown | Absent)
    if isinstance(found, Unknown):
        assert not found.reason.startswith("looking at"), found.reason


def test_no_gpu_and_no_library_is_absent_not_unknown() -> None:
    assert isinstance(asked(answers_of("healthy-cpu-laptop")).fact("nvml"), Absent)
    assert isinstance(asked(answers_of("healthy-cpu-laptop")).fact("gpus"), Absent)


def test_memory_that_nvml_does_not_tell_is_the_systems() -> None:
    gpu = asked(answers_of("healthy-gb10")).fact("gpus")[0]
    assert gpu.integrated is True
    assert gpu.total_bytes == 125513932 * 1024


def test_memory_of_windows_processes_is_unknown_not_zero() -> None:
    gpu = asked(answers_of("healthy-windows")).fact("gpus")[0]
    assert gpu.driver_model == "wddm"
    assert all(isinstance(process.used_bytes, Unknown) for process in gpu.processes)


OLD = (
    FAKE
    + """
class NVMLLibraryMismatchError(Exception): pass
class Process: pid, usedGpuMemory = 7, 1 << 20
def nvmlDeviceGetComputeRunningProcesses(handle): raise NVMLLibraryMismatchError("unversioned")
def nvmlDeviceGetComputeRunningProcesses_v2(handle): return [Process]
def nvmlDeviceGetGraphicsRunningProcesses(handle): raise NVMLLibraryMismatchError("unversioned")
def nvmlSystemGetProcessName(pid): return b"llama-server"
def nvmlDeviceGetUUID(handle): raise RuntimeError("what no call should do")
print("a library that prints")
"""
)


def test_a_driver_before_510_is_asked_for_processes_in_the_older_form(tmp_path: Path) -> None:
    first = doctor_nvml.ask_nvml(run_child(tmp_path, OLD))["gpus"][0]
    assert first["compute_processes"] == [{"pid": 7, "name": "llama-server", "used": 1 << 20}]
    assert "error" in first["graphics_processes"]
    assert first["uuid"] == {"error": "RuntimeError: what no call should do"}


def test_sizes_that_no_gpu_has_are_unknown() -> None:
    full = (1 << 64) - 1
    gpu = doctor_nvml.read_gpu({"memory": {"total": full, "free": full, "used": 0, "reserved": 0}}, 0, World())
    assert isinstance(gpu.total_bytes, Unknown)
    assert gpu.used_bytes == 0
