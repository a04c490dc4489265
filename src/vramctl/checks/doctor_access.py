"""Checks of the way to the GPU: WSL and device files; containers and shared GPUs have files of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from vramctl.checks import doctor_container, doctor_sharing
from vramctl.checks.gpus_seen import log_lines, nvidia_on_bus
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, NotKnown, NotThere, known
from vramctl.records.facts import (
    CudaDriver,
    DeviceNode,
    HostFacts,
    KernelModules,
    Nvml,
    NvmlGpu,
    Platform,
    WslFacts,
)
from vramctl.records.finding import ERROR, INFO, WARNING, Finding
from vramctl.records.unknown import Absent, Unknown
from vramctl.units import GIB

_CTL, _UVM, _DXG = "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/dxg"
_GPU_NODE = re.compile(r"^/dev/nvidia(?:\d+|ctl)$")
_STUB = 34  # CUDA_ERROR_STUB_LIBRARY
_NOT_THERE = frozenset({"ENODEV", "ENXIO", "ENOENT", "EIO"})
_SMALL_SHARE = 0.5
# Return codes of NVML that have a check of their own.
_KNOWN_ERRORS = frozenset(
    {"library-not-found", "driver-not-loaded", "lib-rm-version-mismatch", "gpu-is-lost", "reset-required"}
)
_NO_ANSWER = ("gave no answer within", "ended with")


def wsl_driver_problem(
    platform: Platform, nodes: Mapping[str, DeviceNode], wsl: WslFacts, nvml: Any = None
) -> Iterator[Finding]:
    """
    WSL cannot reach the GPU: it is WSL 1, /dev/dxg is missing, or a Linux driver was installed inside.

    Why it matters: in WSL 2 the driver is that of Windows; its libraries are mounted at /usr/lib/wsl/lib. A Linux
    driver package puts another libcuda before them, which cannot work there.

    How it is seen: the kernel's version says which WSL it is; /dev/dxg is the way to the GPU; NVML answers
    OPERATING_SYSTEM ("GPU access blocked by the operating system"); packages libnvidia-compute-* or nvidia-driver-* are
    installed.

    How sure: high - the files are direct evidence; whether Windows has a GPU cannot be seen from WSL 1.
    """
    if platform.container:
        raise NotThere("the driver is the business of WSL itself")
    if platform.wsl == "1":
        because = (f"kernel {platform.release}",)
        yield Finding(ERROR, "This is WSL 1, which no GPU reaches.", because, BY_ID["wsl-driver-problem"].fix("wsl1"))
    elif _DXG not in nodes:
        yield _no_way_to_gpu(wsl)
    elif isinstance(wsl.linux_drivers, tuple) and wsl.linux_drivers:
        yield _linux_driver_inside(wsl.linux_drivers, nvml)
    elif isinstance(nvml, Nvml):
        yield from _driver_of_windows(wsl, nvml.error)


def _nvidia_drivers(wsl: WslFacts) -> tuple[str, ...]:
    """The folders of Windows' drivers, if one of them is NVIDIA's."""
    drivers = wsl.drivers if isinstance(wsl.drivers, tuple) else ()
    return drivers if any(name.lower().startswith("nv") for name in drivers) else ()


def _no_way_to_gpu(wsl: WslFacts) -> Finding:
    """WSL 2 without its device file: certain to be wrong where Windows has an NVIDIA driver."""
    drivers = wsl.drivers if isinstance(wsl.drivers, tuple) else ()
    return Finding(
        ERROR if _nvidia_drivers(wsl) else WARNING,
        "WSL has no way to the GPU: /dev/dxg is missing.",
        ("/dev/dxg: no such file", *(f"/usr/lib/wsl/drivers/{name}" for name in drivers[:3])),
        BY_ID["wsl-driver-problem"].fix("dxg"),
    )


def _linux_driver_inside(inside: tuple[str, ...], nvml: object) -> Finding:
    """A driver of Linux inside WSL: in the way where NVML fails, else only superfluous."""
    installed = tuple(f"installed: {name}" for name in inside[:4])
    fix = BY_ID["wsl-driver-problem"].fix("wsl")
    error = nvml.error if isinstance(nvml, Nvml) else "no answer"
    if error:
        what = f"A Linux NVIDIA driver is installed inside WSL ({inside[0]}); it hides the driver of Windows."
        return Finding(ERROR, what, (*installed, f"NVML: {error}"), fix)
    what = f"A Linux NVIDIA driver is installed inside WSL ({inside[0]}), although that of Windows is used."
    return Finding(INFO, what, installed, fix)


def _driver_of_windows(wsl: WslFacts, error: str) -> Iterator[Finding]:
    """What keeps NVML from the driver of Windows: Windows itself, or libraries that are not found."""
    mode = BY_ID["wsl-driver-problem"]
    drivers = _nvidia_drivers(wsl)
    if error == "operating-system":
        yield Finding(
            ERROR, "Windows blocks the GPU for WSL (NVML: operating-system).", (f"NVML: {error}",), mode.fix("update")
        )
    elif drivers and error == "library-not-found":
        libraries = wsl.libraries if isinstance(wsl.libraries, tuple) else ()
        unsearched = "libcuda.so.1" in libraries
        why = "the loader does not search /usr/lib/wsl/lib" if unsearched else "/usr/lib/wsl/lib is empty"
        yield Finding(
            ERROR,
            f"The NVIDIA driver of Windows is not found inside WSL: {why}.",
            (f"/usr/lib/wsl/drivers: {drivers[0]}", f"/usr/lib/wsl/lib: {len(libraries)} files", f"NVML: {error}"),
            mode.fix("path" if libraries else "update"),
        )


def nvidia_node_permissions(platform: Platform, nodes: Mapping[str, DeviceNode], nvml: Any = None) -> Iterator[Finding]:
    """
    This user may not open the NVIDIA driver's device files.

    Why it matters: NVML answers "Insufficient Permissions" and CUDA "no CUDA-capable device", while root sees the GPU.

    How it is seen: opening /dev/nvidiactl fails with EACCES. The driver makes its files for everyone (mode 666) unless it is
    told otherwise.

    How sure: certain.
    """
    node = nodes.get(_CTL)
    if node is None:
        raise NotThere("there are no NVIDIA device files")
    if known(node.opened) == "EACCES":
        yield Finding(
            ERROR,
            f"This user may not open {_CTL} (mode {node.mode:o}, {node.owner}:{node.group}).",
            (f"open {_CTL}: EACCES", *((f"NVML: {nvml.error}",) if isinstance(nvml, Nvml) and nvml.error else ())),
            BY_ID["nvidia-node-permissions"].fix(platform.kind).replace("GROUP", node.group),
        )


def nvidia_uvm_missing(
    platform: Platform, nvml: Nvml, nodes: Mapping[str, DeviceNode], modules: Any = None, cuda: Any = None
) -> Iterator[Finding]:
    """
    /dev/nvidia-uvm is missing or cannot be opened.

    Why it matters: `nvidia-smi` needs only /dev/nvidiactl; CUDA needs nvidia-uvm too and otherwise fails with error 999, 100 or
    3. Machines without a screen and containers often lack it.

    How it is seen: the file, whether it opens, and /proc/modules. Where CUDA starts all the same nothing is said: its library
    makes the file with the setuid program nvidia-modprobe when it is first needed.

    How sure: certain where CUDA was asked, high where only the file is missing.
    """
    if platform.wsl or "jetson" in str(platform.board).lower() or "tegra" in str(platform.board).lower():
        raise NotThere("this platform has no /dev/nvidia-uvm")
    if nvml.error or not nvml.gpus:
        raise NotThere("NVML lists no GPU")
    if not any(_GPU_NODE.match(path) for path in nodes):
        raise NotThere("NVML works without any device file")
    code = cuda.init_code if isinstance(cuda, CudaDriver) else None
    if code in {0, _STUB}:  # a stub starts nothing, so it did not make the file either
        return
    node = nodes.get(_UVM)
    opened = node.opened if node is not None else "ENOENT"
    if isinstance(opened, Unknown | Absent):
        raise NotKnown(opened.reason)
    if not opened or (opened not in _NOT_THERE and opened not in {"EACCES", "EPERM"}):
        return
    if node is None and not isinstance(code, int) and not platform.container:
        raise NotKnown("CUDA makes the file on first use, and it was not asked")
    loaded = modules.loaded if isinstance(modules, KernelModules) else Unknown("not read")
    because = [f"{_UVM}: {'no such file' if node is None else f'opening it gives {opened}'}"]
    because += (
        [f"/proc/modules: nvidia_uvm {'is' if 'nvidia_uvm' in loaded else 'is not'} loaded"]
        if isinstance(loaded, frozenset)
        else []
    )
    because += [f"cuInit: {code}"] if isinstance(code, int) else []
    what = "is missing" if node is None else f"cannot be opened ({opened})"
    yield Finding(
        ERROR,
        f"{_UVM} {what}: CUDA cannot start although NVML works.",
        tuple(because),
        BY_ID["nvidia-uvm-missing"].fix(platform.kind),
    )


def uvm_broken_after_suspend(
    nvml: Nvml, cuda: CudaDriver, platform: Platform, nodes: Mapping[str, DeviceNode], modules: Any = None
) -> Iterator[Finding]:
    """
    CUDA is dead since the machine slept.

    Why it matters: nvidia_uvm lost its state over suspend: every new CUDA program gets error 999 while `nvidia-smi`
    works, and Ollama goes on with the CPU.

    How it is seen: cuInit answers 999 in a fresh process, NVML works, /dev/nvidia-uvm can be opened, and the machine
    slept since it was started (`/sys/power/suspend_stats/success`, or "PM: suspend exit" in the kernel's log).

    How sure: high.
    """
    if nvml.error or known(cuda.init_code) != 999:
        return
    node = nodes.get(_UVM)
    if node is not None and node.opened not in ("", None) and isinstance(node.opened, str):
        return
    woke = log_lines(modules, "PM: suspend exit", "PM: hibernation: hibernation exit")
    slept = platform.suspends if isinstance(platform.suspends, int) else len(woke)
    if not slept and isinstance(platform.suspends, Unknown) and not woke:
        raise NotKnown("whether the machine slept is not told")
    if slept:
        yield Finding(
            ERROR,
            "CUDA does not start any more (error 999): the machine slept, and nvidia_uvm did not come back.",
            ("cuInit: 999 in a fresh process", "NVML works", f"slept {slept} times since the start", *woke[-1:]),
            BY_ID["uvm-broken-after-suspend"].fix(platform.kind),
        )


def driver_does_not_answer(
    platform: Platform, nvml: Any = None, pci: Any = None, modules: Any = None
) -> Iterator[Finding]:
    """
    NVML, the driver's own interface, fails, hangs or crashes, and none of the known causes was seen.

    Why it matters: whatever stops NVML mostly stops CUDA too: a driver that is stuck, a GPU that does not come back
    from a reset, a program that cannot be killed.

    How it is seen: NVML's return code, or that the child process which asks it gave no answer in its time (ten seconds
    and more) or was ended by a signal.

    How sure: certain that it does not answer; the kernel's log has to tell why.
    """
    because = [line.strip() for line in log_lines(modules, "NVRM:") if "NVRM: loading " not in line][-2:]
    fix = BY_ID["driver-does-not-answer"].fix(platform.kind)
    if isinstance(nvml, Nvml):
        if nvml.error and nvml.error not in _KNOWN_ERRORS:
            what = f"The NVIDIA driver does not answer (NVML: {nvml.error})."
            yield Finding(ERROR, what, (f"NVML: {nvml.error}", *because), fix)
        return
    if isinstance(nvml, Absent):
        raise NotThere(nvml.reason)
    reason = nvml.reason if isinstance(nvml, Unknown) else "NVML was not asked"
    here = nvidia_on_bus(pci) if isinstance(pci, tuple) else ()
    if here and any(words in reason for words in _NO_ANSWER):
        yield Finding(ERROR, f"The NVIDIA driver does not answer: {reason}.", (reason, *because), fix)
        return
    raise NotKnown(reason)


def wsl_memory_limit(wsl: WslFacts, host: HostFacts, gpus: tuple[NvmlGpu, ...]) -> Iterator[Finding]:
    """
    WSL has much less memory than the GPU, so large models load badly or not at all.

    Why it matters: WSL gives its machine half of Windows' memory at most; a model passes through that memory on its way
    to the GPU, and a load without mmap is killed.

    How it is seen: MemTotal of /proc/meminfo is less than half of the largest GPU's memory, or less than a model that
    is in use.

    How sure: medium - loading with mmap needs less than the whole file, but slows down.
    """
    total = known(host.memory_total_bytes)
    largest = max((gpu.total_bytes for gpu in gpus if isinstance(gpu.total_bytes, int)), default=0)
    model = max(host.models.values(), default=0)
    if total < _SMALL_SHARE * largest or (model and total < model):
        because = [f"/proc/meminfo: {total / GIB:.1f} GiB", f"largest GPU: {largest / GIB:.1f} GiB"]
        because += [f"model: {model / GIB:.1f} GiB"] if model else []
        yield Finding(
            WARNING,
            f"WSL has {total / GIB:.1f} GiB of memory, too little for models of this GPU ({largest / GIB:.0f} GiB).",
            tuple(because),
            BY_ID["wsl-memory-limit"].fix("any"),
        )


CHECKS: tuple[Check, ...] = (
    wsl_driver_problem, *doctor_container.CHECKS, nvidia_node_permissions, nvidia_uvm_missing, uvm_broken_after_suspend,
    driver_does_not_answer,
    *doctor_sharing.CHECKS, wsl_memory_limit,
)  # fmt: skip
