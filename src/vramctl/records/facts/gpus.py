"""What the doctor sees of the GPUs: on the bus, through NVML, through the CUDA driver."""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.records.facts.basics import NOT_SEEN, Count, Flag, Number, Text, Version
from vramctl.records.unknown import Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class PciGpu:
    """A display controller on the PCI bus. `vendor` is nvidia, amd, intel or a hexadecimal id; `driver` the bound
    kernel driver."""

    address: str
    vendor: str
    device_id: int
    driver: Text = NOT_SEEN
    revision: Count = NOT_SEEN
    numa_node: Count = NOT_SEEN
    link_generation: Count = NOT_SEEN
    link_width: Count = NOT_SEEN
    max_link_generation: Count = NOT_SEEN
    max_link_width: Count = NOT_SEEN
    bar_bytes: tuple[int, ...] = ()
    """Sizes of its memory windows in their order, 0 for one that has no address; empty where they cannot be read."""
    power_state: Text = NOT_SEEN
    class_code: Count = NOT_SEEN
    """0x030000 VGA, 0x030200 3D controller, 0x120000 accelerator."""
    gfx: Text = NOT_SEEN
    """AMD: the target's name (gfx1100), by the kernel's compute driver."""
    clock_policy: Text = NOT_SEEN
    """AMD: auto, low, high, manual, profile_*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process that holds memory of a GPU."""

    pid: int
    name: Text
    used_bytes: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class NvmlGpu:
    """One GPU as NVML describes it; every field is Unknown where the call failed or is not supported.

    `throttle_reasons` is NVML's bit mask of clock event reasons; `power_*` are watts, `*_celsius` degrees, clocks
    MHz, memory bytes.
    """

    index: int
    name: Text = NOT_SEEN
    uuid: Text = NOT_SEEN
    pci_address: Text = NOT_SEEN
    compute_capability: Version | Unknown = NOT_SEEN
    total_bytes: Count = NOT_SEEN
    free_bytes: Count = NOT_SEEN
    used_bytes: Count = NOT_SEEN
    reserved_bytes: Count = NOT_SEEN
    processes: tuple[GpuProcess, ...] | Unknown = NOT_SEEN
    compute_mode: Text = NOT_SEEN
    """default, exclusive-thread, prohibited, exclusive-process"""
    mig_enabled: Flag = NOT_SEEN
    mig_instances: Count = NOT_SEEN
    persistence: Flag = NOT_SEEN
    driver_model: Text = NOT_SEEN
    """Windows: wddm, tcc or mcdm"""
    virtualization: Text = NOT_SEEN
    """none, passthrough, vgpu, host-vgpu, host-vsga"""
    licensed: Flag = NOT_SEEN
    fabric_state: Text = NOT_SEEN
    """not-supported, not-started, in-progress, completed"""
    performance_state: Count = NOT_SEEN
    utilization_percent: Count = NOT_SEEN
    throttle_reasons: Count = NOT_SEEN
    temperature_celsius: Number = NOT_SEEN
    slowdown_celsius: Number = NOT_SEEN
    power_watts: Number = NOT_SEEN
    power_limit_watts: Number = NOT_SEEN
    default_power_limit_watts: Number = NOT_SEEN
    power_source: Text = NOT_SEEN
    """ac, battery, undersized"""
    sm_clock_mhz: Count = NOT_SEEN
    max_sm_clock_mhz: Count = NOT_SEEN
    memory_clock_mhz: Count = NOT_SEEN
    max_memory_clock_mhz: Count = NOT_SEEN
    link_generation: Count = NOT_SEEN
    link_width: Count = NOT_SEEN
    max_link_generation: Count = NOT_SEEN
    max_link_width: Count = NOT_SEEN
    replay_counter: Count = NOT_SEEN
    ecc_errors_uncorrected: Count = NOT_SEEN
    retired_pending: Flag = NOT_SEEN
    remap_pending: Flag = NOT_SEEN
    remap_failed: Flag = NOT_SEEN
    recovery_action: Text = NOT_SEEN
    """none, reset, reboot, drain, drain-and-reset"""
    display_active: Flag = NOT_SEEN
    integrated: Flag = NOT_SEEN
    """Whether it uses the system's memory (GB10, Jetson), whose size then stands in `total_bytes`."""
    bar1_bytes: Count = NOT_SEEN
    error: Text = NOT_SEEN
    """NVML's error where the GPU itself cannot be asked (gpu-is-lost, reset-required, ...)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nvml:
    """What the driver says through NVML. `error` is "" where it started, else NVML's return code's name in kebab-case.

    Names: driver-not-loaded (9), library-not-found (12), no-permission (4), lib-rm-version-mismatch (18),
    operating-system (17), ...
    """

    error: str = ""
    driver_version: Version | Unknown = NOT_SEEN
    cuda_version: Version | Unknown = NOT_SEEN
    library_path: Text = NOT_SEEN
    init_seconds: Number = NOT_SEEN
    """How long NVML took to start; without a client the driver has to start the GPU first."""
    gpus: tuple[NvmlGpu, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaGpu:
    """One GPU as the CUDA driver lists it to this environment (CUDA_VISIBLE_DEVICES applied)."""

    name: Text
    uuid: Text
    pci_address: Text
    compute_capability: Version | Unknown
    total_bytes: Count
    integrated: Flag = NOT_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaDriver:
    """How the CUDA driver API answered in a child process, with the environment of the process in question.

    `library` is the file that was loaded (Absent: there is none). `init_code` is cuInit's return (0 fine, 100 no
    device, 803, 804, 999 ...),
    Unknown with the reason where the child crashed or hung.
    """

    library: Text
    driver_version: Version | Unknown = NOT_SEEN
    init_code: Count = NOT_SEEN
    init_name: Text = NOT_SEEN
    gpus: tuple[CudaGpu, ...] | Unknown = NOT_SEEN
