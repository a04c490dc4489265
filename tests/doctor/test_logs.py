"""A log beside the machine: what it shows stands under the same checks, and a long one is read in part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vramctl.checks.runner import LOG_LAYER, Layer, run_checks
from vramctl.doctor import Asked, diagnose
from vramctl.doctor.facts import MachineFacts
from vramctl.doctor.looks import LOOKS
from vramctl.probes import doctor_log
from vramctl.records.diagnosis import FAIL, OK, SKIPPED, UNKNOWN, Checked
from vramctl.records.finding import Finding
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import Recorded, Recording, World


class Facts:
    """Facts that are there from the beginning."""

    def __init__(self, **known: Any) -> None:
        self._known = known

    def fact(self, name: str) -> Any:
        return self._known.get(name, Unknown(f"no {name}"))


def driver_broken(driver: str) -> Iterator[Finding]:
    yield Finding("error", f"driver {driver}", (), "")


def layers_missing(calls: tuple[str, ...]) -> Iterator[Finding]:
    yield from (Finding("error", f"config {call}", (), "") for call in calls)


DRIVER, CONFIG = Layer("driver", (driver_broken,)), Layer("config", (layers_missing,))
SHOWN = Finding("error", "the log shows it", (), "", id="layers-missing", title="Layers")
CRASH = Finding("warning", "it crashed", (), "", id="engine-crash", title="Crash")


def run(*layers: Layer, **facts: Any) -> dict[str, Checked]:
    done = run_checks(layers, Facts(**facts), titles={}, explained_by={})
    return {checked.id: checked for checked in done}


def test_what_a_log_shows_is_the_finding_of_the_check_of_that_id() -> None:
    found = run(CONFIG, calls=Absent("none"), log_findings=(SHOWN,), log_given=True)["layers-missing"]
    assert (found.state, found.findings[0].what) == (FAIL, "the log shows it")


def test_a_check_that_spoke_itself_is_not_told_twice() -> None:
    found = run(CONFIG, calls=("x",), log_findings=(SHOWN,), log_given=True)["layers-missing"]
    assert [one.what for one in found.findings] == ["config x"]


def test_a_given_log_counts_behind_a_blocker_and_the_services_own_does_not() -> None:
    for given, state in ((True, FAIL), (False, SKIPPED)):
        found = run(DRIVER, CONFIG, driver="old", calls=("x",), log_findings=(SHOWN,), log_given=given)
        assert found["layers-missing"].state == state


def test_what_no_check_looks_for_stands_in_a_layer_of_its_own() -> None:
    found = run(CONFIG, calls=(), log_findings=(CRASH,), log_given=True)["engine-crash"]
    assert (found.layer, found.title) == (LOG_LAYER, "Crash")


def test_remarks_of_a_log_are_left_out() -> None:
    remark = Finding("info", "by the way", (), "", id="engine-crash", title="Crash")
    assert "engine-crash" not in run(CONFIG, calls=(), log_findings=(remark,), log_given=True)


def test_without_a_log_checks_are_as_they_were() -> None:
    assert run(CONFIG, calls=Absent("none"), log_findings=Absent("no log"))["layers-missing"].state == SKIPPED
    assert run(CONFIG, calls=Unknown("unreadable"))["layers-missing"].state == UNKNOWN
    assert run(CONFIG, calls=("",) * 0, log_findings=())["layers-missing"].state in {OK, SKIPPED}


def test_a_log_that_cannot_be_read_is_no_clean_bill(tmp_path: Path) -> None:
    found = diagnose(World(), Asked(log=str(tmp_path / "missing.log"), only=("ollama-load-timeout",)))
    assert found.checks[0].state == UNKNOWN


def test_of_a_very_long_log_beginning_and_end_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_log, "HEAD_BYTES", 400)
    monkeypatch.setattr(doctor_log, "TAIL_BYTES", 600)
    path = tmp_path / "server.log"
    path.write_text("".join(f"line {number:04}\n" for number in range(500)), encoding="utf-8")
    answer = doctor_log._bounded(str(path))
    lines = answer["text"].split()
    assert answer["cut"] is True
    assert len(answer["text"]) <= 1000
    assert "0000" in lines
    assert "0499" in lines
    assert "0250" not in lines


def test_a_replay_asks_what_the_recording_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app.py").write_text('Llama("m.gguf", n_threads=100000)\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    asked, recording = Asked(configs=("app.py",), only=("batch-too-small", "config-audit")), Recording()
    before = diagnose(World(recording), asked)
    recording.save(str(tmp_path / "report"), version="1", asked=asked.to_record())
    (tmp_path / "app.py").unlink()
    recorded = Recorded(str(tmp_path / "report"))
    again = Asked(only=asked.only).as_recorded(recorded.document["asked"])
    assert again.configs == ("app.py",)
    assert diagnose(World(recorded), again).checks == before.checks


def test_a_log_without_an_engines_line_and_a_pipe_that_nobody_writes_are_no_clean_bill(tmp_path: Path) -> None:
    other = tmp_path / "other.log"
    other.write_text("nothing of interest\n" * 50, encoding="utf-8")
    facts = MachineFacts(World(), Asked(log=str(other)), LOOKS)
    assert facts.fact("log") == Unknown(f"{other} holds no line of an engine that is known")
    pipe = tmp_path / "pipe.log"
    os.mkfifo(pipe)
    assert isinstance(MachineFacts(World(), Asked(log=str(pipe)), LOOKS).fact("log"), Unknown)
