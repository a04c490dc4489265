"""Checks of whether CUDA starts: cuInit's answer in a child process, and which libcuda gave it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vramctl.checks.engine_facts import gpu_name
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import NotThere, known
from vramctl.records.facts import CudaDriver, LibCuda, Platform
from vramctl.records.finding import ERROR, WARNING, Finding
from vramctl.records.unknown import Absent, Unknown

_STUB, _NO_DEVICE, _SYSTEM_MISMATCH, _COMPAT_UNSUPPORTED = 34, 100, 803, 804
_ENDED = "ended the process: "


def cuda_compat_on_unsupported_gpu(
    platform: Platform, cuda: CudaDriver, libcudas: Sequence[LibCuda]
) -> Iterator[Finding]:
    """A forward-compatibility libcuda stands before the driver's own, and this GPU or driver does not accept it.

    Why it matters: CUDA does not start at all, although the driver itself is fine. Compat packages work on data-centre GPUs,
    some NGC-ready RTX cards and Jetson only.

    How it is seen: cuInit in a child process answers 803 or 804, and the libcuda that was loaded lies in a `compat` folder.

    How sure: certain - the process's own map names the library that won.
    """
    code = known(cuda.init_code)
    loaded = cuda.library if isinstance(cuda.library, str) else ""
    compat = next((one for one in libcudas if one.kind == "compat"), None)
    if code in (_SYSTEM_MISMATCH, _COMPAT_UNSUPPORTED) and ("/compat/" in loaded or compat is not None):
        path = loaded if "/compat/" in loaded else compat.path if compat else loaded
        yield Finding(
            ERROR,
            f"CUDA does not start because of a forward-compatibility library: {path} is loaded instead of the driver's own.",
            (f"cuInit: {code} {_name(cuda)}", f"libcuda: {loaded or path}"),
            BY_ID["cuda-compat-on-unsupported-gpu"].fix(platform.kind),
        )


def cuda_init_fails(
    platform: Platform, cuda: CudaDriver, environment: Mapping[str, str], gpus: Any = None
) -> Iterator[Finding]:
    """The driver sees the GPU, but CUDA does not start in this environment; or its library ends every program that asks it.

    Why it matters: every CUDA program falls back to the CPU or stops. That `nvidia-smi` works proves nothing: it does not
    start CUDA.

    How it is seen: cuInit in a child process, with the environment of the process in question, within ten seconds. Where there
    is no GPU only a crash or a hang counts.

    How sure: high - the error code is CUDA's own; which of its causes it is, the code alone does not tell.
    """
    code = cuda.init_code
    if isinstance(gpus, Absent) or not gpus:
        yield from _breaks_programs(cuda, code)
        return
    seen = f"NVML lists {', '.join(gpu_name(gpu) for gpu in known(gpus))}"
    if isinstance(cuda.library, str) and "/stubs/" in cuda.library:
        return
    if isinstance(code, Unknown) and _ENDED in code.reason:
        yield Finding(
            ERROR, f"CUDA does not start: {_ending(code.reason)}.",
            (f"in a child process {_ending(code.reason)}", seen), BY_ID["cuda-init-fails"].fix(platform.kind),
        )  # fmt: skip
        return
    if isinstance(code, Absent) or isinstance(cuda.library, Absent):
        return
    code = known(code)
    hidden = code == _NO_DEVICE and ("CUDA_VISIBLE_DEVICES" in environment or "NVIDIA_VISIBLE_DEVICES" in environment)
    if code in (0, _STUB) or hidden:
        return
    yield Finding(
        ERROR,
        f"CUDA does not start although the driver sees the GPU: cuInit answers {code} ({_name(cuda)}).",
        (f"cuInit: {code} {_name(cuda)}", f"libcuda: {cuda.library}", seen, *_meaning(code)),
        BY_ID["cuda-init-fails"].fix(platform.kind),
    )


def _breaks_programs(cuda: CudaDriver, code: object) -> Iterator[Finding]:
    """Without a GPU: a driver library that crashes or hangs takes every program with it that looks for one."""
    library = cuda.library if isinstance(cuda.library, str) else "a libcuda"
    if isinstance(code, Unknown) and _ENDED in code.reason:
        yield Finding(
            WARNING,
            f"There is no NVIDIA GPU, but {library} is loaded as the CUDA driver, and {_ending(code.reason)}.",
            (f"in a child process {_ending(code.reason)}",),
            "Take its folder out of LD_LIBRARY_PATH, or remove the package that it belongs to.",
        )
        return
    if isinstance(cuda.library, Absent):
        raise NotThere("there is no CUDA driver library")
    known(code)


_MEANINGS = {
    3: "3 usually means that nvidia_uvm is missing, or that the process was forked after CUDA had started",
    100: "100 usually means that no device file of the GPU can be opened here",
    802: "802 means that the fabric manager of an NVSwitch machine does not run",
    803: "803 means that libcuda and the kernel module are of different versions",
    804: "804 on a desktop usually means that the driver was upgraded and the machine not rebooted",
    999: "999 usually means that nvidia_uvm is missing or broken, often after suspend",
}


def _meaning(code: int) -> tuple[str, ...]:
    return (_MEANINGS[code],) if code in _MEANINGS else ()


def _ending(reason: str) -> str:
    """How a child process ended that called cuInit: `cuInit gave no answer within 10 s`."""
    ending = reason.rpartition(_ENDED)[2]
    slow = ending.removeprefix("timeout after ")
    return f"cuInit ended the process: {ending}" if slow == ending else f"cuInit gave no answer within {slow}"


def _name(cuda: CudaDriver) -> str:
    return cuda.init_name if isinstance(cuda.init_name, str) and cuda.init_name else "without a name"
