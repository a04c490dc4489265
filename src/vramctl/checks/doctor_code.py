"""Checks of the GPU code inside an engine's libraries against the GPUs of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vramctl.checks.cuda_versions import OLDEST_OF_CUDA_13, architectures, code_for, dotted
from vramctl.checks.engine_facts import (
    EXLLAMA,
    capabilities,
    cuda_libraries,
    cuda_major_of,
    cuda_version_of,
    gpu_name,
    logged_architectures,
    name_of,
)
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, NotKnown
from vramctl.records.facts import Engine, Fatbin, NvmlGpu, Platform, Version
from vramctl.records.finding import ERROR, INFO, WARNING, Finding
from vramctl.records.unknown import Unknown

_SMALL_CACHE = 256 << 20  # CUDA's default; the kernels of one ggml-cuda take about 100 MiB of it


def cuda13_build_on_old_gpu(platform: Platform, engine: Engine, gpus: Sequence[NvmlGpu]) -> Iterator[Finding]:
    """A CUDA 13 build on a GPU before Turing (Maxwell, Pascal, Volta).

    Why it matters: CUDA 13 cannot compile for compute capability below 7.5, so the build has no code for this GPU and never
    will. Builds for CUDA 12 do; driver branch 580 is the last one for these GPUs.

    How it is seen: the CUDA libraries that the engine imports (or torch's CUDA version), and NVML's compute capability.

    How sure: certain.
    """
    major = cuda_major_of(engine)
    if major is None or major < 13:
        return
    old = [(gpu, capability) for gpu, capability in capabilities(gpus) if capability < OLDEST_OF_CUDA_13]
    if old:
        gpu, capability = old[0]
        yield Finding(
            ERROR if len(old) == len(gpus) else WARNING,
            f"{name_of(engine)} is a build for CUDA {cuda_version_of(engine, major)}, which has no code for {gpu_name(gpu)} "
            f"(compute capability {dotted(capability)}): install a CUDA 12 build.",
            (
                f"{gpu_name(gpu)}: {dotted(capability)}; CUDA 13 begins at {dotted(OLDEST_OF_CUDA_13)}",
                *_code(engine),
            ),
            BY_ID["cuda13-build-on-old-gpu"].fix(platform.kind),
        )


def gpu_arch_not_in_build(platform: Platform, engine: Engine, gpus: Sequence[NvmlGpu]) -> Iterator[Finding]:
    """The build has no code for this GPU: neither compiled for it nor PTX that could be.

    Why it matters: "no kernel image is available for execution on the device" (209) at the first kernel, or ggml aborts; Ollama
    leaves the GPU out.

    How it is seen: the programs inside the engine's CUDA libraries against NVML's compute capability. Compiled code runs on the
    same major version with a minor version not below it, PTX on everything from its own architecture on;
    architecture-specific code (sm_90a) on exactly its own, family-specific code (sm_120f) on its family.

    How sure: certain where the code was read; where only the log's list is known, an architecture below all of it is certain.
    """
    if engine.kind in EXLLAMA and not cuda_libraries(engine):
        return
    without = []
    for gpu, capability in capabilities(gpus):
        if not _has_code(engine, capability):
            without.append((gpu, capability))
    if without:
        gpu, capability = without[0]
        yield Finding(
            ERROR if len(without) == len(gpus) else WARNING,
            f"{name_of(engine)} has no code for {gpu_name(gpu)} (compute capability {dotted(capability)}).",
            _code(engine) or (f"ggml says it was compiled for {', '.join(map(str, logged_architectures(engine)))}",),
            BY_ID["gpu-arch-not-in-build"].fix(platform.kind),
        )


def _has_code(engine: Engine, capability: Version) -> bool:
    """Whether any of its CUDA libraries has code for this compute capability; no CUDA library counts as yes."""
    libraries = cuda_libraries(engine)
    if not libraries:
        return True
    unread = ""
    for library in libraries:
        if isinstance(library.fatbins, Unknown):
            unread = library.fatbins.reason
        elif not library.fatbins:  # it imports CUDA and has no kernels of its own
            continue
        elif code_for(library.fatbins, capability).best != "none":
            return True
    if unread or all(not library.fatbins for library in libraries):
        listed = logged_architectures(engine)
        if listed and min(listed) > capability[0] * 100 + capability[1] * 10:
            return False
        if unread:
            raise NotKnown(f"the GPU code could not be read: {unread}")
        return True
    return False


def ptx_jit_first_run(
    platform: Platform, engine: Engine, gpus: Sequence[NvmlGpu], environment: Mapping[str, str]
) -> Iterator[Finding]:
    """The build has only PTX for this GPU: the driver compiles it at the first start.

    Why it matters: the first load takes minutes with one core busy; afterwards the result comes from CUDA's cache (~/.nv). With
    the cache switched off or too small, every start is such a first start. It is normal for portable builds, so that alone
    is a remark.

    How it is seen: the programs inside the engine's CUDA libraries, CUDA_CACHE_DISABLE and CUDA_CACHE_MAXSIZE.

    How sure: high - how long it takes depends on the processor.
    """
    if engine.kind == "ollama":  # it has several sets, and says itself which one it takes
        return
    for gpu, capability in capabilities(gpus):
        for library in cuda_libraries(engine):
            code = code_for(library.fatbins, capability) if isinstance(library.fatbins, tuple) else None
            if code is None or code.best != "ptx" or code.program is None:
                continue
            broken = _cache_trouble(environment)
            yield Finding(
                WARNING if broken else INFO,
                f"{name_of(engine)} has only PTX ({dotted(code.program.arch)}) for {gpu_name(gpu)}: the driver compiles it at "
                f"{'every start, because ' + broken if broken else 'the first start, which takes minutes'}.",
                (f"{library.path}: {architectures(library.fatbins if isinstance(library.fatbins, tuple) else ())}",
                 *([broken] if broken else [])),
                BY_ID["ptx-jit-first-run"].fix(platform.kind),
            )  # fmt: skip
            return


def _cache_trouble(environment: Mapping[str, str]) -> str:
    if environment.get("CUDA_CACHE_DISABLE") == "1":
        return "CUDA_CACHE_DISABLE=1"
    size = environment.get("CUDA_CACHE_MAXSIZE", "")
    return f"CUDA_CACHE_MAXSIZE={size} is too small" if size.isdigit() and int(size) < _SMALL_CACHE else ""


def _code(engine: Engine) -> tuple[str, ...]:
    """What code its CUDA libraries have, a line each."""
    rows: list[tuple[str, tuple[Fatbin, ...]]] = [
        (library.path, library.fatbins) for library in cuda_libraries(engine) if isinstance(library.fatbins, tuple)
    ]
    return tuple(f"{path}: {architectures(programs)}" for path, programs in rows if programs)


CHECKS: tuple[Check, ...] = (cuda13_build_on_old_gpu, gpu_arch_not_in_build, ptx_jit_first_run)
