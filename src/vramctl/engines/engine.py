"""The interface that everything above stands on: an engine loads a model, and what is loaded generates tokens.

Failures are values. `Ended` is a run that came to its end (crash, kill, time limit, out of memory, refusal); `Unknown` is
something that cannot be told, after which the run goes on.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Protocol

from vramctl.records import Settings, Unknown
from vramctl.records.run import Answer, Ended, Generation, Loaded, LogLine, Memory, Prefill

LOAD_SECONDS, REQUEST_SECONDS, UNLOAD_SECONDS = 600.0, 600.0, 20.0

NotRunning = Ended | Unknown


class Clock(Protocol):
    """Seconds on a clock that only goes forward, and waiting on it."""

    def now_seconds(self) -> float:
        """The time in seconds; only differences mean something."""
        ...

    def wait(self, seconds: float) -> None:
        """Returns once so many seconds have gone by on this clock."""
        ...


class Running(Protocol):
    """A loaded model. After an `Ended`, every further question is answered with the same one.

    `depth` counts the tokens that are in the cache before; where they are not, they are put there first, unmeasured.
    """

    @property
    def loaded(self) -> Loaded:
        """What was loaded, and how."""
        ...

    def prefill(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Prefill | NotRunning:
        """The time that `n_tokens` of a prompt take."""
        ...

    def generate(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Generation | NotRunning:
        """The time that each of `n_tokens` decode steps takes."""
        ...

    def answer(
        self, prompt_tokens: int, n_tokens: int, *, timeout_seconds: float = REQUEST_SECONDS
    ) -> Answer | NotRunning:
        """One whole request on an empty cache, as a user waits for it: time to the first token, then each gap."""
        ...

    def memory(self) -> Memory | NotRunning:
        """What the engine says of its devices' memory now."""
        ...

    def log(self) -> tuple[LogLine, ...]:
        """Everything that was logged so far."""
        ...

    def unload(self) -> Ended:
        """Frees the model and ends the process (one that we attached to goes on); asked twice, it answers the same."""
        ...


class Engine(Protocol):
    """A way to run a model. `vehicle` is its name; times come from `clock`."""

    @property
    def vehicle(self) -> str:
        """binding, llama-server, ollama or replay."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of this engine's world: a replay's is virtual."""
        ...

    def load(
        self, model: str, settings: Settings, *, timeout_seconds: float = LOAD_SECONDS
    ) -> AbstractContextManager[Running | NotRunning]:
        """The loaded model; `Ended` where loading failed, `Unknown` where this engine cannot be run at all.

        Leaving the context unloads; leaving it by an exception kills.
        """
        ...


class RealClock:
    """The machine's monotonic clock."""

    def now_seconds(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Sleeps."""
        time.sleep(seconds)
