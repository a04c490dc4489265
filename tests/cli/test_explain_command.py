"""`vramctl explain`: sources in, answer and exit code out."""

from __future__ import annotations

import json
import sys
from io import BufferedReader, BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from log_cases import CASES, HEALTHY
from vramctl.cli.main import main
from vramctl.show.schemas import schema


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "healthy.log").write_text(HEALTHY)
    (tmp_path / "fault.log").write_text(CASES["xid-errors"])
    (tmp_path / "other.log").write_text("hello\nworld\n")
    return tmp_path


def test_a_healthy_log_ends_with_0(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(logs / "healthy.log")]) == 0
    assert capsys.readouterr().out.startswith("Healthy")


def test_an_error_ends_with_1_and_an_unknown_program_with_3(logs: Path) -> None:
    assert main(["explain", str(logs / "fault.log")]) == 1
    assert main(["explain", str(logs / "other.log")]) == 3


def test_a_file_that_is_not_there_is_wrong_usage(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(logs / "none.log")]) == 2
    assert "fix" in capsys.readouterr().err


def test_json_of_one_log_follows_the_contract(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(logs / "fault.log"), "--json", "--events"]) == 1
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema("explain")).validate(document)
    assert document["findings"][0]["id"] == "xid-errors"
    assert document["source"]["bytes"] == len(CASES["xid-errors"])
    assert document["events"][0]["line"] == 1


def test_a_glob_of_logs_is_one_document(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(logs / "*.log"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "vramctl.explain-list/1"
    assert len(document["logs"]) == 3


def test_standard_input_is_a_source(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BufferedReader(BytesIO(HEALTHY.encode()))))
    assert main(["explain", "-"]) == 0
    assert "33/33 layers" in capsys.readouterr().out


def test_events_go_to_a_file(logs: Path) -> None:
    target = logs / "events.jsonl"
    assert main(["explain", str(logs / "healthy.log"), "--to", str(target)]) == 0
    kinds = [json.loads(line)["kind"] for line in target.read_text().splitlines()]
    assert "layers.offloaded" in kinds


def test_following_takes_one_source(logs: Path) -> None:
    assert main(["explain", str(logs / "healthy.log"), str(logs / "fault.log"), "--follow"]) == 2


def test_json_says_what_would_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = Path(__file__).parents[2] / "docs" / "examples" / "llama-cpp-context-too-long.log"
    assert main(["explain", str(log), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema("explain")).validate(document)
    found = document["loads"][0]["what_fits"]
    assert found["witness"].startswith("formula of llama.cpp")
    assert all(change["used_bytes"] <= change["budget_bytes"] for change in found["changes"])


def test_text_names_the_option_and_the_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    log = Path(__file__).parents[2] / "docs" / "examples" / "llama-cpp-context-too-long.log"
    assert main(["explain", str(log)]) == 1
    assert "`-fa on` (flash attention): 8.3 of 9.9 GiB" in " ".join(capsys.readouterr().out.split())
