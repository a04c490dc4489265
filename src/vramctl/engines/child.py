"""A child process that answers JSON lines, with a time limit on every answer; it never outlives its owner."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from vramctl.engines.oom import oom_kills, was_out_of_memory
from vramctl.engines.stopped import LOOK_SECONDS, StoppedFor

READ_BYTES = 1 << 16
MOST_LOG_BYTES = 256 << 20
OURSELVES_STOPPED_SECONDS = 5.0  # a wait of a second that took longer: it was us who were stopped (Ctrl-Z)


@dataclass(frozen=True, slots=True)
class Gone:
    """The child is no more: `timed_out` where we killed it for taking too long, `code` as Popen counts it (negative: signal).

    `out_of_memory` is True where the kernel killed it for want of memory, `stopped` where we killed it because it was stopped
    and nobody let it go on.
    """

    code: int
    timed_out: bool
    out_of_memory: bool = False
    stopped: bool = False


class Child:
    """A process with its own session, a file that it logs to, and one for what it writes on stderr.

    The files have no name: they survive the process, whatever ends it, and leave nothing behind.
    """

    def __init__(self, command: Sequence[str], *, environ: Mapping[str, str]) -> None:
        self._files: list[IO[bytes]] = []
        self.gone: Gone | None = None
        self._buffer = b""
        self._count = 0
        self._oom_kills = oom_kills()
        try:
            self._log, self._stderr = self._file(), self._file()
            self._process = subprocess.Popen(
                [*command, "--log-number", str(self._log.fileno()), "--parent", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=dict(environ),
                pass_fds=(self._log.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            self._close_files()
            raise
        self.pid = self._process.pid

    def _file(self) -> IO[bytes]:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in close()
        self._files.append(file)
        return file

    def ask(self, job: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any] | Gone:
        """The child's answer to one job; Gone where it ended, or had to be ended because time was up."""
        if self.gone is not None:
            return self.gone
        self._count += 1
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"id": self._count, **job}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            return self._wait_for_end()
        return self.answer(timeout_seconds=timeout_seconds)

    def answer(self, *, timeout_seconds: float) -> dict[str, Any] | Gone:
        """The next line that the child writes, as an object."""
        assert self._process.stdout is not None
        deadline, stopped = time.monotonic() + timeout_seconds, StoppedFor(self.pid)
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                began = time.monotonic()
                if not waiting.select(max(0.0, min(deadline - began, LOOK_SECONDS))):
                    slept = time.monotonic() - began
                    deadline += slept if slept > OURSELVES_STOPPED_SECONDS else 0.0
                    held = stopped.too_long(min(slept, LOOK_SECONDS))
                    if held or time.monotonic() >= deadline:
                        self.kill()
                        self.gone = Gone(self._process.returncode, timed_out=True, stopped=held)
                        return self.gone
                    continue
                chunk = os.read(self._process.stdout.fileno(), READ_BYTES)
                if not chunk:
                    return self._wait_for_end()
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _wait_for_end(self) -> Gone:
        """How the child ended, now that its pipe is closed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        ours = self._process.poll() is None  # it closed its pipe and stays: our kill is not the kernel's
        self.kill()
        code = self._process.returncode
        no_memory = not ours and was_out_of_memory(code, self._oom_kills)
        self.gone = self.gone or Gone(code, timed_out=False, out_of_memory=no_memory)
        return self.gone

    def logged(self) -> bytes:
        """What the child wrote to its log so far."""
        return _read(self._log)

    def said(self) -> bytes:
        """What the child, and what it loaded, wrote on stdout and stderr so far."""
        return _read(self._stderr)

    def finish(self, *, timeout_seconds: float) -> Gone:
        """Waits for a child that was told to leave; kills it where it does not."""
        if self.gone is None:
            late = False
            try:
                self._process.wait(timeout=timeout_seconds)
            except subprocess.TimeoutExpired:
                late = True
            self.kill()
            self.gone = Gone(self._process.returncode, timed_out=late)
        return self.gone

    def kill(self) -> None:
        """Ends the child and all of its group, also where it is stopped, and waits for it."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if sys.platform != "win32":
                    os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends the child where it still runs, and lets go of everything."""
        self.kill()
        self.gone = self.gone or Gone(self._process.returncode, timed_out=False)
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()
        self._close_files()

    def _close_files(self) -> None:
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()


def _read(file: IO[bytes]) -> bytes:
    """All of a file that another process appends to; empty once it is closed."""
    if file.closed:
        return b""
    size = min(os.fstat(file.fileno()).st_size, MOST_LOG_BYTES)
    return os.pread(file.fileno(), size, 0)
