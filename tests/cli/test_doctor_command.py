"""`vramctl doctor` as a user runs it: exit codes, documents, recordings, a text to share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vramctl.cli.main import main
from vramctl.show.schemas import schema

HOSTS = Path(__file__).parent.parent / "hosts"


def document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> dict[str, Any]:
    assert main(["doctor", *arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, schema(found["schema"].removeprefix("vramctl.").removesuffix("/1")))
    return found


@pytest.mark.parametrize(
    ("host", "status", "root", "code"),
    [
        ("cuda13-windows-null-error", "problem", "cuda13-windows-null-error", 1),
        ("driver-too-old-for-cuda", "problem", "driver-too-old-for-cuda", 1),
        ("pcie-link-degraded", "problem", "pcie-link-degraded", 0),
        ("healthy-linux", "ok", None, 0),
        ("healthy-cpu-laptop", "ok", None, 0),
    ],
)
def test_a_recording_is_diagnosed(
    host: str, status: str, root: str | None, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, "--replay", str(HOSTS / host), code=code)
    assert found["status"] == status
    assert found["root"] == (root if root else {"unknown": "nothing was found"})
    assert {check["state"] for check in found["checks"]} <= {"ok", "warn", "fail", "skipped", "unknown"}


def test_what_was_recorded_here_is_replayed_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--record", str(tmp_path / "report"), "--json"])
    live = json.loads(capsys.readouterr().out)
    replayed = document(capsys, "--replay", str(tmp_path / "report"), code=code)
    assert replayed["verdict"] == live["verdict"]
    assert [(c["id"], c["state"]) for c in replayed["checks"]] == [(c["id"], c["state"]) for c in live["checks"]]


def test_a_text_to_share_leaves_out_what_was_not_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--replay", str(HOSTS / "healthy-cpu-laptop"), "--share"]) == 0
    text = capsys.readouterr().out
    assert "doctor" in text.splitlines()[0]
    assert "not checked" not in text


def test_the_checks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "--list-checks", code=0)
    assert len(found["checks"]) >= 111
    assert main(["doctor", "--list-checks"]) == 0
    assert "offload-kqv-false" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--only", "no-such-check"], "usage"),
        (["--record", "a", "--replay", "b"], "usage"),
        (["--pid", "4194303"], "no-such-process"),
        (["--replay", "/nonexistent"], "not-a-recording"),
        (["--config", "/nonexistent.py"], "config-not-found"),
    ],
)
def test_wrong_usage_is_code_2(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["code"] in {error, "file-not-found"}


def test_a_given_configuration_is_audited_also_without_a_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sick = tmp_path / "agent.py"
    sick.write_text('from llama_cpp import Llama\nllm = Llama("m.gguf", n_gpu_layers=-1, offload_kqv=False)\n')
    main(["doctor", "--config", str(sick), "--json"])
    assert "offload-kqv-false" in [one["id"] for one in json.loads(capsys.readouterr().out)["findings"]]
    sick.write_text(
        'from llama_cpp import Llama\nllm = Llama("m.gguf", n_gpu_layers=-1, offload_kqv=True, flash_attn=True)\n'
    )
    main(["doctor", "--config", str(sick), "--json"])
    found = json.loads(capsys.readouterr().out)
    spoken = {one["id"]: one["what"] for one in found["findings"]}  # of this machine's own state too
    assert "offload-kqv-false" not in spoken
    assert "nothing to change" in spoken["config-audit"]


def test_an_interpreter_that_is_not_there_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for python, why in ((tmp_path / "python", "no such program"), (tmp_path, "it is a folder")):
        assert main(["doctor", "--python", str(python)]) == 2
        told = capsys.readouterr().err
        assert "no-such-interpreter" in told and why in " ".join(told.split())


def test_beside_a_warning_stands_what_could_not_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--replay", str(HOSTS / "amd-clocks-held"), "--engine", "exllamav2"]) == 0
    assert "unclear    exllamav2 was not found here" in capsys.readouterr().out
