"""What the doctor sees of a machine: hardware, driver, nodes, libraries, engines, settings. Facts only, no judgement.

Every field that could not be read is `Unknown(reason)`; what is known not to be there is `Absent(reason)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vramctl.records.unknown import Absent, Unknown

NOT_SEEN = Unknown("not looked at")

Text = str | Unknown | Absent
Count = int | Unknown | Absent
Number = float | Unknown | Absent
Flag = bool | Unknown | Absent
Version = tuple[int, ...]
"""A version as numbers, the largest part first: (580, 65, 6), (12, 9), compute capability (8, 9)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The operating system and what stands between it and the hardware.

    `system` is linux, windows or macos. `wsl` is "" outside WSL, else its version; `container` is "" outside a
    container, else
    docker, podman, kubernetes, lxc or another name; `hypervisor` is "" on bare metal.
    """

    system: str
    release: Text = NOT_SEEN
    distribution: Text = NOT_SEEN
    machine: Text = NOT_SEEN
    wsl: str | Unknown = ""
    container: str | Unknown = ""
    hypervisor: str | Unknown = NOT_SEEN
    is_root: Flag = NOT_SEEN
    glibc: Version | Unknown | Absent = NOT_SEEN
    board: Text = NOT_SEEN
    """The product's name by firmware or device tree (a Jetson is known by it)."""
    suspends: Count = NOT_SEEN
    """How often the machine slept and woke since it was started."""

    @property
    def kind(self) -> str:
        """Whose remedy fits: `container`, else the system (WSL counts as linux)."""
        return "container" if self.container else self.system


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
class KernelModules:
    """Kernel modules: those loaded, the NVIDIA module's version and flavour, those built for the running kernel but
    not loaded."""

    loaded: frozenset[str] | Unknown = NOT_SEEN
    nvidia_version: Version | Unknown | Absent = NOT_SEEN
    nvidia_open: Flag = NOT_SEEN
    available: frozenset[str] | Unknown = NOT_SEEN
    blacklisted: frozenset[str] | Unknown = NOT_SEEN
    secure_boot: Flag = NOT_SEEN
    parameters: Mapping[str, str] = field(default_factory=dict)
    """`module.parameter` -> value: of the loaded modules that matter here, and NVIDIA's own (`nvidia.OpenRmEnable...`)."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions that modules outside the kernel's own tree state (amdgpu, nvidia)."""
    log: tuple[str, ...] | Unknown = NOT_SEEN
    """What the kernel logged on GPUs, memory and sleep since it was started, the fact kernel_log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A device file. `readable`, `writable`: by the user in question; `opened`: whether opening it works ("" or the
    error's name)."""

    path: str
    mode: int
    owner: str
    group: str
    readable: bool
    writable: bool
    opened: Text = NOT_SEEN
    """"" where it can be opened for reading and writing, else the error's name (EACCES, EPERM, ENODEV ...)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WslFacts:
    """What Windows gives to WSL 2: `libraries` the files of /usr/lib/wsl/lib, `drivers` the folders of
    /usr/lib/wsl/drivers, `linux_drivers` NVIDIA driver libraries or packages that were installed inside."""

    libraries: tuple[str, ...] | Unknown | Absent = NOT_SEEN
    drivers: tuple[str, ...] | Unknown | Absent = NOT_SEEN
    linux_drivers: tuple[str, ...] | Unknown = NOT_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineProcess:
    """A running engine: its pid, the name of its program, the kind of container around it ("" for none)."""

    pid: int
    name: str
    container: str = ""
    swapped_bytes: Count = NOT_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """Container tools of this host: `tools` their programs' paths, `nvidia` signs of the NVIDIA container toolkit,
    `engines` engines that run in containers."""

    tools: tuple[str, ...] = ()
    nvidia: tuple[str, ...] = ()
    engines: tuple[EngineProcess, ...] | Unknown = NOT_SEEN


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fatbin:
    """One program inside a library's CUDA fat binaries: `kind` is cubin or ptx, `arch` (8, 6), `isa` PTX's ISA
    version.

    `variant` is "a" for an architecture-specific target (sm_90a), "f" for a family-specific one (sm_120f), else "".
    """

    kind: str
    arch: Version
    isa: Version | None = None
    count: int = 1
    variant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A shared library as its bytes say, never loaded. `form` is elf or pe; `needed` its imports, `missing` those
    found nowhere.

    `found` maps a needed name to the file that the loader would take. `glibc` and `glibcxx` are the highest symbol
    versions it asks for.
    """

    path: str
    form: str
    file_bytes: int
    machine: Text = NOT_SEEN
    needed: tuple[str, ...] = ()
    missing: tuple[str, ...] | Unknown = NOT_SEEN
    found: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Missing names that exist where the loader does not look (site-packages/nvidia/*/lib, a toolkit)."""
    runpath: tuple[str, ...] = ()
    fatbins: tuple[Fatbin, ...] | Unknown = ()
    gfx: tuple[str, ...] | Unknown = ()
    """AMD targets (gfx1030, ...) inside."""
    glibc: Version | Unknown | Absent = NOT_SEEN
    glibcxx: Version | Unknown | Absent = NOT_SEEN
    glibcxx_found: Version | Unknown | Absent = NOT_SEEN
    """The highest version that the libstdc++ defines which the loader would take."""
    cuda_major: Count = NOT_SEEN
    """CUDA's major version it was built for; Absent: it is no CUDA library."""
    cuda_version: Version | Unknown | Absent = NOT_SEEN
    """CUDA's version it was built with, where its bytes tell it (13.0)."""
    backend: str = ""
    """cuda, hip, vulkan, sycl, metal, opencl, rpc, cpu; "" where it is none."""
    debug_build: Flag = NOT_SEEN
    """It imports Windows' debug runtime (certain); on Linux Unknown: debug symbols are no proof."""
    hybrid_runtime: bool = False
    """CUDA 13's runtime on Windows: it loads nvcudart_hybrid64.dll of a driver of branch 580 or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibCuda:
    """A file that answers to the name of the CUDA driver library. `kind` is driver, stub (for linking only), compat
    (forward compatibility package) or wsl; `version` the driver version in its file name."""

    path: str
    kind: str
    target: Text = NOT_SEEN
    version: Version | Unknown | Absent = NOT_SEEN
    file_bytes: Count = NOT_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaToolkit:
    """An installed CUDA toolkit. `named_by` says what points to it: CUDA_PATH, CUDA_HOME, PATH, LD_LIBRARY_PATH,
    /usr/local; `runtime_files` are names of its runtime libraries by the folder that holds them."""

    path: str
    version: Version | Unknown | Absent = NOT_SEEN
    named_by: tuple[str, ...] = ()
    nvcc: Text = NOT_SEEN
    exists: bool = True
    runtime_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDevice:
    """A device that the engine itself lists."""

    name: str
    description: str
    kind: str
    """gpu, igpu, cpu, accel"""
    backend: str
    free_bytes: Count = NOT_SEEN
    total_bytes: Count = NOT_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One installed engine.

    `kind` is llama-cpp-python, xllamacpp, llama.cpp, ollama, exllamav2 or exllamav3; `devices` what it lists when
    started in a child (its own
    interpreter, the environment in question); `log` what it printed on the way; `ended` "" or how the child ended
    (crash, SIGILL, timeout).
    """

    kind: str
    path: str
    version: Text = NOT_SEEN
    python: Text = NOT_SEEN
    libraries: tuple[Library, ...] = ()
    devices: tuple[EngineDevice, ...] | Unknown = NOT_SEEN
    supports_gpu_offload: Flag = NOT_SEEN
    system_info: Text = NOT_SEEN
    log: tuple[str, ...] = ()
    ended: Text = NOT_SEEN
    import_error: Text = NOT_SEEN
    package: Mapping[str, str] = field(default_factory=dict)
    """Of its metadata: installer, wheel tag, origin (sdist built here, wheel index), build options."""

    @property
    def backends(self) -> frozenset[str]:
        """The backends whose libraries it has."""
        return frozenset(library.backend for library in self.libraries if library.backend)


@dataclass(frozen=True, slots=True, kw_only=True)
class Torch:
    """PyTorch and what stands on it, in the interpreter in question; asked in a child."""

    version: Text = NOT_SEEN
    cuda_version: Version | Unknown | Absent = NOT_SEEN
    """Absent: a CPU build."""
    architectures: tuple[str, ...] | Unknown = NOT_SEEN
    cxx11_abi: Flag = NOT_SEEN
    cuda_available: Flag = NOT_SEEN
    import_error: Text = NOT_SEEN
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of exllamav2, exllamav3, flash-attn, xformers, triton, ... by their distribution names."""
    import_errors: Mapping[str, str] = field(default_factory=dict)
    """Of the packages that were imported and failed: the error, by module name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaModel:
    """A model that an Ollama server has loaded (`/api/ps`)."""

    name: str
    size_bytes: Count
    vram_bytes: Count
    context: Count = NOT_SEEN
    file_bytes: Count = NOT_SEEN
    """Of the model's file (`/api/tags`): what `size_bytes` has beyond it is cache and buffers."""
    num_gpu: Count = NOT_SEEN
    """As a parameter of the model (`/api/show`); Absent: it has none, so that the server decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaServer:
    """An Ollama server: what its API and its service definition say."""

    url: str
    version: Text = NOT_SEEN
    models: tuple[OllamaModel, ...] | Unknown = NOT_SEEN
    pid: Count = NOT_SEEN
    environment: Mapping[str, str] | Unknown = NOT_SEEN
    """The server's own (its unit, its process), not ours."""
    client_environment: Mapping[str, str] | Unknown = NOT_SEEN
    """OLLAMA_* and GPU variables of our own shell."""
    listeners: tuple[str, ...] | Unknown = NOT_SEEN
    """Command lines of the processes that are Ollama servers."""
    orphans: tuple[int, ...] | Unknown = NOT_SEEN
    """Processes that run a model for a server that is gone."""
    unit: Text = NOT_SEEN
    """The service's unit file; Absent: it is no systemd service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting found in a configuration: `name` is the field's (n_gpu_layers, offload_kqv, ...), `written` what
    stood there.

    `program` is whose setting it is: llama-cpp-python, llama-server, ollama, exllamav2, ...; `value` is Unknown
    where it is an expression.
    """

    name: str
    value: str | int | float | bool | Unknown
    written: str
    file: str
    line: int
    program: str
    call: int = 0
    """Which call or command line it belongs to (they are numbered over all files)."""
    taken_from: Setting | None = None
    """The variable of a .env file from which a source takes the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Processor, memory, limits and disks of the host or container."""

    cpu_name: Text = NOT_SEEN
    cpu_flags: frozenset[str] | Unknown = NOT_SEEN
    physical_cores: Count = NOT_SEEN
    logical_cores: Count = NOT_SEEN
    cpu_quota_cores: Number = NOT_SEEN
    """Absent: there is no quota."""
    numa_nodes: Count = NOT_SEEN
    memory_total_bytes: Count = NOT_SEEN
    memory_available_bytes: Count = NOT_SEEN
    memory_limit_bytes: Count = NOT_SEEN
    swap_total_bytes: Count = NOT_SEEN
    swap_used_bytes: Count = NOT_SEEN
    swappiness: Count = NOT_SEEN
    hugepages_total: Count = NOT_SEEN
    hugepages_free: Count = NOT_SEEN
    hugepage_bytes: Count = NOT_SEEN
    memlock_bytes: Count = NOT_SEEN
    """Absent: unlimited."""
    oom_kills: Count = NOT_SEEN
    """How many processes of this container or service were killed for its memory limit."""
    disks: Mapping[str, str] = field(default_factory=dict)
    """Of folders that hold models: ssd, rotational, network, fuse, 9p, tmpfs, overlay."""
    models: Mapping[str, int] = field(default_factory=dict)
    """Sizes in bytes of the model files that a configuration or a server names."""
    numa_balancing: Flag = NOT_SEEN
    memory_pressure_percent: Number = NOT_SEEN
    """Share of the last minute in which every process waited for memory (PSI full avg60)."""
    swapped_bytes: Count = NOT_SEEN
    """Of the process in question: how much of it lies in swap."""
    on_battery: Flag = NOT_SEEN
    throttled_periods: Count = NOT_SEEN
    """How often the CPU quota stopped this container or service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """Where a small model landed that was loaded with all layers asked for on the GPU; `failed` says why it was not."""

    engine: str
    model: str
    gpus_listed: Count = NOT_SEEN
    gpu_weights_bytes: Count = NOT_SEEN
    gpu_kv_bytes: Count = NOT_SEEN
    decode_tokens_per_second: float | Unknown = NOT_SEEN
    failed: str = ""
