"""Every recorded machine: the right first finding, and nothing on the healthy ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vramctl.checks.chain import all_checks
from vramctl.checks.modes import BY_ID
from vramctl.checks.runner import check_id
from vramctl.doctor import Asked, diagnose
from vramctl.records.diagnosis import CRASHED, OK, Diagnosis
from vramctl.world.machine import Recorded, World

HOSTS = Path(__file__).parent.parent / "hosts"
RECORDINGS = sorted(path.parent.name for path in HOSTS.glob("*/recording.json"))
DIAGNOSES: dict[str, Diagnosis] = {}


def diagnosed(name: str) -> Diagnosis:
    """What the doctor says of a recording; asked once."""
    if name not in DIAGNOSES:
        recorded = Recorded(str(HOSTS / name))
        asked = {key: tuple(value) if isinstance(value, list) else value for key, value in _asked(name).items()}
        DIAGNOSES[name] = diagnose(World(recorded), Asked(**asked))
    return DIAGNOSES[name]


def _asked(name: str) -> dict[str, object]:
    asked = _document(name).get("asked", {})
    assert isinstance(asked, dict)
    return asked


def _document(name: str) -> dict[str, object]:
    document = json.loads((HOSTS / name / "recording.json").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_gives_its_findings_and_no_others(name: str) -> None:
    expected = _document(name)["expect"]
    found = diagnosed(name)
    assert [one.id for one in found.findings if one.severity != "info"] == expected, found.verdict
    assert [checked for checked in found.checks if checked.state == CRASHED] == []
    if expected:
        assert found.root is not None
        assert found.status == "problem"
        assert found.verdict == found.root.what


@pytest.mark.parametrize("check", [check_id(check) for _, check in all_checks()])
def test_every_check_speaks_on_a_recording(check: str) -> None:
    speaking = [name for name in RECORDINGS if any(one.id == check for one in diagnosed(name).findings)]
    assert speaking, f"no recording in tests/hosts makes {check} speak"


@pytest.mark.parametrize("check", [check_id(check) for _, check in all_checks()])
def test_every_check_is_silent_on_a_recording_that_it_looked_at(check: str) -> None:
    silent = [name for name in RECORDINGS if _state(name, check) == OK]
    assert silent, f"no recording in tests/hosts is looked at by {check} and found fine"


def _state(name: str, check: str) -> str:
    return next(checked.state for checked in diagnosed(name).checks if checked.id == check)


@pytest.mark.parametrize("check", [check for _, check in all_checks()], ids=check_id)
def test_every_check_is_explained(check: object) -> None:
    doc = (check.__doc__ or "").strip()
    assert check_id(check) in BY_ID, "a failure mode with what to do about it"
    assert len(doc.splitlines()) >= 5
    for part in ("Why it matters:", "How it is seen:", "How sure:"):
        assert part in doc


def test_ids_are_unique() -> None:
    names = [check_id(check) for _, check in all_checks()]
    assert len(names) == len(set(names))


def test_a_process_that_was_killed_long_ago_is_a_remark() -> None:
    found = [one for one in diagnosed("host-oom-kill-long-ago").findings if one.id == "host-oom-kill"]
    assert [(one.severity, one.what) for one in found] == [
        ("info", "A process was killed on this machine for lack of memory, 2 days ago.")
    ]
