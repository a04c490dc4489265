"""Samples of one loaded model: prefill, decode and whole answers in turn, until they are sure enough or time is up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vramctl.bench.pace import PROBE_DECODE, PROBE_PROMPT, Pace, choose_effort, full_warm_up_fits, patience_seconds
from vramctl.bench.request import Effort
from vramctl.bench.stats import FEWEST, stat
from vramctl.engines.engine import Clock, Running
from vramctl.probes.device_watch import Watcher
from vramctl.records import Unknown
from vramctl.records.measurement import NOT_MEASURED, Stat
from vramctl.records.run import Answer, Ended, Generation, Prefill

Say = Callable[[str], None]
_STEPS_TO_TELL_APART = 4


@dataclass(slots=True)
class Samples:
    """What was measured, in order of time; `ended` says why it stopped early ("" where it did not).

    `effort` is what was measured in the end, `notes` says where that is less than was planned.
    """

    effort: Effort
    prefill: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    ttft: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    first_run_seconds: float | Unknown = NOT_MEASURED
    ended: str = ""
    unknown: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def measure(
    running: Running, effort: Effort, *, clock: Clock, watcher: Watcher, say: Say, began_seconds: float | None = None
) -> Samples:
    """Warm up (its cost is kept as the first run's), then measure in turn; never raises for what the engine does.

    Where the warm-up shows that so much does not fit into the time, less is measured, and the notes say so.  `began_seconds` is
    when loading began on this clock.
    """
    samples = Samples(effort)
    began = clock.now_seconds() if began_seconds is None else began_seconds
    pace = _warm_up(running, effort, samples, watcher)
    if samples.ended:
        return samples
    start = clock.now_seconds()
    until = min(start + effort.seconds, began + effort.in_all_seconds)
    chosen = choose_effort(effort, pace, seconds=max(1.0, until - start))
    if isinstance(chosen, Unknown):
        samples.unknown = dict.fromkeys(("prefill", "decode", "ttft"), chosen.reason)
        samples.notes.append(chosen.reason)
        return samples
    samples.effort, each_answer = chosen.effort, chosen.answers_each_round
    samples.notes += chosen.notes
    meter = _Meter(running, samples, watcher, patience_seconds(samples.effort, pace))
    if full_warm_up_fits(samples.effort, pace) and not meter.warm_up():
        return samples
    for number in range(1, effort.rounds + 1):
        before = clock.now_seconds()
        if not (meter.round() and (meter.answer() if each_answer or number == 1 else True)):
            break
        now = clock.now_seconds()
        say(f"round {number}: {_so_far(samples)}")
        if now + (now - before) / 2 >= until or _is_enough(samples, effort.enough):
            break
    return samples


def _warm_up(running: Running, effort: Effort, samples: Samples, watcher: Watcher) -> Pace | Unknown:
    """A short prompt and some tokens, twice: the first pays for kernels, graphs and cold pages, the second tells the pace."""
    watcher.mark("warm-up")
    pace: Pace | Unknown = NOT_MEASURED
    for turn in range(2):
        prefill = running.prefill(min(PROBE_PROMPT, effort.prompt_tokens), depth=0)
        decode = prefill if isinstance(prefill, Ended) else running.generate(PROBE_DECODE, depth=0)
        if isinstance(decode, Ended):
            samples.ended = decode.what
            return NOT_MEASURED
        timed = isinstance(prefill, Prefill) and isinstance(decode, Generation)
        if turn == 0:
            samples.first_run_seconds = Unknown("the first tokens were not timed")
            if isinstance(prefill, Prefill) and isinstance(decode, Generation):
                samples.first_run_seconds = prefill.seconds + decode.seconds
        if timed and isinstance(prefill, Prefill) and isinstance(decode, Generation):
            pace = Pace(prefill.seconds / prefill.n_tokens, decode.seconds / decode.n_tokens)
    return pace


@dataclass(frozen=True, slots=True)
class _Meter:
    running: Running
    samples: Samples
    watcher: Watcher
    timeout_seconds: float

    def warm_up(self) -> bool:
        """One prefill of the full size that is no sample; False where the engine ended."""
        full = self.running.prefill(self.samples.effort.prompt_tokens, depth=0, timeout_seconds=self.timeout_seconds)
        self.samples.ended = full.what if isinstance(full, Ended) else ""
        return not self.samples.ended

    def round(self) -> bool:
        """One prefill and one decode; False where nothing more can be measured."""
        samples, effort = self.samples, self.samples.effort
        self.watcher.mark("prefill")
        prefill = self.running.prefill(effort.prompt_tokens, depth=effort.depth, timeout_seconds=self.timeout_seconds)
        if isinstance(prefill, Ended):
            samples.ended = prefill.what
            return False
        if isinstance(prefill, Unknown):
            samples.unknown["prefill"] = prefill.reason
        else:
            samples.prefill.append(prefill.tokens_per_second)
        self.watcher.mark("decode")
        decode = self.running.generate(effort.decode_tokens, depth=effort.depth, timeout_seconds=self.timeout_seconds)
        self.watcher.mark("idle")
        if isinstance(decode, Ended):
            samples.ended = decode.what
            return False
        if isinstance(decode, Unknown):
            samples.unknown["decode"] = decode.reason
        else:
            samples.decode.append(steady_rate(decode))
        return "prefill" not in samples.unknown or "decode" not in samples.unknown

    def answer(self) -> bool:
        """One whole answer on an empty cache: first token and gaps; False where the engine ended."""
        samples, effort = self.samples, self.samples.effort
        if not effort.answer_tokens:
            return True
        answer = self.running.answer(
            max(1, effort.prompt_tokens + effort.depth), effort.answer_tokens, timeout_seconds=self.timeout_seconds
        )
        if isinstance(answer, Ended):
            samples.ended = answer.what
            return False
        if isinstance(answer, Answer):
            if isinstance(answer.first_token_seconds, float | int):
                samples.ttft.append(float(answer.first_token_seconds))
            if isinstance(answer.gap_seconds, tuple):
                samples.gaps += answer.gap_seconds
        return True


def steady_rate(decode: Generation) -> float:
    """Tokens per second of a generation without its first step, which builds the graph anew after a prompt.

    That step is the user's too, and stands among the gaps; llama-bench's tg has none, as no prompt comes before it.
    """
    steps = decode.token_seconds
    if isinstance(steps, Unknown) or len(steps) < _STEPS_TO_TELL_APART or sum(steps[1:]) <= 0:
        return decode.tokens_per_second
    return (len(steps) - 1) / sum(steps[1:])


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
