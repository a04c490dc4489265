"""What was measured: samples with their median and interval, the machine's state meanwhile, and the limit beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vramctl.records.placement import Bytes, Placement
from vramctl.records.settings import Settings
from vramctl.records.unknown import Unknown

NOT_MEASURED = Unknown("not measured")


@dataclass(frozen=True, slots=True)
class Stat:
    """Samples of one quantity: `median`, and the 95 % interval of the median (Unknown where the samples are too few for one)."""

    median: float
    ci95: tuple[float, float] | Unknown
    samples: tuple[float, ...]
    unit: str


Measured = Stat | Unknown


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that the hardware allows: tokens per second, the share of it that was reached, what bounds it.

    `share` and `bound_by` are decode's; `sources` say where each rate is from that the bounds stand on.
    """

    decode_tokens_per_second: float | Unknown
    share: float | Unknown
    bound_by: str
    sources: tuple[str, ...] = ()
    prefill_tokens_per_second: float | Unknown = NOT_MEASURED
    prefill_share: float | Unknown = NOT_MEASURED
    prefill_bound_by: str = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """Operations per second that a device (`host`: the processor) reaches in matrix products with weights of a type.

    A product and a sum are two operations. `columns` tokens were computed at a time; `how` says what was measured.
    """

    device: str
    type: str
    flops_per_second: float | Unknown
    columns: int
    how: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a device did while it was measured; samples in order. `throttled` names the reasons seen, busiest first."""

    device: str
    busy_percent: Measured = NOT_MEASURED
    power_watts: Measured = NOT_MEASURED
    sm_clock_mhz: Measured = NOT_MEASURED
    temperature_celsius: Measured = NOT_MEASURED
    used_bytes: Bytes = NOT_MEASURED
    energy_joules_per_token: float | Unknown = NOT_MEASURED
    throttled: tuple[str, ...] | Unknown = NOT_MEASURED


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One configuration, measured. Prefill and decode in tokens per second at `depth` tokens in the cache before.

    `ttft_seconds`: an empty cache to the first token of a prompt of `prompt_tokens`; `gap_seconds` the time between two tokens.
    With several requests at a time (`parallel`), decode is one request's, `throughput_tokens_per_second` that of all together.
    `failed` says why there are no numbers ("" where there are).
    """

    name: str
    settings: Settings
    prompt_tokens: int
    depth: int
    placement: Placement | Unknown = NOT_MEASURED
    layers: str = ""
    prefill_tokens_per_second: Measured = NOT_MEASURED
    decode_tokens_per_second: Measured = NOT_MEASURED
    ttft_seconds: Measured = NOT_MEASURED
    gap_seconds: Measured = NOT_MEASURED
    load_seconds: Measured = NOT_MEASURED
    first_run_seconds: float | Unknown = NOT_MEASURED
    requests_per_second: Measured = NOT_MEASURED
    throughput_tokens_per_second: Measured = NOT_MEASURED
    parallel: int = 1
    host_resident_bytes: Bytes = NOT_MEASURED
    limit: Limit = Limit(NOT_MEASURED, NOT_MEASURED, "")
    activity: tuple[Activity, ...] = ()
    failed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A whole run: the machine, whether its figures count, and the rows. `invalid_because` says why they do not.

    `ended_by` is the exit code of the signal that ended it before every row was measured, 0 where none did.
    """

    model: str
    stand_in: bool
    engine: str
    machine: Mapping[str, object]
    rows: tuple[Row, ...]
    valid: bool
    invalid_because: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    started: str = ""
    bandwidths: Mapping[str, float | Unknown] = field(default_factory=dict)
    rates: tuple[Rate, ...] = ()
    ended_by: int = 0


@dataclass(frozen=True, slots=True)
class Ratio:
    """How two runs compare: the second over the first, with its interval; `verdict` is higher, lower, same or unclear."""

    quantity: str
    row: str
    ratio: float
    ci95: tuple[float, float] | Unknown
    verdict: str
