"""PE headers: imports, delayed imports and sections of DLLs, and of damaged files."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binary_bytes import pe_library
from vramctl.formats.binary_window import BadBinary
from vramctl.formats.pe import read_pe

LIBRARY = pe_library(
    imports=["cublas64_13.dll", "KERNEL32.dll"], delayed=["nvcuda.dll"], sections={".nv_fatb": b"y" * 48}
)


def test_reads_imports_delayed_imports_and_sections() -> None:
    found = read_pe(LIBRARY)
    assert (found.bits, found.machine) == (64, "x86-64")
    assert found.imports == ("cublas64_13.dll", "KERNEL32.dll")
    assert found.delayed == ("nvcuda.dll",)
    offset, size = found.sections[".nv_fatb"]
    assert LIBRARY[offset : offset + size] == b"y" * 48


def test_reads_32_bit_files() -> None:
    found = read_pe(pe_library(imports=["user32.dll"], wide=False))
    assert (found.bits, found.machine, found.imports) == (32, "x86", ("user32.dll",))


def test_a_dll_without_imports_has_none() -> None:
    assert read_pe(pe_library()).imports == ()


@pytest.mark.parametrize("data", [b"", b"MZ", b"\x7fELF" * 30, b"MZ" + b"\0" * 80, LIBRARY[:120]])
def test_what_is_no_whole_pe_file_is_refused(data: bytes) -> None:
    with pytest.raises(BadBinary):
        read_pe(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_random_bytes_and_damaged_files_are_read_or_refused(tail: bytes, seed: int) -> None:
    chance = random.Random(seed)
    damaged = bytearray(LIBRARY)
    for _ in range(chance.randrange(1, 12)):
        damaged[chance.randrange(2, len(damaged))] = chance.randrange(256)
    for data in (b"MZ" + tail, bytes(damaged), bytes(damaged[: chance.randrange(len(damaged))])):
        try:
            read_pe(data)
        except BadBinary as error:
            assert str(error)
