"""Samples of one loaded model: prefill, decode and whole answers in turn, until they are sure enough or time is up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vramctl.bench.stats import FEWEST, stat
from vramctl.engines.engine import Clock, Running
from vramctl.probes.device_watch import Watcher
from vramctl.records import Unknown
from vramctl.records.measurement import NOT_MEASURED, Stat
from vramctl.records.run import Answer, Ended, Generation, Prefill

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured: sizes in tokens, at most `rounds` rounds and about `seconds` seconds, stopping early where the
    95 % intervals of prefill and decode are narrower than `enough` of their medians."""

    prompt_tokens: int = 512
    decode_tokens: int = 64
    depth: int = 0
    answer_tokens: int = 8
    rounds: int = 20
    seconds: float = 60.0
    enough: float = 0.02


@dataclass(slots=True)
class Samples:
    """What was measured, in order of time; `ended` says why it stopped early ("" where it did not)."""

    prefill: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    ttft: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    first_run_seconds: float | Unknown = NOT_MEASURED
    ended: str = ""
    unknown: dict[str, str] = field(default_factory=dict)


def measure(running: Running, effort: Effort, *, clock: Clock, watcher: Watcher, say: Say) -> Samples:
    """Warm up once (its cost is kept as the first run's), then measure in turn; never raises for what the engine does."""
    samples = Samples()
    start = clock.now_seconds()
    if not _warm_up(running, effort, samples, watcher):
        return samples
    for number in range(1, effort.rounds + 1):
        if not _round(running, effort, samples, watcher):
            break
        spent = clock.now_seconds() - start
        say(f"round {number}: {_so_far(samples)}")
        if spent >= effort.seconds or _is_enough(samples, effort.enough):
            break
    return samples


def _warm_up(running: Running, effort: Effort, samples: Samples, watcher: Watcher) -> bool:
    """One prefill and some tokens: kernels, graphs and cold pages are paid here, and said apart."""
    watcher.mark("warm-up")
    first = running.prefill(effort.prompt_tokens, depth=0)
    if isinstance(first, Ended):
        samples.ended = first.what
        return False
    second = running.generate(min(8, effort.decode_tokens), depth=0)
    if isinstance(second, Ended):
        samples.ended = second.what
        return False
    if isinstance(first, Prefill) and isinstance(second, Generation):
        samples.first_run_seconds = first.seconds + second.seconds
    else:
        samples.first_run_seconds = first if isinstance(first, Unknown) else Unknown("the first tokens were not timed")
    return True


def _round(running: Running, effort: Effort, samples: Samples, watcher: Watcher) -> bool:
    watcher.mark("prefill")
    prefill = running.prefill(effort.prompt_tokens, depth=effort.depth)
    if isinstance(prefill, Ended):
        samples.ended = prefill.what
        return False
    if isinstance(prefill, Unknown):
        samples.unknown["prefill"] = prefill.reason
    else:
        samples.prefill.append(prefill.tokens_per_second)
    watcher.mark("decode")
    decode = running.generate(effort.decode_tokens, depth=effort.depth)
    watcher.mark("idle")
    if isinstance(decode, Ended):
        samples.ended = decode.what
        return False
    if isinstance(decode, Unknown):
        samples.unknown["decode"] = decode.reason
    else:
        samples.decode.append(decode.tokens_per_second)
    answer = (
        running.answer(max(1, effort.prompt_tokens + effort.depth), effort.answer_tokens)
        if effort.answer_tokens
        else None
    )
    if isinstance(answer, Ended):
        samples.ended = answer.what
        return False
    if isinstance(answer, Answer):
        if isinstance(answer.first_token_seconds, float | int):
            samples.ttft.append(float(answer.first_token_seconds))
        if isinstance(answer.gap_seconds, tuple):
            samples.gaps += answer.gap_seconds
    return "prefill" not in samples.unknown or "decode" not in samples.unknown


def _is_enough(samples: Samples, enough: float) -> bool:
    if min(len(samples.prefill), len(samples.decode)) < FEWEST:
        return False
    return all(_width(values) <= enough for values in (samples.prefill, samples.decode))


def _width(values: list[float]) -> float:
    found = stat(values, "")
    if not isinstance(found, Stat) or not isinstance(found.ci95, tuple) or found.median <= 0:
        return float("inf")
    return (found.ci95[1] - found.ci95[0]) / found.median


def _so_far(samples: Samples) -> str:
    prefill = f"prefill {samples.prefill[-1]:.1f}" if samples.prefill else "prefill unknown"
    decode = f"decode {samples.decode[-1]:.1f}" if samples.decode else "decode unknown"
    return f"{prefill}, {decode} tokens/s"
