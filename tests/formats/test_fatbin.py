"""CUDA fat binaries: kinds, architectures, ISA versions, variants; damaged and hostile ones; speed."""

from __future__ import annotations

import random
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binary_bytes import fatbin, fatbin_entry
from vramctl.formats.binary_window import BadBinary
from vramctl.formats.fatbin import read_fatbins
from vramctl.formats.hip import read_hip_targets
from vramctl.records.facts import Fatbin


def test_tells_compiled_code_from_ptx_with_architecture_isa_and_variant() -> None:
    data = fatbin(
        fatbin_entry(2, 86),
        fatbin_entry(2, 90, flags=0x100011),
        fatbin_entry(2, 120, flags=0x1200011),
        fatbin_entry(1, 80, isa=(8, 8), flags=0x8011),
    )
    found = read_fatbins(data, 0, len(data))
    assert found.programs == (
        Fatbin(kind="cubin", arch=(8, 6)),
        Fatbin(kind="cubin", arch=(9, 0), variant="a"),
        Fatbin(kind="cubin", arch=(12, 0), variant="f"),
        Fatbin(kind="ptx", arch=(8, 0), isa=(8, 8)),
    )
    assert (found.containers, found.compressions) == (1, ("zstd",))


def test_counts_the_programs_of_all_containers_and_passes_over_padding() -> None:
    one = fatbin(fatbin_entry(2, 89), fatbin_entry(1, 89, isa=(9, 0), flags=0x2011))
    data = b"\0" * 48 + one + b"\0" * 24 + one + one
    found = read_fatbins(data, 0, len(data))
    assert [(program.kind, program.count) for program in found.programs] == [("cubin", 3), ("ptx", 3)]
    assert (found.containers, found.compressions) == (3, ("lz4",))


def test_reads_the_compiler_where_a_cubin_names_it() -> None:
    note = b"ptxas\0Cuda compilation tools, release 12.8, V12.8.93\0"
    data = fatbin(fatbin_entry(2, 75, payload=note.ljust(64, b"\0")))
    assert read_fatbins(data, 0, len(data)).compiler == (12, 8)


def test_kinds_that_nobody_knows_are_left_out() -> None:
    data = fatbin(fatbin_entry(16, 90), fatbin_entry(2, 90))
    assert [program.kind for program in read_fatbins(data, 0, len(data)).programs] == ["cubin"]


@pytest.mark.parametrize(
    "data",
    [
        b"no fat binary in this section at all",
        fatbin(fatbin_entry(2, 89))[:-8],
        struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 2**60) + b"\0" * 64,
        struct.pack("<IHHQ", 0xBA55ED50, 1, 65535, 16) + b"\0" * 64,
        fatbin(struct.pack("<HHIQ", 2, 0x101, 0, 0) + b"\0" * 64),
    ],
)
def test_sections_with_something_else_are_refused(data: bytes) -> None:
    with pytest.raises(BadBinary):
        read_fatbins(data, 0, len(data))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_damaged_sections_are_read_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    damaged = bytearray(fatbin(*[fatbin_entry(chance.choice([1, 2]), 80 + number) for number in range(6)]) * 2)
    for _ in range(chance.randrange(1, 20)):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    data = bytes(damaged[: chance.randrange(len(damaged) + 1)])
    try:
        read_fatbins(data, 0, chance.randrange(2 * len(damaged)))
    except BadBinary as error:
        assert str(error)


def test_a_hundred_megabytes_take_less_than_a_fifth_of_a_second() -> None:
    payload = b"\0" * 65536
    one = fatbin(*[fatbin_entry(2, arch, payload=payload) for arch in (75, 80, 86, 89)])
    data = one * 400
    start = time.process_time()
    found = read_fatbins(data, 0, len(data))
    assert time.process_time() - start < 0.2 * len(data) / 1e8
    assert found.containers == 400


def test_amd_targets_are_the_names_of_the_bundle() -> None:
    names = [
        b"host-x86_64-unknown-linux--",
        b"hipv4-amdgcn-amd-amdhsa--gfx1100",
        b"hipv4-amdgcn-amd-amdhsa--gfx90a:xnack-",
    ]
    rows = b"".join(struct.pack("<QQQ", 0, 0, len(name)) + name for name in names)
    data = b"__CLANG_OFFLOAD_BUNDLE__" + struct.pack("<Q", len(names)) + rows
    assert read_hip_targets(data, 0, len(data)) == ("gfx1100", "gfx90a:xnack-")
    with pytest.raises(BadBinary, match="compressed"):
        read_hip_targets(b"CCOB" + data, 0, len(data))
