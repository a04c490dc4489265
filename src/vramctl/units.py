"""Sizes and counts as people write them, to bytes and back.

Inside the program every size is an int of bytes; text is made once, here, on the way out.
"""

from __future__ import annotations

import re

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

_FACTORS = {
    "": 1, "b": 1,
    "k": KIB, "kib": KIB, "kb": 1000,
    "m": MIB, "mib": MIB, "mb": 1000**2,
    "g": GIB, "gib": GIB, "gb": 1000**3,
    "t": TIB, "tib": TIB, "tb": 1000**4,
}  # fmt: skip
_SIZE = re.compile(r"^\s*(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]{0,3})\s*$", re.IGNORECASE)
_COUNT = re.compile(r"^\s*(\d{1,12}(?:\.\d{1,6})?)\s*([km]?)\s*$", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes in a written size: `12GiB`, `11.8 GiB`, `24 GB` (decimal), `512m` (binary); ValueError otherwise."""
    match = _SIZE.match(text)
    if match is None or match[2].lower() not in _FACTORS:
        raise ValueError(f"{text!r} is not a size such as 12GiB, 9.5GiB or 24GB")
    return round(float(match[1]) * _FACTORS[match[2].lower()])


def parse_count(text: str) -> int:
    """A count of tokens: `8192`, `8k` (8192), `128k` (131072), `1m`; ValueError otherwise."""
    match = _COUNT.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a number of tokens such as 8192 or 32k")
    value = float(match[1]) * {"": 1, "k": KIB, "m": MIB}[match[2].lower()]
    if value != int(value):
        raise ValueError(f"{text!r} is not a whole number of tokens")
    return int(value)


def format_bytes(size: int) -> str:
    """A size as text: `4.58 GiB` from 1 GiB, `258.50 MiB` from 1 MiB, else KiB or B."""
    sign, size = ("-", -size) if size < 0 else ("", size)
    if size >= GIB:
        return f"{sign}{size / GIB:.2f} GiB"
    if size >= MIB:
        return f"{sign}{size / MIB:.2f} MiB"
    if size >= KIB:
        return f"{sign}{size / KIB:.1f} KiB"
    return f"{sign}{size} B"


def format_mib(size: int) -> str:
    """A size in MiB with the two digits that llama.cpp prints: `258.50`."""
    return f"{size / MIB:.2f}"


def format_count(count: int) -> str:
    """A token count as text: `32k` for 32768, `8000` for 8000."""
    if count >= MIB and count % MIB == 0:
        return f"{count // MIB}m"
    if count >= KIB and count % KIB == 0:
        return f"{count // KIB}k"
    return str(count)


def pad(value: int, multiple: int) -> int:
    """`value` rounded up to a multiple of `multiple` (llama.cpp's GGML_PAD)."""
    return -(-value // multiple) * multiple
