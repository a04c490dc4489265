"""`vramctl doctor`: one root cause, one fix."""

from __future__ import annotations

import difflib
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import click

from vramctl import __version__
from vramctl.cli.options import output_options
from vramctl.cli.output import Output, answer_json, write
from vramctl.errors import BadInput
from vramctl.records.diagnosis import SKIPPED, UNCLEAR
from vramctl.records.finding import ERROR

EPILOG = """\b
Examples:
  vramctl doctor
  vramctl doctor --engine llama-cpp-python --python ~/venv/bin/python
  vramctl doctor --config app.py --config .env
  vramctl doctor --log server.log
  vramctl doctor --record report/      (a folder to attach to a bug report)
  vramctl doctor --replay report/

\b
Exit codes: 0 nothing of severity error, 1 something is wrong, 2 wrong
usage, 3 could not tell. It reads and prints; it changes nothing.
"""
ENGINES = ("llama-cpp-python", "xllamacpp", "llama.cpp", "ollama", "exllamav2", "exllamav3", "tabbyapi")


@click.command("doctor", epilog=EPILOG)
@click.option("--engine", "engines", type=click.Choice(ENGINES), multiple=True, help="Look at this engine only.")
@click.option("--python", metavar="INTERPRETER", help="The Python that has the engine. Default: this environment's.")
@click.option("--pid", type=click.IntRange(1), help="Look at this running process and its environment.")
@click.option(
    "--config", "configs", metavar="FILE", multiple=True, help="Read this source, .env or command line for settings."
)
@click.option("--log", metavar="LOG", help="Diagnose this engine's log too.")
@click.option("--active", is_flag=True, help="Load a small model and look where it lands.")
@click.option("--record", metavar="DIR", help="Write everything that was looked at, names and keys redacted.")
@click.option("--replay", metavar="DIR", help="Diagnose such a folder instead of this machine.")
@click.option("--only", metavar="ID", multiple=True, help="Run this check only.")
@click.option("--list-checks", is_flag=True, help="List all checks.")
@click.option("--share", is_flag=True, help="A redacted text to paste into an issue.")
@output_options
def command(
    *, engines: tuple[str, ...], python: str | None, pid: int | None, configs: tuple[str, ...], log: str | None, active: bool,
    record: str | None, replay: str | None, only: tuple[str, ...], list_checks: bool, share: bool, out: Output,
) -> int:  # fmt: skip
    """Say why the GPU is not used, or used badly: the root cause, what shows it, what to do."""
    from vramctl.doctor import Asked, diagnose
    from vramctl.doctor.job import look_at_all
    from vramctl.probes.doctor_config import require_files
    from vramctl.show.doctor_json import doctor_document
    from vramctl.show.doctor_text import doctor_text
    from vramctl.show.page import Page
    from vramctl.world.machine import Recorded, Recording, World
    from vramctl.world.redact import Redactor

    if list_checks:
        return _list(out)
    _known(only)
    if record and replay:
        raise click.UsageError("--record looks at this machine, --replay at a folder: give one of them.")
    if not replay:
        require_files(configs, log)
        _running(pid)
        _runnable(python)
    asked = Asked(engines=engines, python=python, pid=pid, configs=configs, log=log, active=active, only=only)
    recording, recorded = Recording() if record else None, Recorded(replay) if replay else None
    world = World(recorded or recording, lambda what: out.progress(f"still waiting for an answer: {what}"))
    if recorded:
        asked = asked.as_recorded(recorded.document.get("asked"))
    out.progress("looking at hardware, driver, libraries and engines")
    diagnosis = diagnose(world, asked)
    if recording and record:
        look_at_all(world, asked)
        path = recording.save(record, version=__version__, note=diagnosis.verdict, asked=asked.to_record())
        write(
            f"Recorded to {path} (names and keys redacted; look through it before you share it).\n", stream=sys.stderr
        )
    if out.json:
        answer_json(doctor_document(diagnosis))
    elif share:
        asked_checks = tuple(checked for checked in diagnosis.checks if checked.state != SKIPPED)
        text = doctor_text(replace(diagnosis, checks=asked_checks), Page(width=100), verbose=True)
        write(Redactor.of_this_machine().text(f"vramctl {__version__} doctor\n\n{text}"))
    else:
        write(doctor_text(diagnosis, out.page, verbose=out.verbose))
    if any(finding.severity == ERROR for finding in diagnosis.findings):
        return 1
    return 3 if diagnosis.status == UNCLEAR else 0


def _running(pid: int | None) -> None:
    import psutil

    if pid is not None and not psutil.pid_exists(pid):
        raise BadInput(
            "no-such-process", f"There is no process {pid}.", because=(),
            fix="Find it with `pgrep -af llama` or `pgrep -af ollama`.",
        )  # fmt: skip


def _runnable(python: str | None) -> None:
    if python is not None and shutil.which(python) is None:
        why = "it is a folder" if Path(python).is_dir() else "no such program, and none of that name on PATH"
        raise BadInput(
            "no-such-interpreter", f"There is no Python at {python}.", because=(why,),
            fix="Name the interpreter itself, such as ~/venv/bin/python.",
        )  # fmt: skip


def _known(only: tuple[str, ...]) -> None:
    from vramctl.checks.chain import all_checks
    from vramctl.checks.runner import check_id

    names = [check_id(check) for _, check in all_checks()]
    for name in only:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " See --list-checks."
            raise click.UsageError(f"There is no check {name!r}.{hint}")


def _list(out: Output) -> int:
    from vramctl.checks.chain import all_checks
    from vramctl.checks.modes import TITLES
    from vramctl.checks.runner import check_id
    from vramctl.show.doctor_text import checks_text

    rows = [(layer, check_id(check), TITLES.get(check_id(check), "")) for layer, check in all_checks()]
    if out.json:
        checks = [{"id": name, "layer": layer, "title": title} for layer, name, title in rows]
        answer_json({"schema": "vramctl.doctor-checks/1", "checks": checks})
    else:
        write(checks_text(rows, out.page))
    return 0
