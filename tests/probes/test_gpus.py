"""GPUs as NVML and the system's files showed them: recorded answers and trees, failures included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from vramctl.probes.gpus import look_gpus, look_other_gpus
from vramctl.records import Device, Unknown
from vramctl.units import GIB, MIB

NOT_SUPPORTED, NOT_FOUND, FUNCTION_NOT_FOUND = 3, 6, 13
LIBRARY_NOT_FOUND, DRIVER_NOT_LOADED, VERSION_MISMATCH = 12, 9, 18


@dataclass
class Card:
    """One handle's answers. Figures in MiB as `nvidia-smi -q` printed them; None: NVML said Not Supported."""

    name: str
    total: int | None
    reserved: int
    used: int
    uuid: str
    compute: tuple[int, int] = (9, 0)
    clock: int | None = None
    width: int | None = None
    parts: list[Card] = field(default_factory=list)


class Recording:
    """Answers of an NVML, call for call, in pynvml's shape. `fails` maps a call to an error code."""

    NVMLError = pynvml.NVMLError
    NVML_CLOCK_MEM = pynvml.NVML_CLOCK_MEM
    nvmlMemory_v2 = pynvml.nvmlMemory_v2

    def __init__(self, *cards: Card, driver: str | bytes = "590.48.01", fails: dict[str, int] | None = None) -> None:
        self.cards, self.driver, self.fails, self.open = cards, driver, fails or {}, 0

    def _answer(self, call: str, value: Any, error: int = NOT_SUPPORTED) -> Any:
        if call in self.fails:
            raise pynvml.NVMLError(self.fails[call])
        if value is None:
            raise pynvml.NVMLError(error)
        return value

    def nvmlInit(self) -> None:
        self._answer("nvmlInit", True)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return int(self._answer("nvmlDeviceGetCount", len(self.cards)))

    def nvmlSystemGetDriverVersion(self) -> Any:
        return self._answer("nvmlSystemGetDriverVersion", self.driver)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        return self._answer(f"nvmlDeviceGetHandleByIndex:{index}", self.cards[index])

    def nvmlDeviceGetName(self, handle: Card) -> Any:
        return self._answer("nvmlDeviceGetName", handle.name)

    def nvmlDeviceGetUUID(self, handle: Card) -> Any:
        return self._answer("nvmlDeviceGetUUID", handle.uuid)

    def nvmlDeviceGetMemoryInfo(self, handle: Card, version: int | None = None) -> Any:
        total = self._answer("nvmlDeviceGetMemoryInfo_v2" if version else "nvmlDeviceGetMemoryInfo", handle.total)
        free = (total - handle.reserved - handle.used) * MIB
        if version:
            return SimpleNamespace(total=total * MIB, reserved=handle.reserved * MIB, used=handle.used * MIB, free=free)
        return SimpleNamespace(total=total * MIB, used=(handle.reserved + handle.used) * MIB, free=free)

    def nvmlDeviceGetCudaComputeCapability(self, handle: Card) -> Any:
        return self._answer("nvmlDeviceGetCudaComputeCapability", handle.compute)

    def nvmlDeviceGetMaxClockInfo(self, handle: Card, kind: int) -> Any:
        return self._answer("nvmlDeviceGetMaxClockInfo", handle.clock)

    def nvmlDeviceGetMemoryBusWidth(self, handle: Card) -> Any:
        return self._answer("nvmlDeviceGetMemoryBusWidth", handle.width)

    def nvmlDeviceGetMigMode(self, handle: Card) -> Any:
        return self._answer("nvmlDeviceGetMigMode", [1, 1] if handle.parts else None)

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Card) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Card, slot: int) -> Any:
        return self._answer("mig", handle.parts[slot] if slot < len(handle.parts) else None, NOT_FOUND)


H100 = Card("NVIDIA H100 80GB HBM3", 81559, 479, 0, "GPU-11111111-aaaa", clock=2619, width=5120)
L40S = Card("NVIDIA L40S", 46068, 609, 1235, "GPU-22222222-bbbb", (8, 9), 9001, 384)
RTX_3060 = Card("NVIDIA GeForce RTX 3060", 12288, 368, 116, "GPU-33333333-cccc", (8, 6), 7501, 192)
GB10 = Card("NVIDIA GB10", None, 0, 0, "GPU-44444444-dddd", (12, 1))
H100_MIG = Card(
    "NVIDIA H100 80GB HBM3", 81559, 479, 0, "GPU-55555555-eeee", clock=2619, width=5120,
    parts=[Card("NVIDIA H100 80GB HBM3 MIG 3g.40gb", 40448, 0, 26, "MIG-aaaa-1"),
           Card("NVIDIA H100 80GB HBM3 MIG 3g.40gb", 40448, 0, 11091, "MIG-bbbb-2")],
)  # fmt: skip


def seen(nvml: Recording, environ: dict[str, str] | None = None, root: Path = Path("/nowhere")) -> tuple[Device, ...]:
    devices = look_gpus(nvml=nvml, environ=environ or {}, root=root)
    assert not isinstance(devices, Unknown), devices
    assert nvml.open == 0
    return devices


def test_gives_an_h100_as_cuda_sees_it() -> None:
    (device,) = seen(Recording(H100))
    assert (device.name, device.description) == ("CUDA0", "NVIDIA H100 80GB HBM3")
    assert device.total_bytes == device.free_bytes == (81559 - 479) * MIB
    assert (device.compute_capability, device.driver, device.uuid) == ("9.0", "590.48.01", "GPU-11111111-aaaa")
    assert device.bandwidth_bytes_per_second == 2619 * 10**6 * 2 * 5120 // 8
    assert "2619 MHz x 2 x 5120 bit by NVML" in device.source


def test_the_clock_rule_gives_the_data_sheets_360_gb_per_second_of_an_rtx_3060() -> None:
    (device,) = seen(Recording(RTX_3060))
    assert device.bandwidth_bytes_per_second == pytest.approx(360e9, rel=0.001)
    assert device.free_bytes == (12288 - 368 - 116) * MIB


def test_an_old_driver_without_the_second_memory_call_counts_the_reserve_as_used() -> None:
    fails = {"nvmlDeviceGetMemoryInfo_v2": FUNCTION_NOT_FOUND}
    (device,) = seen(Recording(L40S, fails=fails))
    assert device.total_bytes == 46068 * MIB
    assert device.free_bytes == (46068 - 609 - 1235) * MIB
    assert "reserve counted as used" in device.source


def test_without_clock_or_bus_width_the_catalogues_bandwidth_is_taken_and_said() -> None:
    card = Card("NVIDIA L40S", 46068, 609, 0, "GPU-1", (8, 9))
    (device,) = seen(Recording(card))
    assert device.bandwidth_bytes_per_second == 864_000_000_000
    assert device.source.endswith("bandwidth: catalogue")
    (stranger,) = seen(Recording(Card("NVIDIA Future 9000", 46068, 609, 0, "GPU-1")))
    assert isinstance(stranger.bandwidth_bytes_per_second, Unknown)


def test_a_gb10_uses_the_systems_memory(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 125508000 kB\nMemFree: 1 kB\nMemAvailable: 120194492 kB\n")
    (device,) = seen(Recording(GB10), root=tmp_path)
    assert (device.total_bytes, device.free_bytes) == (125508000 * 1024, 120194492 * 1024)
    assert "/proc/meminfo" in device.source
    assert isinstance(look_gpus(nvml=Recording(GB10), environ={}, root=tmp_path / "none"), Unknown)


@pytest.mark.parametrize("call", ["nvmlDeviceGetName", "nvmlDeviceGetUUID", "nvmlDeviceGetCudaComputeCapability",
                                  "nvmlSystemGetDriverVersion", "nvmlDeviceGetMigMode"])  # fmt: skip
def test_a_single_refused_call_leaves_the_rest(call: str) -> None:
    (device,) = seen(Recording(H100, fails={call: NOT_SUPPORTED}))
    assert device.total_bytes == 81080 * MIB


def test_bytes_instead_of_text_are_read_as_older_pynvml_gives_them() -> None:
    (device,) = seen(Recording(H100, driver=b"535.54.03"))
    assert device.driver == "535.54.03"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (LIBRARY_NOT_FOUND, "no NVIDIA driver"),
        (DRIVER_NOT_LOADED, "not loaded"),
        (VERSION_MISMATCH, "different versions"),
    ],
)
def test_a_driver_that_does_not_answer_is_unknown_with_the_reason(code: int, words: str) -> None:
    answer = look_gpus(nvml=Recording(fails={"nvmlInit": code}), environ={})
    assert isinstance(answer, Unknown)
    assert words in answer.reason


def test_a_driver_without_gpus_and_a_lost_gpu_are_unknown() -> None:
    none = look_gpus(nvml=Recording(), environ={})
    assert isinstance(none, Unknown)
    assert "sees no GPU" in none.reason
    lost = look_gpus(nvml=Recording(H100, fails={"nvmlDeviceGetHandleByIndex:0": 15}), environ={})
    assert isinstance(lost, Unknown)


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ("1,0", ["NVIDIA L40S", "NVIDIA H100 80GB HBM3"]),
        ("2", ["NVIDIA GeForce RTX 3060"]),
        ("GPU-2222", ["NVIDIA L40S"]),
        ("0,9,1", ["NVIDIA H100 80GB HBM3"]),
        ("1,1", ["NVIDIA L40S"]),
        (" 0 , GPU-33333333-cccc", ["NVIDIA H100 80GB HBM3", "NVIDIA GeForce RTX 3060"]),
    ],
)
def test_cuda_visible_devices_chooses_orders_and_stops_at_nonsense(listed: str, names: list[str]) -> None:
    devices = seen(Recording(H100, L40S, RTX_3060), {"CUDA_VISIBLE_DEVICES": listed})
    assert [device.description for device in devices] == names
    assert [device.name for device in devices] == [f"CUDA{i}" for i in range(len(names))]


@pytest.mark.parametrize("listed", ["", "-1", "none", "7"])
def test_hidden_gpus_are_said_to_be_hidden(listed: str) -> None:
    answer = look_gpus(nvml=Recording(H100, L40S), environ={"CUDA_VISIBLE_DEVICES": listed})
    assert isinstance(answer, Unknown)
    assert "hides all 2" in answer.reason


def test_unlike_cards_in_pci_order_carry_a_warning_about_cudas_own_order() -> None:
    assert "CUDA_DEVICE_ORDER" in seen(Recording(H100, L40S))[0].source
    assert "PCI order" not in seen(Recording(H100, H100))[0].source
    assert "PCI order" not in seen(Recording(H100, L40S), {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})[0].source


def test_mig_instances_are_named_and_cuda_takes_the_first_or_the_one_asked_for() -> None:
    (first,) = seen(Recording(H100_MIG))
    assert (first.uuid, first.total_bytes) == ("MIG-aaaa-1", 40448 * MIB)
    assert "MIG instance 0 of GPU 0" in first.source
    (second,) = seen(Recording(H100_MIG), {"CUDA_VISIBLE_DEVICES": "MIG-bbbb-2"})
    assert (second.uuid, second.free_bytes) == ("MIG-bbbb-2", (40448 - 11091) * MIB)
    assert second.compute_capability == "9.0"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


NAVI31 = {
    "sys/class/drm/card1/device/vendor": "0x1002\n",
    "sys/class/drm/card1/device/device": "0x744c\n",
    "sys/class/drm/card1/device/product_name": "AMD Radeon RX 7900 XTX\n",
    "sys/class/drm/card1/device/mem_info_vram_total": "25753026560\n",
    "sys/class/drm/card1/device/mem_info_vram_used": "27262976\n",
    "sys/class/drm/card1/device/drm/renderD129/dev": "226:129\n",
    "sys/class/drm/card1/device/unique_id": "7c1b2f\n",
    "sys/class/drm/card1-DP-1/status": "connected\n",
    "sys/class/kfd/kfd/topology/nodes/0/properties": "cpu_cores_count 16\ngfx_target_version 0\ndrm_render_minor 0\n",
    "sys/class/kfd/kfd/topology/nodes/1/properties": "simd_count 9\ngfx_target_version 110000\ndrm_render_minor 129\n",
}


def test_an_amd_card_gives_its_memory_and_gfx_name(tmp_path: Path) -> None:
    (sighting,) = look_other_gpus(root=write(tmp_path, NAVI31), system="Linux")
    device = sighting.device
    assert isinstance(device, Device)
    assert (sighting.kind, device.name, device.backend) == ("amd", "ROCm0", "rocm")
    assert device.total_bytes == 24560 * MIB
    assert device.free_bytes == 25753026560 - 27262976
    assert device.compute_capability == "gfx1100"
    assert device.bandwidth_bytes_per_second == 960_000_000_000


@pytest.mark.parametrize(
    ("version", "gfx"),
    [("90010", "gfx90a"), ("100300", "gfx1030"), ("110501", "gfx1151"), ("90402", "gfx942")],
)
def test_gfx_names_write_the_step_in_hexadecimal(tmp_path: Path, version: str, gfx: str) -> None:
    node = f"gfx_target_version {version}\ndrm_render_minor 129\n"
    root = write(tmp_path, NAVI31 | {"sys/class/kfd/kfd/topology/nodes/1/properties": node})
    device = look_other_gpus(root=root, system="Linux")[0].device
    assert isinstance(device, Device)
    assert device.compute_capability == gfx


def test_an_amd_card_without_its_driver_is_seen_and_its_memory_unknown(tmp_path: Path) -> None:
    root = write(tmp_path, {k: v for k, v in NAVI31.items() if k.endswith(("/vendor", "device/device"))})
    (sighting,) = look_other_gpus(root=root, system="Linux")
    assert sighting.kind == "amd"
    assert isinstance(sighting.device, Unknown)


def test_an_arc_card_is_named_by_its_pci_number_and_takes_the_catalogues_memory(tmp_path: Path) -> None:
    card = {"sys/class/drm/card0/device/vendor": "0x8086\n", "sys/class/drm/card0/device/device": "0xe20b\n"}
    (sighting,) = look_other_gpus(root=write(tmp_path, card), system="Linux")
    assert isinstance(sighting.device, Device)
    assert (sighting.device.name, sighting.device.backend) == ("SYCL0", "sycl")
    assert sighting.device.source.startswith("catalogue: derived")
    write(
        tmp_path,
        {"sys/class/drm/card0/lmem_total_bytes": f"{12 * GIB}\n", "sys/class/drm/card0/lmem_avail_bytes": "9\n"},
    )
    told = look_other_gpus(root=tmp_path, system="Linux")[0].device
    assert isinstance(told, Device)
    assert (told.total_bytes, told.free_bytes) == (12 * GIB, 9)


def test_an_intel_igpu_is_seen_and_its_memory_unknown(tmp_path: Path) -> None:
    card = {"sys/class/drm/card0/device/vendor": "0x8086\n", "sys/class/drm/card0/device/device": "0x46a6\n"}
    (sighting,) = look_other_gpus(root=write(tmp_path, card), system="Linux")
    assert isinstance(sighting.device, Unknown)
    assert "0x46a6" in sighting.what


def test_a_jetson_gives_the_systems_memory_and_its_modules_bandwidth(tmp_path: Path) -> None:
    files = {
        "proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit 64GB\0",
        "proc/meminfo": "MemTotal: 64334848 kB\nMemAvailable: 60000000 kB\n",
    }
    (sighting,) = look_other_gpus(root=write(tmp_path, files), system="Linux")
    device = sighting.device
    assert isinstance(device, Device)
    assert (sighting.kind, device.name, device.total_bytes) == ("jetson", "CUDA0", 64334848 * 1024)
    assert (device.compute_capability, device.bandwidth_bytes_per_second) == ("8.7", 204_800_000_000)


def answers(**values: str) -> Callable[[str], str]:
    return lambda key: values.get(key.replace(".", "_"), "")


def test_a_mac_gives_what_metal_recommends_or_what_was_set() -> None:
    mac = {"machdep_cpu_brand_string": "Apple M1 Pro\n", "hw_memsize": f"{16 * GIB}\n"}
    (sighting,) = look_other_gpus(system="Darwin", sysctl=answers(**mac))
    device = sighting.device
    assert isinstance(device, Device)
    assert (device.name, device.backend, device.total_bytes) == ("MTL0", "metal", 10922 * MIB)
    assert device.bandwidth_bytes_per_second == 200_000_000_000
    raised = look_other_gpus(system="Darwin", sysctl=answers(**mac, iogpu_wired_limit_mb="14000"))[0].device
    assert isinstance(raised, Device)
    assert (raised.total_bytes, raised.source) == (14000 * MIB, "sysctl iogpu.wired_limit_mb")
    intel = {"machdep_cpu_brand_string": "Intel(R) Core(TM) i7", "hw_memsize": f"{16 * GIB}"}
    assert isinstance(look_other_gpus(system="Darwin", sysctl=answers(**intel))[0].device, Unknown)


def test_vulkan_drivers_and_wsl_are_recognised_without_guessing_memory(tmp_path: Path) -> None:
    root = write(tmp_path, {"usr/share/vulkan/icd.d/radeon_icd.x86_64.json": "{}", "dev/dxg": ""})
    sightings = look_other_gpus(root=root, system="Linux")
    assert [sighting.kind for sighting in sightings] == ["vulkan", "wsl"]
    assert all(isinstance(sighting.device, Unknown) for sighting in sightings)


def test_a_machine_without_any_gpu_shows_nothing(tmp_path: Path) -> None:
    assert look_other_gpus(root=tmp_path, system="Linux") == ()


def test_the_real_nvml_of_this_machine_never_raises() -> None:
    devices = look_gpus()
    assert isinstance(devices, Unknown) or all(device.total_bytes > 0 for device in devices)
