"""The graphics on the PCI bus: what is in the machine, whatever drivers think of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from vramctl.records.facts import PciGpu, Platform
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

DEVICES = "/sys/bus/pci/devices"
_VENDORS = {0x10DE: "nvidia", 0x1002: "amd", 0x8086: "intel"}
_DISPLAY, _ACCELERATOR = 0x03, 0x12
_SPEEDS = {"2.5": 1, "5.0": 2, "5": 2, "8.0": 3, "8": 3, "16.0": 4, "16": 4, "32.0": 5, "32": 5, "64.0": 6, "64": 6}
_ADDRESS = re.compile(r"^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
_WINDOWS = 6  # memory windows (BARs) of a PCI device
_POLICY = "power_dpm_force_performance_level"
_NO_TARGET = Unknown("the kernel's compute driver does not list it")
_KFD = "/sys/class/kfd/kfd/topology/nodes"
# The registry's class of display adapters.
_ADAPTERS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_MATCH = re.compile(r"ven_([0-9a-f]{4})&dev_([0-9a-f]{4})", re.IGNORECASE)


def look_pci(world: World, asked: Any, facts: Any) -> tuple[PciGpu, ...] | Unknown | Absent:
    """Display controllers and accelerators on the PCI bus, empty where there are none."""
    platform = facts.fact("platform")
    if isinstance(platform, Platform) and platform.system == "windows":
        return _adapters(world)
    if isinstance(platform, Platform) and platform.system == "macos":
        return Absent("Apple silicon has its GPU on the chip")
    names = world.names(DEVICES)
    if isinstance(names, Unknown):
        return Unknown(f"{DEVICES}: {names.reason}")
    if isinstance(names, Absent):
        return Absent(f"this machine shows no PCI bus ({DEVICES}: {names.reason})")
    targets = _gfx_targets(world)
    return tuple(gpu for name in names if _ADDRESS.match(name) for gpu in _gpu(world, name, targets))


def pci_key(address: str) -> str:
    """An address in one form: `00000000:01:00.0` and `0000:01:00.0` are the same."""
    domain, _, rest = address.lower().partition(":")
    return f"{domain[-4:]:0>4}:{rest}"


def _gpu(world: World, name: str, targets: Mapping[str, str]) -> Iterator[PciGpu]:
    folder = f"{DEVICES}/{name}"
    code = _hexadecimal(world.text(f"{folder}/class"))
    if not isinstance(code, int) or code >> 16 not in {_DISPLAY, _ACCELERATOR}:
        return
    vendor, device = _hexadecimal(world.text(f"{folder}/vendor")), _hexadecimal(world.text(f"{folder}/device"))
    if world.exists(f"{folder}/physfn"):  # a slice of another device (SR-IOV)
        return
    maker = _VENDORS.get(vendor, f"{vendor:04x}") if isinstance(vendor, int) else ""
    if code >> 16 == _ACCELERATOR and maker != "amd":
        return
    amd = maker == "amd"
    yield PciGpu(
        address=name,
        vendor=maker,
        device_id=device if isinstance(device, int) else 0,
        driver=_driver(world, folder),
        revision=_hexadecimal(world.text(f"{folder}/revision")),
        numa_node=_node(world.text(f"{folder}/numa_node")),
        link_generation=_generation(world.text(f"{folder}/current_link_speed")),
        link_width=_width(world.text(f"{folder}/current_link_width")),
        max_link_generation=_generation(world.text(f"{folder}/max_link_speed")),
        max_link_width=_width(world.text(f"{folder}/max_link_width")),
        bar_bytes=_bars(world.text(f"{folder}/resource")),
        power_state=_line(world.text(f"{folder}/power_state")),
        class_code=code,
        gfx=targets.get(pci_key(name), _NO_TARGET) if amd else Absent("only AMD's have it"),
        clock_policy=_line(world.text(f"{folder}/{_POLICY}")) if amd else Absent("only AMD's have it"),
    )  # fmt: skip


def _driver(world: World, folder: str) -> str | Unknown | Absent:
    """The bound driver: where the folder's `driver` link leads to."""
    found = world.status(f"{folder}/driver")
    if isinstance(found, Absent):
        return Absent("no driver is bound to it")
    if isinstance(found, Unknown):
        return found
    target = found.get("target")
    return target.rsplit("/", 1)[-1] if isinstance(target, str) else Unknown("the link to its driver has no target")


def _bars(text: str | Unknown | Absent) -> tuple[int, ...]:
    """Sizes of the memory windows, of lines such as `0x00000000e0000000 0x00000000efffffff 0x000000000014220c`."""
    if not isinstance(text, str):
        return ()
    sizes = []
    for line in text.splitlines()[:_WINDOWS]:
        try:
            start, end, _ = (int(part, 16) for part in line.split())
        except ValueError:
            return ()
        sizes.append(end - start + 1 if end > start else 0)
    return tuple(sizes)


def _gfx_targets(world: World) -> dict[str, str]:
    """AMD targets by PCI address, of the compute driver's nodes: gfx_target_version 110000 is gfx1100."""
    nodes = world.names(_KFD)
    found = {}
    for node in nodes if isinstance(nodes, tuple) else ():
        text = world.text(f"{_KFD}/{node}/properties")
        facts = dict(line.split(" ", 1) for line in text.splitlines() if " " in line) if isinstance(text, str) else {}
        version, place, domain = (
            _decimal(facts.get(key, "")) for key in ("gfx_target_version", "location_id", "domain")
        )
        if version and place is not None:
            address = f"{domain or 0:04x}:{place >> 8 & 0xFF:02x}:{place >> 3 & 0x1F:02x}.{place & 7}"
            found[address] = f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
    return found


def _adapters(world: World) -> tuple[PciGpu, ...] | Unknown | Absent:
    """Windows: the display adapters that have a driver, as the registry lists them."""
    told = world.ask("display adapters", _registry)
    if not isinstance(told, list):
        return told if isinstance(told, Unknown | Absent) else Unknown("the registry's answer has another form")
    gpus = []
    for number, entry in enumerate(told):
        found = _MATCH.search(str(entry.get("id", ""))) if isinstance(entry, dict) else None
        if found and entry.get("present", True) is True:
            vendor = int(found[1], 16)
            version = f"{entry.get('provider', '')} {entry.get('version', '')}".strip()
            gpus.append(
                PciGpu(
                    address=f"adapter {number}", vendor=_VENDORS.get(vendor, f"{vendor:04x}"), device_id=int(found[2], 16),
                    driver=version or Unknown("the registry names no driver"),
                )
            )  # fmt: skip
    return tuple(gpus)


def _registry() -> Any:
    if sys.platform != "win32":
        return {"absent": "only Windows has a registry"}
    import winreg

    here = _present()
    found = []
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _ADAPTERS) as adapters:
        for number in range(64):
            try:
                with winreg.OpenKey(adapters, f"{number:04d}") as one:
                    entry: dict[str, Any] = {key: _value(winreg, one, name) for key, name in _NAMES.items()}
                    match = _MATCH.search(entry["id"])
                    entry["present"] = not here or match is None or match[0].lower() in here
                    found.append(entry)
            except OSError:
                continue
    return found


def _present() -> frozenset[str]:
    """Windows: vendor and device numbers of the adapters that are there; the registry keeps those that were taken out."""
    if sys.platform != "win32":
        return frozenset()
    import ctypes
    from ctypes import wintypes

    class Adapter(ctypes.Structure):
        """DISPLAY_DEVICEW of wingdi.h."""

        _fields_ = (
            ("cb", wintypes.DWORD), ("DeviceName", wintypes.WCHAR * 32), ("DeviceString", wintypes.WCHAR * 128),
            ("StateFlags", wintypes.DWORD), ("DeviceID", wintypes.WCHAR * 128), ("DeviceKey", wintypes.WCHAR * 128),
        )  # fmt: skip

    found = set()
    for number in range(64):
        adapter = Adapter(cb=ctypes.sizeof(Adapter))
        if not ctypes.windll.user32.EnumDisplayDevicesW(None, number, ctypes.byref(adapter), 0):
            break
        match = _MATCH.search(adapter.DeviceID)
        if match:
            found.add(match[0].lower())
    return frozenset(found)


_NAMES = {"name": "DriverDesc", "id": "MatchingDeviceId", "provider": "ProviderName", "version": "DriverVersion"}


def _value(registry: Any, key: Any, name: str) -> str:
    try:
        return str(registry.QueryValueEx(key, name)[0])
    except OSError:
        return ""


def _generation(text: str | Unknown | Absent) -> int | Unknown | Absent:
    """PCIe's generation of `16.0 GT/s PCIe`."""
    if not isinstance(text, str):
        return text
    return _SPEEDS.get(text.split(" ")[0].strip(), Unknown(f"the link's speed is written {text.strip()!r:.40}"))


def _width(text: str | Unknown | Absent) -> int | Unknown | Absent:
    if not isinstance(text, str):
        return text
    lanes = _decimal(text.strip())
    return lanes if lanes and lanes <= 32 else Unknown(f"the link's width is written {text.strip()!r:.40}")


def _node(text: str | Unknown | Absent) -> int | Unknown | Absent:
    if not isinstance(text, str):
        return text
    node = _decimal(text.strip())
    return node if node is not None else Absent("the firmware gives it no NUMA node")


def _line(text: str | Unknown | Absent) -> str | Unknown | Absent:
    return text.strip() if isinstance(text, str) else text


def _decimal(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _hexadecimal(text: str | Unknown | Absent) -> int | Unknown | Absent:
    if not isinstance(text, str):
        return text
    try:
        return int(text.strip(), 16)
    except ValueError:
        return Unknown(f"it is written {text.strip()!r:.40}")
