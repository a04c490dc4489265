"""Checks of containers: was the GPU passed in, and is it still there?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vramctl.checks.cuda_versions import driver_text
from vramctl.checks.gpus_seen import nvidia_on_bus
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, NotKnown, NotThere, known
from vramctl.records.facts import Containers, CudaDriver, DeviceNode, KernelModules, Nvml, Platform
from vramctl.records.finding import ERROR, WARNING, Finding
from vramctl.records.unknown import Unknown

_CTL, _DXG = "/dev/nvidiactl", "/dev/dxg"
_MICROSOFT = "1414"


def container_gpu_not_passed(
    platform: Platform, nodes: Mapping[str, DeviceNode], pci: Any = None, modules: Any = None, environment: Any = None
) -> Iterator[Finding]:
    """
    The container was started without a GPU, although its host has one with a driver.

    Why it matters: nothing inside the container can reach the GPU; engines run on the CPU, Ollama says `library=cpu`.

    How it is seen: marks of a container (/.dockerenv, /run/.containerenv, KUBERNETES_SERVICE_HOST, the mount of /), no
    /dev/nvidia* inside, while /proc/driver/nvidia/version shows the host's driver or the PCI bus an NVIDIA GPU.

    How sure: certain where /proc shows the host's driver; gVisor and Kata hide it.
    """
    if not known(platform.container):
        raise NotThere("this is not a container")
    if any(path.startswith("/dev/nvidia") for path in nodes) or _DXG in nodes:
        return
    version = modules.nvidia_version if isinstance(modules, KernelModules) else Unknown("not read")
    gpus = nvidia_on_bus(pci) if isinstance(pci, tuple) else ()
    if platform.wsl and isinstance(pci, tuple) and any(gpu.vendor == _MICROSOFT for gpu in pci):
        yield Finding(
            WARNING,
            f"This {platform.container} container was started without the GPU of Windows.",
            ("the kernel is WSL's, and Windows shares a GPU with it", "no /dev/dxg in this container"),
            BY_ID["container-gpu-not-passed"].fix(str(platform.container)),
        )
        return
    if not isinstance(version, tuple):
        if isinstance(version, Unknown) and not isinstance(pci, tuple):
            raise NotKnown("the host's driver and PCI bus are hidden")
        return
    variables = environment if isinstance(environment, Mapping) else {}
    asked = variables.get("NVIDIA_VISIBLE_DEVICES")
    because = [
        f"/proc/driver/nvidia/version: {driver_text(version, 'linux')} on the host",
        "no /dev/nvidia* in this container",
    ]
    because += [f"{gpu.address}: 10de:{gpu.device_id:04x}" for gpu in gpus[:2]]
    because.append(f"NVIDIA_VISIBLE_DEVICES={asked}" if asked is not None else "NVIDIA_VISIBLE_DEVICES is not set")
    yield Finding(
        ERROR,
        f"This {platform.container} container was started without the host's NVIDIA GPU.",
        tuple(because),
        BY_ID["container-gpu-not-passed"].fix(str(platform.container)),
    )


def container_driver_capabilities(
    platform: Platform, environment: Mapping[str, str], nodes: Mapping[str, DeviceNode], cuda: Any = None
) -> Iterator[Finding]:
    """
    The container got NVML but not CUDA: NVIDIA_DRIVER_CAPABILITIES leaves `compute` out.

    Why it matters: `nvidia-smi` works inside, libcuda.so.1 is not there, and CUDA programs say that there is no driver.

    How it is seen: the variable is set and names neither compute nor all, and no libcuda was found.

    How sure: certain.
    """
    if not known(platform.container):
        raise NotThere("this is not a container")
    given = environment.get("NVIDIA_DRIVER_CAPABILITIES")
    if given is None or _CTL not in nodes:
        return
    words = {word.strip() for word in given.split(",")}
    if words & {"all", "compute"} or not given.strip():
        return
    if isinstance(cuda, CudaDriver) and isinstance(cuda.library, str):
        return
    yield Finding(
        ERROR,
        f"This container has no CUDA driver library: NVIDIA_DRIVER_CAPABILITIES={given} leaves compute out.",
        (f"NVIDIA_DRIVER_CAPABILITIES={given}", "libcuda.so.1 is not in the container"),
        BY_ID["container-driver-capabilities"].fix("container"),
    )


def container_cgroup_loss(platform: Platform, nodes: Mapping[str, DeviceNode], nvml: Any = None) -> Iterator[Finding]:
    """
    The container lost its GPUs while it runs.

    Why it matters: after `systemctl daemon-reload` on the host the rules of the container's control group are written anew,
    without the devices that NVIDIA's older hook added. Engines go on with the CPU at the next load, silently.

    How it is seen: /dev/nvidiactl is there and may be opened by its mode, yet opening it fails with EPERM; NVML then says
    "Unknown Error".

    How sure: high - the kernel answers EPERM instead of EACCES only for such rules.
    """
    if not known(platform.container):
        raise NotThere("this is not a container")
    node = nodes.get(_CTL)
    if node is None:
        raise NotThere("the container has no NVIDIA device files")
    opened = known(node.opened)
    error = nvml.error if isinstance(nvml, Nvml) else ""
    if opened == "EPERM" or (error == "unknown" and opened):
        yield Finding(
            ERROR,
            "This container has lost its GPUs: its control group refuses /dev/nvidiactl.",
            (f"open {_CTL}: {opened}, mode {node.mode:o}", f"NVML: {error or 'no answer'}"),
            BY_ID["container-cgroup-loss"].fix("container"),
        )


def container_toolkit_missing(containers: Containers, nvml: Nvml, platform: Platform) -> Iterator[Finding]:
    """
    Engines run in containers of this host, and NVIDIA's container toolkit is not installed.

    Why it matters: without it Docker cannot give a GPU to a container ("could not select device driver with capabilities:
    [[gpu]]"); Docker of the snap store does not see a toolkit that is installed beside it.

    How it is seen: a running engine whose control group is a container's, a working NVIDIA driver, and neither nvidia-ctk nor
    the nvidia runtime nor a CDI file.

    How sure: high; only the host can see it. Where no engine runs in a container nothing is said.
    """
    if nvml.error or not nvml.gpus:
        raise NotThere("there is no working NVIDIA GPU to give to containers")
    engines = known(containers.engines)
    if not containers.tools or not engines or containers.nvidia:
        return
    snap = any(path.startswith("/snap/") for path in containers.tools)
    yield Finding(
        WARNING,
        f"{engines[0].name} runs in a {engines[0].container} container, and NVIDIA's container toolkit is not installed.",
        (
            *(f"process {one.pid}: {one.name} in {one.container}" for one in engines[:3]),
            f"container tools: {', '.join(containers.tools)}",
            "no nvidia-ctk, no nvidia runtime, no CDI file",
        ),
        BY_ID["container-toolkit-missing"].fix("snap" if snap else platform.kind),
    )


CHECKS: tuple[Check, ...] = (
    container_gpu_not_passed, container_driver_capabilities, container_cgroup_loss, container_toolkit_missing,
)  # fmt: skip
