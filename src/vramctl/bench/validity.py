"""Whether figures count: a machine that throttles, or works for others meanwhile, measures something else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from vramctl.records import Unknown
from vramctl.records.measurement import Activity, Measured, Row, Stat
from vramctl.records.verification import DeviceWatch
from vramctl.units import MIB

MOST_FOREIGN, MOST_FOREIGN_CORES = 0.10, 0.7
"""Of all cores, when the processor computes, or of one core: where all cores compute, they wait for the one that is shared."""
MOST_SPREAD = 0.10
OTHERS_GREW_BYTES = 256 * MIB
MOSTLY_BUSY, AT_ALL_BUSY = 70.0, 5.0  # percent
# Bits of nvmlDeviceGetCurrentClocksEventReasons that slow a GPU down for other reasons than its usual power limit (nvml.h).
SLOWED = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
POWER_CAP = 0x04


def invalid_because(
    *,
    foreign_cpu: float | Unknown,
    battery: bool | Unknown,
    watches: Sequence[DeviceWatch],
    decode: Measured,
    on_cpu: bool,
    cores: int = 1,
) -> tuple[str, ...]:
    """Why these figures do not count; empty where they do. What is not known is not said.

    `foreign_cpu` is the share of all `cores` that other processes used.
    """
    return tuple(_reasons(foreign_cpu, battery, watches, decode, on_cpu, cores))


def _reasons(
    foreign_cpu: float | Unknown,
    battery: bool | Unknown,
    watches: Sequence[DeviceWatch],
    decode: Measured,
    on_cpu: bool,
    cores: int,
) -> Iterator[str]:
    if on_cpu and (others := contended(foreign_cpu, cores)):
        yield f"contended: {others} meanwhile"
    if battery is True:
        yield "on battery: processors and GPUs run slower"
    for watch in watches:
        if isinstance(watch.others_bytes, int) and abs(watch.others_bytes) > OTHERS_GREW_BYTES:
            yield f"{watch.name}: another process changed its memory by {watch.others_bytes / MIB:.0f} MiB meanwhile"
        reasons = throttled(watch)
        if isinstance(reasons, tuple) and reasons:
            yield f"{watch.name} was slowed down: {', '.join(reasons)}"
    if isinstance(decode, Stat) and isinstance(decode.ci95, tuple) and decode.median > 0:
        spread = (decode.ci95[1] - decode.ci95[0]) / decode.median
        if spread > MOST_SPREAD:
            yield f"unstable: the 95 % interval of decode is {spread:.0%} of its median wide"


def contended(foreign_cpu: float | Unknown, cores: int) -> str:
    """`other processes used 1.4 of 2 cores` where that is too much for a figure of the processor; "" where it is not."""
    if isinstance(foreign_cpu, Unknown) or foreign_cpu <= min(MOST_FOREIGN, MOST_FOREIGN_CORES / cores):
        return ""
    return f"other processes used {foreign_cpu * cores:.1f} of {cores} cores"


def throttled(watch: DeviceWatch) -> tuple[str, ...] | Unknown:
    """Why a GPU ran slower than it could, from its samples while decoding; its usual power limit is not among them."""
    if isinstance(watch.throttle_reasons, Unknown):
        return watch.throttle_reasons
    seen = 0
    for reasons in watch.throttle_reasons:
        seen |= reasons
    return tuple(name for bit, name in SLOWED.items() if seen & bit)


def activity(watch: DeviceWatch, decode: Measured) -> Activity:
    """What a GPU did while it decoded, from its samples; energy per token from the mean power and the median speed."""
    power = watch.power_watts
    joules: float | Unknown = power if isinstance(power, Unknown) else Unknown("decode was not measured")
    if isinstance(power, tuple) and isinstance(decode, Stat) and decode.median > 0:
        joules = sum(power) / len(power) / decode.median
    return Activity(
        device=watch.name,
        busy_percent=_stat(watch.busy_percent, "%"),
        power_watts=_stat(power, "W"),
        sm_clock_mhz=_stat(watch.sm_clock_mhz, "MHz"),
        used_bytes=watch.peak_bytes,
        energy_joules_per_token=joules,
        throttled=throttled(watch),
    )


def waits_for_processor(row: Row) -> tuple[str, ...]:
    """What is to be said of several requests at a time that leave their GPUs idle for much of the time."""
    busy = [one.busy_percent.median for one in row.activity if isinstance(one.busy_percent, Stat)]
    if row.parallel < 2 or not AT_ALL_BUSY <= sum(busy) < MOSTLY_BUSY:
        return ()
    told = f"{row.name}: the GPU was busy {sum(busy):.0f} % of the time; "
    told += (
        "the rest is the server's work on the processor (each slot samples over the whole vocabulary) and the client's"
    )
    return (told,)


def _stat(values: Sequence[float] | Unknown, unit: str) -> Measured:
    """A summary of samples that follow each other closely: no interval, they are not independent."""
    if isinstance(values, Unknown):
        return values
    return Stat(
        float(median(values)), Unknown("samples of one run are not independent"), tuple(float(v) for v in values), unit
    )
