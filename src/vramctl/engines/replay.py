"""Plays recorded runs with their exact times on a virtual clock: what stands on engines is tested without one, repeatably."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from vramctl.engines.engine import LOAD_SECONDS, REQUEST_SECONDS, Clock, NotRunning
from vramctl.engines.recording import RecordedLoad, Recording, Step
from vramctl.records import Settings, Unknown
from vramctl.records.run import TIMEOUT, UNLOADED, Answer, Ended, Generation, Loaded, LogLine, Memory, Prefill


class VirtualClock:
    """A clock that only moves when told to."""

    def __init__(self, start_seconds: float = 0.0) -> None:
        self._now = start_seconds

    def now_seconds(self) -> float:
        """The virtual time."""
        return self._now

    def wait(self, seconds: float) -> None:
        """Moves the clock on, at once."""
        self._now += seconds


class Replay:
    """A recording as an engine. Each load of the same settings plays the next recording of them, the last one again and again.

    `in_order` plays the loads one after the other, whatever settings are asked. Pass a `RealClock` to play in real time.
    """

    vehicle = "replay"

    def __init__(self, recording: Recording, *, clock: Clock | None = None, in_order: bool = False) -> None:
        self.recording = recording
        self._in_order = in_order
        self.clock: Clock = clock or VirtualClock()
        self._played: dict[Settings, int] = {}

    @contextmanager
    def load(
        self, model: str, settings: Settings, *, timeout_seconds: float = LOAD_SECONDS
    ) -> Iterator[ReplayRun | NotRunning]:
        """The recorded load of these settings; Unknown where there is none, the recorded failure where it failed."""
        found = self._find(settings)
        if isinstance(found, Unknown):
            yield found
            return
        if found.loaded is None:
            if isinstance(found.ended, Ended):
                self.clock.wait(_known(found.ended.seconds))
            yield found.ended
            return
        loaded = found.loaded
        seconds = sum(_known(part) for part in (loaded.start_seconds, loaded.load_seconds, loaded.context_seconds))
        if seconds > timeout_seconds:
            self.clock.wait(timeout_seconds)
            yield _late("load", timeout_seconds, loaded.log)
            return
        self.clock.wait(seconds)
        run = ReplayRun(found, loaded, self.clock)
        yield run
        run.unload()

    def _find(self, settings: Settings) -> RecordedLoad | Unknown:
        same = [load for load in self.recording.loads if self._in_order or load.settings == settings]
        if not same:
            return Unknown(f"the recording of {self.recording.engine} has no load with these settings")
        key = Settings() if self._in_order else settings
        turn = self._played.get(key, 0)
        self._played[key] = turn + 1
        return same[min(turn, len(same) - 1)]


class ReplayRun:
    """One recorded load. The same question asked again plays the next answer to it, after the last one the first again.

    More steps than were recorded at a depth, or fewer, are made of the recorded ones in turn.
    """

    def __init__(self, recorded: RecordedLoad, loaded: Loaded, clock: Clock) -> None:
        self._recorded = recorded
        self._loaded = loaded
        self._clock = clock
        self._start_seconds = clock.now_seconds()
        self._turns: dict[tuple[str, tuple[int, ...]], int] = {}
        self._asked = 0
        self._ended: Ended | None = None

    @property
    def loaded(self) -> Loaded:
        """What was loaded when it was recorded."""
        return self._loaded

    def prefill(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Prefill | NotRunning:
        """The recorded prefill of so many tokens at this depth."""
        found = self._next("prefill", (n_tokens, depth))
        if not isinstance(found, Prefill):
            return found if isinstance(found, (Ended, Unknown)) else _not_recorded("prefill", n_tokens, depth)
        return self._passed("prefill", found.seconds, timeout_seconds) or found

    def generate(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Generation | NotRunning:
        """The recorded steps at this depth, as many as are asked for."""
        found = self._next("generate", (n_tokens, depth))
        if isinstance(found, Unknown):
            found = self._steps_at(n_tokens, depth) or found
        if not isinstance(found, Generation):
            return found if isinstance(found, (Ended, Unknown)) else _not_recorded("generate", n_tokens, depth)
        return self._passed("generate", found.seconds, timeout_seconds) or found

    def answer(
        self, prompt_tokens: int, n_tokens: int, *, timeout_seconds: float = REQUEST_SECONDS
    ) -> Answer | NotRunning:
        """The recorded request of this size."""
        found = self._next("answer", (prompt_tokens, n_tokens))
        if not isinstance(found, Answer):
            return found if isinstance(found, (Ended, Unknown)) else _not_recorded("answer", prompt_tokens, n_tokens)
        return self._passed("answer", found.total_seconds, timeout_seconds) or found

    def memory(self) -> Memory | NotRunning:
        """The memory as it was recorded next."""
        found = self._next("memory", ())
        return found if isinstance(found, (Memory, Ended, Unknown)) else Unknown("the recording has no memory")

    def log(self) -> tuple[LogLine, ...]:
        """What was logged up to this moment of the replay: all of it once it has ended."""
        if self._ended is not None and self._ended.log:
            return self._ended.log
        return self._loaded.log

    def unload(self) -> Ended:
        """The recorded end where it was an unloading; else an unloading that takes no time."""
        if self._ended is None:
            end = self._recorded.ended
            if isinstance(end, Ended) and end.how == UNLOADED:
                self._ended = end
                self._clock.wait(_known(end.seconds))
            else:
                self._ended = Ended(how=UNLOADED, phase="unload", what="unloaded", seconds=0.0, log=self._loaded.log)
        return self._ended

    def _next(self, kind: str, asked: tuple[int, ...]) -> object:
        """The next recorded measurement of this question; the recorded failure once all steps before it were played."""
        if self._ended is not None:
            return self._ended
        self._asked += 1
        same = [step for step in self._recorded.steps if (step.kind, step.asked) == (kind, asked)]
        turn = self._turns.get((kind, asked), 0)
        end = self._recorded.ended
        if isinstance(end, Ended) and end.failed and (self._asked > len(self._recorded.steps) or turn >= len(same)):
            self._ended = end
            self._clock.wait(max(0.0, _known(end.seconds) - (self._clock.now_seconds() - self._start_seconds)))
            return end
        if not same:
            return _not_recorded(kind, *asked)
        self._turns[kind, asked] = turn + 1
        found = same[turn % len(same)].measured
        if turn >= len(same) and isinstance(found, (Prefill, Generation)):
            return replace(found, first_run=False)
        return found

    def _steps_at(self, n_tokens: int, depth: int) -> Generation | None:
        """`n_tokens` steps made of those recorded at this depth."""
        at_depth = [s.measured for s in self._recorded.steps if _is_generation(s, depth)]
        seconds = [t for g in at_depth if isinstance(g, Generation) and not isinstance(g.token_seconds, Unknown)
                   for t in g.token_seconds]  # fmt: skip
        if not seconds:
            return None
        steps = tuple(seconds[i % len(seconds)] for i in range(n_tokens))
        return Generation(n_tokens=n_tokens, depth=depth, seconds=sum(steps), token_seconds=steps, first_run=False)

    def _passed(self, phase: str, seconds: float, timeout_seconds: float) -> Ended | None:
        """Lets the time go by; an ending where it is more than was given."""
        self._clock.wait(min(seconds, timeout_seconds))
        if seconds <= timeout_seconds:
            return None
        self._ended = _late(phase, timeout_seconds, self._loaded.log)
        return self._ended


def _is_generation(step: Step, depth: int) -> bool:
    return step.kind == "generate" and isinstance(step.measured, Generation) and step.measured.depth == depth


def _late(phase: str, seconds: float, log: tuple[LogLine, ...]) -> Ended:
    return Ended(how=TIMEOUT, phase=phase, what=f"no answer within {seconds:g} s", seconds=seconds, log=log)


def _not_recorded(kind: str, *asked: int) -> Unknown:
    return Unknown(f"the recording has no {kind} of {', '.join(map(str, asked)) or 'this run'}")


def _known(seconds: float | Unknown) -> float:
    return 0.0 if isinstance(seconds, Unknown) else seconds
