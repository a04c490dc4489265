"""GPUs that NVML does not know, recognised by what the system shows: AMD, Intel, Apple, Jetson, Vulkan, WSL."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vramctl import catalogue
from vramctl.catalogue.entry import GpuEntry
from vramctl.catalogue.rules import metal_working_set_mib
from vramctl.errors import BadInput
from vramctl.records import Device, Unknown
from vramctl.units import GIB, MIB, format_bytes

AMD, INTEL = "0x1002", "0x8086"
# PCI device numbers of Intel's cards (Mesa's include/pci_ids/iris_pci_ids.h), which have no name in /sys.
INTEL_NAMES = {
    "0x56a6": "Arc A310", "0x56a5": "Arc A380", "0x56a2": "Arc A580", "0x56a1": "Arc A750", "0x56a0": "Arc A770",
    "0xe20c": "Arc B570", "0xe20b": "Arc B580", "0xe212": "Arc Pro B50", "0xe211": "Arc Pro B60",
}  # fmt: skip
_CARD = re.compile(r"^card\d+$")
_VULKAN_FOLDERS = ("usr/share/vulkan/icd.d", "etc/vulkan/icd.d", "usr/local/share/vulkan/icd.d")


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that points to a GPU. `kind` is amd, intel, apple, jetson, vulkan or wsl; `what` says what was seen.

    `device` is Unknown, with the reason, where the system does not say how much memory there is.
    """

    kind: str
    what: str
    device: Device | Unknown


def look_other_gpus(
    *, root: Path = Path("/"), system: str | None = None, sysctl: Callable[[str], str] | None = None
) -> tuple[Sighting, ...]:
    """All signs of GPUs other than by NVML; empty where there are none. `sysctl` answers a macOS key with its value."""
    if (system or platform.system()) == "Darwin":
        return tuple(_apple(sysctl or _sysctl))
    return (*_cards(root), *_jetson(root), *_vulkan(root), *_wsl(root))


def system_memory(root: Path) -> tuple[int, int, str] | None:
    """Total and available bytes of the system's memory, for GPUs that use it; None without /proc/meminfo."""
    sizes = {}
    for line in _text(root / "proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        number = value.split()[:1]
        if number and number[0].isdigit():
            sizes[key] = int(number[0]) * 1024
    if "MemTotal" not in sizes or "MemAvailable" not in sizes:
        return None
    return sizes["MemTotal"], sizes["MemAvailable"], "the system's memory (/proc/meminfo), shared with the GPU"


def _cards(root: Path) -> Iterator[Sighting]:
    """AMD and Intel cards of /sys/class/drm, numbered per vendor."""
    folder = root / "sys/class/drm"
    names = [path.name for path in folder.iterdir() if _CARD.match(path.name)] if folder.is_dir() else []
    counts = {AMD: 0, INTEL: 0}
    for name in sorted(names, key=lambda name: int(name[4:])):
        card = folder / name
        vendor = _text(card / "device/vendor").strip()
        if vendor in counts:
            make = _amd if vendor == AMD else _intel
            yield make(root, card, counts[vendor])
            counts[vendor] += 1


def _amd(root: Path, card: Path, index: int) -> Sighting:
    """An amdgpu card: memory from mem_info_vram_*, gfx name from the kfd node of the same render device."""
    total, used = _number(card / "device/mem_info_vram_total"), _number(card / "device/mem_info_vram_used")
    pci = f"{AMD}:{_text(card / 'device/device').strip()}"
    title = _text(card / "device/product_name").strip() or f"AMD GPU {pci}"
    if total is None:
        return Sighting("amd", f"{title} ({card.name})", Unknown("the amdgpu driver reports no memory for it"))
    gfx = _gfx(root, card)
    entry = _entry(title)
    shared = _number(card / "device/mem_info_gtt_total")
    note = f"; {format_bytes(shared)} more of the system's memory (GTT)" if shared and total <= 4 * GIB else ""
    device = Device(
        name=f"ROCm{index}",
        description=title,
        total_bytes=total,
        free_bytes=max(0, total - (used or 0)),
        source=f"amdgpu: /sys/class/drm/{card.name}/device/mem_info_vram_total{note}",
        backend="rocm",
        compute_capability=gfx,
        bandwidth_bytes_per_second=entry.bandwidth_bytes_per_second if entry else Unknown("not in the catalogue"),
        driver=_text(root / "sys/module/amdgpu/version").strip() or Unknown("amdgpu states no version (in-tree)"),
        uuid=_text(card / "device/unique_id").strip() or Unknown("the card has no unique_id"),
    )
    return Sighting("amd", f"{title} ({card.name})", device)


def _gfx(root: Path, card: Path) -> str | Unknown:
    """`gfx1100` from the kfd node with the card's render device; gfx_target_version 110000 is 11, 0, 0."""
    drm = card / "device/drm"
    renders = (
        [p.name.removeprefix("renderD") for p in drm.iterdir() if p.name.startswith("renderD")] if drm.is_dir() else []
    )
    nodes = root / "sys/class/kfd/kfd/topology/nodes"
    if not nodes.is_dir():
        return Unknown("no /dev/kfd: ROCm cannot use it")
    for node in nodes.iterdir():
        facts = dict(line.split(" ", 1) for line in _text(node / "properties").splitlines() if " " in line)
        version = facts.get("gfx_target_version", "0")
        if facts.get("drm_render_minor") in renders and version.isdigit() and int(version) > 0:
            major, minor, step = int(version) // 10000, int(version) // 100 % 100, int(version) % 100
            return f"gfx{major}{minor:x}{step:x}"
    return Unknown("no kfd node names its gfx version")


def _intel(root: Path, card: Path, index: int) -> Sighting:
    """An Intel card: local memory from the xe or i915 driver, else the catalogue's by PCI number."""
    pci = _text(card / "device/device").strip()
    title = INTEL_NAMES.get(pci, f"Intel GPU {INTEL}:{pci}")
    entry = _entry(INTEL_NAMES[pci]) if pci in INTEL_NAMES else None
    local = _number(card / "device/tile0/physical_vram_size_bytes") or _number(card / "lmem_total_bytes")
    free = _number(card / "lmem_avail_bytes")
    if local is None and (entry is None or isinstance(entry.total_bytes, Unknown)):
        why = "it uses the system's memory, or its driver does not say how much it has"
        return Sighting("intel", f"{title} ({card.name})", Unknown(why))
    known = local if local is not None else entry.total_bytes if entry else None
    if not isinstance(known, int):
        return Sighting("intel", f"{title} ({card.name})", Unknown("its memory is not known"))
    told = f"/sys/class/drm/{card.name}" if local is not None else f"catalogue: {entry.total_source if entry else ''}"
    device = Device(
        name=f"SYCL{index}",
        description=entry.driver_name if entry else title,
        total_bytes=known,
        free_bytes=min(free, known) if free is not None else known,
        source=f"{told}; free memory {'as reported' if free is not None else 'not reported: all of it assumed'}",
        backend="sycl",
        compute_capability=entry.compute_capability if entry else Unknown("not in the catalogue"),
        bandwidth_bytes_per_second=entry.bandwidth_bytes_per_second if entry else Unknown("not in the catalogue"),
    )
    return Sighting("intel", f"{title} ({card.name})", device)


def _jetson(root: Path) -> Iterator[Sighting]:
    """A Jetson by its device tree or /etc/nv_tegra_release; its GPU uses the system's memory."""
    model = _text(root / "proc/device-tree/model").strip("\0\n ")
    release = (root / "etc/nv_tegra_release").exists()
    if "jetson" not in model.lower() and not release:
        return
    title = model or "NVIDIA Jetson (/etc/nv_tegra_release)"
    memory = system_memory(root)
    if memory is None:
        yield Sighting("jetson", title, Unknown("/proc/meminfo cannot be read"))
        return
    total, free, source = memory
    entry = _entry(re.sub(r"developer kit|engineering reference|nvidia", " ", title, flags=re.IGNORECASE))
    device = Device(
        name="CUDA0",
        description=title,
        total_bytes=total,
        free_bytes=free,
        source=source,
        compute_capability=entry.compute_capability if entry else Unknown("not in the catalogue"),
        bandwidth_bytes_per_second=entry.bandwidth_bytes_per_second if entry else Unknown("not in the catalogue"),
    )
    yield Sighting("jetson", title, device)


def _apple(sysctl: Callable[[str], str]) -> Iterator[Sighting]:
    """Apple silicon: what Metal recommends of the unified memory, iogpu.wired_limit_mb where it was raised."""
    chip, memory = sysctl("machdep.cpu.brand_string").strip(), sysctl("hw.memsize").strip()
    if not chip.startswith("Apple") or not memory.isdigit():
        yield Sighting("apple", chip or "macOS", Unknown("not an Apple GPU with unified memory"))
        return
    gib = int(memory) / GIB
    limit = sysctl("iogpu.wired_limit_mb").strip()
    mib, source = metal_working_set_mib(gib)
    if limit.isdigit() and int(limit) > 0:
        mib, source = int(limit), "sysctl iogpu.wired_limit_mb"
    entry = _entry(f"{chip} {gib:.0f}GB")
    device = Device(
        name="MTL0",
        description=chip,
        total_bytes=mib * MIB,
        free_bytes=mib * MIB,
        source=source,
        backend="metal",
        compute_capability=Unknown("Metal GPUs have no compute capability"),
        bandwidth_bytes_per_second=entry.bandwidth_bytes_per_second if entry else Unknown("not in the catalogue"),
    )
    yield Sighting("apple", f"{chip}, {gib:.0f} GiB unified memory", device)


def _vulkan(root: Path) -> Iterator[Sighting]:
    for folder in _VULKAN_FOLDERS:
        for manifest in sorted((root / folder).glob("*.json")) if (root / folder).is_dir() else ():
            why = "a Vulkan driver is installed; which GPUs it has only an engine with Vulkan can list"
            yield Sighting("vulkan", f"Vulkan driver {manifest.name}", Unknown(why))


def _wsl(root: Path) -> Iterator[Sighting]:
    if (root / "dev/dxg").exists():
        why = "the GPU belongs to Windows: NVML shows NVIDIA cards (libcuda of /usr/lib/wsl), others only DirectX"
        yield Sighting("wsl", "WSL 2 with GPU access (/dev/dxg)", Unknown(why))


def _entry(name: str) -> GpuEntry | None:
    try:
        return catalogue.find(name)
    except BadInput:
        return None


def _sysctl(key: str) -> str:
    try:
        return subprocess.run(
            ["/usr/sbin/sysctl", "-n", key], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
