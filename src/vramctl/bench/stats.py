"""Medians, their intervals, ratios of two runs. No distribution is assumed: intervals are order statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from vramctl.records.measurement import Measured, Ratio, Stat
from vramctl.records.unknown import Unknown

FEWEST = 6
"""Fewer samples than these have no 95 % interval: even from the least to the greatest is less sure."""
SAME = 0.02
"""Two medians whose ratio's interval lies within 1 +- SAME are the same; higher or lower are ratios beyond it."""


def stat(samples: Sequence[float], unit: str) -> Measured:
    """The median of the samples with its 95 % interval; Unknown without samples."""
    if not samples:
        return Unknown("no sample was taken")
    return Stat(float(median(samples)), median_interval(samples), tuple(float(sample) for sample in samples), unit)


def median_interval(samples: Sequence[float]) -> tuple[float, float] | Unknown:
    """The 95 % interval of the median by order statistics: holds for any distribution (binomial with p = 1/2)."""
    count = len(samples)
    if count < FEWEST:
        return Unknown(
            f"{count} sample{' is' if count == 1 else 's are'} too few for a 95 % interval ({FEWEST} are needed)"
        )
    ordered = sorted(samples)
    rank = _rank(count)
    return float(ordered[rank - 1]), float(ordered[count - rank])


def _rank(count: int) -> int:
    """The rank of the lower end, from 1: the largest r with 2 * P(Binomial(count, 1/2) <= r - 1) <= 0.05."""
    below, rank = 0.0, 0
    while True:
        below += math.comb(count, rank) / 2**count
        if 2 * below > 0.05:
            return rank
        rank += 1


def compare(before: Measured, after: Measured, *, quantity: str, row: str) -> Ratio | Unknown:
    """After over before. The interval takes the corners of both: wide, and honest where samples are not paired."""
    if isinstance(before, Unknown):
        return before
    if isinstance(after, Unknown):
        return after
    if before.median <= 0 or after.median <= 0:
        return Unknown("a median is not above zero")
    ratio = after.median / before.median
    if isinstance(before.ci95, Unknown) or isinstance(after.ci95, Unknown):
        interval: tuple[float, float] | Unknown = Unknown("one of the two has too few samples for an interval")
    else:
        interval = (after.ci95[0] / before.ci95[1], after.ci95[1] / before.ci95[0])
    return Ratio(quantity, row, ratio, interval, _verdict(ratio, interval))


def paired(before: Sequence[float], after: Sequence[float]) -> tuple[float, tuple[float, float] | Unknown]:
    """The median of after/before over interleaved pairs, with its interval: drift that hits both cancels out."""
    ratios = [b / a for a, b in zip(before, after, strict=True)]
    return float(median(ratios)), median_interval(ratios)


def _verdict(ratio: float, interval: tuple[float, float] | Unknown) -> str:
    """Higher or lower only beyond SAME: one load differs from the next by more than the samples of one load tell."""
    if isinstance(interval, Unknown):
        return "unclear"
    low, high = interval
    if low > 1 and ratio > 1 + SAME:
        return "higher"
    if high < 1 and ratio < 1 - SAME:
        return "lower"
    return "same" if low > 1 - SAME and high < 1 + SAME else "unclear"
