"""Checks of the user-space driver: libcuda and NVML against the kernel module, the build against the driver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vramctl.checks.cuda_versions import (
    code_for,
    cuda_of_ptx,
    dotted,
    driver_of_toolkit,
    driver_text,
    minimum_driver,
)
from vramctl.checks.doctor_cuda_start import cuda_compat_on_unsupported_gpu, cuda_init_fails
from vramctl.checks.engine_facts import (
    build_evidence,
    capabilities,
    cuda_libraries,
    cuda_major_of,
    cuda_version_of,
    driver_cuda,
    gpu_name,
    log_lines,
    name_of,
    version_numbers,
)
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, known
from vramctl.records.facts import Engine, KernelModules, LibCuda, Nvml, NvmlGpu, Platform
from vramctl.records.finding import ERROR, Finding

_MISMATCH = "lib-rm-version-mismatch"


def driver_library_version_mismatch(
    platform: Platform, nvml: Nvml, modules: KernelModules, libcudas: Sequence[LibCuda]
) -> Iterator[Finding]:
    """The driver was upgraded, and the kernel still runs the old module.

    Why it matters: every CUDA program fails until the reboot; Ollama and llama.cpp fall back to the CPU without a word.

    How it is seen: NVML answers "driver/library version mismatch", or the kernel module's version differs from the one
    in libcuda's file name.

    How sure: certain - two version strings that must be equal.
    """
    module = modules.nvidia_version
    library = next((one for one in libcudas if one.kind == "driver" and isinstance(one.version, tuple)), None)
    differs = isinstance(module, tuple) and library is not None and module != library.version
    if nvml.error != _MISMATCH and not differs:
        known(module)
        return
    loaded = driver_text(module, platform.system) if isinstance(module, tuple) else "another version"
    if library is not None and isinstance(library.version, tuple):
        words = f"the kernel runs module {loaded}, its libraries are {driver_text(library.version, platform.system)}"
    else:
        words = f"the kernel runs module {loaded}, NVML's library is newer"
    because = [f"loaded kernel module: {loaded}"] if isinstance(module, tuple) else []
    because += [f"{library.path} -> {library.target}"] if library is not None else []
    because += ["NVML: driver/library version mismatch (18)"] if nvml.error == _MISMATCH else []
    yield Finding(
        ERROR,
        f"The NVIDIA driver was upgraded without a reboot: {words}.",
        tuple(because),
        BY_ID["driver-library-version-mismatch"].fix(platform.kind),
    )


def cuda13_windows_null_error(platform: Platform, engine: Engine, nvml: Nvml) -> Iterator[Finding]:
    """A CUDA 13 build on Windows with a driver before branch 580: "failed to initialize CUDA: (null)".

    Why it matters: no GPU is found, and the error has no text, so that people rebuild again and again. From CUDA 13 on the
    Windows runtime is a thin layer over nvcudart_hybrid64.dll, which comes with drivers of branch 580 and later.

    How it is seen: the build imports CUDA 13 libraries or holds that runtime; NVML gives the driver's version.

    How sure: certain - two numbers read from the machine; the log's `(null)` alone would be weaker.
    """
    if platform.system != "windows":
        return
    major = cuda_major_of(engine)
    if major is None or major < 13:
        return
    driver = known(nvml.driver_version)
    runs = driver_cuda(nvml, "windows")
    if driver[0] >= 580 and runs >= (13, 0):
        return
    yield _too_old(platform, engine, nvml, major, (*log_lines(engine, r"failed to initialize CUDA"),))


def driver_too_old_for_cuda(platform: Platform, engine: Engine, nvml: Nvml) -> Iterator[Finding]:
    """The engine was built for a newer CUDA major version than the driver runs.

    Why it matters: CUDA does not start and the engine silently uses the CPU. Rebuilding changes nothing; a newer driver
    or a build for the older CUDA does. Within one major version any driver of its first branch or later runs compiled code.

    How it is seen: the CUDA libraries that the engine imports (or torch's CUDA version) against the driver's highest CUDA.

    How sure: certain - a comparison of two numbers read from the machine.
    """
    major = cuda_major_of(engine)
    if major is not None and driver_cuda(nvml, platform.system)[0] < major:
        yield _too_old(
            platform, engine, nvml, major, (*log_lines(engine, r"failed to initialize CUDA|insufficient for CUDA"),)
        )


def _too_old(platform: Platform, engine: Engine, nvml: Nvml, major: int, logged: tuple[str, ...]) -> Finding:
    """The driver is too old for this build: what to do stands in the sentence itself."""
    runs = driver_cuda(nvml, platform.system)
    driver = (
        driver_text(nvml.driver_version, platform.system) if isinstance(nvml.driver_version, tuple) else "this driver"
    )
    least = minimum_driver(major, platform.system)
    least_text = driver_text(least, platform.system) if least else f"one that runs CUDA {major}"
    built = cuda_version_of(engine, major)
    return Finding(
        ERROR,
        f"The driver is too old for this build ({name_of(engine)} for CUDA {built}; driver {driver} runs CUDA up to "
        f"{dotted(runs)}): update the driver to {least_text} or later, or install a CUDA {runs[0]} build; rebuilding "
        "changes nothing.",
        (f"driver {driver}: CUDA up to {dotted(runs)}", *build_evidence(engine, major), *logged),
        _older_build(engine, runs[0], platform),
    )


def _older_build(engine: Engine, major: int, platform: Platform) -> str:
    update = {
        "windows": "Install the current driver from nvidia.com and reboot",
        "container": "Update the driver of the host",
    }.get(platform.kind, "Install a newer driver (Ubuntu: `sudo ubuntu-drivers install`) and reboot")
    if engine.kind == "llama-cpp-python":
        wheel = {12: "cu124", 11: "cu118"}.get(major, f"cu{major}x")
        return (
            f"{update}; or `pip install --force-reinstall --no-cache-dir llama-cpp-python --extra-index-url "
            f"https://abetlen.github.io/llama-cpp-python/whl/{wheel}`."
        )
    if engine.kind in ("exllamav2", "exllamav3"):
        index = {12: "cu126", 11: "cu118"}.get(major, f"cu{major}x")
        return f"{update}; or install torch from https://download.pytorch.org/whl/{index} and the matching {engine.kind} wheel."
    return f"{update}; or take the CUDA {major} release of {engine.kind}."


def ptx_newer_than_driver(platform: Platform, engine: Engine, nvml: Nvml, gpus: Sequence[NvmlGpu]) -> Iterator[Finding]:
    """The build has no compiled code for this GPU, and its PTX is newer than the driver understands.

    Why it matters: CUDA error 222, "the provided PTX was compiled with an unsupported toolchain", at the first kernel: loading
    works, the first token fails. Minor-version compatibility covers compiled code, not PTX.

    How it is seen: the programs inside the engine's CUDA libraries, the GPU's compute capability, the driver's CUDA version.

    How sure: high - the container of these programs is not documented; its PTX versions agree with NVIDIA's own table.
    """
    runs = driver_cuda(nvml, platform.system)
    for gpu, capability in capabilities(gpus):
        codes = [(library, code_for(known(library.fatbins), capability)) for library in cuda_libraries(engine)]
        if any(code.best == "compiled" for _, code in codes):
            continue
        for library, code in codes:
            needs = cuda_of_ptx(code.ptx_isa) if code.best == "ptx" and code.ptx_isa else None
            if needs is None or needs <= runs or code.program is None or code.ptx_isa is None:
                continue
            driver = driver_of_toolkit(needs, platform.system)
            update = (
                f"to {driver_text(driver, platform.system)} or later"
                if driver
                else f"to one that runs CUDA {dotted(needs)}"
            )
            yield Finding(
                ERROR,
                f"{name_of(engine)} has only PTX of CUDA {dotted(needs)} for {gpu_name(gpu)} ({dotted(capability)}), and the "
                f"driver reads PTX up to CUDA {dotted(runs)}: update the driver {update}, or take a build with compiled code "
                f"for {dotted(capability)}.",
                (
                    (
                        f"{library.path}: best for {dotted(capability)} is PTX {dotted(code.program.arch)}, "
                        f"ISA {dotted(code.ptx_isa)} = CUDA {dotted(needs)}"
                    ),
                    f"driver: CUDA up to {dotted(runs)}",
                ),
                BY_ID["ptx-newer-than-driver"].fix(platform.kind),
            )
            return


def ollama_driver_filter(platform: Platform, engine: Engine, nvml: Nvml, gpus: Sequence[NvmlGpu]) -> Iterator[Finding]:
    """This version of Ollama leaves GPUs out whose driver is older than it wants.

    Why it matters: Ollama then runs on the CPU; only its debug log tells why. Since 0.30 it wants driver 550 (its GPU code
    is compressed by CUDA 12.4 or later), and 570 for GPUs before compute capability 7.0.

    How it is seen: Ollama's version and the driver's version.

    How sure: high - the thresholds were read from the source of 0.33 before its release; later versions may differ.
    """
    if engine.kind != "ollama":
        return
    version = version_numbers(known(engine.version))
    if version < (0, 30):
        return
    driver = known(nvml.driver_version)
    oldest = min((capability for _, capability in capabilities(gpus)), default=(99, 0))
    wanted = 570 if oldest < (7, 0) else 550
    if driver[0] < wanted:
        why = f" for a GPU of compute capability {dotted(oldest)}" if wanted == 570 else ""
        yield Finding(
            ERROR,
            f"{name_of(engine)} leaves the GPU out: it wants driver {wanted} or newer{why}, this is "
            f"{driver_text(driver, platform.system)}.",
            (f"driver {driver_text(driver, platform.system)}", f"Ollama {engine.version}"),
            BY_ID["ollama-driver-filter"].fix(platform.kind),
        )


CHECKS: tuple[Check, ...] = (
    driver_library_version_mismatch,
    cuda_compat_on_unsupported_gpu,
    cuda13_windows_null_error,
    driver_too_old_for_cuda,
    ptx_newer_than_driver,
    ollama_driver_filter,
    cuda_init_fails,
)
