"""The DEVICE argument of --gpu: catalogue names, sizes, names with free bytes, counts, none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from vramctl.catalogue.entry import GpuEntry
from vramctl.catalogue.find import find
from vramctl.errors import BadInput
from vramctl.records import Device, Unknown
from vramctl.units import MIB, TIB, format_bytes, parse_size

SMALLEST_BYTES = 128 * MIB
LARGEST_BYTES = 4 * TIB
MOST_DEVICES = 64
# The names that engines give their devices: ggml's GGML_CUDA_NAME, GGML_SYCL_NAME, GGML_METAL_NAME (ggml 0.25.3).
ENGINE_NAMES = {"cuda": "CUDA", "rocm": "ROCm", "sycl": "SYCL", "metal": "MTL", "vulkan": "Vulkan"}

_SIZE = re.compile(r"^\s*\d+(?:\.\d+)?\s*[kmgt](?:i?b)?\s*$", re.IGNORECASE)
_COUNT_BEFORE = re.compile(r"^\s*(\d{1,3})\s*(?:x|\*|×)\s*(\S.*)$", re.IGNORECASE)
_COUNT_AFTER = re.compile(r"^\s*(.*\S)\s*[*×]\s*(\d{1,3})\s*$")
_MODEL_NUMBER = re.compile(r"^\s*\d{3}m\s*$", re.IGNORECASE)
_NUMBER = re.compile(r"^\s*\d+(?:\.\d+)?\s*$")


def parse_devices(values: Sequence[str]) -> tuple[Device, ...]:
    """The devices that the values of --gpu name, in order; `none` alone gives no device.

    A value is a name, a size, NAME=FREE, or one of these with a count (`2x RTX 3090`, `24GiB*2`).
    """
    if any(value.strip().lower() == "none" for value in values):
        if len(values) > 1:
            raise BadInput(
                "contradictory-devices",
                "--gpu none stands with other devices.",
                because=(f"given: {', '.join(values)}",),
                fix="Give --gpu none alone, or leave it out.",
            )
        return ()
    devices = [device for value in values for device in _parse_counted(value)]
    if len(devices) > MOST_DEVICES:
        raise _bad(f"{len(devices)} devices", f"at most {MOST_DEVICES} devices can be planned for")
    return _numbered(devices)


def _parse_counted(value: str) -> list[Device]:
    before, after = _COUNT_BEFORE.match(value), _COUNT_AFTER.match(value)
    if before:
        count, rest = int(before[1]), before[2]
    elif after:
        count, rest = int(after[2]), after[1]
    else:
        return [_parse_one(value)]
    if not 1 <= count <= MOST_DEVICES:
        raise _bad(repr(value), f"a count is 1 to {MOST_DEVICES}")
    return [_parse_one(rest)] * count


def _parse_one(value: str) -> Device:
    if not value.strip():
        raise _bad("an empty --gpu", "it names no GPU and no size")
    if _SIZE.match(value) and not _is_model_number(value):
        size = _size(value, value)
        return Device(
            name="",
            description=f"{format_bytes(size).replace('.00', '')} GPU",
            total_bytes=size,
            free_bytes=size,
            source="asked",
            compute_capability=Unknown("a size was asked for, not a GPU's name"),
            bandwidth_bytes_per_second=Unknown("a size was asked for, not a GPU's name"),
            driver=Unknown("this GPU is planned for, not present"),
            uuid=Unknown("this GPU is planned for, not present"),
        )
    name, equals, free = value.partition("=")
    if _NUMBER.match(name) and float(name) <= 1024:
        raise _bad(repr(value), "a number needs a unit, as in 12GiB")
    entry = find(name)
    return _from_entry(entry, _size(free, value) if equals else None, value)


def _is_model_number(value: str) -> bool:
    """Whether `780M` is the Radeon of that number and not a size."""
    if not _MODEL_NUMBER.match(value):
        return False
    try:
        find(value)
    except BadInput:
        return False
    return True


def _from_entry(entry: GpuEntry, free: int | None, value: str) -> Device:
    """The entry as a device; asked free bytes may pass the total of this driver, never the memory on the card."""
    total = entry.total_bytes
    if free is None and (isinstance(total, Unknown) or isinstance(entry.free_bytes, Unknown)):
        raise BadInput(
            "memory-not-known",
            f"The catalogue does not know how much memory {entry.name} has.",
            because=(total.reason if isinstance(total, Unknown) else "no figure for its free memory",),
            fix=f"Say how much is free: --gpu '{value.strip()}=16GiB'.",
        )
    if free is not None and not isinstance(entry.nominal_bytes, Unknown) and free > entry.nominal_bytes:
        raise BadInput(
            "bad-device",
            f"{format_bytes(free)} cannot be free on {entry.name}.",
            because=(f"the card has {format_bytes(entry.nominal_bytes)}",),
            fix="Give the free memory that the driver reports (nvidia-smi, rocm-smi).",
        )
    known = free if isinstance(total, Unknown) else total
    typical = entry.free_bytes if isinstance(entry.free_bytes, int) else None
    free_bytes = free if free is not None else typical
    if known is None or free_bytes is None:
        raise AssertionError("one of the two was given or known above")
    about = f"catalogue: {entry.total_source or 'memory as asked'}"
    return Device(
        name="",
        description=entry.driver_name,
        total_bytes=max(known, free_bytes),
        free_bytes=free_bytes,
        source=f"{about}; free bytes as asked" if free is not None else about,
        backend=entry.backend,
        compute_capability=entry.compute_capability,
        bandwidth_bytes_per_second=entry.bandwidth_bytes_per_second,
        driver=Unknown("this GPU is planned for, not present"),
        uuid=Unknown("this GPU is planned for, not present"),
    )


def _size(text: str, value: str) -> int:
    try:
        size = parse_size(text)
    except ValueError as error:
        raise _bad(repr(value), str(error)) from None
    if not SMALLEST_BYTES <= size <= LARGEST_BYTES:
        limits = f"{format_bytes(SMALLEST_BYTES)} to {LARGEST_BYTES // TIB} TiB"
        raise _bad(repr(value), f"{format_bytes(size)} is not a GPU's memory ({limits})")
    return size


def _numbered(devices: Sequence[Device]) -> tuple[Device, ...]:
    seen: Counter[str] = Counter()
    named = []
    for device in devices:
        named.append(replace(device, name=f"{ENGINE_NAMES[device.backend]}{seen[device.backend]}"))
        seen[device.backend] += 1
    return tuple(named)


def _bad(what: str, why: str, *, fix: str | None = None) -> BadInput:
    return BadInput(
        "bad-device",
        f"--gpu does not take {what}.",
        because=(why,),
        fix=fix or "Write --gpu 'RTX 3060', --gpu 12GiB, --gpu 'RTX 3060=9.5GiB', --gpu '2x RTX 3090' or --gpu none.",
    )
