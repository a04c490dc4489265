"""The child programs against libraries made for the purpose: a CUDA driver, an engine, each in good and bad moods."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vramctl.probes.children_run import ask_child
from vramctl.probes.doctor_cuda import cuda_from
from vramctl.probes.doctor_engines import with_devices
from vramctl.records.facts import CudaDriver, Engine
from vramctl.records.unknown import Absent, Unknown

CC = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(CC is None or sys.platform != "linux", reason="no C compiler to make a library with")

DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int cuDriverGetVersion(int *v) { *v = 13000; return 0; }
int cuInit(unsigned f) {
    const char *mood = getenv("MOOD");
    if (mood && !strcmp(mood, "hang")) for (;;) sleep(1);
    if (mood && !strcmp(mood, "crash")) abort();
    printf("a driver that talks\n"); fflush(stdout);
    return mood ? atoi(mood) : 0;
}
int cuGetErrorName(int code, const char **text) {
    *text = code == 34 ? "CUDA_ERROR_STUB_LIBRARY" : "CUDA_ERROR_UNKNOWN";
    return 0;
}
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *t, int n, int d) { snprintf(t, n, "NVIDIA H200"); return 0; }
int cuDeviceGetPCIBusId(char *t, int n, int d) { snprintf(t, n, "0000:8F:00.0"); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 9 : 0; return 0; }
int cuDeviceTotalMem_v2(size_t *b, int d) { *b = 150100000000ULL; return 0; }
int cuDeviceGetUuid_v2(char *u, int d) { for (int i = 0; i < 16; i++) u[i] = i; return 0; }
"""
ENGINE = r"""
#include <stdbool.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef void (*log_callback)(int, const char *, void *);
static log_callback log_to;
void llama_log_set(log_callback c, void *d) { log_to = c; }
void llama_backend_init(void) {
    const char *mood = getenv("MOOD");
    if (mood && !strcmp(mood, "illegal")) raise(SIGILL);
    puts("VRAMCTL-JSON {\"devices\": []}"); fflush(stdout);
    if (log_to) log_to(4, "ggml_cuda_init: failed to initialize CUDA: (null)\n", NULL);
}
size_t ggml_backend_dev_count(void) { return 2; }
void *ggml_backend_dev_get(size_t i) { return (void *)(i + 1); }
const char *ggml_backend_dev_name(void *d) { return d == (void *)1 ? "CUDA0" : "AMX"; }
const char *ggml_backend_dev_description(void *d) { return "NVIDIA H200"; }
int ggml_backend_dev_type(void *d) { return d == (void *)1 ? 1 : 2; }
void ggml_backend_dev_memory(void *d, size_t *f, size_t *t) {
    const char *mood = getenv("MOOD");
    if (mood && !strcmp(mood, "full")) abort();
    *f = 100; *t = 200;
}
void *ggml_backend_dev_backend_reg(void *d) { return d; }
const char *ggml_backend_reg_name(void *r) { return "CUDA"; }
bool llama_supports_gpu_offload(void) { return true; }
const char *llama_print_system_info(void) { return "CUDA : ARCHS = 890 | "; }
__attribute__((destructor)) static void gone(void) { abort(); }
"""


def built(folder: Path, name: str, source: str) -> str:
    """A shared library of this source."""
    path = folder / name
    subprocess.run(
        [str(CC), "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", str(path)], input=source.encode(), check=True
    )
    return str(path)


def cuda_of(folder: Path, mood: str = "", timeout_seconds: float = 10) -> CudaDriver | Unknown:
    """What the child says of the driver in this folder."""
    environ = {**os.environ, "LD_LIBRARY_PATH": str(folder), "MOOD": mood}
    if not mood:
        del environ["MOOD"]
    return cuda_from(ask_child(sys.executable, "cuda", environ=environ, timeout_seconds=timeout_seconds))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CUDA driver library."""
    folder = tmp_path_factory.mktemp("driver")
    built(folder, "libcuda.so.1", DRIVER)
    return folder


def test_a_driver_that_works_tells_version_and_gpus(driver: Path) -> None:
    found = cuda_of(driver)
    assert isinstance(found, CudaDriver)
    assert (found.library, found.driver_version, found.init_code) == (str(driver / "libcuda.so.1"), (13, 0), 0)
    assert isinstance(found.gpus, tuple)
    (gpu,) = found.gpus
    assert (gpu.name, gpu.pci_address, gpu.compute_capability) == ("NVIDIA H200", "0000:8f:00.0", (9, 0))
    assert (gpu.total_bytes, gpu.uuid) == (150_100_000_000, "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f")


def test_a_stub_answers_34(driver: Path) -> None:
    found = cuda_of(driver, "34")
    assert isinstance(found, CudaDriver)
    assert (found.init_code, found.init_name) == (34, "CUDA_ERROR_STUB_LIBRARY")


@pytest.mark.parametrize(("mood", "ended"), [("hang", "timeout after 1 s"), ("crash", "SIGABRT")])
def test_a_driver_that_hangs_or_crashes_is_told_so(driver: Path, mood: str, ended: str) -> None:
    found = cuda_of(driver, mood, timeout_seconds=1)
    assert isinstance(found, CudaDriver)
    assert found.init_code == Unknown(f"starting CUDA ended the process: {ended}")
    assert found.driver_version == (13, 0)


def test_without_a_driver_library_it_is_absent(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"no library")
    found = cuda_of(tmp_path)
    assert isinstance(found, CudaDriver)
    assert isinstance(found.library, Absent)
    assert "libcuda.so.1" in found.library.reason


def devices_of(folder: Path, mood: str = "") -> Engine:
    """The engine of a folder after its child has answered."""
    environ: dict[str, Any] = {**os.environ, "MOOD": mood}
    answer = ask_child(
        sys.executable, "devices", str(folder), str(folder / "libllama.so"), environ=environ, timeout_seconds=10
    )
    return with_devices(Engine(kind="llama-cpp-python", path=str(folder)), answer)


def test_an_engine_lists_its_devices_and_its_log_is_kept(tmp_path: Path) -> None:
    built(tmp_path, "libllama.so", ENGINE)
    engine = devices_of(tmp_path)
    assert isinstance(engine.devices, tuple)
    assert [(device.name, device.kind, device.total_bytes) for device in engine.devices] == [
        ("CUDA0", "gpu", 200),
        ("AMX", "accel", 200),
    ]
    assert engine.log[0] == "ggml_cuda_init: failed to initialize CUDA: (null)"
    assert (engine.supports_gpu_offload, engine.system_info, engine.import_error) == (True, "CUDA : ARCHS = 890 | ", "")
    assert engine.ended == ""  # that the library aborts while it is unloaded is nobody's concern


def test_devices_count_although_a_full_gpu_ends_the_question_for_memory(tmp_path: Path) -> None:
    built(tmp_path, "libllama.so", ENGINE)
    engine = devices_of(tmp_path, "full")
    assert isinstance(engine.devices, tuple)
    assert [(device.name, isinstance(device.total_bytes, Unknown)) for device in engine.devices] == [
        ("CUDA0", True),
        ("AMX", True),
    ]
    assert (engine.ended, engine.supports_gpu_offload) == ("", True)


def test_an_illegal_instruction_is_told_with_its_name(tmp_path: Path) -> None:
    built(tmp_path, "libllama.so", ENGINE)
    engine = devices_of(tmp_path, "illegal")
    assert engine.ended == "SIGILL"
    assert isinstance(engine.devices, Unknown)


def test_a_library_that_cannot_be_loaded_tells_why(tmp_path: Path) -> None:
    built(tmp_path, "libggml.so.0", "int x;")
    subprocess.run(
        [str(CC), "-shared", "-fPIC", "-x", "c", "-", "-o", str(tmp_path / "libllama.so"), f"-L{tmp_path}", "-l:libggml.so.0"],
        input=b"extern int x; int *y = &x;", check=True,
    )  # fmt: skip
    (tmp_path / "libggml.so.0").unlink()
    engine = devices_of(tmp_path)
    assert isinstance(engine.import_error, str)
    assert "libggml.so.0: cannot open shared object file" in engine.import_error
