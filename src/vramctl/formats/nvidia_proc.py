"""What the NVIDIA kernel driver writes under /proc/driver/nvidia, and version numbers as drivers write them."""

from __future__ import annotations

import re

_VERSION = re.compile(r"\b(\d{3,4}(?:\.\d{1,3}){1,2})\b")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_OPEN = "Open Kernel Module"


def parse_driver_version(text: str) -> tuple[tuple[int, ...], bool] | None:
    """The kernel module's version and whether it is the open one, of /proc/driver/nvidia/version; None where it is
    another text.

    Its first line is `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  ...` (proprietary) or `NVRM version:
    NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build ...` (open).
    """
    line = next((line for line in text.splitlines() if line.startswith("NVRM version:")), "")
    found = _VERSION.search(line)
    return (version_numbers(found[1]) or (), _OPEN in line) if found else None


def version_numbers(text: str) -> tuple[int, ...] | None:
    """`580.95.05` as (580, 95, 5); None where the text does not begin with a number."""
    found = _NUMBERS.match(text.strip())
    return tuple(int(part) for part in found[0].split(".")) if found and len(found[0]) < 64 else None


def parse_params(text: str) -> dict[str, str]:
    """The settings of /proc/driver/nvidia/params, lines such as `PreserveVideoMemoryAllocations: 1`."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon and name.strip()}
