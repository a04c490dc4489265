"""Checks of the hardware: does the GPU answer, and is it sound?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from vramctl.checks.gpus_seen import driver_version, first_up, log_lines, named, not_listed
from vramctl.checks.modes import BY_ID
from vramctl.checks.nvidia_chips import FIRST_WITHOUT, NEEDS_OPEN, generation, has_gsp
from vramctl.checks.runner import Check, NotKnown, NotThere
from vramctl.records.facts import KernelModules, Nvml, NvmlGpu, PciGpu, Platform
from vramctl.records.finding import ERROR, INFO, WARNING, Finding
from vramctl.records.unknown import Absent, Unknown

_LOST = frozenset({"gpu-is-lost", "reset-required"})
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d{1,3})\b")
# NVIDIA's Xid catalogue: what an error number stands for.
_SERIOUS = {
    48: "uncorrectable memory error", 61: "firmware fault", 62: "firmware fault", 63: "memory row marked for repair",
    64: "memory repair failed", 74: "NVLink error", 79: "GPU fell off the bus", 92: "many corrected memory errors",
    94: "contained memory error", 95: "uncontained memory error", 119: "firmware did not answer", 120: "firmware fault",
    121: "chip-to-chip link error", 140: "unrecovered memory error", 154: "the driver asks for a recovery",
}  # fmt: skip
_OF_SOFTWARE = {13: "illegal instruction or access", 31: "illegal memory access", 43: "a program's channel was stopped",
                45: "a program's channel was cleaned up", 69: "illegal command"}  # fmt: skip
_BAD_REGION = "PCI I/O region assigned to your NVIDIA device is invalid"


def gpu_init_failed_bar(
    platform: Platform, pci: tuple[PciGpu, ...], nvml: Nvml, modules: KernelModules
) -> Iterator[Finding]:
    """
    The driver is there but cannot start the GPU: it has no memory window (BAR), or its firmware does not come up.

    Why it matters: the GPU is on the PCI bus, yet `nvidia-smi` says "No devices were found" and every engine runs on the CPU.

    How it is seen: `/sys/bus/pci/devices/<address>/resource` gives the GPU's large window no address, the kernel's log has
    `RmInitAdapter failed` or "PCI I/O region ... is invalid", or NVML starts and does not list a GPU that is on the bus.

    How sure: high with the kernel's log or a window without an address; medium where only the missing GPU is seen.
    """
    if platform.container:
        raise NotThere("a container may be given only some of the host's GPUs")
    for gpu in not_listed(pci, nvml):
        if _another_reason(gpu, modules, nvml):
            continue
        said = log_lines(modules, _BAD_REGION)
        said += tuple(
            line for line in log_lines(modules, "RmInitAdapter failed", "rm_init_adapter failed") if gpu.address in line
        )
        windowless = len(gpu.bar_bytes) > 1 and gpu.bar_bytes[1] == 0 and gpu.driver != "nouveau"
        if not windowless and not said and (nvml.error or gpu.driver != "nvidia"):
            continue
        because = [f"NVML: {nvml.error or f'{len(nvml.gpus)} GPUs'}, not {gpu.address}"]
        because += (
            [f"/sys/bus/pci/devices/{gpu.address}/resource: its large memory window has no address"]
            if windowless
            else []
        )
        because += list(dict.fromkeys(said))[:3]
        why = "its memory window has no address" if windowless or _BAD_REGION in " ".join(said) else "its start fails"
        yield Finding(
            ERROR,
            f"The NVIDIA driver cannot start {named(gpu)}: {why}.",
            tuple(because),
            BY_ID["gpu-init-failed-bar"].fix(_place(platform, windowless=windowless or _BAD_REGION in " ".join(said))),
        )


def _place(platform: Platform, *, windowless: bool) -> str:
    """Which remedy fits."""
    return "vm" if platform.hypervisor else "any" if windowless else "start"


def _another_reason(gpu: PciGpu, modules: KernelModules, nvml: Nvml) -> bool:
    """Whether the driver's branch or flavour explains that the GPU is not listed."""
    kind = generation(gpu.device_id)
    version = driver_version(modules, nvml)
    dropped = version is not None and version[0] >= FIRST_WITHOUT.get(kind, 1 << 20)
    closed = modules.nvidia_open is False and kind in NEEDS_OPEN
    too_old = modules.nvidia_open is True and has_gsp(gpu.device_id) is False
    return dropped or closed or too_old or bool(log_lines(modules, "requires use of the NVIDIA open kernel modules"))


def gpu_fell_off_bus(nvml: Nvml, modules: Any = None, pci: Any = None) -> Iterator[Finding]:
    """
    A GPU stopped answering while the machine ran: it fell off the bus, or it waits for a reset.

    Why it matters: everything that used it fails with "unspecified launch failure" or "unknown error", and nothing but a
    restart of the machine brings it back. Power, riser, heat and firmware are the usual causes.

    How it is seen: NVML answers GPU_IS_LOST or RESET_REQUIRED for it, or it is not listed and the kernel's log has "has fallen
    off the bus" (Xid 79).

    How sure: certain that it is lost; which part of the hardware is to blame cannot be seen by software.
    """
    lines = log_lines(modules, "fallen off the bus")
    fix = BY_ID["gpu-fell-off-bus"].fix("any")
    if nvml.error in _LOST:
        yield Finding(
            ERROR, f"A GPU does not answer any more (NVML: {nvml.error}).", (f"NVML: {nvml.error}", *lines[-2:]), fix
        )
    for gpu in nvml.gpus:
        if isinstance(gpu.error, str) and gpu.error in _LOST:
            yield Finding(
                ERROR,
                f"GPU {gpu.index} does not answer any more (NVML: {gpu.error}).",
                (f"NVML on GPU {gpu.index}: {gpu.error}", *lines[-2:]),
                fix,
            )
    unseen = not_listed(pci, nvml) if isinstance(pci, tuple) and not nvml.error else ()
    for one in unseen:
        about = [line for line in lines if one.address[:-2] in line]
        if about:
            yield Finding(ERROR, f"{first_up(named(one))} fell off the bus.", tuple(about[-3:]), fix)


def xid_errors(modules: KernelModules) -> Iterator[Finding]:
    """
    The NVIDIA driver logged errors (Xid) since the machine was started.

    Why it matters: memory errors, firmware faults and link errors end running models and come back until the cause is mended;
    errors 13, 31, 43 and 45 are mostly faults of programs.

    How it is seen: lines `NVRM: Xid (PCI:0000:01:00): 79, ...` of the kernel's log (`dmesg`, `journalctl -k`), told by
    NVIDIA's catalogue of Xid errors.

    How sure: high - the number is the driver's own; 13 and 31 can be hardware too where they move from program to program.
    """
    if isinstance(modules.log, Unknown):
        raise NotKnown(modules.log.reason)
    found = [(match[1], int(match[2]), line) for line in modules.log if (match := _XID.search(line))]
    for kinds, severity in ((_SERIOUS, WARNING), (_OF_SOFTWARE, INFO)):
        some = [(code, line) for _, code, line in found if code in kinds]
        if not some:
            continue
        counts = Counter(code for code, _ in some)
        words = ", ".join(
            f"{code} ({kinds[code]}){f' {times} times' if times > 1 else ''}" for code, times in sorted(counts.items())
        )
        yield Finding(
            severity,
            f"The NVIDIA driver logged Xid {words}.",
            tuple(line for _, line in some[-3:]),
            BY_ID["xid-errors"].fix("any"),
        )


def ecc_pending(gpu: NvmlGpu, platform: Platform) -> Iterator[Finding]:
    """
    A GPU's memory has errors, a repair waits for a reset, or the driver asks for one.

    Why it matters: an uncorrectable error ends the program that meets it; a row that is marked for repair stays in use until
    the GPU is reset.

    How it is seen: NVML's counter of uncorrected ECC errors since the driver was loaded, retired pages and remapped rows that
    are pending, a remapping that failed, and the recovery action that the driver wants. GeForce cards count none of these.

    How sure: certain where the card counts them.
    """
    signs = []
    if isinstance(gpu.ecc_errors_uncorrected, int) and gpu.ecc_errors_uncorrected > 0:
        signs.append(f"{gpu.ecc_errors_uncorrected} uncorrected memory errors since the driver was loaded")
    if gpu.retired_pending is True:
        signs.append("a page of memory waits to be retired")
    if gpu.remap_pending is True:
        signs.append("a row of memory waits to be remapped")
    if gpu.remap_failed is True:
        signs.append("remapping a row of memory failed: the board should be replaced")
    if isinstance(gpu.recovery_action, str) and gpu.recovery_action != "none":
        signs.append(f"the driver asks for: {gpu.recovery_action}")
    if signs:
        name = gpu.name if isinstance(gpu.name, str) else "GPU"
        yield Finding(
            WARNING,
            f"GPU {gpu.index} ({name}): {'; '.join(signs)}.",
            tuple(f"NVML on GPU {gpu.index}: {sign}" for sign in signs),
            BY_ID["ecc-pending"].fix(platform.kind),
        )
        return
    counted = (gpu.ecc_errors_uncorrected, gpu.remap_pending, gpu.retired_pending)
    if all(isinstance(value, Unknown | Absent) for value in counted):
        raise NotThere("this GPU counts no memory errors")


CHECKS: tuple[Check, ...] = (gpu_fell_off_bus, gpu_init_failed_bar, ecc_pending, xid_errors)
