"""Checks of the build or wheel: is it a GPU build, is it the copy that is meant, was it optimised."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from vramctl.checks import doctor_code, doctor_exllama
from vramctl.checks.engine_facts import LLAMA, gpu_backends, gpu_name, lists_gpu, name_of
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, NotKnown
from vramctl.records.facts import Engine, NvmlGpu, Platform
from vramctl.records.finding import ERROR, INFO, WARNING, Finding

_GPU_FLAG = re.compile(
    r"-D\s*((?:GGML|LLAMA)_(?:CUDA|CUBLAS|HIPBLAS|HIP|VULKAN|SYCL|METAL))\s*=\s*(?:on|1|true|yes)", re.IGNORECASE
)
_GONE = {"LLAMA_CUBLAS": "GGML_CUDA", "LLAMA_HIPBLAS": "GGML_HIP"}


def apple_x86_python(platform: Platform, engine: Engine) -> Iterator[Finding]:
    """Python for Intel processors on Apple silicon.

    Why it matters: the package was built for x86_64 and runs under Rosetta: no Metal, no NEON; or it does not load at all.

    How it is seen: the interpreter's machine is x86_64 while the system says that the process is translated.

    How sure: certain.
    """
    if (
        platform.system == "macos"
        and engine.package.get("machine") == "x86_64"
        and engine.package.get("translated") == "yes"
    ):
        yield Finding(
            ERROR,
            f"{name_of(engine)} belongs to a Python for Intel processors, on Apple silicon: it runs translated and without "
            "the GPU.",
            (f"{engine.python}: x86_64, translated by Rosetta",),
            BY_ID["apple-x86-python"].fix(platform.kind),
        )


def wrong_python_environment(platform: Platform, engine: Engine, gpus: Sequence[NvmlGpu]) -> Iterator[Finding]:
    """Another copy of the package is imported than the one that is meant.

    Why it matters: a GPU build was installed, and an older CPU build (a user site, another environment, a folder of the
    same name)
    is still what Python imports.

    How it is seen: all installed copies along the interpreter's search path, the file from which the module would be imported,
    and LLAMA_CPP_LIB_PATH, which redirects llama-cpp-python's library.

    How sure: certain - the copies and the import's origin were read; nothing was imported.
    """
    package = engine.package
    others, shadow, override = (
        package.get("other copies", ""),
        package.get("shadowed by", ""),
        package.get("override", ""),
    )
    if not (others or shadow or override):
        return
    here = package.get("origin") or engine.path
    because = [f"imported from {here}", f"interpreter: {engine.python if isinstance(engine.python, str) else '?'}"]
    because += [f"another copy: {others}"] if others else []
    because += [f"metadata of {engine.version} lies in {package.get('location', '')}"] if shadow else []
    because += [f"LLAMA_CPP_LIB_PATH={override}"] if override else []
    has_gpu = bool(gpu_backends(engine))
    if not has_gpu and "(with" in others:
        severity, what = ERROR, f"the copy that is imported has no GPU backend, another one has: {others}"
    elif not has_gpu and shadow:
        severity, what = ERROR, f"it is imported from {shadow}, which is not the installed package"
    elif not has_gpu and override:
        severity, what = ERROR, f"LLAMA_CPP_LIB_PATH sends it to {override}, which has no GPU backend"
    elif shadow:
        severity, what = WARNING, f"it is imported from {shadow}, which is not the installed package"
    else:
        severity, what = (
            INFO,
            f"there is another copy ({others})" if others else f"its library is taken from {override}",
        )
    alone = override and not (others or shadow)
    fix = BY_ID["wrong-python-environment"].fix("override" if alone else platform.kind)
    yield Finding(severity, f"{name_of(engine)}: {what}.", tuple(because), fix)


def pip_cached_cpu_wheel(
    platform: Platform, engine: Engine, gpus: Sequence[NvmlGpu], environment: Mapping[str, str]
) -> Iterator[Finding]:
    """CMAKE_ARGS asks for a GPU backend, and the installed build has none: pip reused an older wheel, or the flag has another
    name today.

    Why it matters: pip keeps the wheel that it built without flags and takes it again, so that reinstalling changes nothing.
    LLAMA_CUBLAS stops today's build with an error, LLAMA_CUDA is mapped with a warning.

    How it is seen: CMAKE_ARGS in the environment, and no GPU backend in the package.

    How sure: high - the variable may have been set after the installation.
    """
    if engine.kind != "llama-cpp-python" or not gpus or _unread(engine) or gpu_backends(engine):
        return
    arguments = environment.get("CMAKE_ARGS", "")
    flag = _GPU_FLAG.search(arguments)
    if flag is None:
        return
    name = flag[1].upper()
    today = _GONE.get(name)
    why = f"{name} is called {today} today" if today else "pip reused a build that was made without it"
    yield Finding(
        ERROR,
        f"{name_of(engine)} has no GPU backend although CMAKE_ARGS asks for one: {why}.",
        (f"CMAKE_ARGS={arguments}", *_libraries(engine)),
        BY_ID["pip-cached-cpu-wheel"].fix(platform.kind),
    )


def cpu_only_llama_cpp_python(platform: Platform, engine: Engine, gpus: Sequence[NvmlGpu]) -> Iterator[Finding]:
    """The engine was built without a GPU backend, and this machine has a GPU.

    Why it matters: everything runs on the CPU, without a warning, whatever n_gpu_layers says. PyPI has only a source archive of
    llama-cpp-python (a plain `pip install` builds for the CPU), and xllamacpp's wheel there is a CPU build.

    How it is seen: no library with a GPU backend or GPU code in the package, and no GPU among the devices that the
    engine lists.
    `llama_supports_gpu_offload()` alone is no proof: it is also False for a CUDA build whose driver failed.

    How sure: certain - by the libraries' bytes. It is silent on machines without an NVIDIA GPU.
    """
    if engine.kind not in LLAMA or not gpus or _unread(engine) or gpu_backends(engine) or _packaged(engine):
        return
    yield Finding(
        ERROR,
        f"{name_of(engine)} was built without a GPU backend, so it never uses {gpu_name(gpus[0])}.",
        _libraries(engine),
        _reinstall(engine, platform),
    )


def _reinstall(engine: Engine, platform: Platform) -> str:
    if engine.kind != "llama-cpp-python":
        return BY_ID["cpu-only-llama-cpp-python"].fix(platform.kind) if engine.kind == "llama.cpp" else (
            "Install its CUDA wheel: `pip install --force-reinstall xllamacpp --index-url "
            "https://xorbitsai.github.io/xllamacpp/whl/cu128`."
        )  # fmt: skip
    build = (
        "PowerShell: `$env:CMAKE_ARGS='-DGGML_CUDA=on'; pip install --force-reinstall --no-cache-dir llama-cpp-python`"
        if platform.system == "windows"
        else "`CMAKE_ARGS='-DGGML_CUDA=on' pip install --force-reinstall --no-cache-dir llama-cpp-python`"
    )
    return (
        "`pip install --force-reinstall --no-cache-dir llama-cpp-python --extra-index-url "
        "https://abetlen.github.io/llama-cpp-python/whl/cu124` (choose the tag that your driver runs: cu118 to cu132), or build "
        f"it where a CUDA toolkit is installed: {build}."
    )


def distro_package_without_cuda(
    platform: Platform, engine: Engine, gpus: Sequence[NvmlGpu], environment: Mapping[str, str]
) -> Iterator[Finding]:
    """The distribution's package comes without the CUDA backend.

    Why it matters: Ollama or llama.cpp runs and uses the CPU only. Arch and others split the backend into a package of its own
    (ollama-cuda, ollama-rocm); a tarball whose lib folder was not copied has the same effect.

    How it is seen: no CUDA, ROCm or Vulkan library beside the program or in its lib/ollama folder.

    How sure: certain for Ollama 0.5 and later; llama.cpp programs from /usr/bin alike. A client of a server elsewhere
    (OLLAMA_HOST) is left alone.
    """
    if not gpus or gpu_backends(engine) or not (engine.kind == "ollama" or _packaged(engine)):
        return
    if engine.kind == "ollama" and _elsewhere(
        environment.get("OLLAMA_HOST", "")
    ):  # a client of another machine's server
        return
    folder = engine.package.get("folder", "")
    where = folder or ("no lib/ollama folder" if engine.kind == "ollama" else engine.path)
    yield Finding(
        ERROR,
        f"{name_of(engine)} is installed without a GPU backend, so it never uses {gpu_name(gpus[0])}.",
        (f"looked in: {where}", *_libraries(engine)),
        BY_ID["distro-package-without-cuda"].fix(platform.kind)
        if engine.kind == "ollama"
        else "Install the distribution's CUDA or Vulkan package of llama.cpp, or a release from its project.",
    )


def debug_build(platform: Platform, engine: Engine) -> Iterator[Finding]:
    """The engine was compiled without optimisation.

    Why it matters: what runs on the CPU is ten to fifty times slower.

    How it is seen: on Windows its DLLs import the debug runtime (ucrtbased.dll, vcruntime140d.dll). On Linux the file does not
    tell; a benchmark does.

    How sure: certain on Windows; elsewhere it is not checked.
    """
    for library in engine.libraries:
        if library.debug_build is True:
            names = [name for name in library.needed if re.search(r"d\.dll$", name, re.IGNORECASE)]
            yield Finding(
                WARNING,
                f"{name_of(engine)} is a debug build, many times slower on the CPU.",
                (f"{library.path} imports {', '.join(names[:3])}",),
                BY_ID["debug-build"].fix(platform.kind),
            )
            return


def _elsewhere(host: str) -> bool:
    """Whether OLLAMA_HOST names another machine."""
    name = re.sub(r"^\w+://", "", host)
    return bool(name) and not re.match(r"(localhost|127\.|0\.0\.0\.0|\[?::|:|\d+$)", name)


def _packaged(engine: Engine) -> bool:
    """Whether it came with the distribution: a llama.cpp program in /usr/bin."""
    return engine.kind == "llama.cpp" and engine.package.get("real", "").startswith("/usr/bin/")


def _unread(engine: Engine) -> bool:
    """Whether nothing of it could be read; ends the check as unknown then."""
    if not engine.libraries and not lists_gpu(engine):
        raise NotKnown("its libraries were not found or could not be read")
    return False


def _libraries(engine: Engine) -> tuple[str, ...]:
    names = [re.split(r"[\\/]", library.path)[-1] for library in engine.libraries]
    listed = [device.name for device in engine.devices] if isinstance(engine.devices, tuple) else []
    found = [f"libraries: {', '.join(names[:8])}"] if names else []
    return tuple(found + ([f"it lists: {', '.join(listed)}"] if listed else []))


CHECKS: tuple[Check, ...] = (
    apple_x86_python,
    wrong_python_environment,
    pip_cached_cpu_wheel,
    cpu_only_llama_cpp_python,
    distro_package_without_cuda,
    *doctor_code.CHECKS[:2],
    *doctor_exllama.CHECKS,
    *doctor_code.CHECKS[2:],
    debug_build,
)
