"""Checks of hardware, kernel driver, access, state and host: what they say, and above all where they stay silent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from answers import ABSENT, HOSTS, Answers, answers_of
from vramctl.checks import (
    doctor_access,
    doctor_amd,
    doctor_hardware,
    doctor_host,
    doctor_intel,
    doctor_kernel,
    doctor_memory,
    doctor_state,
    doctor_vulkan,
)
from vramctl.checks.chain import EXPLAINED_BY
from vramctl.checks.gpus_seen import driver_version, not_listed
from vramctl.checks.modes import BY_ID
from vramctl.checks.nvidia_chips import generation, has_gsp
from vramctl.checks.runner import Layer, NotKnown, NotThere, check_id, run_checks
from vramctl.doctor.facts import Asked, MachineFacts
from vramctl.doctor.looks import LOOKS
from vramctl.records.diagnosis import CRASHED, OK, SKIPPED, UNKNOWN, Checked
from vramctl.records.facts import (
    CudaDriver,
    DeviceNode,
    Engine,
    EngineProcess,
    HostFacts,
    KernelModules,
    Nvml,
    NvmlGpu,
    PciGpu,
    Platform,
    Setting,
)
from vramctl.records.finding import Finding
from vramctl.records.unknown import Absent, Unknown
from vramctl.units import GIB, MIB
from vramctl.world.machine import World

OWN = (
    Layer("hardware", doctor_hardware.CHECKS), Layer("kernel-driver", doctor_kernel.CHECKS),
    Layer("device-access", doctor_access.CHECKS), Layer("amd", doctor_amd.CHECKS), Layer("intel", doctor_intel.CHECKS),
    Layer("vulkan", doctor_vulkan.CHECKS), Layer("gpu-state", doctor_state.CHECKS),
    Layer("host", doctor_host.CHECKS, always=True),
)  # fmt: skip
LINUX = Platform(system="linux", hypervisor="")
VM = Platform(system="linux", hypervisor="kvm")
BUSY = {
    "index": 0, "name": "NVIDIA GeForce RTX 4090", "utilization_percent": 97, "performance_state": 2, "throttle_reasons": 0x4,
    "memory_clock_mhz": 10251, "max_memory_clock_mhz": 10501, "link_generation": 4, "max_link_generation": 4, "link_width": 16,
    "max_link_width": 16, "power_limit_watts": 450.0, "default_power_limit_watts": 450.0, "temperature_celsius": 67.0,
}  # fmt: skip


def gpu(**changes: Any) -> NvmlGpu:
    return NvmlGpu(**{**BUSY, **changes})


def on_bus(device: int, **changes: Any) -> PciGpu:
    return PciGpu(**{"address": "0000:01:00.0", "vendor": "nvidia", "device_id": device, "driver": "nvidia", **changes})


def said(check: Callable[..., Iterator[Finding]], *args: Any, **facts: Any) -> list[str]:
    """Severities of what a check says; `unknown` and `skipped` where it cannot tell."""
    found: list[str] = []
    try:
        found += [finding.severity for finding in check(*args, **facts)]
    except NotKnown:
        return found or ["unknown"]
    except NotThere:
        return found or ["skipped"]
    return found


def run(answers: dict[str, Any], *, otherwise: Any = None) -> tuple[Checked, ...]:
    facts = MachineFacts(World(Answers(answers, otherwise=otherwise)), Asked(), LOOKS)
    return run_checks(OWN, facts, titles={}, explained_by=EXPLAINED_BY)


@pytest.mark.parametrize(
    ("device", "name"),
    [
        (0x1C81, "Pascal"), (0x1B06, "Pascal"), (0x1D01, "Pascal"), (0x1DB5, "Volta"), (0x1380, "Maxwell"), (0x17C8, "Maxwell"),
        (0x128B, "Kepler"), (0x102D, "Kepler"), (0x1E07, "Turing"), (0x21C4, "Turing"), (0x20B0, "Ampere"), (0x2204, "Ampere"),
        (0x2507, "Ampere"), (0x2330, "Hopper"), (0x2335, "Hopper"), (0x2684, "Ada"), (0x28E0, "Ada"), (0x2B85, "Blackwell"),
        (0x2C58, "Blackwell"), (0x2E12, "Blackwell"), (0x2901, "Blackwell"), (0x3182, "Blackwell"), (0x0040, ""), (0xFFFF, ""),
    ],
)  # fmt: skip
def test_generations_are_told_by_device_numbers(device: int, name: str) -> None:
    assert generation(device) == name
    assert has_gsp(device) == (None if not name else name not in {"Fermi", "Kepler", "Maxwell", "Pascal", "Volta"})


def test_a_busy_gpu_at_its_normal_limits_is_fine() -> None:
    for check in (doctor_state.power_cap, doctor_state.pstate_stuck, doctor_state.pcie_link_degraded):
        assert said(check, gpu(), LINUX) == []
    assert said(doctor_state.thermal_throttle, gpu()) == []


def test_an_idle_gpu_is_fine() -> None:
    idle = gpu(utilization_percent=0, performance_state=8, throttle_reasons=1, memory_clock_mhz=405, link_generation=1)
    for check in (doctor_state.power_cap, doctor_state.pstate_stuck, doctor_state.pcie_link_degraded):
        assert said(check, idle, LINUX) == []


def test_a_slow_link_is_told_under_load_and_a_narrow_one_always() -> None:
    link = doctor_state.pcie_link_degraded
    assert said(link, gpu(link_generation=1), LINUX) == ["warning"]
    assert said(link, gpu(link_generation=1, utilization_percent=5), LINUX) == []
    assert said(link, gpu(link_width=1, utilization_percent=0), LINUX) == ["warning"]
    assert said(link, gpu(link_width=8, utilization_percent=0), LINUX) == ["info"]
    assert said(link, gpu(link_width=1), VM) == ["skipped"], "a virtual machine invents its link"
    assert said(link, gpu(link_width=Unknown("not-supported")), LINUX) == ["unknown"]


def test_clocks_that_heat_or_power_explain_are_not_stuck() -> None:
    slow = {"memory_clock_mhz": 810, "performance_state": 5}
    assert said(doctor_state.pstate_stuck, gpu(**slow, throttle_reasons=0x2), LINUX) == ["warning"]
    assert said(doctor_state.pstate_stuck, gpu(**slow, throttle_reasons=0x20), LINUX) == []
    assert said(doctor_state.thermal_throttle, gpu(**slow, throttle_reasons=0x20)) == ["warning"]


def test_a_laptops_power_limit_is_its_own_business() -> None:
    lowered = {"power_limit_watts": 55.0, "default_power_limit_watts": 80.0}
    assert said(doctor_state.power_cap, gpu(**lowered), LINUX) == ["warning"]
    assert said(doctor_state.power_cap, gpu(name="NVIDIA GeForce RTX 4080 Laptop GPU", **lowered), LINUX) == ["skipped"]
    assert said(doctor_state.power_cap, gpu(power_limit_watts=440.0), LINUX) == []


def test_persistence_matters_where_the_start_was_slow() -> None:
    headless = gpu(persistence=False, display_active=False)
    check = doctor_state.persistence_mode_off
    assert said(check, headless, Nvml(init_seconds=3.0), LINUX) == ["warning"]
    assert said(check, headless, Nvml(init_seconds=0.02), LINUX) == []
    assert said(check, gpu(persistence=False, display_active=True), Nvml(init_seconds=3.0), LINUX) == []
    assert said(check, headless, Nvml(init_seconds=3.0), Platform(system="windows")) == ["skipped"]


def test_a_lost_gpu_is_lost_by_any_sign() -> None:
    check = doctor_hardware.gpu_fell_off_bus
    assert said(check, Nvml(gpus=(NvmlGpu(index=0, error="gpu-is-lost"),))) == ["error"]
    assert said(check, Nvml(error="gpu-is-lost")) == ["error"]
    log = KernelModules(log=("[ 9] NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.",))
    assert said(check, Nvml(), log, (on_bus(0x2684),)) == ["error"]
    listed = Nvml(gpus=(gpu(pci_address="00000000:01:00.0", error=""),))
    assert said(check, listed, log, (on_bus(0x2684),)) == [], "it came back after a reset"


def test_errors_of_programs_are_a_remark_and_those_of_memory_a_warning() -> None:
    check = doctor_hardware.xid_errors
    line = "[ 12.0] NVRM: Xid (PCI:0000:01:00): {}, pid=1, name=x"
    assert said(check, KernelModules(log=(line.format(31), line.format(13)))) == ["info"]
    assert said(check, KernelModules(log=(line.format(48), line.format(31)))) == ["warning", "info"]
    assert said(check, KernelModules(log=("NVRM: loading NVIDIA UNIX x86_64",))) == []
    assert said(check, KernelModules(log=Unknown("Operation not permitted"))) == ["unknown"]


def test_a_gpu_that_another_cause_explains_did_not_fail_to_start() -> None:
    check = doctor_hardware.gpu_init_failed_bar
    closed = KernelModules(nvidia_open=False, nvidia_version=(580, 105, 8), log=Unknown("not read"))
    assert said(check, LINUX, (on_bus(0x2B85),), Nvml(driver_version=(580, 105, 8)), closed) == []
    newer = KernelModules(nvidia_open=False, nvidia_version=(595, 71, 5), log=Unknown("not read"))
    assert said(check, LINUX, (on_bus(0x1C81),), Nvml(driver_version=(595, 71, 5)), newer) == []
    assert said(check, LINUX, (on_bus(0x2684),), Nvml(driver_version=(580, 95, 5)), closed) == ["error"]
    kept = on_bus(0x2684, driver="vfio-pci")
    assert said(check, LINUX, (kept,), Nvml(driver_version=(580, 95, 5)), closed) == []
    assert said(check, Platform(system="linux", container="docker"), (on_bus(0x2684),), Nvml(), closed) == ["skipped"]


def test_old_gpus_and_new_drivers_are_told_apart_by_branch() -> None:
    check = doctor_kernel.legacy_gpu_dropped_by_driver
    pascal, kepler = (on_bus(0x1C81),), (on_bus(0x128B),)
    assert said(check, LINUX, pascal, Nvml(driver_version=(590, 44, 1))) == ["error"]
    assert said(check, LINUX, pascal, Nvml(driver_version=(580, 95, 5))) == []
    assert said(check, LINUX, pascal, Nvml(error="driver-not-loaded")) == ["unknown"]
    other = Nvml(driver_version=(590, 44, 1), gpus=(gpu(pci_address="00000000:02:00.0"),))
    assert said(check, LINUX, pascal, other) == ["warning"]
    assert said(check, LINUX, kepler, other) == ["info"], "a display card beside the GPU that computes"
    assert said(check, LINUX, (on_bus(0x2684),), Nvml(driver_version=(595, 71, 5))) == []


def test_windows_adapters_without_addresses_are_matched_by_number() -> None:
    adapter = (on_bus(0x1C81, address="adapter 0"),)
    assert not_listed(adapter, Nvml(gpus=(gpu(pci_address="00000000:01:00.0"),))) == ()
    assert not_listed(adapter, Nvml()) == adapter


def test_the_drivers_version_is_found_without_a_loaded_module() -> None:
    log = KernelModules(
        nvidia_version=Absent("no such file"), log=("NVRM:  information.  The 595.71.05 NVIDIA driver will ignore",)
    )
    assert driver_version(log, Nvml(error="driver-not-loaded")) == (595, 71, 5)
    path = Nvml(error="driver-not-loaded", library_path="/usr/lib/libnvidia-ml.so.590.44.01")
    assert driver_version(KernelModules(), path) == (590, 44, 1)
    assert driver_version(KernelModules(), Nvml(error="driver-not-loaded")) is None


def test_a_missing_uvm_file_is_fine_where_cuda_starts() -> None:
    check = doctor_access.nvidia_uvm_missing
    nvml = Nvml(gpus=(gpu(),))
    card = "/dev/nvidia0"
    nodes = {
        card: DeviceNode(path=card, mode=0o666, owner="root", group="root", readable=True, writable=True, opened="")
    }
    assert said(check, LINUX, nvml, nodes, None, CudaDriver(library="libcuda.so.1", init_code=0)) == []
    assert said(check, LINUX, nvml, nodes, None, CudaDriver(library="libcuda.so.1", init_code=999)) == ["error"]
    assert said(check, LINUX, nvml, nodes) == ["unknown"]
    assert said(check, LINUX, nvml, {}) == ["skipped"], "no device file at all: it is another way in"
    assert said(check, Platform(system="linux", wsl="2"), nvml, {}) == ["skipped"]
    assert said(check, Platform(system="linux", board="NVIDIA Jetson AGX Orin"), nvml, {}) == ["skipped"]


def test_a_driver_that_hangs_is_a_fault_and_a_missing_module_is_not() -> None:
    check = doctor_access.driver_does_not_answer
    here = (on_bus(0x2684),)
    assert said(check, LINUX, Nvml(error="timeout"), here) == ["error"]
    assert said(check, LINUX, Unknown("NVML gave no answer within 10 s"), here) == ["error"]
    assert said(check, LINUX, Unknown("NVML gave no answer within 10 s"), ()) == ["unknown"]
    assert said(check, LINUX, Unknown("nvidia-ml-py is not installed"), here) == ["unknown"]
    assert said(check, LINUX, Absent("no NVIDIA GPU"), ()) == ["skipped"]
    for error in ("", "driver-not-loaded", "lib-rm-version-mismatch"):
        assert said(check, LINUX, Nvml(error=error), here) == [], "it has a check of its own"


def test_cuda_that_never_slept_is_not_broken_by_sleep() -> None:
    check = doctor_access.uvm_broken_after_suspend
    dead = CudaDriver(library="libcuda.so.1", init_code=999)
    assert said(check, Nvml(), dead, Platform(system="linux", suspends=2), {}) == ["error"]
    assert said(check, Nvml(), dead, Platform(system="linux", suspends=0), {}) == []
    assert said(check, Nvml(), dead, Platform(system="linux", suspends=Unknown("no file")), {}) == ["unknown"]


def test_a_gpu_in_every_mode_is_told_what_it_needs() -> None:
    from vramctl.checks.doctor_sharing import compute_mode_exclusive, mig_mode, vgpu_compute_or_licence

    assert said(mig_mode, gpu(mig_enabled=True, mig_instances=0), LINUX) == ["error"]
    assert said(mig_mode, gpu(mig_enabled=True, mig_instances=7), LINUX) == ["info"]
    assert said(mig_mode, gpu(mig_enabled=Absent("no MIG")), LINUX) == ["skipped"]
    assert said(compute_mode_exclusive, gpu(compute_mode="prohibited"), LINUX) == ["error"]
    assert said(compute_mode_exclusive, gpu(compute_mode="exclusive-process", processes=()), LINUX) == ["info"]
    desktop = gpu(virtualization="vgpu", name="GRID T4-2B4", licensed=True)
    assert said(vgpu_compute_or_licence, desktop) == ["warning"]
    assert said(vgpu_compute_or_licence, desktop, CudaDriver(library="x", init_code=801)) == ["error"]
    assert said(vgpu_compute_or_licence, desktop, CudaDriver(library="x", init_code=0)) == []
    assert said(vgpu_compute_or_licence, gpu(virtualization="passthrough")) == []


def test_huge_pages_that_somebody_uses_are_fine() -> None:
    check = doctor_memory.hugepages_reserved_for_nothing
    size = 2 * MIB
    assert said(check, HostFacts(hugepages_total=2048, hugepages_free=2048, hugepage_bytes=size)) == ["warning"]
    assert said(check, HostFacts(hugepages_total=2048, hugepages_free=12, hugepage_bytes=size)) == []
    assert said(check, HostFacts(hugepages_total=16, hugepages_free=16, hugepage_bytes=size)) == []
    assert said(check, HostFacts(hugepages_total=0, hugepages_free=0, hugepage_bytes=size)) == []


def test_a_quota_is_fine_where_threads_fit_into_it() -> None:
    check = doctor_host.cpu_quota_container
    tight = HostFacts(cpu_quota_cores=4.0, physical_cores=32)
    asked = (
        (Setting(name="n_threads", value=4, written="n_threads=4", file="a.py", line=1, program="llama-cpp-python"),),
    )
    assert said(check, tight, LINUX) == ["warning"]
    assert said(check, tight, LINUX, asked) == []
    assert said(check, HostFacts(cpu_quota_cores=32.0, physical_cores=32), LINUX) == []
    assert said(check, HostFacts(cpu_quota_cores=Absent("none"), physical_cores=32), LINUX) == []


def test_swap_counts_from_some_hundred_mib() -> None:
    check = doctor_memory.swap_or_cache_eviction
    calm = HostFacts(memory_pressure_percent=0.3)
    big = (EngineProcess(pid=1, name="llama-server", swapped_bytes=3 * GIB),)
    small = (EngineProcess(pid=1, name="llama-server", swapped_bytes=20 * MIB),)
    assert said(check, calm, big) == ["warning"]
    assert said(check, calm, small) == []
    assert said(check, HostFacts(memory_pressure_percent=40.0), ()) == ["warning"]


def test_nodes_do_not_matter_with_a_gpu() -> None:
    check = doctor_host.numa_placement
    two = HostFacts(numa_nodes=2, numa_balancing=True)
    assert said(check, two, ()) == ["warning"]
    assert said(check, two, (on_bus(0x2335),)) == ["skipped"]
    assert said(check, HostFacts(numa_nodes=1, numa_balancing=True), ()) == []


@pytest.mark.parametrize("ended", ["SIGILL", "illegal instruction", "exit code 3221225501 (0xC000001D)"])
def test_an_illegal_instruction_is_told_on_every_system(ended: str) -> None:
    engine = Engine(kind="llama.cpp", path="/opt/llama-server", ended=ended)
    host = HostFacts(cpu_name="Intel i7-3770", cpu_flags=frozenset({"avx"}))
    assert said(doctor_host.cpu_illegal_instruction, engine, host) == ["error"]
    fine = Engine(kind="llama.cpp", path="/opt/llama-server", ended="SIGSEGV")
    assert said(doctor_host.cpu_illegal_instruction, fine, host) == []


def test_both_forms_of_system_info_tell_what_was_left_out() -> None:
    check = doctor_host.cpu_build_without_avx2
    host = HostFacts(cpu_flags=frozenset({"avx", "avx2", "fma", "f16c"}))
    old = "AVX = 1 | AVX2 = 0 | FMA = 0 | F16C = 0 |"
    new = "CPU : SSE3 = 1 | AVX = 1 | OPENMP = 1 |"
    good = "CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | F16C = 1 | FMA = 1 |"
    arm = "CPU : NEON = 1 | ARM_FMA = 1 | DOTPROD = 1 |"
    for text, expected in ((old, ["warning"]), (new, ["warning"]), (good, []), (arm, ["skipped"])):
        assert said(check, Engine(kind="x", path="y", system_info=text), host) == expected, text


def test_where_nothing_can_be_read_nothing_is_ok_and_nothing_is_found() -> None:
    for checked in run({}):
        assert checked.state in {UNKNOWN, SKIPPED}, checked
        assert checked.findings == ()


def test_a_linux_whose_proc_and_sys_are_closed_is_unknown_where_it_matters() -> None:
    found = run({"platform": answers_of("healthy-linux")["platform"]})
    assert [checked for checked in found if checked.findings] == []
    blind = {checked.id: checked.state for checked in found}
    assert blind["xid-errors"] == UNKNOWN
    assert blind["driver-not-installed"] == UNKNOWN
    assert blind["hugepages-reserved-for-nothing"] == UNKNOWN
    assert OK not in blind.values(), blind


@pytest.mark.parametrize(
    "garbage", [None, 7, "text", [], {}, {"error": 3}, [{"pid": "x"}], ABSENT, {"unknown": "Permission denied"}]
)
def test_garbage_in_any_one_answer_crashes_no_check(garbage: Any) -> None:
    for host in ("healthy-linux", "healthy-docker", "uvm-broken-after-suspend"):
        answers = answers_of(host)
        for key in answers:
            crashed = [one for one in run({**answers, key: garbage}) if one.state == CRASHED]
            assert crashed == [], f"{host}: {key} = {garbage!r}"


def test_every_fix_is_filled_in() -> None:
    for path in sorted(HOSTS.glob("*/recording.json")):
        for checked in run(answers_of(path.parent.name)):
            for finding in checked.findings:
                assert finding.fix
                for word in ("BRANCH", "WATTS", "INDEX", "CORES", "GROUP"):
                    assert word not in finding.fix, f"{checked.id}: {finding.fix}"


def test_every_own_check_has_a_way_out_on_linux_and_in_containers() -> None:
    for layer in OWN:
        for check in layer.checks:
            mode = BY_ID[check_id(check)]
            assert mode.fix("linux")
            assert mode.fix("container")
