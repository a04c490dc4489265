"""Attaches to a running Ollama: it loads the model there over the API, and reads what its log says of that load."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import psutil

from vramctl.engines import reported
from vramctl.engines.endings import ended, witnessed
from vramctl.engines.engine import LOAD_SECONDS, REQUEST_SECONDS, UNLOAD_SECONDS, Clock, NotRunning, RealClock
from vramctl.engines.http_api import Api, ApiFailed
from vramctl.engines.ollama_talk import OllamaRefused, OllamaTalk, options
from vramctl.engines.server_process import listening_process, resident_bytes
from vramctl.engines.stopped import watched
from vramctl.records import Settings, Unknown
from vramctl.records.run import (
    CRASHED,
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
from vramctl.world import run_program

DEFAULT_URL = "http://127.0.0.1:11434"
KEEP_ALIVE = "30m"
JOURNAL_SECONDS, RELEASE_SECONDS = 20.0, 3.0
_TIME_IN_LINE = Unknown("the line itself has the time")
_T = TypeVar("_T", Prefill, Generation, Answer)


def attach(url: str) -> Ollama:
    """The Ollama at `url`."""
    return Ollama(url)


class Ollama:
    """The Ollama at `url`. `log_path` is its server.log; without one, systemd's journal is asked where it is on this machine."""

    vehicle = "ollama"

    def __init__(self, url: str = DEFAULT_URL, *, log_path: str | None = None) -> None:
        self.url = url
        self.clock: Clock = RealClock()
        self._log_path = log_path

    @contextmanager
    def load(
        self, model: str, settings: Settings, *, timeout_seconds: float = LOAD_SECONDS
    ) -> Iterator[OllamaRun | NotRunning]:
        """The model `NAME[:TAG]` (or `ollama:NAME[:TAG]`), loaded where it is not; unloaded again only in that case."""
        name = model.removeprefix("ollama:")
        try:
            api = Api(self.url)
        except ValueError as error:
            yield Unknown(str(error))
            return
        chosen, missing = options(settings)
        loaded = Loaded(
            vehicle=self.vehicle, engine=f"Ollama at {api.url}", version=Unknown("not asked"), model=model,
            settings=settings, not_applied=missing, pid=listening_process(api.host, api.port),
        )  # fmt: skip
        talk = OllamaTalk(api, name, chosen, keep_alive=KEEP_ALIVE)
        run = OllamaRun(talk, loaded, OllamaLog(api, self._log_path))
        try:
            with watched(loaded.pid, api.give_up):
                failed = run.start(timeout_seconds)
                yield run if failed is None else failed
        finally:
            run.unload()


class OllamaLog:
    """What Ollama logs from now on: the rest of a file, or the journal of its service."""

    def __init__(self, api: Api, path: str | None) -> None:
        self._here = api.host in ("localhost", "::1") or api.host.startswith("127.")
        self._path = Path(path) if path else Path.home() / ".ollama" / "logs" / "server.log"
        self._journal = path is None and not self._path.is_file()
        self._since = time.time()
        self._from = 0
        with suppress(OSError):
            self._from = self._path.stat().st_size

    def lines(self) -> tuple[LogLine, ...]:
        """Its lines; empty where there is no log that we may read."""
        if not self._here and self._journal:
            return ()
        if self._journal:
            command = ["journalctl", "-u", "ollama", "-o", "cat", "--no-pager", "--since", f"@{int(self._since)}"]
            ran = run_program(command, timeout_seconds=JOURNAL_SECONDS)
            text = "" if isinstance(ran, Unknown) or ran.code != 0 else ran.stdout
        else:
            try:
                with self._path.open("rb") as file:
                    file.seek(self._from)
                    text = file.read().decode("utf-8", "replace")
            except OSError:
                return ()
        return tuple(LogLine(_TIME_IN_LINE, line) for line in text.splitlines())


class OllamaRun:
    """A model in Ollama."""

    def __init__(self, talk: OllamaTalk, loaded: Loaded, log: OllamaLog) -> None:
        self._talk, self._loaded, self._log = talk, loaded, log
        self._zero = time.monotonic()
        self._was_there = False
        self._ended: Ended | None = None

    @property
    def loaded(self) -> Loaded:
        """What was loaded, and how."""
        return self._loaded

    def start(self, timeout_seconds: float) -> NotRunning | None:
        """Loads the model; None where that worked."""
        try:
            version = self._talk.version()
            self._was_there = self._talk.listed() is not None
        except ApiFailed as error:
            self._ended = self._left()
            return Unknown(f"no Ollama answers: {error}")
        self._zero = time.monotonic()
        try:
            self._talk.load(timeout_seconds=timeout_seconds)
            seconds = time.monotonic() - self._zero
            listed, details = self._talk.listed(), self._talk.details()
        except OllamaRefused as error:
            return self._end(CRASHED if _runner_ended(str(error)) else REFUSED, "load", str(error))
        except ApiFailed as error:
            return self._end(TIMEOUT if error.timed_out else CRASHED, "load", str(error))
        seen = witnessed(self._log.lines())
        self._loaded = replace(
            self._loaded,
            version=version,
            pid=_runner(self._loaded.pid),
            load_seconds=Unknown("it was loaded before") if self._was_there else seconds,
            n_ctx=listed.n_ctx if listed else Unknown("/api/ps does not list it"),
            graph_splits=reported.graph_splits(seen.events),
            harness_seconds_per_token=0.0,
            load=seen.load if seen.log else Unknown("no log of this Ollama can be read"),
            log=seen.log,
            reported_total_bytes=listed.size_bytes if listed else Unknown("/api/ps does not list it"),
            reported_gpu_bytes=listed.gpu_bytes if listed else Unknown("/api/ps does not list it"),
            facts=details,
        )
        return None

    def prefill(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Prefill | NotRunning:
        """By Ollama's counts, about as many tokens as asked for."""
        return self._ask("prefill", lambda: self._talk.prefill(n_tokens, depth, timeout_seconds=timeout_seconds))

    def generate(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Generation | NotRunning:
        """By Ollama's counts; fewer tokens where the model ends its answer."""
        return self._ask("generate", lambda: self._talk.generate(n_tokens, depth, timeout_seconds=timeout_seconds))

    def answer(
        self, prompt_tokens: int, n_tokens: int, *, timeout_seconds: float = REQUEST_SECONDS
    ) -> Answer | NotRunning:
        """By this client's clock."""
        return self._ask("answer", lambda: self._talk.answer(prompt_tokens, n_tokens, timeout_seconds=timeout_seconds))

    def memory(self) -> Memory | NotRunning:
        """The runner's resident memory; Ollama says nothing about devices."""
        if self._ended is not None:
            return self._ended
        return Memory(time.monotonic() - self._zero, (), resident_bytes(self._loaded.pid))

    def log(self) -> tuple[LogLine, ...]:
        """What Ollama logged since the load began."""
        return self._log.lines()

    def unload(self) -> Ended:
        """Lets Ollama drop a model that it loaded for us; one that was there before stays."""
        if self._ended is not None:
            return self._ended
        if self._was_there:
            self._ended = self._left()
            return self._ended
        started = time.monotonic()
        try:
            self._talk.unload(timeout_seconds=UNLOAD_SECONDS)
        except (OllamaRefused, ApiFailed) as error:
            timed_out = isinstance(error, ApiFailed) and error.timed_out
            return self._end(TIMEOUT if timed_out else CRASHED, "unload", str(error))
        seconds = time.monotonic() - started
        seen = witnessed(self._log.lines())
        self._ended = Ended(
            how=UNLOADED, phase="unload", what="unloaded", seconds=seconds, log=seen.log, load=seen.load
        )
        return self._ended

    def _left(self) -> Ended:
        return Ended(how=UNLOADED, phase="unload", what="left loaded", log=self._log.lines(), load=self._loaded.load)

    def _ask(self, phase: str, measure: Callable[[], _T]) -> _T | NotRunning:
        if self._ended is not None:
            return self._ended
        try:
            return measure()
        except OllamaRefused as error:
            if error.ended:
                return self._end(CRASHED, phase, str(error))
            return Unknown(str(error))
        except ApiFailed as error:
            return self._end(TIMEOUT if error.timed_out else CRASHED, phase, str(error))

    def _end(self, how: str, phase: str, words: str) -> Ended:
        seen = witnessed(self._log.lines())
        self._ended = ended(how, phase, seen=seen, otherwise=words, seconds=time.monotonic() - self._zero)
        if how == TIMEOUT and phase != "unload" and not self._was_there:  # else it would stay loaded for KEEP_ALIVE
            with suppress(OllamaRefused, ApiFailed):
                self._talk.unload(timeout_seconds=RELEASE_SECONDS)
        return self._ended


def _runner_ended(words: str) -> bool:
    return "terminated" in words or "exited" in words or "unexpected EOF" in words


def _runner(server: int | Unknown) -> int | Unknown:
    """The process that holds the model: the newest child of the server, or the server itself where it has none."""
    if isinstance(server, Unknown):
        return server
    try:
        children = psutil.Process(server).children(recursive=True)
        return max(children, key=lambda child: child.create_time()).pid if children else server
    except psutil.Error as error:
        return Unknown(f"the system does not say which process runs the model: {error}")
