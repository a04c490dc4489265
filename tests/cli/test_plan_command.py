"""`vramctl plan` from arguments to output, with the formulas as witness: no engine is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from vramctl.cli.main import main
from vramctl.show.schemas import schema

SMALL = ("plan", "shape:llama3.2-1b@Q4_K_M", "--witness", "formula", "--ram", "32GiB")


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def document_of(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """What --json prints, valid by the schema it names, with nothing on stderr."""
    assert main([*arguments, "--json"]) == code
    captured = capsys.readouterr()
    assert captured.err == ""
    document: dict[str, Any] = json.loads(captured.out)
    name = document["schema"].removeprefix("vramctl.").removesuffix("/1")
    Draft202012Validator(schema(name)).validate(document)
    return document


def test_a_plan_that_fits_is_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--gpu", "RTX 3060", "--ctx", "8k"]) == 0
    captured = capsys.readouterr()
    assert "fits on RTX 3060: all 17 layers, 8192 tokens of context" in captured.out
    assert "asked      --ctx 8192" in captured.out
    assert "\nwitness    formula (" in captured.out
    assert captured.err == ""
    assert max(map(len, captured.out.splitlines())) <= 80


def test_a_plan_that_does_not_fit_is_code_1_and_still_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    document = document_of(capsys, *SMALL, "--gpu", "1GiB", "--ngl", "all", "--ctx", "128k", code=1)
    assert document["fits"] is False
    assert document["settings"]["n_ctx"] == {"value": 131072, "origin": "asked"}
    assert document["advice"]


def test_json_says_what_was_asked_and_what_was_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    document = document_of(capsys, *SMALL, "--gpu", "12GiB", "--kv-type", "q8_0", "--ctx", "4k")
    assert document["settings"]["type_k"] == {"value": "q8_0", "origin": "asked"}
    assert document["settings"]["n_gpu_layers"]["origin"] == "chosen"
    assert document["witness"]["kind"] == "formula"
    assert document["layers_on_gpu"] == document["layers_total"] == 17


def test_several_contexts_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    document = document_of(capsys, *SMALL, "--gpu", "12GiB", "--ctx", "4k,8k")
    assert document["schema"] == "vramctl.plan-table/1"
    assert [plan["settings"]["n_ctx"]["value"] for plan in document["plans"]] == [4096, 8192]
    assert main([*SMALL, "--gpu", "12GiB", "--ctx", "4k,8k"]) == 0
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["4096", "17/17"] in rows
    assert ["8192", "17/17"] in rows


def test_each_gpu_is_a_row_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (*SMALL, "--gpu", "RTX 3060", "--gpu", "RTX 4090", "--each-gpu", "--ctx", "4k")
    document = document_of(capsys, *arguments)
    assert [len(plan["devices"]) for plan in document["plans"]] == [1, 1]
    assert main(list(arguments)) == 0
    assert "RTX 4090 " in capsys.readouterr().out


def test_several_gpus_are_one_machine(capsys: pytest.CaptureFixture[str]) -> None:
    document = document_of(capsys, *SMALL, "--gpu", "8GiB", "--gpu", "8GiB", "--ctx", "4k")
    assert [device["name"] for device in document["devices"]] == ["CUDA0", "CUDA1"]


def test_a_table_is_code_0_as_long_as_one_row_fits(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*SMALL, "--gpu", "2GiB", "--ngl", "all", "--ctx", "1k,128k"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert " yes" in out
    assert " no" in out


def test_no_gpu_is_a_plan_for_the_processor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--gpu", "none", "--ctx", "4k"]) == 0
    assert "fits on the CPU" in capsys.readouterr().out


def test_emit_prints_the_configuration_and_talks_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--gpu", "12GiB", "--ctx", "4k", "--emit", "llama-server"]) == 0
    captured = capsys.readouterr()
    assert "llama-server \\\n" in captured.out
    assert captured.out.endswith("\n")
    assert "fits on" in captured.err


def test_emit_plans_for_the_program_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--gpu", "12GiB", "--ctx", "4k", "--emit", "llama-cpp-python"]) == 0
    assert "Planned for" not in capsys.readouterr().out


def test_output_takes_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.sh"
    assert main([*SMALL, "--gpu", "12GiB", "--ctx", "4k", "--emit", "llama-server", "-o", str(file)]) == 0
    assert capsys.readouterr().out == ""
    assert "llama-server" in file.read_text(encoding="utf-8")


def test_output_that_cannot_be_written_is_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--gpu", "12GiB", "--ctx", "4k", "-o", str(tmp_path / "no" / "file")]) == 2
    assert "error: cannot-write" in capsys.readouterr().err


def test_verbose_talks_on_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--gpu", "12GiB", "--ctx", "4k", "-v", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["fits"] is True
    assert captured.err.startswith("vramctl: ")


def test_a_model_that_is_not_there_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert document_of(capsys, "plan", "no-such-file.gguf", "--gpu", "8GiB", code=2)["schema"] == "vramctl.error/1"


def test_a_gpu_that_is_not_known_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert document_of(capsys, *SMALL, "--gpu", "RTX 9999", code=2)["code"] == "unknown-gpu"


@pytest.mark.parametrize("share", ["nan", "0", "1.5", "inf"])
def test_a_share_that_is_none_is_wrong_usage(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--gpu", "RTX 3060", "--utilization", share]) == 2
    assert "--utilization" in capsys.readouterr().err


def test_a_version_for_a_program_that_has_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--gpu", "RTX 3060", "--engine-version", "0.12.10"]) == 2
    assert "add --for ollama" in capsys.readouterr().err


def test_more_experts_than_layers_are_those_of_all_layers(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "shape:gpt-oss-20b@MXFP4_MOE", "--witness", "formula", "--gpu", "8GiB", "--n-cpu-moe", "99"]
    assert main([*arguments, "--ctx", "4k"]) == 0
    assert "(experts of the first 24 in system memory)" in " ".join(capsys.readouterr().out.split())


def test_no_claim_of_exactness_stands_in_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--gpu", "2x RTX 3090", "--split", "row"]) == 3
    error = capsys.readouterr().err
    assert "no formula for split mode row" in error
    assert "equal to real" not in error


def test_a_draft_model_that_is_too_large_is_what_to_change(capsys: pytest.CaptureFixture[str]) -> None:
    draft = ["--draft", "shape:llama3.1-70b@Q4_K_M"]
    document = document_of(capsys, *SMALL, "--gpu", "RTX 3060", "--ctx", "4k", *draft, code=1)
    assert "--draft" in document["advice"][0]["fix"]


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("shape:qwen3-8", "There is no built-in shape 'qwen3-8'."),
        ("shape:qwen3-8b", "For example: shape:qwen3-8b@Q4_K_M"),
        ("shape:@Q4_K_M", "For example: shape:llama3.1-8b@Q4_K_M"),
    ],
)
def test_a_shape_that_is_not_whole_gets_an_example_that_exists(
    capsys: pytest.CaptureFixture[str], reference: str, told: str
) -> None:
    assert main(["plan", reference, "--gpu", "8GiB"]) == 2
    assert told in capsys.readouterr().err
