"""How much is measured follows from the pace: as much as asked where it fits, less and said so where it does not."""

from __future__ import annotations

import pytest

from vramctl.bench.measure import steady_rate
from vramctl.bench.pace import Chosen, Pace, choose_effort, full_warm_up_fits
from vramctl.bench.request import Effort
from vramctl.records import Unknown
from vramctl.records.run import Generation

TWO_CORES_8B = Pace(1 / 19, 1 / 10)


def chosen(effort: Effort, pace: Pace | Unknown) -> Chosen:
    found = choose_effort(effort, pace, seconds=effort.seconds)
    assert isinstance(found, Chosen)
    return found


def test_on_a_gpu_everything_fits() -> None:
    assert chosen(Effort(), Pace(1 / 9000, 1 / 250)) == Chosen(Effort(), answers_each_round=True)


def test_first_whole_answers_are_spared_then_sizes() -> None:
    a_little_slow = chosen(Effort(), Pace(1 / 120, 1 / 30))
    assert (a_little_slow.effort, a_little_slow.answers_each_round, a_little_slow.notes) == (Effort(), False, ())
    slow = chosen(Effort(), TWO_CORES_8B)
    assert (slow.effort.prompt_tokens, slow.effort.decode_tokens) == (128, 16)
    assert "128 tokens of prompt and 16 decoded a round instead of 512 and 64" in slow.notes[0]


@pytest.mark.parametrize("seconds", [5, 20, 60, 200])
def test_what_is_chosen_takes_about_the_time_there_is(seconds: float) -> None:
    size = chosen(Effort(seconds=seconds), TWO_CORES_8B).effort
    once = TWO_CORES_8B.round_seconds(size, answer=False)
    assert TWO_CORES_8B.answer_seconds(size) + 6 * once <= seconds or (size.prompt_tokens, size.decode_tokens) == (
        32,
        16,
    )


def test_sizes_that_were_asked_for_stay() -> None:
    assert chosen(Effort(keep_sizes=True), TWO_CORES_8B).effort.prompt_tokens == 512


def test_a_round_that_takes_far_too_long_is_not_begun() -> None:
    found = choose_effort(Effort(depth=32768), TWO_CORES_8B, seconds=60)
    assert isinstance(found, Unknown)
    assert "about 58 min" in found.reason and "--seconds 11" in found.reason


def test_without_a_pace_nothing_is_changed() -> None:
    assert chosen(Effort(), Unknown("no times")).effort == Effort()


def test_the_full_warm_up_is_for_those_who_can_afford_it() -> None:
    assert full_warm_up_fits(Effort(), Pace(1 / 9000, 1 / 250))
    assert not full_warm_up_fits(Effort(), TWO_CORES_8B)


def test_the_first_step_after_a_prompt_is_no_decode() -> None:
    def rate(*seconds: float) -> float:
        return steady_rate(
            Generation(n_tokens=len(seconds), depth=0, seconds=sum(seconds), token_seconds=seconds, first_run=False)
        )

    assert rate(0.03, 0.01, 0.01, 0.01) == pytest.approx(100)
    assert rate(0.03, 0.01) == pytest.approx(50)  # too few to leave one out
    whole = Generation(n_tokens=4, depth=0, seconds=0.06, token_seconds=Unknown("a server"), first_run=False)
    assert steady_rate(whole) == pytest.approx(66.67, abs=0.01)
