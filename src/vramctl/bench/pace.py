"""How much can be measured in the time there is: chosen from the pace that a short warm-up shows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from vramctl.bench.request import Effort
from vramctl.bench.stats import FEWEST
from vramctl.engines.engine import REQUEST_SECONDS
from vramctl.records import Unknown

PROBE_PROMPT, PROBE_DECODE = 32, 8
LEAST_PROMPT, LEAST_DECODE = 32, 16
MOST_OVER = 3.0
"""A row whose single round takes longer than so many times the time for it is not begun."""
_WARM_UP_SHARE = 0.1
PATIENCE, LEAST_PATIENCE_SECONDS = 10, 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds per prompt token and per decoded token, roughly."""

    prefill_seconds: float
    decode_seconds: float

    def round_seconds(self, effort: Effort, *, answer: bool) -> float:
        """What one round takes, with a whole answer or without."""
        seconds = effort.prompt_tokens * self.prefill_seconds + effort.decode_tokens * self.decode_seconds
        return seconds + (self.answer_seconds(effort) if answer else 0.0)

    def answer_seconds(self, effort: Effort) -> float:
        """What a whole answer on an empty cache takes."""
        if not effort.answer_tokens:
            return 0.0
        before = (effort.prompt_tokens + effort.depth) * self.prefill_seconds
        return before + effort.answer_tokens * self.decode_seconds

    def fill_seconds(self, effort: Effort) -> float:
        """What putting the tokens before into the cache takes."""
        return effort.depth * self.prefill_seconds


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is measured, whether each round has a whole answer (else only the first), and what to say of it."""

    effort: Effort
    answers_each_round: bool
    notes: tuple[str, ...] = ()


def choose_effort(effort: Effort, pace: Pace | Unknown, *, seconds: float) -> Chosen | Unknown:
    """As much of `effort` as lets FEWEST rounds fit into so many seconds; Unknown where even one round takes far too long.

    First whole answers are kept to the first round, then prompt and decode are halved, unless their sizes were asked for.
    """
    if isinstance(pace, Unknown):
        return Chosen(effort, answers_each_round=True)
    fewest = min(FEWEST, effort.rounds)
    refill = pace.fill_seconds(effort)
    if refill + fewest * (pace.round_seconds(effort, answer=True) + refill) <= seconds:
        return Chosen(effort, answers_each_round=True)
    sizes = [effort] if effort.keep_sizes else list(_smaller(effort))
    for size in sizes:
        if _few(size, pace, fewest) <= seconds:
            return Chosen(size, answers_each_round=False, notes=_notes(effort, size, seconds))
    least = _few(sizes[-1], pace, 1)
    if least > MOST_OVER * max(seconds, effort.seconds):
        return Unknown(
            f"not measured: one round takes about {_time(least)} here, and {_time(effort.seconds)} were given "
            f"(--seconds {math.ceil(least / MOST_OVER)} or more measures it)"
        )
    return Chosen(sizes[-1], answers_each_round=False, notes=_notes(effort, sizes[-1], seconds))


def full_warm_up_fits(effort: Effort, pace: Pace | Unknown) -> bool:
    """Whether a prefill of the full size can be thrown away, as llama-bench does."""
    if isinstance(pace, Unknown) or effort.prompt_tokens <= PROBE_PROMPT:
        return False
    return effort.prompt_tokens * pace.prefill_seconds <= _WARM_UP_SHARE * effort.seconds


def patience_seconds(effort: Effort, pace: Pace | Unknown) -> float:
    """How long a request is waited for: much longer than it should take, and not for ever."""
    if isinstance(pace, Unknown):
        return REQUEST_SECONDS
    expected = pace.round_seconds(effort, answer=True) + pace.fill_seconds(effort)
    return max(LEAST_PATIENCE_SECONDS, PATIENCE * expected)


def _few(effort: Effort, pace: Pace, rounds: int) -> float:
    """Seconds of so many rounds with one whole answer."""
    return pace.fill_seconds(effort) + pace.answer_seconds(effort) + rounds * pace.round_seconds(effort, answer=False)


def _smaller(effort: Effort) -> Iterator[Effort]:
    """The effort, then each with half the tokens of the one before, down to the least that tells something."""
    while True:
        yield effort
        prompt = max(min(LEAST_PROMPT, effort.prompt_tokens), effort.prompt_tokens // 2)
        decode = max(min(LEAST_DECODE, effort.decode_tokens), effort.decode_tokens // 2)
        if (prompt, decode) == (effort.prompt_tokens, effort.decode_tokens):
            return
        effort = replace(effort, prompt_tokens=prompt, decode_tokens=decode)


def _notes(asked: Effort, chosen: Effort, seconds: float) -> tuple[str, ...]:
    if asked.prompt_tokens == chosen.prompt_tokens and asked.decode_tokens == chosen.decode_tokens:
        return ()
    note = (
        f"slow here: {chosen.prompt_tokens} tokens of prompt and {chosen.decode_tokens} decoded a round instead of "
        f"{asked.prompt_tokens} and {asked.decode_tokens}, to fit {seconds:.0f} s (--prompt or --generate keeps them)"
    )
    return (note,)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
