"""A GPU's bandwidth, asked of CUDA drivers made for the purpose, in good and bad moods; the host's, measured."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vramctl.probes.bandwidth import Bandwidth, DeviceBandwidth, look_device_bandwidth, look_host_bandwidth
from vramctl.probes.children_run import ask_child
from vramctl.records import Device, Unknown
from vramctl.units import GIB, MIB

CC = shutil.which("cc") or shutil.which("gcc")
needs_cc = pytest.mark.skipif(CC is None or sys.platform != "linux", reason="no C compiler to make a library with")
UUID = "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
GPU = Device("CUDA0", "NVIDIA H200", 140 * GIB, 140 * GIB, "nvml", uuid=UUID)

# Time goes on by what is copied (read and written at 4.26 TB/s) and read (4.5 TB/s). What was not freed ends it with abort().
DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static double now; static int held, inside;
static int is(const char *mood) { const char *m = getenv("MOOD"); return m && !strcmp(m, mood); }
int cuInit(unsigned f) { printf("noise\n"); fflush(stdout); return is("stub") ? 34 : 0; }
int cuGetErrorName(int code, const char **t) { *t = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_OTHER"; return 0; }
int cuDeviceGetCount(int *n) { *n = is("hidden") ? 0 : is("two") ? 2 : 1; return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetUuid_v2(unsigned char *u, int d) { for (int i = 0; i < 16; i++) u[i] = i + (is("two") ? 1 - d : 0); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 16 ? 132 : 0; return 0; }
int cuDevicePrimaryCtxRetain(void **c, int d) { if (is("two") && d != 1) abort(); inside++; *c = &now; return 0; }
int cuDevicePrimaryCtxRelease_v2(int d) { inside--; return 0; }
int cuCtxSetCurrent(void *c) { return c == &now ? 0 : 1; }
int cuMemGetInfo_v2(size_t *f, size_t *t) { *t = 1ULL << 37; *f = is("full") ? 100 << 20 : *t; return 0; }
int cuMemAlloc_v2(unsigned long long *p, size_t n) {
    if (is("greedy") && held) return 2;
    *p = 0x7f0000000000ULL + (held++ << 30); return 0;
}
int cuMemFree_v2(unsigned long long p) { held--; return 0; }
int cuMemsetD32_v2(unsigned long long p, unsigned v, size_t n) { return n == (512 << 20) / 4 ? 0 : 1; }
int cuMemcpyDtoDAsync_v2(unsigned long long a, unsigned long long b, size_t n, void *s) {
    if (is("hang")) for (;;) sleep(1);
    if (is("crash")) abort();
    now += 2.0 * n / 4.26e12; return a != b && !s ? 0 : 1;
}
int cuModuleLoadData(void **m, const char *text) {
    if (is("no-jit")) return 221;
    if (is("newer") && !strstr(text, ".target sm_75")) return 222;
    *m = &held; return strstr(text, ".entry read_all") ? 0 : 218;
}
int cuModuleGetFunction(void **f, void *m, const char *name) { *f = &inside; return strcmp(name, "read_all"); }
int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                   void *s, void **params, void **extra) {
    unsigned long long data = *(unsigned long long *)params[0]; unsigned rounds = *(unsigned *)params[2];
    if (is("read-hang")) for (;;) sleep(1);
    double bytes = (double)rounds * gx * bx * 64;
    if (data >> 40 != 0x7f || bytes > (512 << 20) || bytes < (450 << 20) || gy * gz * by * bz != 1 || shared || extra) return 1;
    now += bytes / 4.5e12; return 0;
}
int cuMemHostAlloc(void **p, size_t n, unsigned f) { if (is("pinless")) return 2; held++; *p = malloc(n); return 0; }
int cuMemFreeHost(void *p) { held--; free(p); return 0; }
int cuMemcpyHtoDAsync_v2(unsigned long long a, void *b, size_t n, void *s) { now += n / 55e9; return s ? 1 : 0; }
int cuEventCreate(void **e, unsigned f) { *e = malloc(sizeof(double)); return 0; }
int cuEventRecord(void *e, void *s) { *(double *)e = now; return 0; }
int cuEventSynchronize(void *e) { return 0; }
int cuEventElapsedTime(float *ms, void *a, void *b) { *ms = is("still") ? 0 : (*(double *)b - *(double *)a) * 1000; return 0; }
__attribute__((destructor)) static void gone(void) { if (held || inside) abort(); }
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CUDA driver library."""
    folder = tmp_path_factory.mktemp("driver")
    command = [str(CC), "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", str(folder / "libcuda.so.1")]
    subprocess.run(command, input=DRIVER.encode(), check=True)
    return folder


@pytest.fixture
def mood(driver: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(driver))
    monkeypatch.delenv("MOOD", raising=False)
    return monkeypatch


@needs_cc
def test_a_gpu_is_copied_in_and_read_and_everything_is_freed(mood: pytest.MonkeyPatch) -> None:
    found = look_device_bandwidth(GPU)
    assert isinstance(found, DeviceBandwidth)
    assert found.copy_bytes_per_second == pytest.approx(4.26e12, rel=1e-3)
    assert found.read_bytes_per_second == pytest.approx(4.5e12, rel=1e-3)
    assert found.from_host_bytes_per_second == pytest.approx(55e9, rel=1e-3)
    assert found.block_bytes == 512 * MIB
    assert ask_child(sys.executable, "cuda_bandwidth", UUID)["ended"] == ""


@needs_cc
def test_the_gpu_is_found_by_its_uuid(mood: pytest.MonkeyPatch) -> None:
    mood.setenv("MOOD", "two")
    assert isinstance(look_device_bandwidth(GPU), DeviceBandwidth)
    nameless = Device("CUDA0", "", GIB, GIB, "nvml")
    told = look_device_bandwidth(nameless)
    assert isinstance(told, Unknown) and "CUDA shows 2" in told.reason
    mood.delenv("MOOD")
    assert isinstance(look_device_bandwidth(nameless), DeviceBandwidth)


@needs_cc
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stub", "cuInit returned 34"),
        ("hidden", "CUDA shows 0 GPUs, and not this one"),
        ("full", "only 100 MiB of its memory are free"),
        ("greedy", "cuMemAlloc returned 2 (CUDA_ERROR_OUT_OF_MEMORY)"),
        ("crash", "SIGABRT"),
        ("still", "it gave no rate"),
    ],
)
def test_what_goes_wrong_is_the_reason(mood: pytest.MonkeyPatch, name: str, words: str) -> None:
    mood.setenv("MOOD", name)
    found = look_device_bandwidth(GPU)
    assert isinstance(found, Unknown) and words in found.reason


@needs_cc
def test_a_driver_that_hangs_is_ended(mood: pytest.MonkeyPatch) -> None:
    mood.setenv("MOOD", "hang")
    found = look_device_bandwidth(GPU, seconds=0.5)
    assert isinstance(found, Unknown) and "timeout after 0.5 s" in found.reason


@needs_cc
@pytest.mark.parametrize("name", ["no-jit", "read-hang"])
def test_without_a_kernel_the_copy_remains(mood: pytest.MonkeyPatch, name: str) -> None:
    mood.setenv("MOOD", name)
    found = look_device_bandwidth(GPU, seconds=1.0)
    assert isinstance(found, DeviceBandwidth)
    assert found.copy_bytes_per_second == pytest.approx(4.26e12, rel=1e-3)
    assert isinstance(found.read_bytes_per_second, Unknown)


@needs_cc
def test_a_driver_that_knows_newer_gpus_only_gets_the_kernel_for_them(mood: pytest.MonkeyPatch) -> None:
    mood.setenv("MOOD", "newer")
    found = look_device_bandwidth(GPU)
    assert isinstance(found, DeviceBandwidth) and isinstance(found.read_bytes_per_second, float)


@needs_cc
def test_without_pinned_memory_the_rest_remains(mood: pytest.MonkeyPatch) -> None:
    mood.setenv("MOOD", "pinless")
    found = look_device_bandwidth(GPU)
    assert isinstance(found, DeviceBandwidth) and isinstance(found.read_bytes_per_second, float)
    assert found.from_host_bytes_per_second == Unknown("cuMemHostAlloc returned 2 (CUDA_ERROR_OUT_OF_MEMORY)")


def test_without_a_driver_it_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"no library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    found = look_device_bandwidth(GPU)
    assert isinstance(found, Unknown) and "libcuda" in found.reason


def test_other_makers_gpus_are_not_asked() -> None:
    other = Device("ROCm0", "MI300X", GIB, GIB, "amdgpu", backend="rocm")
    assert look_device_bandwidth(other) == Unknown("only CUDA is asked for it, and this is rocm")


def test_system_memory_is_measured_within_its_time() -> None:
    found = look_host_bandwidth(1, available_bytes=GIB, seconds=0.2)
    assert isinstance(found, Bandwidth) and 1e9 < found.bytes_per_second < 1e12
    assert isinstance(look_host_bandwidth(64, available_bytes=GIB, seconds=0.2), Unknown)
