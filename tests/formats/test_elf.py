"""ELF headers: what the loader would read, of every width and byte order, and of damaged files."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binary_bytes import elf_library
from vramctl.formats.binary_window import BadBinary
from vramctl.formats.elf import read_elf

LIBRARY = elf_library(
    needed=["libggml-base.so.0", "libcublas.so.12", "libc.so.6"],
    runpath="$ORIGIN:/usr/local/cuda-12.9/lib64",
    soname="libggml-cuda.so.0",
    versions={"libc.so.6": ["GLIBC_2.34", "GLIBC_2.2.5"], "libstdc++.so.6": ["GLIBCXX_3.4.29"]},
    sections={".nv_fatbin": b"x" * 64, ".text": b"code"},
)


def test_reads_imports_paths_versions_and_sections() -> None:
    found = read_elf(LIBRARY)
    assert (found.bits, found.machine, found.soname) == (64, "x86-64", "libggml-cuda.so.0")
    assert found.needed == ("libggml-base.so.0", "libcublas.so.12", "libc.so.6")
    assert found.runpath == ("$ORIGIN", "/usr/local/cuda-12.9/lib64")
    assert found.rpath == ()
    assert found.versions == {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBCXX_3.4.29"}
    offset, size = found.sections[".nv_fatbin"]
    assert LIBRARY[offset : offset + size] == b"x" * 64


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("little", [True, False])
def test_reads_every_width_and_byte_order(bits: int, little: bool) -> None:
    data = elf_library(needed=["liba.so"], rpath="/opt/x", versions={"libc.so.6": ["GLIBC_2.4"]}, bits=bits, little=little,
                       machine=183)  # fmt: skip
    found = read_elf(data)
    assert (found.bits, found.machine, found.needed, found.rpath) == (bits, "aarch64", ("liba.so",), ("/opt/x",))
    assert found.versions == {"GLIBC_2.4"}


def test_a_file_without_section_headers_still_tells_its_imports() -> None:
    data = bytearray(LIBRARY)
    data[40:48] = b"\0" * 8
    found = read_elf(bytes(data))
    assert found.sections == {}
    assert "libcublas.so.12" in found.needed


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"MZ" * 40, b"\x7fELF\x02\x01" + b"\0" * 20, LIBRARY[:100]])
def test_what_is_no_whole_elf_file_is_refused(data: bytes) -> None:
    with pytest.raises(BadBinary):
        read_elf(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2**32))
def test_random_bytes_and_damaged_files_are_read_or_refused(tail: bytes, seed: int) -> None:
    chance = random.Random(seed)
    damaged = bytearray(LIBRARY)
    for _ in range(chance.randrange(1, 12)):
        damaged[chance.randrange(4, len(damaged))] = chance.randrange(256)
    for data in (b"\x7fELF\x02\x01" + tail, bytes(damaged), bytes(damaged[: chance.randrange(len(damaged))])):
        try:
            read_elf(data)
        except BadBinary as error:
            assert str(error)


def test_counts_that_claim_millions_of_entries_cost_no_time() -> None:
    data = bytearray(LIBRARY)
    data[56:58] = b"\xff\xff"  # program headers
    data[60:62] = b"\xff\xff"  # sections
    start = time.perf_counter()
    with pytest.raises(BadBinary):
        read_elf(bytes(data))
    assert time.perf_counter() - start < 1
