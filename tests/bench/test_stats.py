"""Intervals hold what they promise, and two equal runs are not called different."""

from __future__ import annotations

import random

import pytest

from vramctl.bench.stats import compare, median_interval, paired, stat
from vramctl.records.measurement import Ratio, Stat
from vramctl.records.unknown import Unknown


@pytest.mark.parametrize(
    ("count", "ranks"), [(6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (10, (2, 9)), (20, (6, 15)), (100, (40, 61))]
)
def test_the_ranks_are_those_of_the_tables(count: int, ranks: tuple[int, int]) -> None:
    """Conover, Practical Nonparametric Statistics, table of the binomial distribution."""
    assert median_interval(list(range(1, count + 1))) == ranks


def test_five_samples_have_no_interval() -> None:
    found = stat([1, 2, 3, 4, 5], "s")
    assert isinstance(found, Stat)
    assert isinstance(found.ci95, Unknown)
    assert found.median == 3


@pytest.mark.parametrize("count", [6, 10, 17])
def test_the_true_median_is_inside_at_least_95_times_of_100(count: int) -> None:
    rng, inside = random.Random(count), 0
    for _ in range(4000):
        found = median_interval([rng.lognormvariate(0, 1) for _ in range(count)])
        assert isinstance(found, tuple)
        inside += found[0] <= 1 <= found[1]
    assert inside / 4000 > 0.945


def test_two_runs_of_one_thing_are_seldom_called_different() -> None:
    rng, wrong = random.Random(1), 0
    for _ in range(1000):
        first, second = (stat([rng.gauss(100, 5) for _ in range(10)], "t/s") for _ in range(2))
        found = compare(first, second, quantity="decode", row="")
        assert isinstance(found, Ratio)
        wrong += found.verdict in {"higher", "lower"}
    assert wrong / 1000 < 0.05


def test_a_real_gain_is_seen_and_too_few_samples_are_unclear() -> None:
    slow, fast = stat([100, 101, 99, 100, 102, 98], "t/s"), stat([120, 121, 119, 120, 122, 118], "t/s")
    found = compare(slow, fast, quantity="decode", row="")
    assert isinstance(found, Ratio)
    assert found.verdict == "higher"
    assert found.ratio == pytest.approx(1.2)
    few = compare(slow, stat([120.0], "t/s"), quantity="decode", row="")
    assert isinstance(few, Ratio)
    assert few.verdict == "unclear"


def test_pairs_cancel_what_hits_both() -> None:
    drift = [1, 0.9, 0.8, 0.7, 0.6, 0.5]
    ratio, interval = paired([100 * d for d in drift], [103 * d for d in drift])
    assert ratio == pytest.approx(1.03)
    assert interval == pytest.approx((1.03, 1.03))
