"""Checks of the kernel's side of the driver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vramctl.checks.cuda_versions import driver_text
from vramctl.checks.gpus_seen import driver_version, first_up, log_lines, named, not_listed, nvidia_on_bus
from vramctl.checks.modes import BY_ID
from vramctl.checks.nvidia_chips import FIRST_WITHOUT, LAST_BRANCH, NEEDS_OPEN, generation, has_gsp
from vramctl.checks.runner import Check, NotKnown, NotThere, known
from vramctl.records.facts import CudaDriver, DeviceNode, KernelModules, Nvml, NvmlGpu, PciGpu, Platform
from vramctl.records.finding import ERROR, INFO, WARNING, Finding
from vramctl.records.unknown import Unknown

# Older generations serve as display cards beside a newer GPU: no engine of today uses them.
_LAST_USEFUL_BRANCH = 580
_UVM = "/dev/nvidia-uvm"
_NEEDS_OPEN_LINE = "requires use of the NVIDIA open kernel modules"
_NO_GSP_LINE = ("is not supported by open", "does not include the required GPU")


def driver_not_installed(platform: Platform, nvml: Nvml, pci: Any = None, modules: Any = None) -> Iterator[Finding]:
    """
    An NVIDIA GPU is in the machine and no NVIDIA driver is installed.

    Why it matters: no CUDA program can use the GPU. CUDA's own message is misleading: "driver version is insufficient for CUDA
    runtime version" (error 35) is said for no driver as well as for an old one.

    How it is seen: the driver's library (libnvidia-ml.so.1, nvml.dll) is nowhere, while the PCI bus or the Windows registry
    lists an NVIDIA GPU. In a container the host's kernel driver is looked for too.

    How sure: certain.
    """
    if nvml.error != "library-not-found" or platform.wsl:
        return
    gpus = nvidia_on_bus(pci) if isinstance(pci, tuple) else ()
    has_module = isinstance(modules, KernelModules) and isinstance(modules.nvidia_version, tuple)
    if not gpus or (platform.container and (has_module or not isinstance(modules, KernelModules))):
        return  # without a GPU there is nothing to drive; with the host's driver the container lacks its part
    on_nouveau = any(gpu.driver == "nouveau" for gpu in gpus)
    half = "only the kernel's half of the NVIDIA driver is installed: its libraries are missing"
    where = "on the host" if platform.container else ""
    what = half if has_module else " ".join(f"no NVIDIA driver is installed {where}".split())
    yield Finding(
        ERROR,
        f"{first_up(named(gpus[0]))} cannot be used: {what}.",
        (
            *(f"{gpu.address}: 10de:{gpu.device_id:04x}, kernel driver: {_driver(gpu)}" for gpu in gpus[:4]),
            "NVML: library-not-found",
            *(("nouveau drives the display only, it runs no CUDA",) if on_nouveau else ()),
        ),
        BY_ID["driver-not-installed"].fix("host" if platform.container else platform.kind),
    )


def legacy_gpu_dropped_by_driver(
    platform: Platform, pci: tuple[PciGpu, ...], nvml: Nvml, modules: Any = None
) -> Iterator[Finding]:
    """
    The installed NVIDIA driver is too new for the GPU: its branch left this generation out.

    Why it matters: after an upgrade to branch 590 Maxwell, Pascal and Volta GPUs are gone (GTX 900 and 10, P100, V100): where
    they were the only ones, the kernel module does not even load.

    How it is seen: the driver's version against the GPU's PCI device number, for a GPU that NVML does not list; the kernel's
    log then says "supported through the NVIDIA 580.xx Legacy drivers".

    How sure: certain.
    """
    if platform.container:
        raise NotThere("the driver is the host's business")
    version = driver_version(modules, nvml)
    if version is None:
        raise NotKnown("the version of the NVIDIA driver is not known")
    for gpu in not_listed(pci, nvml):
        kind = generation(gpu.device_id)
        if kind in FIRST_WITHOUT and version[0] >= FIRST_WITHOUT[kind]:
            said = log_lines(modules, "Legacy drivers", "driver will ignore")
            driver = driver_text(version, platform.system)
            missed = WARNING if LAST_BRANCH[kind] >= _LAST_USEFUL_BRANCH else INFO
            yield Finding(
                missed if nvml.gpus else ERROR,
                f"Driver {driver} does not run {named(gpu, kind)}: branch {LAST_BRANCH[kind]} is the last that does.",
                (f"driver {driver}", f"{gpu.address}: 10de:{gpu.device_id:04x}, {kind}", *said[-3:]),
                BY_ID["legacy-gpu-dropped-by-driver"].fix(platform.kind).replace("BRANCH", str(LAST_BRANCH[kind])),
            )


def open_kernel_module_required(
    platform: Platform, pci: tuple[PciGpu, ...], nvml: Nvml, modules: KernelModules
) -> Iterator[Finding]:
    """
    A Blackwell GPU (RTX 50, RTX PRO Blackwell, B200) with NVIDIA's proprietary kernel module.

    Why it matters: only the open kernel modules drive these GPUs; with the others the module loads and no GPU is listed.

    How it is seen: `/proc/driver/nvidia/version` has no "Open Kernel Module", the PCI device number is Blackwell's, and NVML
    does not list the GPU; the kernel's log says "requires use of the NVIDIA open kernel modules".

    How sure: certain with that line, high without it.
    """
    if platform.container:
        raise NotThere("the driver is the host's business")
    said = log_lines(modules, _NEEDS_OPEN_LINE)
    for gpu in not_listed(pci, nvml):
        kind = generation(gpu.device_id)
        if modules.nvidia_open is False and (kind in NEEDS_OPEN or said):
            yield Finding(
                ERROR,
                f"{first_up(named(gpu, kind))} needs NVIDIA's open kernel modules; the proprietary ones are loaded.",
                (
                    f"/proc/driver/nvidia/version: proprietary, {_version(modules)}",
                    f"{gpu.address}: 10de:{gpu.device_id:04x}",
                    *said[-2:],
                ),
                BY_ID["open-kernel-module-required"].fix(platform.kind),
            )


def open_kernel_module_unsupported(
    platform: Platform, pci: tuple[PciGpu, ...], nvml: Nvml, modules: KernelModules
) -> Iterator[Finding]:
    """
    A GPU older than Turing with NVIDIA's open kernel modules, which do not drive it.

    Why it matters: distributions install the open modules by default since branch 560; a GTX 10 or V100 is then not listed.

    How it is seen: `/proc/driver/nvidia/version` says "Open Kernel Module" and the PCI device number is that of a GPU without
    the system processor (GSP) that these modules need; the kernel's log says so too.

    How sure: certain.
    """
    if platform.container:
        raise NotThere("the driver is the host's business")
    said = log_lines(modules, *_NO_GSP_LINE)
    version = driver_version(modules, nvml)
    for gpu in not_listed(pci, nvml):
        kind = generation(gpu.device_id)
        dropped = version is not None and version[0] >= FIRST_WITHOUT.get(kind, 1 << 20)
        if has_gsp(gpu.device_id) is False and not dropped and (modules.nvidia_open is True or said):
            yield Finding(
                WARNING if nvml.gpus else ERROR,
                f"NVIDIA's open kernel modules do not drive {named(gpu, kind)}: they need Turing or later.",
                (f"{gpu.address}: 10de:{gpu.device_id:04x}, {kind}", *said[-3:]),
                BY_ID["open-kernel-module-unsupported"].fix(platform.kind),
            )


def kernel_module_not_loaded(
    platform: Platform, nvml: Nvml, modules: KernelModules, pci: Any = None
) -> Iterator[Finding]:
    """
    The NVIDIA driver's libraries are installed, its kernel module is not loaded.

    Why it matters: `nvidia-smi` cannot talk to the driver and every engine runs on the CPU. It happens after a kernel update
    for which no module was built, with Secure Boot and an unsigned module, with nouveau on the card, or where a tool for
    laptops switched the GPU off.

    How it is seen: NVML answers DRIVER_NOT_LOADED; which cause it is shows in /proc/modules, the list of modules built for
    this kernel, modprobe's rules, the firmware's SecureBoot variable and the driver bound to the card.

    How sure: certain that it is not loaded; high for the cause.
    """
    if nvml.error != "driver-not-loaded":
        return
    gpus = [gpu for gpu in pci if gpu.vendor == "nvidia"] if isinstance(pci, tuple) else []
    why, fix, because = _why_not_loaded(modules, gpus)
    if platform.container:
        why, fix = f"on the host {why}", f"On the host: {fix}"
    yield Finding(ERROR, f"The NVIDIA kernel module is not loaded: {why}.", ("NVML: driver-not-loaded", *because), fix)


def _why_not_loaded(modules: KernelModules, gpus: list[PciGpu]) -> tuple[str, str, tuple[str, ...]]:
    """The cause in words, what to do, and what shows it."""
    mode = BY_ID["kernel-module-not-loaded"]
    bound = {str(gpu.driver) for gpu in gpus if isinstance(gpu.driver, str)}
    shown = tuple(f"{gpu.address}: kernel driver {_driver(gpu)}" for gpu in gpus[:4])
    if bound and bound <= {"vfio-pci", "pci-stub"}:
        return "the card is kept for virtual machines (vfio-pci)", mode.fix("vfio"), shown
    if "nouveau" in bound or (isinstance(modules.loaded, frozenset) and "nouveau" in modules.loaded):
        return "nouveau has the card", mode.fix("nouveau"), (*shown, "/proc/modules: nouveau")
    rejected = log_lines(
        modules,
        "Key was rejected",
        "key was rejected",
        "Loading of unsigned module",
        "Loading of module with unavailable key",
    )
    if rejected:
        return "Secure Boot rejects it, it is not signed with a known key", mode.fix("secure_boot"), rejected[-2:]
    if isinstance(modules.available, frozenset) and not any(name.startswith("nvidia") for name in modules.available):
        return (
            "none was built for the running kernel",
            mode.fix("kernel"),
            ("modules.dep of the running kernel has no nvidia.ko",),
        )
    if isinstance(modules.blacklisted, frozenset) and "nvidia" in modules.blacklisted:
        return "modprobe's rules keep it out", mode.fix("blacklist"), ("modprobe: nvidia is blacklisted", *shown)
    if modules.secure_boot is True:
        return "probably Secure Boot rejects it", mode.fix("secure_boot"), ("SecureBoot is on", *shown)
    old = [gpu for gpu in gpus if has_gsp(gpu.device_id) is False]
    if old:  # the open modules leave these alone, and then do not stay loaded; the kernel's log would say so
        kind = generation(old[0].device_id)
        shown += (f"{kind} GPUs need the proprietary modules of branch {LAST_BRANCH[kind]} or before",)
    return "it is built and was not loaded", mode.fix("linux"), shown


def fabric_manager_not_running(gpus: tuple[NvmlGpu, ...], platform: Platform, cuda: Any = None) -> Iterator[Finding]:
    """
    A machine with NVSwitch (HGX, SXM boards) whose fabric manager does not run.

    Why it matters: `nvidia-smi` lists all GPUs, but CUDA does not start (error 802, "system not yet initialized") until
    nvidia-fabricmanager, of exactly the driver's version, has set up the switches.

    How it is seen: CUDA's start answers 802, or NVML says that a GPU waits to join the fabric.

    How sure: certain with 802.
    """
    code = cuda.init_code if isinstance(cuda, CudaDriver) else Unknown("CUDA was not asked")
    states = {gpu.index: gpu.fabric_state for gpu in gpus if isinstance(gpu.fabric_state, str)}
    waiting = [index for index, state in states.items() if state in {"not-started", "in-progress"}]
    if code == 802 or (waiting and not isinstance(code, int)):
        because = [f"cuInit: {code}"] if isinstance(code, int) else []
        because += [f"NVML on GPU {index}: fabric {states[index]}" for index in waiting[:4]]
        yield Finding(
            ERROR,
            "CUDA cannot start: the NVSwitch fabric is not set up (fabric manager).",
            tuple(because),
            BY_ID["fabric-manager-not-running"].fix(platform.kind),
        )


def uvm_hmm_init_error(
    nvml: Nvml, cuda: CudaDriver, nodes: dict[str, DeviceNode], modules: KernelModules, platform: Platform
) -> Iterator[Finding]:
    """
    CUDA does not start (error 3) because of nvidia_uvm's memory sharing with the kernel (HMM).

    Why it matters: NVML and `nvidia-smi` work, every CUDA program fails with "initialization error". It is a fault of some
    kernels with driver branches 550 to 580; the module has a switch that avoids it.

    How it is seen: cuInit answers 3 in a fresh process while NVML works and /dev/nvidia-uvm can be opened, and
    `/sys/module/nvidia_uvm/parameters/uvm_disable_hmm` is N.

    How sure: medium - other causes of error 3 were excluded first (missing device file, exclusive mode).
    """
    if nvml.error or known(cuda.init_code) != 3:
        return
    node = nodes.get(_UVM)
    if node is None or node.opened != "":
        return
    switch = modules.parameters.get("nvidia_uvm.uvm_disable_hmm")
    if switch == "N":
        yield Finding(
            ERROR,
            "CUDA does not start (error 3) although the driver works: nvidia_uvm's HMM is the likely cause.",
            ("cuInit: 3", f"{_UVM} opens", "nvidia_uvm: uvm_disable_hmm=N"),
            BY_ID["uvm-hmm-init-error"].fix(platform.kind),
        )
    elif switch is None:
        raise NotKnown("whether nvidia_uvm uses HMM is not told")


def _driver(gpu: PciGpu) -> str:
    return gpu.driver if isinstance(gpu.driver, str) else "none"


def _version(modules: KernelModules) -> str:
    version = modules.nvidia_version
    return driver_text(version, "linux") if isinstance(version, tuple) else "version unknown"


CHECKS: tuple[Check, ...] = (
    driver_not_installed, legacy_gpu_dropped_by_driver, open_kernel_module_required, open_kernel_module_unsupported,
    kernel_module_not_loaded, fabric_manager_not_running, uvm_hmm_init_error,
)  # fmt: skip
