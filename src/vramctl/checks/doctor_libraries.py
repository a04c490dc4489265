"""Checks of the libraries that an engine needs: found, of the right version, from one place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vramctl.checks import doctor_loading
from vramctl.checks.cuda_versions import dotted
from vramctl.checks.engine_facts import (
    EXLLAMA,
    gpu_name,
    lists_gpu,
    name_of,
)
from vramctl.checks.missing_libraries import lies_in, load_error, missing_names, needed_by
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, NotKnown, known
from vramctl.records.facts import CudaDriver, CudaToolkit, Engine, LibCuda, Nvml, NvmlGpu, Platform
from vramctl.records.finding import ERROR, INFO, WARNING, Finding
from vramctl.records.unknown import Absent

_STUB = 34
_NOT_FOUND = re.compile(r"(?:error while loading shared libraries: )?(\S+): cannot open shared object file")
_SYMBOL_OF_CUDA = re.compile(r"(?:undefined symbol|symbol lookup error).*(?:cublas|cudart|cuda)", re.IGNORECASE)
_SYMBOL_VERSION = re.compile(
    r"version [`'](GLIBC(?:XX)?_[\d.]+|CXXABI_[\d.]+)' not found|(libc\.musl-\S+): cannot open"
)
_WINDOWS_LOAD = re.compile(r"Could not find module|DLL load failed|WinError 126|was not found", re.IGNORECASE)
_DRIVER_LIBRARIES = frozenset({"libcuda.so.1", "libnvidia-ml.so.1", "nvcuda.dll", "nvml.dll"})


def cuda_path_dangling(platform: Platform, engine: Engine, toolkits: Sequence[CudaToolkit]) -> Iterator[Finding]:
    """CUDA_PATH names a toolkit that is no longer there, and llama-cpp-python stops at its import.

    Why it matters: `import llama_cpp` raises FileNotFoundError before anything is loaded, because Windows' add_dll_directory
    does not take a missing folder. Uninstalling a toolkit leaves the variable behind.

    How it is seen: the variable, and that its folder does not exist.

    How sure: certain - read in the loader's source.
    """
    if platform.system != "windows" or engine.kind != "llama-cpp-python":
        return
    for toolkit in toolkits:
        if not toolkit.exists and "CUDA_PATH" in toolkit.named_by:
            yield Finding(
                ERROR,
                f"CUDA_PATH names a folder that does not exist ({toolkit.path}), so `import llama_cpp` stops with "
                "FileNotFoundError.",
                (f"CUDA_PATH={toolkit.path}", *load_error(engine)),
                BY_ID["cuda-path-dangling"].fix(platform.kind),
            )


def libcuda_not_found_or_stub(
    platform: Platform, cuda: CudaDriver, libcudas: Sequence[LibCuda], gpus: Sequence[NvmlGpu]
) -> Iterator[Finding]:
    """The driver's libcuda.so.1 is not where the loader looks, or a stub stands before it.

    Why it matters: without it no CUDA program starts. A stub (a toolkit's lib64/stubs) is for linking only and answers every
    call with error 34.

    How it is seen: a child process loads libcuda.so.1 with the environment in question; the path that it took, and
    cuInit's code.

    How sure: certain.
    """
    if platform.system != "linux" or not gpus:
        return
    first = libcudas[0] if libcudas else None
    loaded = cuda.library if isinstance(cuda.library, str) else first.path if first else ""
    mode = BY_ID["libcuda-not-found-or-stub"]
    if isinstance(cuda.library, Absent):
        yield Finding(
            ERROR,
            f"The driver's libcuda.so.1 is not found, although NVML lists {', '.join(gpu_name(gpu) for gpu in gpus)}.",
            (cuda.library.reason, f"files with that name: {', '.join(one.path for one in libcudas) or 'none'}"),
            mode.fix("here" if any(one.kind == "driver" for one in libcudas) else platform.kind),
        )
        return
    if cuda.init_code == _STUB or ("/stubs/" in loaded and cuda.init_code != 0):
        yield Finding(
            ERROR,
            f"A stub is loaded instead of the CUDA driver: {loaded}.",
            (f"libcuda: {loaded}", *([f"cuInit: {_STUB} CUDA_ERROR_STUB_LIBRARY"] if cuda.init_code == _STUB else [])),
            mode.fix("stub"),
        )
        return
    known(cuda.library)


def windows_cuda13_bin_x64(platform: Platform, engine: Engine, toolkits: Sequence[CudaToolkit]) -> Iterator[Finding]:
    """The toolkit of CUDA 13 keeps its DLLs in bin\\x64, and llama-cpp-python looks in bin.

    Why it matters: "Could not find module llama.dll (or one of its dependencies)" with CUDA 13 installed and CUDA_PATH set.

    How it is seen: the DLL lies in CUDA_PATH\\bin\\x64 and not in CUDA_PATH\\bin; the package's loader does not know
    that folder.

    How sure: certain - the files and the loader's source were read.
    """
    if platform.system != "windows" or engine.kind != "llama-cpp-python" or lists_gpu(engine):
        return
    if engine.package.get("loader_knows_x64") == "yes":
        return
    wanted = [
        name for library in engine.libraries for name in known(library.missing) if name.lower().endswith("64_13.dll")
    ]
    for toolkit in toolkits:
        if "CUDA_PATH" not in toolkit.named_by:
            continue
        files = {
            folder.replace("\\", "/"): {name.lower() for name in names}
            for folder, names in toolkit.runtime_files.items()
        }
        there = [name for name in wanted if name.lower() in files.get("bin/x64", set()) - files.get("bin", set())]
        if there:
            yield Finding(
                ERROR,
                f"{name_of(engine)} does not find {there[0]}: CUDA 13 keeps it in {toolkit.path}\\bin\\x64, where the package "
                "does not look.",
                (f"{toolkit.path}\\bin\\x64 holds {', '.join(dict.fromkeys(there))}", *load_error(engine)),
                BY_ID["windows-cuda13-bin-x64"].fix(platform.kind),
            )
            return


def windows_cuda_dll_missing(platform: Platform, engine: Engine) -> Iterator[Finding]:
    """A DLL that the engine's libraries import is not where Windows looks.

    Why it matters: Windows names only the top library in its message ("or one of its dependencies"); release programs of
    llama.cpp start without a word and use the CPU.

    How it is seen: the import tables of the engine's DLLs, searched in their folder, System32, PATH and CUDA_PATH.

    How sure: certain where the load failed; medium where only the search order speaks (it was not run on every Windows).
    """
    if platform.system != "windows" or lists_gpu(engine):
        return
    missing = missing_names(engine, "pe")
    if not missing:
        return
    names = ", ".join(missing)
    failed = isinstance(engine.import_error, str) and bool(_WINDOWS_LOAD.search(engine.import_error))
    loaded = isinstance(engine.devices, tuple)
    if not failed and loaded and not any(name.lower().startswith(("cudart", "cublas")) for name in missing):
        return
    yield Finding(
        ERROR if failed or loaded else WARNING,
        f"{name_of(engine)} cannot load its GPU libraries: {names} {'is' if len(missing) == 1 else 'are'} not found.",
        (*needed_by(engine, missing), *lies_in(engine, missing), *load_error(engine)),
        BY_ID["windows-cuda-dll-missing"].fix(platform.kind),
    )


def cuda_runtime_libs_missing_linux(platform: Platform, engine: Engine, nvml: Nvml) -> Iterator[Finding]:
    """A library that the engine needs is found nowhere where the loader looks.

    Why it matters: the package does not import, or (a backend that is loaded while running) it is left out without a word and
    the CPU is used. CUDA wheels of llama-cpp-python do not bring libcudart and libcublas.

    How it is seen: the imports of every library of the engine, searched as the loader does: RUNPATH, LD_LIBRARY_PATH,
    the loader's
    cache, default folders. Where the file lies elsewhere (NVIDIA's pip packages, a toolkit), that is told.

    How sure: certain - the loader's own rules on the files that are there; it is silent where the engine lists a GPU, and
    where it runs in a machine without one.
    """
    if platform.system == "windows" or lists_gpu(engine) or engine.kind in EXLLAMA:
        return
    error = engine.import_error if isinstance(engine.import_error, str) else ""
    told = _NOT_FOUND.search(error)
    missing = [name for name in missing_names(engine, "elf") if name not in _DRIVER_LIBRARIES]
    if told and told[1] not in missing:
        missing.insert(0, told[1])
    if not error and not nvml.gpus:  # it runs, and there is no GPU that a backend could use
        return
    if not missing:
        if not error and not engine.libraries:
            raise NotKnown("the engine's libraries could not be read")
        return
    yield Finding(
        ERROR,
        f"{name_of(engine)} does not find {', '.join(missing[:4])}.",
        (*needed_by(engine, missing), *lies_in(engine, missing), *load_error(engine)),
        _install(engine, missing, platform),
    )


def _install(engine: Engine, missing: Sequence[str], platform: Platform) -> str:
    cuda = next((m for name in missing if (m := re.match(r"lib(?:cudart|cublas|cublasLt)\.so\.(\d+)", name))), None)
    if cuda is None or engine.kind != "llama-cpp-python":
        return BY_ID["cuda-runtime-libs-missing-linux"].fix(platform.kind)
    suffix = f"-cu{cuda[1]}" if int(cuda[1]) < 13 else ""
    folder = "nvidia/*/lib" if int(cuda[1]) < 13 else f"nvidia/cu{cuda[1]}/lib"
    return (
        f"`pip install nvidia-cuda-runtime{suffix} nvidia-cublas{suffix}` and put site-packages/{folder} on LD_LIBRARY_PATH "
        f"before Python starts, or install the CUDA {cuda[1]} toolkit and run `sudo ldconfig`."
    )


def glibc_or_libstdcxx_too_old(platform: Platform, engine: Engine) -> Iterator[Finding]:
    """The engine's libraries were built on a newer Linux than this one.

    Why it matters: "version `GLIBC_2.38' not found": nothing is loaded. A wheel for musl on glibc, or the reverse, fails alike.

    How it is seen: the highest symbol versions that the libraries ask for, against the C library's version and those that
    libstdc++ defines.

    How sure: certain - the loader compares the same names.
    """
    if platform.system != "linux":
        return
    error = engine.import_error if isinstance(engine.import_error, str) else ""
    text = error or "\n".join(engine.log)
    fix = BY_ID["glibc-or-libstdcxx-too-old"].fix(platform.kind)
    if told := _SYMBOL_VERSION.search(text):
        wants = told[1] or "musl"
        yield Finding(
            ERROR, f"{name_of(engine)} was built on a newer Linux: it needs {wants}.", (_line_of(text, told[0]),), fix
        )
        return
    for library in engine.libraries:
        there = platform.glibc
        if isinstance(library.glibc, tuple) and isinstance(there, tuple) and library.glibc > there:
            yield Finding(
                ERROR,
                f"{name_of(engine)} was built on a newer Linux: it needs glibc {dotted(library.glibc)}, this system has "
                f"{dotted(there)}.",
                (f"{library.path} asks for GLIBC_{dotted(library.glibc)}",),
                fix,
            )
            return
        if (
            isinstance(library.glibcxx, tuple)
            and isinstance(library.glibcxx_found, tuple)
            and library.glibcxx > library.glibcxx_found
        ):
            yield Finding(
                ERROR,
                f"{name_of(engine)} was built with a newer compiler: it needs GLIBCXX_{dotted(library.glibcxx)}, this libstdc++ "
                f"has up to {dotted(library.glibcxx_found)}.",
                (f"{library.path}", f"libstdc++: {library.found.get('libstdc++.so.6', 'unknown')}"),
                fix,
            )
            return
    known(platform.glibc)


def two_cuda_toolkits_conflict(
    platform: Platform, toolkits: Sequence[CudaToolkit], engines: Sequence[Engine]
) -> Iterator[Finding]:
    """Libraries of two CUDA toolkits stand in the library search path.

    Why it matters: which libcublas or cudart a program gets depends on the order of the folders; a mix of two versions gives
    missing symbols or CUBLAS_STATUS_NOT_INITIALIZED.

    How it is seen: PATH (Windows) or LD_LIBRARY_PATH (Linux) names the folders of toolkits of different versions. Where an
    engine lists its GPU all the same that is only a remark, where it misses a symbol of CUDA's libraries the cause. Toolkits
    that are only installed side by side are fine.

    How sure: high - two versions in the path are a fact; whether they are the cause only a symbol error shows.
    """
    variable = "PATH" if platform.system == "windows" else "LD_LIBRARY_PATH"
    found: dict[tuple[int, ...], CudaToolkit] = {}
    for toolkit in toolkits:
        if variable in toolkit.named_by and toolkit.exists and isinstance(toolkit.version, tuple):
            found.setdefault(toolkit.version[:2], toolkit)
    if len(found) > 1:
        versions = [dotted(version) for version in found]
        mixed = [engine for engine in engines if _SYMBOL_OF_CUDA.search(str(engine.import_error))]
        works = any(lists_gpu(engine) for engine in engines)
        yield Finding(
            ERROR if mixed else INFO if works else WARNING,
            f"Two CUDA toolkits stand in {variable}: {' before '.join(versions)}"
            + (f", and {name_of(mixed[0])} mixes them." if mixed else "."),
            (
                *(f"{toolkit.path} (CUDA {dotted(version)})" for version, toolkit in found.items()),
                *(line for engine in mixed[:1] for line in load_error(engine)),
            ),
            BY_ID["two-cuda-toolkits-conflict"].fix(platform.kind),
        )


def _line_of(text: str, part: str) -> str:
    return next((line.strip() for line in text.splitlines() if part in line), part)


CHECKS: tuple[Check, ...] = (
    cuda_path_dangling,
    libcuda_not_found_or_stub,
    windows_cuda13_bin_x64,
    windows_cuda_dll_missing,
    glibc_or_libstdcxx_too_old,
    cuda_runtime_libs_missing_linux,
    two_cuda_toolkits_conflict,
    *doctor_loading.CHECKS,
)
