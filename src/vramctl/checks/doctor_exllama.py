"""Checks of ExLlamaV2 and ExLlamaV3: torch, the compiled extension, the GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vramctl.checks import doctor_attention
from vramctl.checks.cuda_versions import dotted
from vramctl.checks.engine_facts import EXLLAMA, capabilities, gpu_name, name_of, version_numbers
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, known
from vramctl.records.facts import CudaToolkit, Engine, NvmlGpu, Platform, Torch, Version
from vramctl.records.finding import ERROR, INFO, WARNING, Finding
from vramctl.records.unknown import Absent

_ARCH = re.compile(r"^(sm|compute)_(\d+)(\d)([af]?)$")
_TAG = re.compile(r"\+cu(\d{2})(\d)(?:[._-]?torch(\d+)\.(\d+))?", re.IGNORECASE)


def torch_cpu_only(platform: Platform, torch: Torch, engine: Engine, gpus: Sequence[NvmlGpu]) -> Iterator[Finding]:
    """torch is a build without CUDA.

    Why it matters: ExLlama cannot load at all. The default index has CPU builds for Windows, and a resolver may have replaced
    the CUDA build.

    How it is seen: torch's version file, and torch.version.cuda in a child process.

    How sure: certain.
    """
    if engine.kind in EXLLAMA and isinstance(torch.cuda_version, Absent) and gpus:
        version = torch.version if isinstance(torch.version, str) else "?"
        yield Finding(
            ERROR,
            f"torch {version} is a build without CUDA, so {name_of(engine)} cannot use {gpu_name(gpus[0])}.",
            (f"torch {version}: torch.version.cuda is None", f"interpreter: {engine.python}"),
            BY_ID["torch-cpu-only"].fix(platform.kind),
        )


def torch_arch_unsupported(
    platform: Platform, torch: Torch, engine: Engine, gpus: Sequence[NvmlGpu]
) -> Iterator[Finding]:
    """torch has no code for this GPU.

    Why it matters: "no kernel image is available" at the first operation. Blackwell (12.0) needs wheels for CUDA 12.8 or later;
    wheels for CUDA 13 begin at 7.5.

    How it is seen: torch.cuda.get_arch_list() against NVML's compute capability.

    How sure: certain.
    """
    if engine.kind not in EXLLAMA:
        return
    listed = known(torch.architectures)
    for gpu, capability in capabilities(gpus):
        if listed and not any(_torch_runs(name, capability) for name in listed):
            yield Finding(
                ERROR,
                f"torch {torch.version} has no code for {gpu_name(gpu)} (compute capability {dotted(capability)}).",
                (f"torch was built for {', '.join(listed)}",),
                BY_ID["torch-arch-unsupported"].fix(platform.kind),
            )
            return


def _torch_runs(name: str, capability: Version) -> bool:
    found = _ARCH.match(name)
    if found is None:
        return False
    arch = (int(found[2]), int(found[3]))
    if found[4] == "a":
        return arch == capability
    return arch <= capability if found[1] == "compute" else arch[0] == capability[0] and arch[1] <= capability[1]


def exllama_jit_msvc(platform: Platform, engine: Engine) -> Iterator[Finding]:
    """ExLlama's extension would be compiled at the first import, and Windows has no C++ compiler.

    Why it matters: "Unable to find cl.exe; compilation will probably fail", then the import fails.

    How it is seen: no compiled extension is installed, and cl.exe is neither in PATH nor where ExLlama looks for it.

    How sure: high - a compiler in an unusual folder is not found by ExLlama either.
    """
    if engine.kind in EXLLAMA and platform.system == "windows" and _must_build(engine) and not engine.package.get("cl"):
        yield Finding(
            ERROR,
            f"{name_of(engine)} has no compiled extension for this Python, and there is no Visual C++ compiler to build one.",
            (*_build_evidence(engine), "cl.exe: not found"),
            BY_ID["exllama-jit-msvc"].fix(platform.kind),
        )


def exllama_jit_no_nvcc(platform: Platform, engine: Engine) -> Iterator[Finding]:
    """ExLlama's extension is compiled at the first import, and what that needs is missing.

    Why it matters: the wheel on PyPI is pure Python; the first import builds the extension for minutes and needs nvcc,
    ninja and a
    C++ compiler. With all of them it is a remark: the first start takes long.

    How it is seen: no compiled extension in the interpreter and none in torch's cache; the programs on the search path. The
    package is not imported: that would start the build.

    How sure: certain.
    """
    if engine.kind not in EXLLAMA or not _must_build(engine):
        return
    tools = {"nvcc": engine.package.get("nvcc"), "ninja": engine.package.get("ninja")}
    if platform.system != "windows":
        tools["g++"] = engine.package.get("g++") or engine.package.get("c++")
    missing = [name for name, path in tools.items() if not path]
    if missing:
        yield Finding(
            ERROR,
            f"{name_of(engine)} has to be compiled at its first import, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing.",
            (*_build_evidence(engine), *(f"{name}: not found" for name in missing)),
            BY_ID["exllama-jit-no-nvcc"].fix(platform.kind),
        )
    else:
        yield Finding(
            INFO,
            f"{name_of(engine)} compiles its extension at the first import: that takes minutes, with all cores busy.",
            _build_evidence(engine),
            BY_ID["exllama-jit-no-nvcc"].fix(platform.kind),
        )


def _must_build(engine: Engine) -> bool:
    return not engine.package.get("extension") and not engine.package.get("built")


def _build_evidence(engine: Engine) -> tuple[str, ...]:
    tag = engine.package.get("tag") or "unknown"
    return (f"wheel tag: {tag}", f"no {engine.kind}_ext is installed, and none in torch's cache of extensions")


def exllama_torch_cuda_mismatch(
    platform: Platform, engine: Engine, toolkits: Sequence[CudaToolkit]
) -> Iterator[Finding]:
    """ExLlama's wheel, or the compiler that builds its extension, belongs to another CUDA or torch than the one installed.

    Why it matters: "undefined symbol" when the extension loads, or "The detected CUDA version mismatches the version
    that was used
    to compile PyTorch" when it is built.

    How it is seen: the wheel's version (+cu128.torch2.8.0) against torch's; where it has to be built, the toolkit that
    CUDA_HOME or
    PATH names against torch's CUDA major version.

    How sure: certain.
    """
    if engine.kind not in EXLLAMA:
        return
    torch, cuda = version_numbers(engine.package.get("torch", "")), version_numbers(engine.package.get("cuda", ""))
    tag = _TAG.search(engine.version) if isinstance(engine.version, str) else None
    fix = BY_ID["exllama-torch-cuda-mismatch"].fix(platform.kind)
    installed = f"torch {engine.package.get('torch', '')}, CUDA {engine.package.get('cuda', '')}"
    if tag is not None and torch:
        other_torch = tag[3] is not None and (int(tag[3]), int(tag[4])) != torch[:2]
        other_cuda = bool(cuda) and int(tag[1]) != cuda[0]
        if other_torch or other_cuda:
            made = f"CUDA {tag[1]}.{tag[2]}" + (f" and torch {tag[3]}.{tag[4]}" if tag[3] else "")
            yield Finding(
                ERROR, f"{name_of(engine)} was built for {made}; installed is {installed}.",
                (f"wheel: {engine.version}", installed), fix,
            )  # fmt: skip
        return
    if not _must_build(engine) or not cuda:
        return
    compiler = next(
        (one for one in toolkits if isinstance(one.nvcc, str) and one.nvcc == engine.package.get("nvcc")), None
    )
    compiler = compiler or next((one for one in toolkits if isinstance(one.nvcc, str) and _named(one)), None)
    if compiler is not None and isinstance(compiler.version, tuple) and compiler.version[0] != cuda[0]:
        yield Finding(
            ERROR,
            f"{name_of(engine)} would be compiled by CUDA {dotted(compiler.version[:2])}, and torch is built for CUDA "
            f"{dotted(cuda)}: torch refuses that.",
            (f"compiler: {compiler.nvcc}", installed),
            fix,
        )


def _named(toolkit: CudaToolkit) -> bool:
    return bool({"CUDA_HOME", "CUDA_PATH", "PATH"} & set(toolkit.named_by))


def exllamav2_hidden_importerror(platform: Platform, engine: Engine, torch: Torch) -> Iterator[Finding]:
    """ExLlama's compiled extension does not load; ExLlamaV2 hides the reason.

    Why it matters: its loader swallows the ImportError and stops later with "NameError: name 'exllamav2_ext' is not defined".

    How it is seen: the extension alone is imported in a child process, after torch; the package is not.

    How sure: certain - the loader's own message.
    """
    if engine.kind not in EXLLAMA:
        return
    module = f"{engine.kind}_ext"
    error = torch.import_errors.get(module, "")
    if error:
        yield Finding(
            ERROR,
            f"The compiled extension of {name_of(engine)} does not load: {error.splitlines()[0][:200]}",
            (
                f"import {module}: {error}",
                f"torch {torch.version}",
                f"extension: {engine.package.get('extension', '')}",
            ),
            BY_ID["exllamav2-hidden-importerror"].fix(platform.kind),
        )


def exllama_slow_on_pascal(platform: Platform, engine: Engine, gpus: Sequence[NvmlGpu]) -> Iterator[Finding]:
    """ExLlama on a GPU that is slow at half precision.

    Why it matters: ExLlama computes in FP16, which a GTX 10 or a P40 does at 1/64 of its speed: a few tokens a second with
    everything on the GPU. llama.cpp has an integer path for these cards.

    How it is seen: compute capability 6.1 (a P100, 6.0, is fine).

    How sure: high - measured by many users, not by us.
    """
    if engine.kind not in EXLLAMA:
        return
    slow = [gpu for gpu, capability in capabilities(gpus) if capability == (6, 1)]
    if slow and len(slow) == len(gpus):
        yield Finding(
            WARNING,
            f"{name_of(engine)} is slow on {gpu_name(slow[0])}: half precision runs at 1/64 of its speed.",
            (f"{gpu_name(slow[0])}: compute capability 6.1",),
            BY_ID["exllama-slow-on-pascal"].fix(platform.kind),
        )


CHECKS: tuple[Check, ...] = (
    torch_cpu_only,
    torch_arch_unsupported,
    exllama_jit_msvc,
    exllama_jit_no_nvcc,
    exllama_torch_cuda_mismatch,
    exllamav2_hidden_importerror,
    *doctor_attention.CHECKS,
    exllama_slow_on_pascal,
)
