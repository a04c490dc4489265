"""Requests counted, and the last of them kept as what was read; records are made of them only when they are asked for."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from vramctl.records.load import NOT_LOGGED, LoggedRequest, RequestTotals
from vramctl.records.stamps import stamp_seconds
from vramctl.records.unknown import Unknown

_KEPT_FAILED = 12
_PARTS = ("prompt", "generated")


class Ended(NamedTuple):
    """A request that has ended: what the line says that tells so, its seconds where they are printed, and its timings."""

    line: int
    stamp: str | None
    """The printed time when it ended; None where that is an earlier line's."""
    fields: Mapping[str, Any]
    latency: float | None
    timing: Mapping[str, Any]


class Tally:
    """Counts requests; the last few, and the last that failed, are kept."""

    __slots__ = ("_failed", "_last", "_rates", "count", "failures", "latency", "longest", "truncated")

    def __init__(self, kept: int = 0) -> None:
        self._last: deque[Ended] = deque(maxlen=kept)
        self._failed: deque[Ended] = deque(maxlen=_KEPT_FAILED)
        self._rates: dict[str, tuple[float, float]] = {}
        """Lowest and highest tokens per second of prompts and of what was generated."""
        self.count = self.failures = self.truncated = 0
        self.latency = self.longest = 0.0

    def add(self, request: Ended) -> None:
        """Count one request."""
        self.count += 1
        latency = request.latency
        if latency is not None:
            self.latency += latency
            if latency > self.longest:
                self.longest = latency
        if request.timing:
            self._rate(request.timing)
        status = request.fields.get("status")
        if status.__class__ is int and status >= 500:
            self.failures += 1
            self._failed.append(request)
        self._last.append(request)

    def _rate(self, timing: Mapping[str, Any]) -> None:
        for part in _PARTS:
            rate = timing.get(f"{part}_per_second")
            if isinstance(rate, float) and math.isfinite(rate):
                low, high = self._rates.get(part, (rate, rate))
                self._rates[part] = min(low, rate), max(high, rate)

    def requests(self) -> tuple[LoggedRequest, ...]:
        """The last requests, oldest first."""
        return tuple(_record(request) for request in self._last)

    def failed_requests(self) -> tuple[LoggedRequest, ...]:
        """The last requests with a status of 500 or above, oldest first."""
        return tuple(_record(request) for request in self._failed)

    def totals(self) -> RequestTotals:
        """Counts over all requests."""
        return RequestTotals(
            count=self.count,
            failed=self.failures,
            latency_seconds=self.latency,
            longest_seconds=self.longest,
            truncated=self.truncated,
            **self._range("prompt"),
            **self._range("generated"),
        )

    def _range(self, part: str) -> dict[str, float]:
        """The lowest and the highest rate of one part, nothing where no line prints one."""
        if part not in self._rates:
            return {}
        low, high = self._rates[part]
        return {f"{part}_slowest_per_second": low, f"{part}_fastest_per_second": high}


def _record(request: Ended) -> LoggedRequest:
    """The record of one request: it started its latency before its line."""
    line, stamp, fields, latency, timing = request
    end = NOT_LOGGED if stamp is None else stamp_seconds(stamp)
    known = {name: fields[name] for name in ("status", "method", "path", "client") if name in fields}
    return LoggedRequest(
        line=line,
        end_seconds=end,
        latency_seconds=NOT_LOGGED if latency is None else latency,
        start_seconds=NOT_LOGGED if latency is None or isinstance(end, Unknown) else end - latency,
        **{name: value for name, value in known.items() if not isinstance(value, Unknown)},
        **timing,
    )
