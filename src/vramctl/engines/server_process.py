"""A server program that we start: it never outlives us, and what it writes is kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

import psutil

from vramctl.engines.oom import oom_kills, was_out_of_memory
from vramctl.records import Unknown

MOST_LOG_BYTES = 256 << 20


class ServerProcess:
    """One program in its own session, writing to a file without a name."""

    def __init__(self, command: Sequence[str], *, environ: Mapping[str, str]) -> None:
        self._output = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in close()
        self._oom_kills = oom_kills()
        leash = [sys.executable, "-m", "vramctl.engines.leash", str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                [*leash, *command],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                start_new_session=True,
            )
        except BaseException:
            self._output.close()
            raise
        self.pid = self._process.pid

    def code(self) -> int | None:
        """The exit status (negative: the signal), None while it runs."""
        return self._process.poll()

    def was_out_of_memory(self, code: int) -> bool:
        """Whether the kernel ended it for want of memory."""
        return was_out_of_memory(code, self._oom_kills)

    def wait(self, seconds: float) -> int | None:
        """The exit status, None where it still runs after so many seconds."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, seconds: float) -> int | None:
        """Asks it to end; the exit status, None where it did not end in time and was killed."""
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGTERM)
        code = self.wait(seconds)
        self.kill()
        return code

    def kill(self) -> None:
        """Ends it and all that it started, also where it is stopped."""
        if self._process.poll() is None and sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()

    def wrote(self) -> bytes:
        """All that it wrote so far."""
        if self._output.closed:
            return b""
        size = min(os.fstat(self._output.fileno()).st_size, MOST_LOG_BYTES)
        return os.pread(self._output.fileno(), size, 0)

    def close(self) -> None:
        """Ends it where it still runs, and lets go of its output."""
        self.kill()
        with contextlib.suppress(OSError):
            self._output.close()


def listening_process(host: str, port: int) -> int | Unknown:
    """The process of this machine that listens there; Unknown for other machines, and where the system does not say."""
    if host not in ("localhost", "::1", "::", "0.0.0.0") and not host.startswith("127."):
        return Unknown(f"{host} is another machine")
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", None) == port
            if listens and connection.pid:
                return int(connection.pid)
    except (psutil.Error, OSError) as error:
        return Unknown(f"the system does not say who listens on port {port}: {error}")
    return Unknown(f"the system does not say who listens on port {port}")


def resident_bytes(pid: int | Unknown) -> int | Unknown:
    """What of a process lies in system memory, in bytes."""
    if isinstance(pid, Unknown):
        return pid
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error as error:
        return Unknown(str(error))
