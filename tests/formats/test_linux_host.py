"""Text of /proc and /sys: real forms are read, anything else gives nothing and never an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramctl.formats import linux_host as formats

EPYC = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9354P 32-Core Processor
flags\t\t: fpu sse avx avx2 fma f16c

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
GRAVITON = "processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd sve i8mm\nCPU implementer\t: 0x41\n\n"
MOUNTS = r"""24 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
61 24 0:51 / /mnt/nas rw,relatime shared:341 - nfs4 nas:/export rw,vers=4.2
62 24 8:17 / /mnt/My\040Disk rw - ext4 /dev/sdb1 rw
63 24 0:60 / /mnt/nas2 rw - fuse.sshfs host:/ rw
"""


def test_the_first_processor_gives_name_and_flags() -> None:
    assert formats.parse_processor(EPYC) == (
        "AMD EPYC 9354P 32-Core Processor",
        frozenset({"fpu", "sse", "avx", "avx2", "fma", "f16c"}),
    )


def test_an_arm_processor_has_features_and_no_name() -> None:
    assert formats.parse_processor(GRAVITON) == ("", frozenset({"fp", "asimd", "sve", "i8mm"}))


def test_meminfo_counts_kilobytes_as_bytes_and_pages_as_they_are() -> None:
    found = formats.parse_meminfo("MemTotal:       65392076 kB\nHugePages_Total:    2048\nBroken\nMemFree: many kB\n")
    assert found == {"MemTotal": 65392076 * 1024, "HugePages_Total": 2048}


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("Max locked memory         8388608              8388608              bytes     ", 8388608),
        ("Max locked memory         unlimited            unlimited            bytes     ", -1),
        ("Max open files            1024                 4096                 files     ", None),
    ],
)
def test_the_soft_limit_of_locked_memory_is_read(line: str, limit: int | None) -> None:
    assert formats.parse_locked_memory(f"Limit  Soft Limit\n{line}\n") == limit


def test_a_quota_is_cores_and_max_is_none() -> None:
    assert formats.parse_quota("150000 100000\n") == 1.5
    assert formats.parse_quota("max 100000\n") is None
    assert formats.parse_quota("100000 0\n") is None


def test_the_largest_multiple_of_pages_is_no_limit() -> None:
    assert formats.parse_limit("8589934592\n") == 8589934592
    assert formats.parse_limit("9223372036854771712\n") is None
    assert formats.parse_limit("max\n") is None


def test_a_path_is_on_its_longest_mount() -> None:
    assert formats.mount_of(MOUNTS, "/home/user") == ("ext4", "/dev/nvme0n1p2", "259:2")
    assert formats.mount_of(MOUNTS, "/mnt/nas/models") == ("nfs4", "nas:/export", "0:51")
    assert formats.mount_of(MOUNTS, "/mnt/nas2") == ("fuse.sshfs", "host:/", "0:60")
    assert formats.mount_of(MOUNTS, "/mnt/My Disk/m.gguf") == ("ext4", "/dev/sdb1", "8:17")
    assert formats.mount_of("", "/home") is None


def test_kinds_of_mounts_are_told_by_their_file_system() -> None:
    kinds = {name: formats.kind_of_mount(name) for name in ("nfs4", "9p", "fuse.sshfs", "fuseblk", "tmpfs", "ext4")}
    assert kinds == {
        "nfs4": "network", "9p": "9p", "fuse.sshfs": "network", "fuseblk": "fuse", "tmpfs": "tmpfs", "ext4": "",
    }  # fmt: skip


def test_a_path_that_leads_out_of_its_group_stays_inside() -> None:
    assert list(formats.folders_up("/../../etc/a")) == ["/etc/a", "/etc", ""]
    assert formats.cgroup_paths("0::/a/b\n4:memory,cpu:/c\nbroken\n") == {"": "/a/b", "memory": "/c", "cpu": "/c"}


@given(st.text(max_size=400))
def test_any_text_is_read_without_an_error(text: str) -> None:
    formats.parse_processor(text)
    formats.parse_meminfo(text)
    formats.parse_locked_memory(text)
    formats.parse_quota(text)
    formats.parse_limit(text)
    formats.parse_counter(text, "oom_kill")
    formats.parse_pressure(text)
    formats.cgroup_paths(text)
    formats.mount_of(text, "/home")
    assert len(list(formats.folders_up(text))) <= 17
