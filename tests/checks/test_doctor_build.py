"""Checks of driver, libraries and builds, on records alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vramctl.checks.chain import all_checks
from vramctl.checks.doctor_attention import (
    exllamav2_no_causal_mask,
    flash_attn_4_breaks_exllamav2,
    flash_attn_abi_mismatch,
    flash_attn_missing,
)
from vramctl.checks.doctor_build import (
    cpu_only_llama_cpp_python,
    distro_package_without_cuda,
    pip_cached_cpu_wheel,
)
from vramctl.checks.doctor_code import gpu_arch_not_in_build
from vramctl.checks.doctor_driver import cuda13_windows_null_error, cuda_init_fails, driver_too_old_for_cuda
from vramctl.checks.doctor_exllama import exllama_torch_cuda_mismatch
from vramctl.checks.doctor_libraries import (
    cuda_runtime_libs_missing_linux,
    glibc_or_libstdcxx_too_old,
    libcuda_not_found_or_stub,
)
from vramctl.checks.explained_build import EXPLAINED_BUILD
from vramctl.checks.runner import NotKnown, check_id
from vramctl.records.facts import CudaDriver, Engine, EngineDevice, Fatbin, Library, Nvml, NvmlGpu, Platform, Torch
from vramctl.records.finding import ERROR, WARNING
from vramctl.records.unknown import Absent, Unknown

WINDOWS, LINUX = Platform(system="windows"), Platform(system="linux", glibc=(2, 39))
RTX = NvmlGpu(index=0, name="NVIDIA GeForce RTX 4090", compute_capability=(8, 9))
CPU = EngineDevice(name="CPU", description="x", kind="cpu", backend="CPU")


def engine(major: int = 13, *, fatbins: tuple[Fatbin, ...] | Unknown = (), form: str = "pe") -> Engine:
    """llama-cpp-python with one CUDA library."""
    name = "ggml-cuda.dll" if form == "pe" else "libggml-cuda.so"
    needed = (f"cublas64_{major}.dll",) if form == "pe" else (f"libcublas.so.{major}",)
    library = Library(path=f"/lib/{name}", form=form, file_bytes=1, needed=needed, missing=(), fatbins=fatbins, cuda_major=major,
                      cuda_version=(major, 0), backend="cuda")  # fmt: skip
    return Engine(kind="llama-cpp-python", path="/x", version="0.3.16", libraries=(library,), devices=(CPU,))


def nvml(driver: tuple[int, ...], cuda: tuple[int, ...] | Unknown = Unknown("not told")) -> Nvml:
    """A driver."""
    return Nvml(driver_version=driver, cuda_version=cuda, gpus=(RTX,))


def test_the_acceptance_case_says_what_to_do_in_one_sentence() -> None:
    (finding,) = cuda13_windows_null_error(WINDOWS, engine(), nvml((576, 52), (12, 9)))
    assert finding.what == (
        "The driver is too old for this build (llama-cpp-python 0.3.16 for CUDA 13.0; driver 576.52 runs CUDA up to 12.9): "
        "update the driver to 580 or later, or install a CUDA 12 build; rebuilding changes nothing."
    )
    assert finding.severity == ERROR


@pytest.mark.parametrize(
    ("driver", "build", "speaks"),
    [
        ((576, 52), 13, True),
        ((576, 52), 12, False),
        ((580, 88), 13, False),
        ((581, 57), 13, False),
        ((552, 44), 12, False),
    ],
)
def test_a_cuda_13_build_wants_driver_580_on_windows(driver: tuple[int, ...], build: int, speaks: bool) -> None:
    assert bool(list(cuda13_windows_null_error(WINDOWS, engine(build), nvml(driver)))) is speaks


def test_within_one_major_version_any_driver_will_do() -> None:
    assert not list(driver_too_old_for_cuda(LINUX, engine(12, form="elf"), nvml((525, 60, 13), (12, 0))))
    (finding,) = driver_too_old_for_cuda(LINUX, engine(12, form="elf"), nvml((470, 82, 1), (11, 4)))
    assert "update the driver to 525.60.13 or later, or install a CUDA 11 build" in finding.what


def test_the_drivers_number_tells_its_cuda_where_nvml_does_not() -> None:
    (finding,) = driver_too_old_for_cuda(LINUX, engine(13, form="elf"), nvml((575, 57, 8)))
    assert "driver 575.57.08 runs CUDA up to 12.9" in finding.what


def test_a_driver_that_cannot_be_asked_is_unknown_and_not_fine() -> None:
    with pytest.raises(NotKnown):
        list(driver_too_old_for_cuda(LINUX, engine(13, form="elf"), Nvml(error="unknown")))


def test_code_that_could_not_be_read_is_unknown_and_not_fine() -> None:
    with pytest.raises(NotKnown):
        list(gpu_arch_not_in_build(LINUX, engine(fatbins=Unknown("another form")), (RTX,)))


def test_the_logged_list_of_architectures_helps_where_the_code_was_not_read() -> None:
    seen = replace(engine(fatbins=Unknown("another form")), system_info="CUDA : ARCHS = 1200 | USE_GRAPHS = 1 | ")
    (finding,) = gpu_arch_not_in_build(LINUX, seen, (RTX,))
    assert "1200" in finding.because[0]


def test_one_gpu_of_two_without_code_is_a_warning() -> None:
    old = NvmlGpu(index=1, name="Tesla P40", compute_capability=(6, 1))
    (finding,) = gpu_arch_not_in_build(LINUX, engine(fatbins=(Fatbin(kind="cubin", arch=(8, 9)),)), (RTX, old))
    assert (finding.severity, "Tesla P40" in finding.what) == (WARNING, True)


def test_a_cpu_build_is_told_by_its_libraries_and_not_by_the_api() -> None:
    failed = replace(engine(12, form="elf"), supports_gpu_offload=False)
    assert not list(cpu_only_llama_cpp_python(LINUX, failed, (RTX,)))
    cpu = replace(failed, libraries=(Library(path="/lib/libggml-cpu.so", form="elf", file_bytes=1, backend="cpu"),))
    assert len(list(cpu_only_llama_cpp_python(LINUX, cpu, (RTX,)))) == 1
    vulkan = replace(
        cpu, libraries=(Library(path="/lib/libggml-vulkan.so", form="elf", file_bytes=1, backend="vulkan"),)
    )
    assert not list(cpu_only_llama_cpp_python(LINUX, vulkan, (RTX,)))
    rpc = replace(cpu, devices=(EngineDevice(name="RPC0", description="", kind="gpu", backend="RPC"),))
    assert not list(cpu_only_llama_cpp_python(LINUX, rpc, (RTX,)))
    with pytest.raises(NotKnown):
        list(cpu_only_llama_cpp_python(LINUX, replace(cpu, libraries=()), (RTX,)))


@pytest.mark.parametrize(
    ("arguments", "speaks"),
    [("-DGGML_CUDA=on", True), ("-DLLAMA_CUBLAS=on", True), ("-DGGML_NATIVE=off -DGGML_VULKAN=1", True),
     ("-DGGML_CUDA=off", False),
     ("-DGGML_BLAS=ON", False), ("", False)],
)  # fmt: skip
def test_cmake_args_that_ask_for_a_gpu(arguments: str, speaks: bool) -> None:
    cpu = replace(engine(), libraries=(Library(path="/lib/libggml-cpu.so", form="elf", file_bytes=1, backend="cpu"),))
    assert bool(list(pip_cached_cpu_wheel(LINUX, cpu, (RTX,), {"CMAKE_ARGS": arguments}))) is speaks


@pytest.mark.parametrize(
    ("code", "environment", "speaks"),
    [
        (0, {}, False),
        (999, {}, True),
        (100, {}, True),
        (100, {"CUDA_VISIBLE_DEVICES": ""}, False),
        (34, {}, False),
        (802, {}, True),
    ],
)
def test_codes_of_cuinit_that_nobody_else_explains(code: int, environment: dict[str, str], speaks: bool) -> None:
    cuda = CudaDriver(library="/usr/lib/libcuda.so.1", init_code=code, init_name="CUDA_ERROR")
    assert bool(list(cuda_init_fails(LINUX, cuda, environment, (RTX,)))) is speaks


def test_a_hanging_cuinit_is_a_finding_and_an_unasked_one_unknown() -> None:
    hangs = CudaDriver(library="x", init_code=Unknown("starting CUDA ended the process: timeout after 10 s"))
    told = list(cuda_init_fails(LINUX, hangs, {}, (RTX,)))
    assert [one.what for one in told] == ["CUDA does not start: cuInit gave no answer within 10 s."]
    with pytest.raises(NotKnown):
        list(cuda_init_fails(LINUX, CudaDriver(library="x"), {}, (RTX,)))


def exllama(version: str = "0.3.2", **package: str) -> Engine:
    """ExLlamaV2 with these packages beside it."""
    return Engine(
        kind="exllamav2",
        path="/x",
        version=version,
        package={key.replace("_", "-"): value for key, value in package.items()},
    )


@pytest.mark.parametrize(
    ("seen", "environment", "speaks"),
    [
        (exllama(), {}, True),
        (exllama("0.2.9"), {}, True),
        (exllama("0.3.1+cu121.torch2.4.0"), {}, True),
        (exllama("0.2.8"), {}, False),
        (exllama("0.3.3"), {}, False),
        (exllama(flash_attn="2.8.3"), {}, False),
        (exllama(flash_attn="2.8.3"), {"EXLLAMA_NO_FLASH_ATTN": ""}, True),
        (exllama(xformers="0.0.32"), {}, False),
        (exllama(xformers="0.0.32"), {"EXLLAMA_NO_XFORMERS": "1"}, True),
        (exllama(), {"EXLLAMA_NO_SDPA": ""}, False),
        (exllama(flash_attn="2.1.0"), {}, True),
        (replace(exllama(), kind="exllamav3"), {}, False),
    ],
)
def test_which_exllamav2_reads_prompts_without_a_mask(seen: Engine, environment: dict[str, str], speaks: bool) -> None:
    assert bool(list(exllamav2_no_causal_mask(LINUX, seen, environment))) is speaks


def test_a_flash_attn_without_a_version_ends_the_import() -> None:
    four = Engine(
        kind="exllamav2",
        path="/x",
        version="0.3.2",
        package={"flash_attn": "/site/flash_attn", "flash-attn-4": "4.0.0b36"},
    )
    (finding,) = flash_attn_4_breaks_exllamav2(LINUX, four, {})
    assert "flash-attn 4.0.0b36" in finding.what
    assert not list(flash_attn_4_breaks_exllamav2(LINUX, four, {"EXLLAMA_NO_FLASH_ATTN": "1"}))
    two = replace(four, package={"flash_attn": "/site/flash_attn/__init__.py", "flash_attn version": "2.8.3"})
    assert not list(flash_attn_4_breaks_exllamav2(LINUX, two, {}))


@pytest.mark.parametrize(
    ("version", "speaks"), [("2.5.7", False), ("2.8.3.post1", False), ("2.5.6", True), ("4.0.0", True), ("", True)]
)
def test_paged_attention_wants_flash_attn_2_5_7(version: str, speaks: bool) -> None:
    assert bool(list(flash_attn_missing(LINUX, exllama(flash_attn=version), {}))) is speaks


@pytest.mark.parametrize(
    ("version", "torch", "speaks"),
    [("0.3.2+cu128.torch2.8.0", "2.8.1+cu128", False), ("0.3.2+cu128.torch2.8.0", "2.9.0+cu128", True),
     ("0.3.2+cu121.torch2.8.0", "2.8.0+cu121", True), ("0.3.2", "2.8.0+cu128", False)],
)  # fmt: skip
def test_wheel_and_torch_belong_together(version: str, torch: str, speaks: bool) -> None:
    seen = exllama(version, torch=torch, cuda="12.8" if "128" in torch else "13.0", extension="/site/exllamav2_ext.so")
    assert bool(list(exllama_torch_cuda_mismatch(LINUX, seen, ()))) is speaks


def test_symbol_versions_are_compared_as_numbers() -> None:
    newer = Library(path="/lib/libllama.so", form="elf", file_bytes=1, glibc=(2, 9), glibcxx=Absent("none"))
    seen = replace(engine(), libraries=(newer,))
    assert not list(glibc_or_libstdcxx_too_old(LINUX, seen))
    (finding,) = glibc_or_libstdcxx_too_old(replace(LINUX, glibc=(2, 8)), seen)
    assert "glibc 2.9, this system has 2.8" in finding.what


@pytest.mark.parametrize(
    ("loaded", "code", "speaks"),
    [
        ("/opt/x/libcuda.so.1", 34, True),
        ("/lib64/stubs/libcuda.so", 999, True),
        ("/lib64/stubs/libcuda.so.565.57.01", 0, False),
    ],
)
def test_a_stub_is_known_by_its_answer_more_than_by_its_folder(loaded: str, code: int, speaks: bool) -> None:
    cuda = CudaDriver(library=loaded, init_code=code)
    assert bool(list(libcuda_not_found_or_stub(LINUX, cuda, (), (RTX,)))) is speaks


def test_a_machine_without_a_gpu_needs_no_libcuda() -> None:
    assert not list(libcuda_not_found_or_stub(LINUX, CudaDriver(library=Absent("no such file")), (), ()))


def test_a_backend_that_no_gpu_could_use_may_miss_its_libraries() -> None:
    cublas = ("libcublas.so.12",)
    library = Library(
        path="/app/libggml-cuda.so", form="elf", file_bytes=1, needed=cublas, missing=cublas, backend="cuda"
    )
    server = Engine(kind="llama.cpp", path="/app/llama-server", libraries=(library,), devices=(CPU,), import_error="")
    assert not list(cuda_runtime_libs_missing_linux(LINUX, server, Nvml(error="library-not-found")))
    (finding,) = cuda_runtime_libs_missing_linux(LINUX, server, nvml((580, 65, 6)))
    assert "libcublas.so.12" in finding.what
    with_gpu = replace(server, devices=(EngineDevice(name="CUDA0", description="x", kind="gpu", backend="CUDA"),))
    assert not list(cuda_runtime_libs_missing_linux(LINUX, with_gpu, nvml((580, 65, 6))))


@pytest.mark.parametrize(
    ("host", "speaks"),
    [("", True), ("127.0.0.1:11434", True), ("http://localhost:11434", True), (":11435", True), ("0.0.0.0", True),
     ("192.168.1.4:11434", False), ("https://gpu.example.org", False)],
)  # fmt: skip
def test_an_ollama_client_of_another_machine_needs_no_backend(host: str, speaks: bool) -> None:
    client = Engine(kind="ollama", path="/usr/bin/ollama", libraries=())
    assert bool(list(distro_package_without_cuda(LINUX, client, (RTX,), {"OLLAMA_HOST": host}))) is speaks


WHEEL = "https://example.org/flash_attn-2.8.3%2Bcu12torch2.8cxx11abi{}-cp312-cp312-linux_x86_64.whl"


@pytest.mark.parametrize(
    ("torch", "abi", "speaks"),
    [(Torch(version="2.8.0+cu128", cuda_version=(12, 8), cxx11_abi=True), "TRUE", False),
     (Torch(version="2.8.0+cu128", cuda_version=(12, 8), cxx11_abi=False), "TRUE", True),
     (Torch(version="2.9.0+cu128", cuda_version=(12, 8), cxx11_abi=True), "TRUE", True),
     (Torch(version="2.8.0+cu130", cuda_version=(13, 0), cxx11_abi=True), "TRUE", True)],
)  # fmt: skip
def test_the_tag_of_a_flash_attn_wheel_tells_what_it_was_built_for(torch: Torch, abi: str, speaks: bool) -> None:
    seen = Engine(
        kind="exllamav2",
        path="/x",
        version="0.3.2",
        package={"flash-attn": "2.8.3", "flash-attn url": WHEEL.format(abi)},
    )
    assert bool(list(flash_attn_abi_mismatch(LINUX, seen, torch, {}))) is speaks


def test_every_explanation_names_checks_that_come_before() -> None:
    order = {check_id(check): number for number, (_, check) in enumerate(all_checks())}
    for consequence, causes in EXPLAINED_BUILD.items():
        assert consequence in order
        for cause in causes:
            assert order[cause] < order[consequence], (cause, consequence)
