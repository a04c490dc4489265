"""Programs run with a time limit: their exit code and output, whatever they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from vramctl.records import Unknown

MAX_OUTPUT = 16 << 20
_DYING_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended: `code` (negative: the signal that ended it) and what it wrote, as text.

    `timed_out` is True where it was killed at the time limit.
    """

    code: int
    stdout: str
    stderr: str
    timed_out: bool


def run_program(
    arguments: Sequence[str],
    *,
    timeout_seconds: float,
    stdin: bytes = b"",
    environ: Mapping[str, str] | None = None,
    output_limit: int = MAX_OUTPUT,
) -> Ran | Unknown:
    """What a program answered within the time limit; Unknown where it could not be started.

    It runs in its own process group, which is killed whole at the limit.  Output goes through files, so neither
    a flood nor a grandchild that keeps a pipe open can block the caller; of each stream the first `output_limit`
    bytes are kept.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                list(arguments),
                stdin=given,
                stdout=out,
                stderr=err,
                env=None if environ is None else dict(environ),
                start_new_session=sys.platform != "win32",
            )
        except (OSError, ValueError) as error:
            return Unknown(f"{arguments[0]} could not be started: {error}")
        timed_out = False
        try:
            process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
            _end(process)
        except BaseException:
            _end(process)
            raise
        code = -signal.SIGTERM if process.returncode is None else process.returncode
        return Ran(code, _text(out, output_limit), _text(err, output_limit), timed_out)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills the process and its group, and waits for it."""
    if sys.platform != "win32":
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
    else:
        process.kill()
    with suppress(subprocess.TimeoutExpired):  # a process that waits for a dead device cannot be killed: leave it
        process.wait(_DYING_SECONDS)


def _text(stream: IO[bytes], limit: int) -> str:
    stream.seek(0)
    return stream.read(limit).decode("utf-8", "replace")
