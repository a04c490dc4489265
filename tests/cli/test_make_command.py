"""`vramctl make`: what it says, writes and refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from jsonschema import Draft202012Validator

from file_server import serving
from stand_in_models import small_model
from vramctl.cli.main import main
from vramctl.cli.make import _default_name
from vramctl.engines.stand_in_locks import hold_alone
from vramctl.records import Unknown
from vramctl.records.stand_in import Kept, Room, Shelf
from vramctl.show.bar import bar_text, format_seconds
from vramctl.show.make_text import room_text, shelf_text
from vramctl.show.page import Page
from vramctl.show.schemas import schema
from vramctl.units import GIB

MODEL = "shape:all-minilm-l6-v2@Q8_0"  # 25 MB


def names(folder: Path = Path()) -> list[str]:
    """What a folder holds."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VRAMCTL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_size_free_disk_and_time_are_said_before_the_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make", MODEL, "-o", "a.gguf"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("a.gguf: ")
    assert " free, about " in said.err
    assert "a stand-in of all-MiniLM-L6-v2" in said.out
    assert "Text is noise" in said.out
    assert "invented: weights and vocabulary" in said.out
    assert names() == ["a.gguf"]


def test_json_is_what_its_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make", MODEL, "--json", "--seed", "5"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema("make")).validate(document)
    file = Path(document["file"]["path"])
    assert file.name == "all-minilm-l6-v2-Q8_0.stand-in.gguf"
    assert document["file"]["file_bytes"] == file.stat().st_size
    assert document["seed"] == 5
    assert main(["make", str(file), "-o", "again.gguf", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["invented"] == ["weights"]
    assert again["tensors"] == document["tensors"]


def test_kept_stand_ins_are_listed_and_cleared(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from vramctl.engines.stand_in_cache import stand_in_file
    from vramctl.probes.models import look_model

    with stand_in_file(look_model(MODEL)) as file:
        size = file.file_bytes
    assert main(["make", "--list"]) == 0
    assert "all-MiniLM-L6-v2-Q8_0" in capsys.readouterr().out
    assert main(["make", "--clear", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema("make-list")).validate(document)
    assert [one["file_bytes"] for one in document["removed"]] == [size]
    assert (document["kept"], document["kept_bytes"]) == ([], 0)
    assert main(["make", "--list"]) == 0
    assert capsys.readouterr().out.startswith("No stand-ins are kept.")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "Missing argument 'MODEL'"),
        ([MODEL, "--list"], 2, "take no MODEL"),
        (["shape:nothing@Q4_K_M"], 2, "unknown-shape"),
        (["shape:llama3.1-405b@F32"], 1, "disk-too-small"),
        ([MODEL, "-o", "no/such/folder/a.gguf"], 2, "cannot-write"),
        ([MODEL, "-o", "/dev/null", "--force"], 2, "not-a-file"),
        ([MODEL, "-o", "."], 2, "not-a-file"),
        ([MODEL, "--seed", "-1"], 2, "usage"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["make", *arguments]) == code
    assert said in capsys.readouterr().err
    assert names() == []


def test_folders_of_safetensors_have_no_stand_in(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import struct

    folder = tmp_path / "hf"
    folder.mkdir()
    head = json.dumps(
        {"model.embed_tokens.weight": {"dtype": "F16", "shape": [8, 4], "data_offsets": [0, 64]}}
    ).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes(64))
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4, "num_hidden_layers": 1}
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["make", str(folder)]) == 2
    assert "stand-ins are GGUF only" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_leaves_nothing(ending: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vramctl", "make", "shape:llama3.2-1b@F16", "-o", "big.gguf"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    part = Path("big.gguf.part")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None and not (part.exists() and part.stat().st_size):
        time.sleep(0.001)
    process.send_signal(ending)
    out, err = process.communicate(timeout=30)
    if "disk-too-small" in err:
        pytest.skip("2.5 GB do not fit here")
    assert process.returncode == (130 if ending == signal.SIGINT else 143), err
    assert out == ""
    assert names() == []


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("shape:llama3.1-8b@Q4_K_M", "llama3.1-8b-Q4_K_M.stand-in.gguf"),
        ("https://host/a/b/Model-Q4.gguf?download=true", "Model-Q4.stand-in.gguf"),
        ("hf:org/repo/Model.Q4_K_M.gguf@main", "Model.Q4_K_M-main.stand-in.gguf"),
        ("ollama:qwen3:8b", "qwen3-8b.stand-in.gguf"),
        ("folder/model.GGUF", "model.stand-in.gguf"),
        ("folder/", "folder.stand-in.gguf"),
        (".", "model.stand-in.gguf"),
    ],
)
def test_the_file_s_name_follows_the_model_s(reference: str, name: str) -> None:
    assert _default_name(reference) == name


def test_a_bar_says_share_speed_and_what_is_left() -> None:
    text = bar_text(GIB, 4 * GIB, 2.0, Page(width=100, unicode=False))
    assert text == "#######....................... 25% of 4.00 GiB, 512.00 MiB/s, 6.0 s left".replace(" 25%", "  25%")
    assert len(bar_text(GIB, 4 * GIB, 2.0, Page(width=60))) < 60
    assert bar_text(0, 4 * GIB, 0.0, Page(unicode=False)).startswith(".")


def test_times_are_said_as_people_do() -> None:
    assert [format_seconds(x) for x in (0.25, 12.4, 125, 3720)] == ["0.2 s", "12 s", "2 min 5 s", "1 h 2 min"]


def test_an_unknown_speed_is_said() -> None:
    assert "how long is not known (no trial)" in room_text(Room("/x", 5, 9, Unknown("no trial")), "a.gguf")


def test_the_list_says_when_each_was_used_last() -> None:
    kept = (Kept("/c/a.gguf", GIB, 40.0, False), Kept("/c/b.gguf", GIB, 99.0, True))
    text = shelf_text(Shelf("/c", 4 * GIB, kept), Page(), now_seconds=1000.0)
    assert text.index("b.gguf") < text.index("a.gguf")
    assert "in use" in text
    assert "16 min 0 s ago" in text
    assert "2.00 GiB of at most 4.00 GiB" in text


def test_what_a_killed_writer_left_is_listed_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VRAMCTL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "stand-ins"
    folder.mkdir(parents=True)
    (folder / "left.gguf.part").write_bytes(bytes(3 << 20))
    with (folder / "busy.gguf.part").open("wb") as busy:
        hold_alone(busy.fileno(), waiting=lambda: pytest.fail("nobody holds it"))
        assert main(["make", "--list"]) == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert ["left.gguf.part", "3.00", "MiB", "unfinished"] in rows
        assert ["busy.gguf.part", "0", "B", "being", "written"] in rows
        assert main(["make", "--clear", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        jsonschema.validate(document, schema("make-list"))
        assert [Path(one["path"]).name for one in document["removed"]] == ["left.gguf.part"]
        assert [(Path(one["path"]).name, one["in_use"]) for one in document["unfinished"]] == [("busy.gguf.part", True)]
    assert document["kept"] == []


def test_of_a_remote_model_the_header_is_fetched_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    model = small_model("llama3.1-8b", "F32")
    whole = (model.header or b"") + os.urandom(model.file_bytes - len(model.header or b""))
    with serving({"model.gguf": whole}) as site:
        assert main(["make", site.url("/ok/model.gguf"), "--json"]) == 0
        assert site.sent < len(whole) / 4
    document = json.loads(capsys.readouterr().out)
    made = Path("model.stand-in.gguf").read_bytes()
    assert document["file"]["path"] == "model.stand-in.gguf"
    assert abs(len(made) - len(whole)) < 200
    assert made[-1000:] != whole[-1000:]
