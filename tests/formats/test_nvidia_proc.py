"""What the NVIDIA driver writes under /proc."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramctl.formats.nvidia_proc import parse_driver_version, parse_params, version_numbers

OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder@U22-I3-AM02-24-3)\n"
    "GCC version:  gcc version 13.3.0 (Ubuntu 13.3.0-6ubuntu2~24.04) \n"
)
PROPRIETARY = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"
    "GCC version:  gcc version 11.4.0 (Ubuntu 11.4.0-1ubuntu1~22.04) \n"
)
TWO_PARTS = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  570.26  Release Build  (dvs-builder@U16)\n"


@pytest.mark.parametrize(
    ("text", "version", "is_open"),
    [(OPEN, (580, 95, 5), True), (PROPRIETARY, (535, 183, 1), False), (TWO_PARTS, (570, 26), True)],
)
def test_version_and_flavour_are_read(text: str, version: tuple[int, ...], is_open: bool) -> None:
    assert parse_driver_version(text) == (version, is_open)


def test_another_text_is_no_version() -> None:
    assert parse_driver_version("GCC version:  gcc version 13.3.0\n") is None
    assert parse_driver_version("NVRM version: \n") is None


def test_parameters_are_pairs() -> None:
    assert parse_params('EnableMSI: 1\nRegistryDwords: ""\nnonsense\n') == {"EnableMSI": "1", "RegistryDwords": '""'}


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse_driver_version(text)
    parse_params(text)
    numbers = version_numbers(text)
    assert numbers is None or all(part >= 0 for part in numbers)
