"""What several checks ask of an engine: its name, its GPU libraries, its CUDA version, what it lists and logged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vramctl.checks.cuda_versions import cuda_of_driver, dotted
from vramctl.checks.runner import NotKnown, known
from vramctl.records.facts import Engine, Library, Nvml, NvmlGpu, Version
from vramctl.records.unknown import Absent

GPU_BACKENDS = frozenset({"cuda", "hip", "vulkan", "sycl", "metal", "cann", "musa", "opencl"})
LLAMA = ("llama-cpp-python", "xllamacpp", "llama.cpp")
EXLLAMA = ("exllamav2", "exllamav3")
_ARCHS = re.compile(r"CUDA : ARCHS = ([\d,]+)")
_FAILED = re.compile(r"failed to initialize (?:CUDA|ROCm): (.*)")


def name_of(engine: Engine) -> str:
    """The engine and its version: `llama-cpp-python 0.3.16`."""
    return f"{engine.kind} {engine.version}" if isinstance(engine.version, str) else engine.kind


def cuda_libraries(engine: Engine) -> tuple[Library, ...]:
    """Its libraries with CUDA code or CUDA imports."""
    return tuple(library for library in engine.libraries if library.backend == "cuda")


def gpu_backends(engine: Engine) -> frozenset[str]:
    """The GPU backends that it has a library for, or that it lists a device of."""
    listed = engine.devices if isinstance(engine.devices, tuple) else ()
    names = {re.sub(r"\d+$", "", device.backend).lower() for device in listed if device.kind in {"gpu", "igpu"}}
    return frozenset(engine.backends & GPU_BACKENDS) | frozenset(name for name in names if name and name != "cpu")


def lists_gpu(engine: Engine) -> bool:
    """Whether it found a GPU when it was started."""
    return isinstance(engine.devices, tuple) and any(device.kind in {"gpu", "igpu"} for device in engine.devices)


def cuda_major_of(engine: Engine) -> int | None:
    """The CUDA major version of its build, None where it is no CUDA build. Of several sets (Ollama) the oldest counts."""
    if engine.kind in EXLLAMA:
        found = version_numbers(engine.package.get("cuda", ""))
        return found[0] if found else None
    majors = [library.cuda_major for library in cuda_libraries(engine) if isinstance(library.cuda_major, int)]
    if not majors:
        return None
    return min(majors) if engine.kind == "ollama" else max(majors)


def cuda_version_of(engine: Engine, major: int) -> str:
    """The CUDA version of its build as text: `13.0`, or the major version alone where the bytes tell no more."""
    if engine.kind in EXLLAMA:
        return engine.package.get("cuda", "") or str(major)
    versions = [
        library.cuda_version
        for library in cuda_libraries(engine)
        if isinstance(library.cuda_version, tuple) and library.cuda_version[0] == major
    ]
    return dotted(max(versions)[:2]) if versions else str(major)


def build_evidence(engine: Engine, major: int) -> tuple[str, ...]:
    """What shows the CUDA version of its build."""
    if engine.kind in EXLLAMA:
        return (f"torch {engine.package.get('torch', '')}, built for CUDA {engine.package.get('cuda', '')}",)
    for library in cuda_libraries(engine):
        if library.cuda_major == major:
            needs = [name for name in library.needed if re.match(r"(?:lib)?(?:cudart|cublas)", name, re.IGNORECASE)]
            signs = [f"needs {', '.join(needs)}"] if needs else []
            if library.hybrid_runtime:
                signs.append("holds the CUDA 13 runtime that loads nvcudart_hybrid64.dll of the driver")
            if isinstance(library.cuda_version, tuple):
                signs.append(f"compiled by CUDA {dotted(library.cuda_version[:2])}")
            return (f"{library.path} {', '.join(signs) or f'is a build for CUDA {major}'}",)
    return ()


def driver_cuda(nvml: Nvml, system: str) -> Version:
    """The newest CUDA version that the driver runs; ends the check as unknown where neither NVML nor its number tells."""
    if nvml.error:
        raise NotKnown(f"NVML did not start: {nvml.error}")
    if isinstance(nvml.cuda_version, tuple):
        return nvml.cuda_version[:2]
    found = cuda_of_driver(known(nvml.driver_version), system)
    if found is None:
        raise NotKnown("the driver is older than every table")
    return found


def capabilities(gpus: Sequence[NvmlGpu]) -> tuple[tuple[NvmlGpu, Version], ...]:
    """The GPUs with their compute capabilities; ends the check as unknown where one does not tell it."""
    return tuple((gpu, known(gpu.compute_capability)) for gpu in gpus)


def gpu_name(gpu: NvmlGpu) -> str:
    """A GPU's name, or its number."""
    return gpu.name if isinstance(gpu.name, str) else f"GPU {gpu.index}"


def init_error(engine: Engine) -> str | None:
    """The text after `failed to initialize CUDA:` in what it logged; None where there is no such line."""
    for line in engine.log:
        if found := _FAILED.search(line):
            return found[1].strip()
    return None


def log_lines(engine: Engine, pattern: str, *, most: int = 2) -> Iterator[str]:
    """The first lines that it logged with this pattern, as evidence."""
    found = [line.strip() for line in engine.log if re.search(pattern, line)]
    for line in dict.fromkeys(found[: most * 4]):
        most -= 1
        if most < 0:
            return
        yield f"it logged: {line}"


def logged_architectures(engine: Engine) -> tuple[int, ...]:
    """The architectures that ggml says it was compiled for (`ARCHS = 860,890`), as numbers of three digits."""
    text = engine.system_info if isinstance(engine.system_info, str) else ""
    found = _ARCHS.search(text) or next((m for line in engine.log if (m := _ARCHS.search(line))), None)
    return tuple(int(part) for part in found[1].split(",") if part) if found else ()


def version_numbers(text: object) -> Version:
    """The numbers at the start of a version: `0.3.2+cu128` is (0, 3, 2); empty where there are none."""
    found = re.match(r"[vb]?(\d+(?:\.\d+)*)", text) if isinstance(text, str) else None
    return tuple(int(part[:9]) for part in found[1].split(".")) if found else ()


def is_absent(value: object) -> bool:
    """Whether something is known not to be there."""
    return isinstance(value, Absent)
