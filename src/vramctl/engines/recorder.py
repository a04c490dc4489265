"""An engine that passes everything on to another one, and keeps what came back as a recording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from vramctl.engines.engine import LOAD_SECONDS, REQUEST_SECONDS, Clock, Engine, NotRunning, Running
from vramctl.engines.recording import Measured, RecordedLoad, Recording, Step
from vramctl.records import Settings, Unknown
from vramctl.records.run import Answer, Ended, Generation, Loaded, LogLine, Memory, Prefill

_M = TypeVar("_M", Prefill, Generation, Answer, Memory)


class Recorder:
    """Use it in the engine's place, then take `recording` (and `write_recording` it)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loads: list[RecordedLoad] = []
        self._name = engine.vehicle

    @property
    def vehicle(self) -> str:
        """The recorded engine's."""
        return self._engine.vehicle

    @property
    def clock(self) -> Clock:
        """The recorded engine's."""
        return self._engine.clock

    @property
    def recording(self) -> Recording:
        """Everything up to here: loads that are over."""
        return Recording(self._name, tuple(self._loads))

    @contextmanager
    def load(
        self, model: str, settings: Settings, *, timeout_seconds: float = LOAD_SECONDS
    ) -> Iterator[RecordedRun | NotRunning]:
        """The engine's own load, listened to."""
        with self._engine.load(model, settings, timeout_seconds=timeout_seconds) as run:
            if isinstance(run, (Ended, Unknown)):
                self._loads.append(RecordedLoad(model, settings, None, (), run))
                yield run
                return
            self._name = run.loaded.engine
            listened = RecordedRun(run)
            try:
                yield listened
            finally:
                end = listened.unload()
                self._loads.append(RecordedLoad(model, settings, run.loaded, tuple(listened.steps), end))


class RecordedRun:
    """A running model whose answers are kept."""

    def __init__(self, run: Running) -> None:
        self._run = run
        self.steps: list[Step] = []

    @property
    def loaded(self) -> Loaded:
        """What was loaded, and how."""
        return self._run.loaded

    def prefill(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Prefill | NotRunning:
        """The engine's answer."""
        found = self._run.prefill(n_tokens, depth=depth, timeout_seconds=timeout_seconds)
        return self._kept("prefill", (n_tokens, depth), found)

    def generate(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Generation | NotRunning:
        """The engine's answer."""
        found = self._run.generate(n_tokens, depth=depth, timeout_seconds=timeout_seconds)
        return self._kept("generate", (n_tokens, depth), found)

    def answer(
        self, prompt_tokens: int, n_tokens: int, *, timeout_seconds: float = REQUEST_SECONDS
    ) -> Answer | NotRunning:
        """The engine's answer."""
        found = self._run.answer(prompt_tokens, n_tokens, timeout_seconds=timeout_seconds)
        return self._kept("answer", (prompt_tokens, n_tokens), found)

    def memory(self) -> Memory | NotRunning:
        """The engine's answer."""
        return self._kept("memory", (), self._run.memory())

    def log(self) -> tuple[LogLine, ...]:
        """The engine's log."""
        return self._run.log()

    def unload(self) -> Ended:
        """Unloads the engine."""
        return self._run.unload()

    def _kept(self, kind: str, asked: tuple[int, ...], found: _M | NotRunning) -> _M | NotRunning:
        if not isinstance(found, Ended):  # how it ended is kept with the load
            measured: Measured = found
            self.steps.append(Step(kind, asked, measured))
        return found
