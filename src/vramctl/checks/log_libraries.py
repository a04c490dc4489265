"""Checks of a log: a library of the engine is missing, too new, of another build, or without a GPU backend."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vramctl.checks.evidence import ENDS, events, finding, how_often, text_of
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import CPU_ONLY, Log

_ONEAPI = ("libsvml", "libmkl", "libsycl", "libze_loader", "libimf", "libintlc")
_GPU_BACKENDS = re.compile(r"(?:lib)?ggml-(?:cuda|hip|rocm|vulkan|sycl|musa)", re.IGNORECASE)
_FAILED = ("crash.library_missing", "llama_python.library_failed")


def _missing(log: Log) -> tuple[tuple[Event, str], ...]:
    """The libraries that could not be opened, each with the line that says so."""
    found = []
    for event in events(log, *_FAILED):
        error = text_of(event, "error")
        if "cannot open shared object" not in event.raw:
            continue
        inner = re.match(r"(\S+?\.so[.\d]*): cannot open", error)
        found.append((event, inner[1] if inner else text_of(event, "library") or "a library"))
    return tuple(found)


def cuda_runtime_libs_missing_linux(log: Log, platform: str) -> Iterator[Finding]:
    """A shared library of the engine is not there, so its process cannot start."""
    missing = [(event, name) for event, name in _missing(log) if not name.startswith((*_ONEAPI, "libcuda.so"))]
    if not missing:
        return
    event, name = missing[0]
    toolkit = name.startswith(("libcudart", "libcublas", "libnvrtc", "libcufft", "libcurand"))
    yield finding(
        "error",
        f"The engine cannot start: {name} is missing.",
        (event.text, "this build links CUDA's own libraries and does not bring them along" if toolkit else ""),
        BY_ID["cuda-runtime-libs-missing-linux"].fix(platform),
        (*(event for event, _ in missing), *events(log, "runner.load_failed")),
    )


def intel_oneapi_env(log: Log, platform: str) -> Iterator[Finding]:
    """A SYCL build without oneAPI's environment, or without a device it can see."""
    lacking = [event for event, name in _missing(log) if name.startswith(_ONEAPI)]
    none = [e for e in events(log, "sycl.found") if e.fields.get("count") == 0] if not log.gpus else []
    found = (*lacking, *events(log, "gpu.sycl_no_device"), *none)
    if found:
        yield finding(
            "error",
            "The SYCL build finds no oneAPI environment or no Intel GPU to run on.",
            (found[0].text,),
            BY_ID["intel-oneapi-env"].fix(platform),
            found,
        )


def windows_cuda_dll_missing(log: Log, platform: str) -> Iterator[Finding]:
    """A DLL that another one needs is not found."""
    extension = [
        e for e in events(log, "extension.missing") if "DLL load failed" in e.raw and "flash_attn" not in e.raw
    ]
    python = [e for e in events(log, "llama_python.library_failed") if "or one of its dependencies" in e.raw]
    found = (*events(log, "crash.dll_missing"), *python, *extension)
    if found:
        name = text_of(found[0], "path", "module").replace("\\", "/").rsplit("/", 1)[-1]
        yield finding(
            "error",
            f"Windows cannot load {name or 'the library'}: one of the DLLs that it needs is not found.",
            (found[0].text, "the file itself is usually there; cudart64, cublas64 or the Visual C++ runtime is not"),
            BY_ID["windows-cuda-dll-missing"].fix(platform),
            found,
        )


def glibc_or_libstdcxx_too_old(log: Log, platform: str) -> Iterator[Finding]:
    """A library was built on a newer Linux than this one."""
    found = events(log, "crash.library_too_old")
    if found:
        yield finding(
            "error",
            f"The build needs {text_of(found[0], 'version')}, which this system's libraries do not have: it was made on a "
            "newer Linux.",
            (found[0].text,),
            BY_ID["glibc-or-libstdcxx-too-old"].fix(platform),
            found,
        )


def apple_x86_python(log: Log, platform: str) -> Iterator[Finding]:
    """On Apple silicon a library of the other architecture is loaded."""
    found = events(log, "crash.wrong_architecture")
    if found:
        yield finding(
            "error",
            f"The library is built for {text_of(found[0], 'has')}, this Python is {text_of(found[0], 'wants')}.",
            (found[0].text,),
            BY_ID["apple-x86-python"].fix(platform),
            found,
        )


def ggml_backend_api_mismatch(log: Log, platform: str) -> Iterator[Finding]:
    """A backend library of another build lies in the engine's folder."""
    for event in events(log, "backend.load_failed"):
        if "incompatible" in event.text and "version" in event.text:
            yield finding(
                "error",
                "A GPU backend is of another build than the engine and was not loaded.",
                (event.text,),
                BY_ID["ggml-backend-api-mismatch"].fix(platform),
                (event,),
            )
            return


def ggml_dll_conflict_in_path(log: Log, platform: str) -> Iterator[Finding]:
    """Libraries of another program stand before the engine's own in PATH."""
    found = events(log, "library.conflict")
    if found and (not log.gpus or any(load.outcome == CPU_ONLY for load in log.loads)):
        yield finding(
            "error",
            "Libraries of another program in PATH shadow the engine's own.",
            (found[0].text, text_of(found[0], "location")),
            BY_ID["ggml-dll-conflict-in-path"].fix(platform).replace("FOLDER", text_of(found[0], "location") or "it"),
            found,
        )


def ggml_cuda_backend_not_loaded(log: Log, platform: str) -> Iterator[Finding]:
    """The library of the GPU backend failed to load, or only the CPU's was, while a GPU is there."""
    failed = [
        e for e in events(log, "backend.load_failed") if _GPU_BACKENDS.search(e.raw) and "incompatible" not in e.raw
    ]
    on_cpu = all(load.outcome == CPU_ONLY for load in log.loads)
    seen = how_often(log, "cuda.found", "cuda.device", "vulkan.device", "metal.device")
    if failed and on_cpu and not seen:
        yield finding(
            "error",
            "The engine's GPU backend could not be loaded, so only the CPU is left.",
            (failed[0].text,),
            BY_ID["ggml-cuda-backend-not-loaded"].fix(platform),
            failed,
        )
        return
    loaded = events(log, "backend.loaded")
    names = {text_of(event, "backend") for event in loaded}
    if not log.gpus or not log.loads or seen or not names or not on_cpu:
        return
    if all(name.startswith("CPU") for name in names):
        yield finding(
            "error",
            "The GPU is there, but the engine loaded only its CPU backend.",
            (f"backends loaded: {', '.join(sorted(names))}",),
            BY_ID["ggml-cuda-backend-not-loaded"].fix(platform),
            loaded,
        )


def cpu_only_llama_cpp_python(log: Log, platform: str) -> Iterator[Finding]:
    """The engine was built without a GPU backend (or the build finds none) although layers were asked for on the GPU."""
    found = [e for e in events(log, "gpu.none", "gpu.not_compiled") if e.engine == "llama.cpp"]
    # Where it crashed on the CPU, the crash is what the log is about.
    if log.gpus or events(log, *ENDS):
        return
    if not found:
        yield from _python_without_gpu(log, platform)
        return
    yield finding(
        "error",
        "This build of the engine has no usable GPU backend: the layers asked for stay on the CPU.",
        (found[0].text,),
        BY_ID["cpu-only-llama-cpp-python"].fix(platform),
        (found[0], *events(log, "gpu.none_hint")[:2]),
    )


# A backend that tells its own features before the CPU's: `CUDA : ARCHS = 900 | ...`.
_OTHER_BACKEND = re.compile(r"\w+ : ")


def _python_without_gpu(log: Log, platform: str) -> Iterator[Finding]:
    """llama-cpp-python prints the CPU's features alone, and a build with a GPU backend counts the layers on the GPU."""
    told = [event for event in events(log, "cpu.info") if "threads" not in event.fields and event.engine == "llama.cpp"]
    asked = how_often(log, "layers.offloaded", "layers.offloading_repeating", "backend.accelerator")
    loads = [load for load in log.loads if load.devices]
    if any(_OTHER_BACKEND.match(text_of(event, "features")) for event in told):
        return
    if told and not asked and loads and all(load.outcome == CPU_ONLY for load in loads):
        yield finding(
            "info",
            "This llama-cpp-python has no GPU backend: all of the model is on the CPU (as it should be, if there is no GPU).",
            ("no line counts layers on the GPU: builds with a GPU backend print one",),
            BY_ID["cpu-only-llama-cpp-python"].fix(platform),
            told[:1],
        )
