"""Runs a model in llama-server: a program that we start and end, or one that runs already and goes on (`AttachedServer`)."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from vramctl.engines.builds import look_build, server_beside
from vramctl.engines.engine import LOAD_SECONDS, UNLOAD_SECONDS, Clock, NotRunning, RealClock
from vramctl.engines.http_api import KEY_VARIABLE, Api, key_of_environment
from vramctl.engines.server_flags import known_flags, own_arguments, server_arguments
from vramctl.engines.server_process import ServerProcess, listening_process
from vramctl.engines.server_run import ServerRun
from vramctl.engines.stopped import watched
from vramctl.records import Build, Settings, Unknown
from vramctl.records.run import Ended, Loaded
from vramctl.world import run_program

HELP_SECONDS, PORTS_TRIED = 20.0, 3
_PORT_TAKEN = ("couldn't bind", "bind failed", "Address already in use")


def wheel_server(interpreter: str = sys.executable) -> tuple[str, ...]:
    """The command of a llama-server out of xllamacpp's wheel, which `interpreter` has: give it to `LlamaServer`."""
    return (interpreter, str(Path(__file__).with_name("wheel_server.py")))


def of_build(build: Build) -> LlamaServer | Unknown:
    """The llama-server of this build; Unknown where it has none."""
    program = server_beside(build.path)
    return Unknown(f"{build.name} has neither a library nor llama-server") if program is None else LlamaServer(program)


def attach(url: str) -> AttachedServer:
    """The llama-server at `url`, with the key of the environment."""
    return AttachedServer(url, api_key=key_of_environment())


class LlamaServer:
    """The llama-server at `program` (a path, or a command with arguments), started anew for every load."""

    vehicle = "llama-server"

    def __init__(
        self,
        program: str | Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        unload_seconds: float = UNLOAD_SECONDS,
    ) -> None:
        self._command = (program,) if isinstance(program, str) else tuple(program)
        self.program = self._command[-1]
        self.clock: Clock = RealClock()
        # A key is for servers that run already: one of ours would ask us for it.
        kept = {k: value for k, value in os.environ.items() if not k.startswith("LLAMA_ARG_") and k != KEY_VARIABLE}
        self._environ = kept | {"GGML_NO_BACKTRACE": "1"} | dict(environ or {})
        self._unload_seconds = unload_seconds

    @contextmanager
    def load(
        self, model: str, settings: Settings, *, timeout_seconds: float = LOAD_SECONDS
    ) -> Iterator[ServerRun | NotRunning]:
        """The model in a server of its own on a free port of this machine."""
        known = self._known()
        if isinstance(known, Unknown):
            yield known
            return
        wanted, missing = server_arguments(settings, known)
        loaded = Loaded(
            vehicle=self.vehicle, engine=_program_name(self._command), version=Unknown("not started"), model=model,
            settings=settings, not_applied=missing,
        )  # fmt: skip
        for attempt in range(PORTS_TRIED):
            port = free_port()
            command = [
                *self._command,
                "--model",
                str(Path(model).absolute()),
                *own_arguments(known, port=port),
                *wanted,
            ]
            try:
                process = ServerProcess(command, environ=self._environ)
            except OSError as error:
                yield Unknown(f"{self.program} cannot be started: {error}")
                return
            run = ServerRun(Api(f"http://127.0.0.1:{port}"), loaded, process, unload_seconds=self._unload_seconds)
            try:
                with watched(process.pid, run.api.give_up):
                    failed = run.start(timeout_seconds)
                    if isinstance(failed, Ended) and attempt + 1 < PORTS_TRIED and _port_was_taken(failed):
                        continue
                    yield run if failed is None else failed
                    run.unload()
            finally:
                process.close()
            return

    def _known(self) -> frozenset[str] | Unknown:
        """The options of this build."""
        asked = run_program([*self._command, "--help"], timeout_seconds=HELP_SECONDS, environ=self._environ)
        if isinstance(asked, Unknown):
            return asked
        known = known_flags(asked.stdout + asked.stderr)
        if asked.timed_out or "--model" not in known or "--port" not in known:
            return Unknown(f"{self.program} does not answer --help as llama-server does")
        return known


class AttachedServer:
    """A llama-server that runs already, by its URL. Settings are not passed, and it goes on when the load is left."""

    vehicle = "llama-server"

    def __init__(self, url: str, *, api_key: str | None = None, log_path: str | None = None) -> None:
        self.url = url
        self.clock: Clock = RealClock()
        self._api_key, self._log_path = api_key, log_path

    @contextmanager
    def load(
        self, model: str, settings: Settings, *, timeout_seconds: float = LOAD_SECONDS
    ) -> Iterator[ServerRun | NotRunning]:
        """The model that the server has loaded; `model` and `settings` are only written down."""
        try:
            api = Api(self.url, api_key=self._api_key)
        except ValueError as error:
            yield Unknown(str(error))
            return
        asked = tuple(name for name in Settings.__dataclass_fields__ if getattr(settings, name) is not None)
        loaded = Loaded(
            vehicle=self.vehicle, engine=f"llama-server at {api.url}", version=Unknown("not asked"), model=model,
            settings=settings, not_applied=asked, pid=listening_process(api.host, api.port),
        )  # fmt: skip
        run = ServerRun(api, loaded, None, log_path=self._log_path)
        with watched(loaded.pid, api.give_up):
            failed = run.start(timeout_seconds)
            yield run if failed is None else failed
            run.unload()


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _port_was_taken(failed: Ended) -> bool:
    return any(word in line.text for line in failed.log for word in _PORT_TAKEN)


__all__ = ["AttachedServer", "LlamaServer", "ServerRun", "free_port", "wheel_server"]


def _program_name(command: Sequence[str]) -> str:
    """How people know the program; that of a wheel has no version of its own but the wheel's."""
    name = Path(command[-1]).name
    if name != "wheel_server.py":
        return name
    build = look_build(command[0])
    return f"llama-server of {'xllamacpp' if isinstance(build, Unknown) else build.name}"
