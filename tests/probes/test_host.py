"""Memory and cores of the host, from recorded trees and recorded answers of psutil."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from vramctl.probes.host import look_host
from vramctl.records import Unknown
from vramctl.units import GIB, MIB

PSUTIL = SimpleNamespace(
    virtual_memory=lambda: SimpleNamespace(total=64 * GIB, available=50 * GIB),
    cpu_count=lambda logical: 32 if logical else 16,
)


def write(root: Path, files: dict[str, str]) -> Path:
    """A tree of recorded files below `root`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_gives_psutils_figures_on_a_bare_machine(tmp_path: Path) -> None:
    host = look_host(root=tmp_path, system="Linux", machine=PSUTIL)
    assert (host.total_bytes, host.available_bytes, host.physical_cores) == (64 * GIB, 50 * GIB, 16)
    assert host.source == "psutil"


def test_a_cgroup_v2_limit_narrows_both_and_page_cache_counts_as_free(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kubepods.slice/pod7/box\n",
            "sys/fs/cgroup/kubepods.slice/pod7/box/memory.max": "max\n",
            "sys/fs/cgroup/kubepods.slice/pod7/memory.max": f"{8 * GIB}\n",
            "sys/fs/cgroup/kubepods.slice/pod7/memory.current": f"{3 * GIB}\n",
            "sys/fs/cgroup/kubepods.slice/pod7/memory.stat": f"anon 5\ninactive_file {GIB}\n",
        },
    )
    host = look_host(root=root, system="Linux", machine=PSUTIL)
    assert (host.total_bytes, host.available_bytes) == (8 * GIB, 6 * GIB)
    assert "cgroup limit 8.00 GiB" in host.source
    assert "container (kubepods)" in host.source


def test_a_container_whose_cgroup_path_leads_out_uses_the_top_folder(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            ".dockerenv": "",
            "proc/self/cgroup": "0::/../../user.slice/x\n",
            "sys/fs/cgroup/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/memory.current": f"{512 * MIB}\n",
        },
    )
    host = look_host(root=root, system="Linux", machine=PSUTIL)
    assert (host.total_bytes, host.available_bytes) == (4 * GIB, 4 * GIB - 512 * MIB)
    assert "container (docker)" in host.source


def test_a_cgroup_v1_limit_is_read_and_its_largest_number_means_none(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": f"{2 * GIB}\n",
        "sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": f"{GIB}\n",
        "sys/fs/cgroup/memory/docker/abc/memory.stat": f"total_inactive_file {256 * MIB}\n",
    }
    host = look_host(root=write(tmp_path, files), system="Linux", machine=PSUTIL)
    assert (host.total_bytes, host.available_bytes) == (2 * GIB, GIB + 256 * MIB)
    (tmp_path / "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert look_host(root=tmp_path, system="Linux", machine=PSUTIL).total_bytes == 64 * GIB


def test_a_limit_above_the_machine_changes_nothing(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{900 * GIB}\n"})
    host = look_host(root=root, system="Linux", machine=PSUTIL)
    assert (host.total_bytes, host.available_bytes, host.source) == (64 * GIB, 50 * GIB, "psutil")


def test_only_performance_cores_of_a_hybrid_cpu_count_and_siblings_are_one(tmp_path: Path) -> None:
    files = {"sys/devices/cpu_core/cpus": "0-3,8\n"}
    for cpu, siblings in {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3", 8: "8"}.items():
        files[f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{siblings}\n"
    host = look_host(root=write(tmp_path, files), system="Linux", machine=PSUTIL)
    assert host.physical_cores == 3
    assert "3 performance cores" in host.source


def test_windows_and_macos_give_psutils_figures_and_read_no_cgroup(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{GIB}\n"})
    for system in ("Windows", "Darwin"):
        assert look_host(root=root, system=system, machine=PSUTIL).total_bytes == 64 * GIB


def test_what_psutil_cannot_tell_is_unknown_with_the_reason(tmp_path: Path) -> None:
    def refuse() -> None:
        raise PermissionError("/proc/meminfo")

    machine = SimpleNamespace(virtual_memory=refuse, cpu_count=lambda logical: None)
    host = look_host(root=tmp_path, system="Linux", machine=machine)
    assert isinstance(host.total_bytes, Unknown)
    assert "/proc/meminfo" in host.total_bytes.reason
    assert isinstance(host.physical_cores, Unknown)


def test_broken_files_never_raise(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "::::\n\x00garbage",
        "sys/fs/cgroup/memory.max": "-1",
        "sys/devices/cpu_core/cpus": "0-x,,9-",
    }
    host = look_host(root=write(tmp_path, files), system="Linux", machine=PSUTIL)
    assert (host.total_bytes, host.physical_cores) == (64 * GIB, 16)


def test_this_machine_has_memory() -> None:
    host = look_host()
    assert isinstance(host.total_bytes, int)
    assert isinstance(host.available_bytes, int)
    assert 0 < host.available_bytes <= host.total_bytes
