"""The machine's facts from real text of /proc and /sys: platform, containers, PCI bus, modules, nodes, host."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from answers import ABSENT, Answers, answers_of, world
from vramctl.doctor.facts import Asked, MachineFacts
from vramctl.doctor.looks import LOOKS
from vramctl.formats.nvidia_proc import version_numbers
from vramctl.probes.doctor_platform import look_environment
from vramctl.records.facts import HostFacts, KernelModules, PciGpu, Platform
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

MINE = (
    "platform", "environment", "kernel_log", "pci", "modules", "nodes", "wsl", "processes", "containers", "hip_runtimes",
    "vulkan_drivers", "nvml", "gpus", "host",
)  # fmt: skip
GROUP_OF_DOCKER = "0::/system.slice/docker-3b5f.scope\n"
PODMAN_ROOT = (
    "1284 1101 0:112 / / rw,relatime - overlay overlay rw,lowerdir=/home/user/.local/share/containers/storage/overlay/l/A,"
    "upperdir=/home/user/.local/share/containers/storage/overlay/b/diff\n"
)


def facts(answers: dict[str, Any], **asked: Any) -> MachineFacts:
    return MachineFacts(world(answers), Asked(**asked), LOOKS)


def linux(**changes: Any) -> Platform:
    found = facts({**answers_of("healthy-linux"), **changes}).fact("platform")
    assert isinstance(found, Platform)
    return found


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, ""),
        ({"stat /.dockerenv": {"kind": "file"}}, "docker"),
        ({"stat /run/.containerenv": {"kind": "file"}}, "podman"),
        ({"environ": {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}}, "kubernetes"),
        ({"environ": {"container": "lxc"}}, "lxc"),
        ({"file /run/systemd/container": "systemd-nspawn\n"}, "systemd-nspawn"),
        ({"file /proc/self/cgroup": GROUP_OF_DOCKER}, "docker"),
        ({"file /proc/1/cgroup": "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope\n"}, "kubernetes"),
        ({"file /proc/self/mountinfo": PODMAN_ROOT}, "podman"),
    ],
)
def test_a_container_is_told_by_its_marks(changes: dict[str, Any], kind: str) -> None:
    platform = linux(**changes)
    assert platform.container == kind
    assert platform.kind == ("container" if kind else "linux")


def test_wsl_is_told_by_the_kernels_name() -> None:
    assert linux().wsl == ""
    two = linux(**{"file /proc/version": "Linux version 5.15.167.4-microsoft-standard-WSL2 (root@f9c826d3017f)\n"})
    one = linux(**{"file /proc/version": "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com)\n"})
    assert (two.wsl, one.wsl) == ("2", "1")
    assert two.hypervisor == "hyper-v"


def test_a_virtual_machine_is_told_by_its_firmware_or_processor() -> None:
    assert linux().hypervisor == ""
    assert linux(**{"file /sys/class/dmi/id/sys_vendor": "QEMU\n"}).hypervisor == "kvm"
    flags = "processor\t: 0\nflags\t\t: fpu hypervisor avx\n"
    assert linux(**{"file /proc/cpuinfo": flags}).hypervisor == "another"


def test_a_board_of_the_device_tree_is_named() -> None:
    jetson = {"file /proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0"}
    assert linux(**jetson).board == "NVIDIA Jetson AGX Orin Developer Kit"


def test_an_unknown_system_is_unknown() -> None:
    assert isinstance(facts({"platform": {"system": "Plan9"}}).fact("platform"), Unknown)
    assert isinstance(facts({"platform": ["Linux"]}).fact("platform"), Unknown)


def test_the_environment_is_that_of_the_process_in_question() -> None:
    answers = {**answers_of("healthy-linux"), "environ 4711": {"CUDA_VISIBLE_DEVICES": ""}}
    assert facts(answers, pid=4711).fact("environment") == {"CUDA_VISIBLE_DEVICES": ""}
    refused = {**answers, "environ 4711": {"unknown": "Permission denied"}}
    assert facts(refused, pid=4711).fact("environment") == Unknown("the environment of process 4711: Permission denied")
    assert "PATH" in facts(answers).fact("environment")


def test_the_environment_of_a_live_process_is_read() -> None:
    found = look_environment(World(), Asked(pid=os.getpid()), facts({}))
    if os.name == "posix" and Path("/proc").exists():
        assert isinstance(found, dict)
    gone = look_environment(World(), Asked(pid=2**22 + 1), facts({}))
    assert isinstance(gone, Unknown)


def test_graphics_on_the_pci_bus_are_described() -> None:
    (gpu,) = facts(answers_of("healthy-linux")).fact("pci")
    assert isinstance(gpu, PciGpu)
    assert (gpu.vendor, gpu.device_id, gpu.driver) == ("nvidia", 0x2684, "nvidia")
    assert (gpu.link_generation, gpu.max_link_generation, gpu.link_width) == (1, 4, 16)
    assert gpu.bar_bytes[:4] == (16 << 20, 32 << 30, 0, 32 << 20)


def test_the_target_of_an_amd_card_comes_from_the_compute_driver() -> None:
    (gpu,) = facts(answers_of("healthy-amd")).fact("pci")
    assert (gpu.vendor, gpu.gfx, gpu.clock_policy) == ("amd", "gfx1100", "auto")


def test_a_slice_of_a_device_is_no_gpu_of_its_own() -> None:
    slice_of = {"stat /sys/bus/pci/devices/0000:01:00.0/physfn": {"kind": "folder"}}
    assert facts({**answers_of("healthy-linux"), **slice_of}).fact("pci") == ()


def test_an_adapter_that_was_taken_out_of_windows_is_left_out() -> None:
    answers = answers_of("healthy-windows")
    adapters = [{**entry, "present": False} for entry in answers["display adapters"]]
    assert facts({**answers, "display adapters": adapters}).fact("pci") == ()


@pytest.mark.parametrize("text", ["", "zz\n", "0x03", "-1\n", "99999999999999999999999\n", "\0\0"])
def test_garbage_in_sysfs_is_no_gpu_or_unknown(text: str) -> None:
    folder = "/sys/bus/pci/devices/0000:01:00.0"
    names = (
        "class",
        "vendor",
        "device",
        "revision",
        "numa_node",
        "current_link_speed",
        "current_link_width",
        "resource",
    )
    for name in names:
        found = facts({**answers_of("healthy-linux"), f"file {folder}/{name}": text}).fact("pci")
        assert isinstance(found, tuple), found
        assert len(found) == (0 if name == "class" else 1)


def test_modules_are_read_with_flavour_and_rules() -> None:
    modules = facts(answers_of("healthy-linux")).fact("modules")
    assert isinstance(modules, KernelModules)
    assert modules.nvidia_version == (580, 95, 5)
    assert modules.nvidia_open is True
    assert modules.blacklisted == frozenset({"nouveau"})
    assert modules.secure_boot is False
    assert modules.parameters["nvidia_uvm.uvm_disable_hmm"] == "N"
    assert modules.parameters["nvidia.PreserveVideoMemoryAllocations"] == "0"


def test_a_kernel_without_modules_lists_what_is_built_in() -> None:
    answers = {**answers_of("healthy-linux"), "file /proc/modules": ABSENT, "list /sys/module": ["kernel", "nvme"]}
    assert facts(answers).fact("modules").loaded == frozenset({"kernel", "nvme"})


def test_nodes_say_whether_they_open() -> None:
    nodes = facts(answers_of("nvidia-node-permissions")).fact("nodes")
    assert nodes["/dev/nvidiactl"].opened == "EACCES"
    assert isinstance(nodes["/dev/nvidia0"].opened, Unknown), "opening it would start the GPU"


def test_the_host_knows_its_limits() -> None:
    answers = {
        **answers_of("healthy-docker"),
        "file /sys/fs/cgroup/cpu.max": "150000 100000\n",
        "file /sys/fs/cgroup/memory.max": "8589934592\n",
        "file /sys/fs/cgroup/memory.events": "low 0\nhigh 0\nmax 4\noom 2\noom_kill 2\n",
    }
    host = facts(answers).fact("host")
    assert isinstance(host, HostFacts)
    assert (host.cpu_quota_cores, host.memory_limit_bytes, host.oom_kills) == (1.5, 8 << 30, 2)
    assert isinstance(host.memlock_bytes, Absent)


def test_groups_of_version_one_are_read_too() -> None:
    answers = {
        **answers_of("healthy-linux"),
        "file /proc/self/cgroup": "4:memory:/docker/a\n3:cpu,cpuacct:/docker/a\n",
        "file /sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us": "200000\n",
        "file /sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us": "100000\n",
        "file /sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes": "4294967296\n",
        "file /sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    host = facts(answers).fact("host")
    assert (host.cpu_quota_cores, host.memory_limit_bytes) == (2.0, 4 << 30)


def test_a_virtual_disk_that_calls_itself_rotational_is_not_believed() -> None:
    answers = answers_of("healthy-h200")
    assert answers["file /sys/dev/block/259:2/queue/rotational"] == "1\n"
    assert facts(answers).fact("host").disks == {}
    real = {**answers_of("healthy-linux"), "file /sys/dev/block/259:2/../queue/rotational": "1\n"}
    assert set(facts(real).fact("host").disks.values()) == {"rotational"}


def test_links_in_a_circle_are_no_folder_of_models(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    found = MachineFacts(
        World(), Asked(), {**LOOKS, "environment": lambda *_: {"OLLAMA_MODELS": str(loop), "HOME": str(tmp_path)}}
    )
    host = found.fact("host")
    assert isinstance(host, HostFacts)
    assert str(loop) not in host.disks


def test_all_looks_on_this_machine_are_quick_and_none_fails() -> None:
    found = MachineFacts(World(), Asked(), LOOKS)
    started = time.monotonic()
    for name in MINE:
        value = found.fact(name)
        if isinstance(value, Unknown):
            assert not value.reason.startswith("looking at"), value.reason
    assert time.monotonic() - started < 3, "they take about 0.1 s; the rest is for a busy machine"


@pytest.mark.parametrize(
    "otherwise", [{"unknown": "Permission denied"}, ABSENT, [], {}, 7, "text", None, [[1]], {"a": {"b": 1}}]
)
def test_whatever_a_machine_answers_no_look_fails(otherwise: Any) -> None:
    found = MachineFacts(World(Answers({}, otherwise=otherwise)), Asked(), LOOKS)
    for name in MINE:
        value = found.fact(name)
        assert not (isinstance(value, Unknown) and value.reason.startswith("looking at")), f"{name}: {value}"


@pytest.mark.parametrize(
    "garbage", [None, 7, "text", [], ["a", 1], {}, {"pid": "x"}, [{"pid": []}], {"lines": 3}, {"error": {}}]
)
@pytest.mark.parametrize("host", ["healthy-linux", "healthy-wsl", "healthy-amd", "healthy-windows"])
def test_garbage_in_any_one_answer_is_met_without_an_error(host: str, garbage: Any) -> None:
    answers = answers_of(host)
    for key in answers:
        found = facts({**answers, key: garbage})
        for name in MINE:
            value = found.fact(name)
            assert not (isinstance(value, Unknown) and value.reason.startswith("looking at")), f"{key}: {value}"


def test_versions_are_numbers() -> None:
    assert version_numbers("2.39") == (2, 39)
    assert version_numbers("unknown") is None
