"""Logs that a program hands out: journald through journalctl, containers through docker or podman."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from vramctl.errors import BadInput, CouldNotTell
from vramctl.probes.log_lines import CHUNK_BYTES, split_lines
from vramctl.records import Unknown
from vramctl.world import run_program

ASK_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""How long a program that is not following may say nothing: a journal on a slow disk needs a while to begin."""
# What decode uses of a journal entry; the rest would be four times as much text.
JOURNAL_FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,_HOSTNAME,_PID"
_NAME = re.compile(r"[A-Za-z0-9_.@:\\][A-Za-z0-9_.@:\\-]{0,254}")
_SINCE = re.compile(r"[A-Za-z0-9+:.-][A-Za-z0-9+:. -]{0,40}")


def journal_lines(
    unit: str, options: Mapping[str, str], *, user: bool, follow: bool, program: str = "journalctl"
) -> Iterator[bytes]:
    """The journal of a systemd unit, an entry a line as JSON, oldest first; CouldNotTell where it has none.

    `--all` keeps long and coloured messages: without it journalctl prints what is over 4096 bytes as null.
    """
    command = [program, "--no-pager", "--all", "--output=json", f"--output-fields={JOURNAL_FIELDS}"]
    command += [f"--user-unit={_named(unit, 'unit')}"] if user else [f"--unit={_named(unit, 'unit')}"]
    command += [f"--{key}={_time(key, value)}" for key, value in _known(options, ("since", "until")).items()]
    if follow:
        command += ["--follow", "--lines=all"]
    any_line = False
    for line in split_lines(_output(command, merge=False, patient=follow)):
        any_line = True
        yield line
    if not any_line:
        raise CouldNotTell(
            "journal-empty",
            f"The journal holds nothing of the unit {unit} that you may read.",
            because=(" ".join(command) + " gave no line",),
            fix=f"Check the name (systemctl list-units '*{unit}*'), and read with sudo or as a member of systemd-journal.",
        )


def container_lines(name: str, options: Mapping[str, str], *, program: str, follow: bool) -> Iterator[bytes]:
    """A container's log, each line behind the time at which it was written; both of its streams, as they came."""
    _named(name, "container")
    asked = run_program([program, "inspect", "--type=container", "--format={{.Id}}", name], timeout_seconds=ASK_SECONDS)
    if isinstance(asked, Unknown):
        raise _missing(program, asked.reason)
    if asked.timed_out or asked.code != 0:
        said = "it did not answer" if asked.timed_out else (asked.stderr.strip() or f"exit code {asked.code}")
        raise BadInput(
            "container-unreadable",
            f"{program} shows no log of {name}.",
            because=(f"{program} inspect {name}: {said.splitlines()[-1]}",),
            fix=f"Check the name ({program} ps -a), that {program} runs, and that you may use it.",
        )
    command = [program, "logs", "--timestamps"]
    command += [f"--{key}={_time(key, value)}" for key, value in _known(options, ("since", "until")).items()]
    command += ["--follow"] if follow else []
    yield from split_lines(_output([*command, name], merge=True, patient=follow))


def _known(options: Mapping[str, str], allowed: Sequence[str]) -> Mapping[str, str]:
    """The options, all of them known; BadInput otherwise."""
    for key in options:
        if key not in allowed:
            raise BadInput(
                "bad-log-source",
                f"This source has no option {key}.",
                because=("it has " + ", ".join(allowed),),
                fix="Leave it away, or see docs/log-sources.md.",
            )
    return options


def _named(name: str, what: str) -> str:
    """A unit's or container's name; BadInput where it is none (nothing that a program could take for an option)."""
    if _NAME.fullmatch(name):
        return name
    raise BadInput(
        "bad-log-source",
        f"{name!r} is not the name of a {what}.",
        because=("names hold letters, digits and . _ @ : -",),
        fix="Write for example journald:ollama, docker:ollama or podman:ollama.",
    )


def _time(key: str, value: str) -> str:
    if _SINCE.fullmatch(value):
        return value
    raise BadInput(
        "bad-log-source",
        f"{value!r} is not a time for {key}.",
        because=("the program that reads the log is asked with it",),
        fix="Write for example since=2026-01-31, since=24h (containers) or since=-2h (journald).",
    )


def _output(command: Sequence[str], *, merge: bool, patient: bool) -> Iterator[bytes]:
    """What a program writes, as it comes; it is ended when the reader stops reading.

    Ends a program that is silent for SILENCE_SECONDS, unless `patient`.  `merge`: its two streams as one.
    """
    with tempfile.TemporaryFile() as complaints:
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merge else complaints,
                start_new_session=sys.platform != "win32",
            )
        except OSError as error:
            raise _missing(command[0], str(error)) from error
        try:
            assert process.stdout is not None
            yield from _read(process.stdout, command[0], patient)
            code = process.wait(ASK_SECONDS)
        except subprocess.TimeoutExpired:
            code = 0
        finally:
            _end(process)
        if code != 0:
            raise _failed(command, code, complaints)


def _read(stream: IO[bytes], program: str, patient: bool) -> Iterator[bytes]:
    """The bytes of a pipe until its end; CouldNotTell after too long a silence."""
    descriptor = stream.fileno()
    while True:
        if not patient and sys.platform != "win32":  # Windows cannot wait for a pipe with a limit
            ready, _, _ = select.select([descriptor], [], [], SILENCE_SECONDS)
            if not ready:
                raise CouldNotTell(
                    "log-source-silent",
                    f"{program} gave no answer.",
                    because=(f"{SILENCE_SECONDS:.0f} s passed without a line",),
                    fix="Try the same with the option since=, to read less, or save the log to a file first.",
                )
        chunk = os.read(descriptor, CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the program and what it started, and closes the pipe."""
    if process.stdout is not None:
        process.stdout.close()
    if process.poll() is None:
        if sys.platform != "win32":
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except (ProcessLookupError, PermissionError):
                process.terminate()
        else:
            process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _missing(program: str, reason: str) -> BadInput:
    others = (
        "vramctl explain FILE"
        if program != "journalctl"
        else "vramctl explain FILE (on Windows and macOS: Ollama's server.log)"
    )
    return BadInput(
        "program-missing",
        f"{program} is needed to read this log, and could not be started.",
        because=(reason,),
        fix=f"Run it where {program} is installed, or save the log to a file and give that: {others}",
    )


def _failed(command: Sequence[str], code: int, complaints: IO[bytes]) -> CouldNotTell:
    complaints.seek(0)
    said = complaints.read(4096).decode("utf-8", "replace").strip()
    return CouldNotTell(
        "log-source-failed",
        f"{command[0]} stopped with exit code {code}.",
        because=tuple(said.splitlines()[-3:]) or (" ".join(command),),
        fix="Run the same command by hand to see why; what it printed before it stopped was read.",
    )
