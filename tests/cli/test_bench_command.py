"""bench and verify as a user runs them, with a real engine and a tiny model on the processor."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vramctl.cli.main import main
from vramctl.show.schemas import schema

sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))
from small_llama import small_llama

pytestmark = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no engine is installed")
QUICK = ["--threads", "1", "--prompt", "32", "--generate", "8", "--seconds", "1", "--rounds", "2"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "small.gguf"
    small_llama(path)
    return str(path)


def document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    name = found["schema"].removeprefix("vramctl.").removesuffix("/1")
    jsonschema.validate(found, schema(name))
    return found


def test_bench_measures_a_real_model(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "bench", model, *QUICK, code=0)
    row = found["rows"][0]
    assert row["decode_tokens_per_second"]["median"] > 0
    assert len(row["decode_tokens_per_second"]["samples"]) in {1, 2}
    assert row["placement"]["devices"] == []
    assert "unknown" in row["limit"]["share"]  # two megabytes a token: caches hold that
    assert not found["stand_in"]


def test_smoke_writes_its_report_and_a_floor_fails(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", model, "--smoke", *QUICK, "--floor", "1e9", "--html", "out/r.html", "--save", "b.json"]) == 1
    assert "the floor is 1e+09" in capsys.readouterr().err
    assert json.loads((tmp_path / "reports/perf_gpu_smoke.json").read_text())["schema"] == "vramctl.bench/1"
    assert "<svg" in (tmp_path / "out/r.html").read_text()
    found = document(
        capsys, "bench", "compare", "b.json", "reports/perf_gpu_smoke.json", "--html", "out/changes.html", code=0
    )
    assert "Nothing is provably worse." in (tmp_path / "out/changes.html").read_text()
    assert {one["ratio"] for one in found["ratios"]} == {1.0}
    assert {one["verdict"] for one in found["ratios"]} == {"unclear"}


def test_a_picture_is_written_beside_the_answer(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PIL")
    picture = tmp_path / "new" / "r.png"
    document(capsys, "bench", model, *QUICK, "--png", str(picture), code=0)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("option", ["--save", "--html", "--png"])
@pytest.mark.parametrize("file", ["folder", "plain/r.png"])
def test_a_file_that_cannot_be_written_is_said_before_anything_is_measured(
    option: str,
    file: str,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").touch()
    monkeypatch.setattr("vramctl.cli.bench._run", lambda *_: pytest.fail("it was measured"))
    assert main(["bench", model, option, str(tmp_path / file), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["code"] == "cannot-write"


def test_a_missing_library_is_said_before_anything_is_measured(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setattr("vramctl.cli.bench._run", lambda *_: pytest.fail("it was measured"))
    assert main(["bench", model, "--png", str(tmp_path / "r.png"), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["code"] == "png-needs-pillow" and "vramctl[png]" in found["fix"]


def test_an_answer_is_not_lost_where_a_file_cannot_be_written_after_all(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("vramctl.cli.bench_report._unwritable", lambda _: "")
    assert main(["bench", model, *QUICK, "--html", str(tmp_path / "folder"), "--json"]) == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["rows"]
    assert "cannot be written" in printed.err


def test_context_lengths_are_rows(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "bench", model, *QUICK, "--long-context", "64,128", code=0)
    assert [(row["name"], row["depth"]) for row in found["rows"]] == [("64 tokens, CPU", 32), ("128 tokens, CPU", 96)]


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["MODEL", "--ctx", "64", "--prompt", "128"], 2, "context-too-short"),
        (["MODEL", "--layers", "0,8"], 2, "no-gpu-here"),
        (["compare", "nope.json", "nope.json"], 2, "file-not-found"),
        (["MODEL", "--against", "MODEL"], 2, "not-a-bench"),
        (["MODEL", "--layers", ","], 2, "usage"),
        (["compare", "nope.json", "nope.json", "--png", "nope.png"], 2, "usage"),
        (["MODEL", "--engine", "ollama"], 2, "engine-not-run-here"),
        (["MODEL", "--draft", "MODEL"], 2, "second-model-not-run"),
    ],
)
def test_what_cannot_be_measured_says_why(
    model: str,
    arguments: list[str],
    code: int,
    error: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "vramctl.planning.ready.look_gpus", lambda: __import__("vramctl.records").records.Unknown("not found")
    )
    found = [model if part == "MODEL" else part for part in arguments]
    assert main(["bench", *found, "--json"]) == code
    assert json.loads(capsys.readouterr().out)["code"] == error


def test_verify_says_that_it_runs_on_the_processor(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "verify", model, "--ctx", "512", code=1)
    assert found["verdict"] == "cpu-only"
    assert found["planned"]["host"]["kv_bytes"] == found["reported"]["host"]["kv_bytes"] > 0
    assert found["planned"]["host"]["weights_bytes"] == found["reported"]["host"]["weights_bytes"]
    assert "unknown" in found["observed"]
    assert main(["verify", model, "--ctx", "512", "--ngl", "0"]) == 1
    assert "n_gpu_layers is 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "error"), [("--engine", "engine-not-run-here"), ("--mmproj", "second-model-not-run")]
)
def test_verify_refuses_what_it_would_only_plan(
    option: str, error: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", model, option, "ollama" if option == "--engine" else model, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["code"] == error


def test_requests_at_a_time_go_through_a_server(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--threads", "1", "--parallel", "1,2", "--prompt", "16", "--generate", "8", "--rounds", "1"]
    found = document(capsys, "bench", model, *arguments, code=0)
    assert [row["parallel"] for row in found["rows"]] == [1, 2]
    assert all(row["throughput_tokens_per_second"]["median"] > 0 for row in found["rows"])
    assert len(found["rows"][1]["ttft_seconds"]["samples"]) == 2


def test_an_address_where_nobody_answers_could_not_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "http://127.0.0.1:9", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["code"] == "no-server"


def _slower(saved: dict[str, Any], *, valid: bool) -> str:
    """A saved run with half the speed and twelve even samples."""
    found = json.loads(json.dumps(saved)) | {"valid": valid, "invalid_because": [] if valid else ["contended: test"]}
    found["rows"][0]["decode_tokens_per_second"] = {
        "median": 50.0,
        "ci95": [49.9, 50.1],
        "samples": [50.0] * 12,
        "unit": "t/s",
    }
    return json.dumps(found)


def test_a_regression_counts_only_between_runs_that_count(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    saved = document(capsys, "bench", model, *QUICK, code=0)
    saved["rows"][0]["decode_tokens_per_second"] |= {"median": 100.0, "ci95": [99.0, 101.0]}
    saved |= {"valid": True, "invalid_because": []}
    Path("before.json").write_text(json.dumps(saved))
    for valid, code in ((True, 1), (False, 3)):
        Path("after.json").write_text(_slower(saved, valid=valid))
        assert main(["bench", "compare", "before.json", "after.json"]) == code
        assert "1 of" in capsys.readouterr().out
    Path("after.json").write_text(_slower(saved, valid=True).replace("llama", "x").replace("EPYC", "Ryzen"))
    main(["bench", "compare", "before.json", "after.json"])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80


def test_json_is_alone_on_stdout_beside_a_comparison(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", model, *QUICK, "--save", "a.json", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("**")
    assert main(["bench", model, *QUICK, "--against", "a.json", "--json"]) in {0, 1, 3}
    shown = capsys.readouterr()
    assert json.loads(shown.out)["schema"] == "vramctl.bench/1"
    assert "95 % interval" in shown.err
    assert main(["bench", model, *QUICK[:-2], "--rounds", "1", "--prompt", "16", "--against", "a.json"]) == 3
    assert "no row in common" in capsys.readouterr().err


def test_invented_weights_are_said_to_be_and_real_ones_are_not(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = str(tmp_path / "made.gguf")
    assert main(["make", model, "-o", made]) == 0
    capsys.readouterr()
    store = tmp_path / "store"
    blob, manifest = (
        store / "blobs" / ("sha256-" + "0" * 64),
        store / "manifests/registry.ollama.ai/library/tiny/latest",
    )
    blob.parent.mkdir(parents=True)
    manifest.parent.mkdir(parents=True)
    blob.write_bytes(Path(model).read_bytes())
    layer = {
        "mediaType": "application/vnd.ollama.image.model",
        "digest": "sha256:" + "0" * 64,
        "size": blob.stat().st_size,
    }
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))
    monkeypatch.setenv("OLLAMA_MODELS", str(store))
    for reference, invented in ((model, False), (made, True), ("ollama:tiny", False)):
        assert document(capsys, "bench", reference, *QUICK, code=0)["stand_in"] is invented, reference
        asked = ["--for", "llama-server", "--ctx", "512"]
        assert document(capsys, "verify", reference, *asked, code=1)["stand_in"] is invented, reference


@pytest.fixture
def static_build(tmp_path: Path) -> str:
    """A folder with a llama-server that has everything inside and knows few options: an imitation."""
    imitation = Path(__file__).parent.parent / "engines" / "imitation_server.py"
    program = tmp_path / "static" / "bin" / "llama-server"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{imitation}" "$@"\n')
    program.chmod(0o755)
    return str(tmp_path / "static")


@pytest.mark.parametrize("asked", [[], ["--parallel", "1,2"]])
def test_a_build_without_libraries_runs_through_its_server(
    model: str, static_build: str, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--prompt", "32", "--generate", "16", "--seconds", "1", "--rounds", "1"]
    options = ["--engine-path", static_build, "--threads", "1", "--kv-type", "q8_0,f16", *sizes, *asked]
    found = document(capsys, "bench", model, *options, code=0)
    assert found["engine"] == "llama-server (b11434-imitation)"
    assert found["rows"][0]["decode_tokens_per_second"]["median"] > 0
    assert "through a server: HTTP and sampling are in these figures" in found["notes"]
    (note,) = [note for note in found["notes"] if note.startswith("not passed on to llama-server")]
    assert note.endswith(": type_k, type_v")


def test_verify_says_what_was_not_passed_on(model: str, static_build: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--engine-path", static_build, "--ctx", "512", "--threads", "1", "--kv-type", "q8_0,f16"]
    found = document(capsys, "verify", model, *options, code=1)
    assert found["engine"] == "llama-server (b11434-imitation)"
    assert found["notes"][0] == "not passed on to llama-server, whose own defaults hold: type_k, type_v"
    assert main(["verify", model, *options]) == 1
    assert "not passed on to llama-server" in capsys.readouterr().out


def test_the_library_s_own_version_is_in_the_engine_s_name(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["bench", model, *QUICK], ["verify", model, "--ctx", "512"]):
        main([*command, "--json"])
        assert "(ggml 0." in json.loads(capsys.readouterr().out)["engine"]
