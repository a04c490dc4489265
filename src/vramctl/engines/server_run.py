"""A model in a llama-server: asked over HTTP, with its log, and ended where it is ours."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from vramctl.engines import reported
from vramctl.engines.endings import NO_SYSTEM_MEMORY, Witnessed, ended, how_gone, witnessed
from vramctl.engines.engine import REQUEST_SECONDS, UNLOAD_SECONDS, NotRunning
from vramctl.engines.http_api import Api, ApiFailed
from vramctl.engines.server_process import ServerProcess, resident_bytes
from vramctl.engines.server_talk import ASK_SECONDS, Refused, ServerFacts, Talk, facts
from vramctl.records import Unknown
from vramctl.records.run import (
    CRASHED,
    KILLED,
    OUT_OF_MEMORY,
    REFUSED,
    TIMEOUT,
    UNLOADED,
    Answer,
    Ended,
    Generation,
    Loaded,
    LogLine,
    Memory,
    Prefill,
)

POLL_SECONDS, POLL_TIMEOUT_SECONDS = 0.01, 2.0
_FALLBACK_VOCABULARY = 1000
_T = TypeVar("_T", Prefill, Generation, Answer)


class ServerRun:
    """A model in a server; `process` is ours to end, None where it is not."""

    def __init__(
        self,
        api: Api,
        loaded: Loaded,
        process: ServerProcess | None,
        *,
        log_path: str | None = None,
        unload_seconds: float = UNLOAD_SECONDS,
    ) -> None:
        self._api, self._process, self._loaded, self._log_path = api, process, loaded, log_path
        self._unload_seconds = unload_seconds
        self._zero = time.monotonic()
        self._talk: Talk | None = None
        self._ended: Ended | None = None

    @property
    def loaded(self) -> Loaded:
        """What was loaded, and how."""
        return self._loaded

    @property
    def api(self) -> Api:
        """What asks the server."""
        return self._api

    def start(self, timeout_seconds: float) -> NotRunning | None:
        """Waits until the model is there; None where it is."""
        deadline = self._zero + timeout_seconds
        while True:
            if self._process is not None and (code := self._process.code()) is not None:
                how = REFUSED if code >= 0 else how_gone(code, timed_out=False)
                return self._end(how, "load", "the server ended while it loaded", code=code)
            try:
                status = self._api.get("/health", timeout_seconds=POLL_TIMEOUT_SECONDS).status
            except ApiFailed as error:
                status = 0
                if self._api.given_up:
                    return self._end(TIMEOUT, "load", self._api.given_up)
                if self._process is None and not error.timed_out:
                    return Unknown(f"no server answers: {error}")
            if status == 200:
                break
            if self._process is None and status not in (0, 503):
                return Unknown(f"{self._api.url} answers /health with HTTP {status}: it is no llama-server")
            if time.monotonic() > deadline:
                return self._end(TIMEOUT, "load", f"not ready within {timeout_seconds:g} s")
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - self._zero
        try:
            found = facts(self._api)
        except ApiFailed as error:
            return self._broken("load", error)
        self._loaded = self._described(found, seconds)
        vocabulary = found.n_vocab
        self._talk = Talk(self._api, _FALLBACK_VOCABULARY if isinstance(vocabulary, Unknown) else vocabulary)
        return None

    def _described(self, found: ServerFacts, seconds: float) -> Loaded:
        seen = witnessed(self.log())
        settings = None if isinstance(seen.load, Unknown) else seen.load.settings
        slots, each = found.slots, found.n_ctx_seq
        return replace(
            self._loaded,
            version=found.build,
            pid=self._process.pid if self._process else self._loaded.pid,
            model=self._loaded.model if self._process or isinstance(found.model, Unknown) else found.model,
            load_seconds=seconds if self._process else Unknown("it was loaded before"),
            n_ctx=settings.ctx if settings else Unknown("there is no log"),
            n_ctx_seq=each,
            n_batch=settings.batch if settings else Unknown("there is no log"),
            n_ubatch=settings.ubatch if settings else Unknown("there is no log"),
            n_seq_max=slots,
            graph_splits=reported.graph_splits(seen.events),
            harness_seconds_per_token=0.0,
            load=seen.load if seen.log else Unknown("there is no log of this server"),
            log=seen.log,
        )

    def prefill(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Prefill | NotRunning:
        """By the server's own timings."""
        return self._ask("prefill", lambda talk: talk.prefill(n_tokens, depth, timeout_seconds=timeout_seconds))

    def generate(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Generation | NotRunning:
        """By the server's own timings, sampling included."""
        return self._ask("generate", lambda talk: talk.generate(n_tokens, depth, timeout_seconds=timeout_seconds))

    def answer(
        self, prompt_tokens: int, n_tokens: int, *, timeout_seconds: float = REQUEST_SECONDS
    ) -> Answer | NotRunning:
        """By this client's clock."""
        return self._ask("answer", lambda talk: talk.answer(prompt_tokens, n_tokens, timeout_seconds=timeout_seconds))

    def memory(self) -> Memory | NotRunning:
        """The process's resident memory; llama-server says nothing about devices."""
        if self._ended is not None:
            return self._ended
        return Memory(time.monotonic() - self._zero, (), resident_bytes(self._loaded.pid))

    def log(self) -> tuple[LogLine, ...]:
        """What the server wrote: of an attached one the log file, where one was given."""
        if self._process is not None:
            return tuple(server_lines(self._process.wrote())) or self._loaded.log
        if self._log_path is None:
            return ()
        try:
            return tuple(server_lines(Path(self._log_path).read_bytes()))
        except OSError:
            return ()

    def unload(self) -> Ended:
        """Ends the server that is ours, and leaves any other as it is."""
        if self._ended is not None:
            return self._ended
        if self._process is None:
            self._ended = Ended(
                how=UNLOADED, phase="unload", what="left running", log=self.log(), load=self._loaded.load
            )
            return self._ended
        if self._api.given_up:
            return self._end(TIMEOUT, "idle", self._api.given_up)
        started = time.monotonic()
        code = self._process.stop(self._unload_seconds)
        if code is None:
            return self._end(TIMEOUT, "unload", f"it did not end within {self._unload_seconds:g} s and was killed")
        seconds = time.monotonic() - started
        seen = witnessed(self.log())
        self._ended = Ended(
            how=UNLOADED, phase="unload", what="unloaded", exit_code=code, seconds=seconds, log=seen.log, load=seen.load
        )
        return self._ended

    def _ask(self, phase: str, measure: Callable[[Talk], _T]) -> _T | NotRunning:
        if self._ended is not None:
            return self._ended
        if self._talk is None:
            return Unknown("no model is loaded")
        try:
            return measure(self._talk)
        except Refused as error:
            return Unknown(str(error))
        except ApiFailed as error:
            return self._broken(phase, error)

    def _broken(self, phase: str, error: ApiFailed) -> Ended:
        """The end that a broken or missing answer means."""
        if error.timed_out:
            return self._end(TIMEOUT, phase, str(error))
        code = self._process.wait(ASK_SECONDS) if self._process else None
        how = CRASHED if code is None else how_gone(code, timed_out=False)
        words = "the server was ended from outside" if how == KILLED else f"the server went away: {error}"
        return self._end(how, phase, words, code=code)

    def _end(self, how: str, phase: str, words: str, *, code: int | None = None) -> Ended:
        seen: Witnessed = witnessed(self.log())
        if self._process is not None:
            if how == KILLED and code is not None and self._process.was_out_of_memory(code):
                how, words = OUT_OF_MEMORY, NO_SYSTEM_MEMORY
            self._process.kill()
        self._ended = ended(how, phase, seen=seen, otherwise=words, seconds=time.monotonic() - self._zero, code=code)
        return self._ended


_PREFIX = re.compile(r"^(\d+)\.(\d\d)\.(\d{3})\.(\d{3}) ([A-Z]) ")
_LEVELS = {"D": "debug", "I": "info", "W": "warn", "E": "error"}


def server_lines(raw: bytes) -> Iterator[LogLine]:
    """The lines of llama-server's log; `0.01.234.567 I` is minutes, seconds, ms, us since it started (common/log.cpp)."""
    for line in raw.decode("utf-8", "replace").splitlines():
        match = _PREFIX.match(line)
        if match is None:
            yield LogLine(Unknown("the line has no time"), line)
        else:
            minutes, seconds, milli, micro = (int(part) for part in match.groups()[:4])
            yield LogLine(minutes * 60 + seconds + milli / 1e3 + micro / 1e6, line, _LEVELS.get(match[5], ""))
