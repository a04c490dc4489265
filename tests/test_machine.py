"""Questions to a machine: live, recorded, replayed; and what must not leave it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from vramctl.errors import BadInput
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import Recorded, Recording, World
from vramctl.world.programs import Ran
from vramctl.world.redact import Redactor


def test_what_was_recorded_is_what_is_replayed(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("driver 580")
    recording = Recording()

    def questions(world: World) -> list[object]:
        return [
            world.text(str(tmp_path / "notes")),
            world.text(str(tmp_path / "missing")),
            world.text(str(tmp_path)),
            world.names(str(tmp_path)),
            world.exists(str(tmp_path / "missing")),
            world.run(sys.executable, "-c", "print(40 + 2)"),
            world.run("no-such-program-anywhere"),
            world.ask("nvml", lambda: {"gpus": [1, 2]}),
        ]

    live = questions(World(recording))
    assert live[0] == "driver 580"
    assert live[1] == Absent("no such file")
    assert isinstance(live[2], Unknown)
    assert live[3] == ("notes",)
    assert live[4] is False
    assert live[5] == Ran(0, "42\n", "", False)
    assert isinstance(live[6], Absent)
    assert live[7] == {"gpus": [1, 2]}
    recording.save(str(tmp_path / "report"), version="1", note="")
    assert questions(World(Recorded(str(tmp_path / "report")))) == live


def test_what_nobody_asked_is_unknown_in_a_recording(tmp_path: Path) -> None:
    Recording().save(str(tmp_path), version="1")
    world = World(Recorded(str(tmp_path)))
    assert world.text("/proc/version") == Unknown("not in this recording")
    assert world.environ() == {}


def test_recordings_stand_on_each_other(tmp_path: Path) -> None:
    def write(folder: str, name: str = "recording.json", **document: object) -> None:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(json.dumps({"schema": "vramctl.recording/1", **document}))

    write("base", answers={"file /a": "1", "file /b": "2", "file /c": "3"})
    write("base", "recording.more.json", answers={"file /d": "4"})
    write("sick", like="../base", answers={"file /b": "9", "file /c": None})
    world = World(Recorded(str(tmp_path / "sick")))
    found = [world.text(f"/{name}") for name in "abcd"]
    assert found == ["1", "9", Unknown("not in this recording"), "4"]
    write("loop", like="../loop", answers={})
    with pytest.raises(BadInput):
        Recorded(str(tmp_path / "loop"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": "other", "answers": {}}', '{"schema": "vramctl.recording/1"}', "[" * 9999]
)
def test_what_is_no_recording_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "recording.json").write_text(text)
    with pytest.raises(BadInput) as raised:
        Recorded(str(tmp_path))
    assert raised.value.code == "not-a-recording"


def test_answers_of_another_form_are_unknown(tmp_path: Path) -> None:
    answers = {"file /a": 7, "list /a": "x", "stat /a": [], "run a": {"code": "0"}, "environ": "x"}
    (tmp_path / "recording.json").write_text(json.dumps({"schema": "vramctl.recording/1", "answers": answers}))
    world = World(Recorded(str(tmp_path)))
    assert all(
        isinstance(found, Unknown)
        for found in (world.text("/a"), world.names("/a"), world.status("/a"), world.run("a"))
    )
    assert world.environ() == {}


def test_names_keys_and_serials_do_not_leave_the_machine() -> None:
    redactor = Redactor(user="marie", home="/home/marie", host="atelier7")
    text = (
        "/home/marie/models on atelier7 by marie; OPENAI_API_KEY=sk-abcdefghijk HF_TOKEN: hf_qwertyuiop serial: 1322\n"
        "http://marie:pw@atelier7:8080 --api-key 12345 GPU-72c48c23-32a4-2e54-95c9-99bb82483caa marielle"
    )
    shared = redactor.text(text)
    for secret in ("/home/marie", "atelier7", "sk-abc", "hf_qwe", "1322", ":pw@", "12345", "72c48c23"):
        assert secret not in shared
    assert "marielle" in shared
    assert redactor.text("eos_token_id = 2, n_tokens = 512") == "eos_token_id = 2, n_tokens = 512"
    kept = redactor.value(
        "environ", {"CUDA_VISIBLE_DEVICES": "0", "OLLAMA_API_KEY": "x1", "BANK": "1", "PATH": "/home/marie/bin"}
    )
    assert kept == {"CUDA_VISIBLE_DEVICES": "0", "OLLAMA_API_KEY": "***", "PATH": "/home/user/bin"}


def test_the_same_gpu_keeps_the_same_name() -> None:
    redactor = Redactor()
    one, two = "GPU-72c48c23-32a4-2e54-95c9-99bb82483caa", "GPU-82c48c23-32a4-2e54-95c9-99bb82483caa"
    assert redactor.text(f"{one} {two} {one}").split()[0::2] == ["GPU-00000000-0000-0000-0000-000000000001"] * 2


PLANTED = """
db_password=hunter2
PG_PASS=12345
openai_api_key = "sk-blah"
api_key: 90871265
admin_key: qwer1234
Authorization: Bearer eyJabc.def
--hf-token X99999
hf_token="hhhhhh"
'--api-key', 'XYZ12'
https://token123@host/x
https://hooks.slack.com/services/T0/B0/abc
192.168.1.77 aa:bb:cc:dd:ee:ff
C:\\Users\\Maria Keller\\venv\\x
"""
HARMLESS = """
eos_token_id = 2, n_tokens = 512
print_info: EOS token        = 128001 '<|end_of_text|>'
attention.key_length u32 = 128
n_key: 12345
cache token to piece size = 0.7999 MB
token_embd.weight: q4_K
libcuda.so.1 => 127.0.0.1:11434
"""


def test_planted_secrets_of_all_forms_are_gone_and_an_engines_words_stay() -> None:
    redactor = Redactor()
    shared = redactor.text(PLANTED)
    for secret in (
        "hunter2", "12345", "sk-blah", "90871265", "qwer1234", "eyJabc", "X99999", "hhhhhh", "XYZ12", "token123", "T0/B0",
        "1.77", "aa:bb", "Maria", "Keller",
    ):  # fmt: skip
        assert secret not in shared, secret
    assert redactor.text(HARMLESS) == HARMLESS
    assert redactor.value("x", {"eos": "</s>", "tokenizer": "x", "hf_token": "y", "API_KEY": "z"}) == {
        "eos": "</s>", "tokenizer": "x", "hf_token": "***", "API_KEY": "***",
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_as_windows_programs_write_it(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.env").write_text("N_CTX=4096 ü", encoding=encoding)
    assert World().text(str(tmp_path / "a.env")) == "N_CTX=4096 ü"


def test_a_question_that_takes_long_is_announced_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vramctl.world.machine.SLOW_SECONDS", 0.01)
    told: list[str] = []
    world = World(on_wait=told.append)
    world.ask("slow one", lambda: time.sleep(0.2) or 1)
    world.ask("quick one", lambda: 1)
    time.sleep(0.05)
    assert told == ["slow one"]


def test_a_recording_that_is_like_a_number_is_like_nothing(tmp_path: Path) -> None:
    (tmp_path / "recording.json").write_text('{"schema": "vramctl.recording/1", "like": 5, "answers": {"a": 1}}')
    assert Recorded(str(tmp_path)).answer("a", lambda: None) == 1
