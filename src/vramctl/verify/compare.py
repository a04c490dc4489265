"""Where the three witnesses differ by more than they can be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vramctl.records.placement import Bytes, DeviceUse, HostUse, Placement
from vramctl.records.unknown import Unknown
from vramctl.records.verification import DeviceWatch, Difference
from vramctl.units import MIB

# Planned against reported: the engine's own figures, exact up to the rounding of its log (two digits of a MiB, per buffer).
REPORTED_TOLERANCE_BYTES = MIB // 4
# Against the device: the driver hands memory out in 2 MiB pages, and pools are not planned; the goal is 1 % or 64 MiB.
OBSERVED_TOLERANCE_BYTES, OBSERVED_TOLERANCE = 64 * MIB, 0.01

_PARTS = ("weights", "kv", "compute")


def differences(
    planned: Placement | Unknown, reported: Placement | Unknown, watches: Sequence[DeviceWatch]
) -> tuple[Difference, ...]:
    """Everything in which two witnesses disagree; what one of them does not know is no difference."""
    found: list[Difference] = []
    names = _names(planned, reported)
    for name in names:
        use_planned, use_reported = _use(planned, name), _use(reported, name)
        found += _parts(name, use_planned, use_reported)
        watch = next((one for one in watches if one.name == name), None)
        if watch is not None:
            found += _seen(watch, use_planned, use_reported)
    found += _host(planned, reported)
    return tuple(found)


def observed(watches: Sequence[DeviceWatch], reported: Placement | Unknown) -> Placement | Unknown:
    """The placement as the devices show it: their use is seen, its parts cannot be told apart."""
    if not watches:
        return Unknown("no device that can be watched")
    apart = Unknown("a device counts bytes, not what they are for")
    uses = tuple(DeviceUse(watch.name, apart, apart, apart, apart) for watch in watches)
    return Placement(uses, HostUse(apart, apart, apart, apart), _operations(watches, reported))


def _operations(watches: Sequence[DeviceWatch], reported: Placement | Unknown) -> str | Unknown:
    """Where attention runs cannot be seen from a device: only that it was idle all the time is an answer."""
    busy = [max(watch.busy_percent, default=0) for watch in watches if isinstance(watch.busy_percent, tuple)]
    if busy and not any(busy):
        return "cpu"
    return Unknown("a busy GPU does not say what it computes")


def _names(planned: Placement | Unknown, reported: Placement | Unknown) -> list[str]:
    both = (*_devices(planned), *_devices(reported))
    return list(dict.fromkeys(use.name for use in both))


def _devices(placement: Placement | Unknown) -> tuple[DeviceUse, ...]:
    return placement.devices if isinstance(placement, Placement) else ()


def _use(placement: Placement | Unknown, name: str) -> DeviceUse | Unknown:
    if isinstance(placement, Unknown):
        return placement
    for use in placement.devices:
        if use.name == name:
            return use
    return DeviceUse(name, 0, 0, 0, Unknown("nothing is there"))


def _part(use: DeviceUse | Unknown, part: str) -> Bytes:
    return use if isinstance(use, Unknown) else getattr(use, f"{part}_bytes")


def _parts(name: str, planned: DeviceUse | Unknown, reported: DeviceUse | Unknown) -> Iterator[Difference]:
    for part in _PARTS:
        left, right = _part(planned, part), _part(reported, part)
        if isinstance(left, int) and isinstance(right, int) and abs(left - right) > REPORTED_TOLERANCE_BYTES:
            unseen = Unknown("a device counts bytes, not what they are for")
            yield Difference(name, part, left, right, unseen, f"{name} holds {_more(right - left)} {part} than planned")


def _seen(watch: DeviceWatch, planned: DeviceUse | Unknown, reported: DeviceUse | Unknown) -> Iterator[Difference]:
    grown = watch.grown_bytes
    plan, report = _part(planned, "used"), _engine_sum(reported)
    if isinstance(grown, int) and isinstance(report, int) and grown < report - _tolerance(report):
        yield Difference(
            watch.name,
            "used",
            plan,
            report,
            grown,
            f"{watch.name} holds {_more(grown - report)} than the engine says it put there: the driver keeps the rest elsewhere",
        )
    if isinstance(grown, int) and isinstance(plan, int) and abs(grown - plan) > _tolerance(plan):
        yield Difference(
            watch.name, "used", plan, report, grown, f"{watch.name} holds {_more(grown - plan)} than planned"
        )


def _engine_sum(use: DeviceUse | Unknown) -> Bytes:
    """What the engine accounts for on a device: weights, KV and compute."""
    if isinstance(use, Unknown):
        return use
    parts = (use.weights_bytes, use.kv_bytes, use.compute_bytes)
    unknown = [part for part in parts if isinstance(part, Unknown)]
    return unknown[0] if unknown else sum(part for part in parts if isinstance(part, int))


def _tolerance(size: int) -> float:
    return max(OBSERVED_TOLERANCE_BYTES, size * OBSERVED_TOLERANCE)


def _host(planned: Placement | Unknown, reported: Placement | Unknown) -> Iterator[Difference]:
    if isinstance(planned, Unknown) or isinstance(reported, Unknown):
        return
    left, right = planned.host.kv_bytes, reported.host.kv_bytes
    if isinstance(left, int) and isinstance(right, int) and abs(left - right) > REPORTED_TOLERANCE_BYTES:
        unseen = Unknown("system memory is not watched by part")
        yield Difference(
            "host", "kv", left, right, unseen, f"system memory holds {_more(right - left)} KV cache than planned"
        )


def _more(size: int) -> str:
    return f"{abs(size) / MIB:.1f} MiB {'more' if size > 0 else 'less'}"
