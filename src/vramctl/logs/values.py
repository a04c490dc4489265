"""What stands in a field: text to sizes, durations, lists and flags; ValueError where it is none."""

from __future__ import annotations

import re
from functools import lru_cache

from vramctl.records.event import Printed
from vramctl.units import GIB, KIB, MIB, TIB

_UNITS = {
    "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB, "KB": 1000, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
}  # fmt: skip
_SIZE = re.compile(r"^\s*(-?\d{1,19})(?:\.(\d{1,12}))?\s*([kKMGT]i?B|B|)$")
_SIZE_IN_LIST = re.compile(r"-?\d[\d.]* ?(?:[kKMGT]i?B|B)?")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|μs|ns)")
_LONGEST_DURATION = 64
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_YES = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _printed(whole: str, digits: str | None, factor: int) -> Printed:
    """A printed number of units of `factor` bytes, with half of its last digit as tolerance."""
    if not digits:
        return Printed(int(whole) * factor, 0 if factor == 1 else (factor + 1) // 2)
    if not digits.isdecimal() or "_" in whole:
        raise ValueError(f"'{whole}.{digits}' is not a number")
    scale = 10 ** len(digits)
    # As Printed(...), without its constructor in Python: a log is full of sizes.
    return tuple.__new__(Printed, (round(factor * int(whole + digits) / scale), -(-factor // (2 * scale))))


@lru_cache(4096)
def size(text: str) -> Printed:
    """Bytes of `11.8 GiB` (within 0.05 GiB), `934.7 MiB`, `0 B`, `4661211808`, `12 MB` (decimal)."""
    match = _SIZE.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size")
    whole, digits, unit = match.groups()
    return _printed(whole, digits, _UNITS[unit or "B"])


@lru_cache(4096)
def mib(text: str) -> Printed:
    """Bytes of a bare number of MiB, as llama.cpp prints `3847.55`."""
    whole, _, digits = text.strip().partition(".")
    return _printed(whole, digits or None, MIB)


def mb(text: str) -> Printed:
    """Bytes of a bare number of decimal MB."""
    whole, _, digits = text.strip().partition(".")
    return _printed(whole, digits or None, 1000**2)


def old_mb(text: str) -> Printed:
    """Bytes of what llama.cpp called MB before 2023-11-19: it divided by 1024 * 1024."""
    return mib(text)


def gib(text: str) -> Printed:
    """Bytes of a bare number of GiB."""
    whole, _, digits = text.strip().partition(".")
    return _printed(whole, digits or None, GIB)


def sizes(text: str) -> tuple[Printed, ...]:
    """Bytes of each in `[6.9 GiB 5.1 GiB]` (one per GPU)."""
    return tuple(size(part.strip()) for part in _SIZE_IN_LIST.findall(text))


def ints(text: str) -> tuple[int, ...]:
    """The numbers of `20,21`, `[37]` or `[8 9]`."""
    return tuple(int(part) for part in re.findall(r"-?\d+", text))


def words(text: str) -> tuple[str, ...]:
    """The words of `[cpu cuda_v12]` or `cpu,cuda_v12`."""
    return tuple(re.findall(r"[^\s,\[\]\"]+", text))


def flag(text: str) -> bool:
    """`true`, `1`, `yes` and their opposites."""
    return _YES[text.strip().lower()]


def duration(text: str) -> float:
    """Seconds of a Go duration: `1m12s` is 72.0, `46.6µs` is 0.0000466, `2.5s`."""
    match = _DURATION_PART.fullmatch(text)
    if match is not None and len(text) <= _LONGEST_DURATION:
        return float(match[1]) * _SECONDS[match[2]]
    if text == "0":
        return 0.0
    position, seconds = 0, 0.0
    while position < len(text) <= _LONGEST_DURATION:
        match = _DURATION_PART.match(text, position)
        if match is None:
            break
        position = match.end()
        seconds += float(match[1]) * _SECONDS[match[2]]
    if position != len(text) or not text:
        raise ValueError(f"{text[:80]!r} is not a duration")
    return seconds


def milliseconds(text: str) -> float:
    """Seconds of a bare number of milliseconds."""
    return float(text) / 1000


def count(text: str) -> int:
    """How many of `3.21 B`, `137.00 M`, `1.5 K`, `1 T`: parameters as llama.cpp prints them."""
    number, _, unit = text.strip().partition(" ")
    return round(float(number) * {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[unit])


def arguments(text: str) -> tuple[str, ...]:
    """The words of a command line; a quoted part is one word."""
    if '"' not in text:
        return tuple(text.split())
    return tuple(double if double else bare for double, bare in re.findall(r'"([^"]*)"|(\S+)', text))
