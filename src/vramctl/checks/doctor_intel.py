"""Checks of Intel's own stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import Check, NotKnown, NotThere
from vramctl.records.facts import (
    Engine,
    PciGpu,
    Platform,
)  # fmt: skip
from vramctl.records.finding import ERROR, WARNING, Finding
from vramctl.records.unknown import Unknown
from vramctl.units import MIB

_SMALL_WINDOW = 256 * MIB
# Arc A (DG2) 0x5690-0x56bf, Arc B (Battlemage) 0xe200-0xe2ff.
_ARC = (range(0x5690, 0x56C0), range(0xE200, 0xE300))


def intel_oneapi_env(engine: Engine, platform: Platform, environment: Any = None) -> Iterator[Finding]:
    """
    An Intel SYCL build does not find its runtime (oneAPI).

    Why it matters: the backend's library cannot be loaded (libsvml.so, libmkl_sycl, libsycl), and the engine runs on
    the CPU.

    How it is seen: names that libggml-sycl imports are found nowhere; SETVARS_COMPLETED says whether oneAPI's
    setvars.sh was read.

    How sure: high.
    """
    libraries = [library for library in engine.libraries if library.backend == "sycl"]
    if not libraries:
        raise NotThere(f"{engine.kind} has no SYCL backend")
    missing = sorted({name for library in libraries for name in _tuple(library.missing)})
    if missing:
        variables = environment if isinstance(environment, Mapping) else {}
        read = "SETVARS_COMPLETED is set" if variables.get("SETVARS_COMPLETED") else "SETVARS_COMPLETED is not set"
        yield Finding(
            ERROR,
            f"{engine.kind}'s SYCL backend does not find {missing[0]}: oneAPI's environment is missing.",
            (f"{libraries[0].path}: not found: {', '.join(missing[:6])}", read),
            BY_ID["intel-oneapi-env"].fix(platform.kind),
        )
    elif any(isinstance(library.missing, Unknown) for library in libraries):
        raise NotKnown("which libraries it finds is not known")


def intel_arc_rebar_off(pci: tuple[PciGpu, ...]) -> Iterator[Finding]:
    """
    An Intel Arc card without resizable BAR.

    Why it matters: Arc cards are made for it; without it every transfer goes through a window of 256 MiB and the card
    is much slower.

    How it is seen: the largest memory window of /sys/bus/pci/devices/<address>/resource is 256 MiB or less.

    How sure: high.
    """
    arcs = [gpu for gpu in pci if gpu.vendor == "intel" and any(gpu.device_id in some for some in _ARC)]
    if not arcs:
        raise NotThere("no Intel Arc card is in this machine")
    for gpu in arcs:
        if not gpu.bar_bytes:
            raise NotKnown(f"the memory windows of {gpu.address} cannot be read")
        largest = max(gpu.bar_bytes)
        if 0 < largest <= _SMALL_WINDOW:
            yield Finding(
                WARNING,
                f"The Intel Arc card at {gpu.address} runs without resizable BAR (window of {largest // MIB} MiB).",
                (f"/sys/bus/pci/devices/{gpu.address}/resource: largest window {largest // MIB} MiB",),
                BY_ID["intel-arc-rebar-off"].fix("any"),
            )


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else ()


CHECKS: tuple[Check, ...] = (intel_oneapi_env, intel_arc_rebar_off)
