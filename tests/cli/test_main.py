"""The frame of all commands: what is printed where, and which code the program ends with."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from jsonschema import Draft202012Validator

from vramctl import __version__
from vramctl.cli.group import COMMANDS
from vramctl.cli.main import cli, main
from vramctl.errors import CouldNotTell
from vramctl.show.schemas import NAMES, schema

VRAMCTL = (sys.executable, "-m", "vramctl")


@pytest.fixture
def failing() -> Iterator[str]:
    """A command that fails as its argument says."""

    @click.command("fail")
    @click.argument("how")
    @click.option("--json", is_flag=True)
    @click.option("--debug", is_flag=True)
    def fail(how: str, json: bool, debug: bool) -> int:
        if how == "interrupted":
            raise KeyboardInterrupt
        if how == "unknown":
            raise CouldNotTell("no-witness", "No witness answered.", because=("none is here",), fix="Install one.")
        raise RuntimeError("surprise\nsecond line")

    cli.add_command(fail)
    yield "fail"
    del cli.commands["fail"]


def error_of(out: str) -> dict[str, object]:
    """The one document on stdout, valid by its schema."""
    document = json.loads(out)
    Draft202012Validator(schema("error")).validate(document)
    assert isinstance(document, dict)
    return document


def test_help_names_every_command_and_what_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name}" in out for name, _, _ in COMMANDS)
    assert "Exit codes: 0 fine" in out


def test_no_command_at_all_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vramctl {__version__}\n"


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage: vramctl" in out
    assert name == "schema" or "vramctl " in out.split("Options")[-1] or "vramctl " in out.split("Answer")[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pln"], "Did you mean 'plan'?"),
        (["plan"], "Missing argument 'MODEL'"),
        (["plan", "x", "--no-such"], "No such option"),
        (["plan", "x", "--ctx", "0"], "not between 1 and"),
        (["plan", "x", "--ctx", "4k,many"], "not a number of tokens"),
        (["plan", "x", "--ngl", "most"], "not a number of layers, auto or all"),
        (["plan", "x", "--kv-type", "q9_0"], "is not one of f32, f16"),
        (["plan", "x", "--kv-type", "f16,f16,f16"], "one for keys and one for values"),
        (["plan", "x", "--tensor-split", "0,0"], "one of them is above 0"),
        (["plan", "x", "--tensor-split", "1,nan"], "0 or more"),
        (["plan", "x", "--override-tensor", "exps"], "is not RE=BUFFER"),
        (["plan", "x", "--override-tensor", "(=CPU"], "not a regular expression"),
        (["plan", "x", "--ram", "much"], "is not a size"),
        (["plan", "x", "--utilization", "1.5"], "1.5"),
        (["plan", "x", "--cpu-moe", "--n-cpu-moe", "3"], "say the same thing differently"),
        (["plan", "x", "--each-gpu"], "--each-gpu needs GPUs"),
        (["plan", "x", "--emit", "env", "--ctx", "4k,8k"], "writes one plan"),
        (["plan", "x", "--engine-path", "a", "--engine-path", "b", "--ctx", "4k,8k"], "cannot compare two builds"),
        (["plan", "x", *["--engine-path", "a"] * 3], "3 builds were named"),
        (["schema", "nothing"], "nothing"),
        (["shapes", "no-such-model"], "No built-in shape"),
        (["gpus", "no-such-gpu"], "no GPU with"),
    ],
)
def test_wrong_usage_is_code_2_as_text_and_as_json(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert words in " ".join(captured.err.split())
    assert "  fix" in captured.err
    assert main([*arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert words in str(error_of(captured.out)["what"])
    assert captured.err == ""


def test_emit_and_json_are_two_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "x", "--emit", "env", "--json"]) == 2
    assert error_of(capsys.readouterr().out)["what"] == "--emit and --json are two forms of one answer."


def test_could_not_tell_is_code_3(failing: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([failing, "unknown"]) == 3
    assert capsys.readouterr().err == (
        "error: no-witness\n  No witness answered.\n  because  none is here\n  fix      Install one.\n"
    )


def test_a_bug_is_code_70_in_one_line_and_says_how_to_report(failing: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([failing, "bug"]) == 70
    err = capsys.readouterr().err
    assert "RuntimeError: surprise\n" in err
    assert "second line" not in err
    assert "Traceback" not in err
    assert "--debug" in err
    assert main([failing, "bug", "--json"]) == 70
    assert error_of(capsys.readouterr().out)["code"] == "bug"


def test_debug_adds_the_traceback(failing: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([failing, "bug", "--debug"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_options_after_two_dashes_are_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_an_interrupt_is_code_130_without_a_word(failing: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([failing, "interrupted"]) == 130
    captured = capsys.readouterr()
    assert captured.out.strip() == captured.err.strip() == ""


def test_ctrl_c_while_a_server_does_not_answer_ends_quietly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/model.gguf"
        program = subprocess.Popen(
            [*VRAMCTL, "plan", url, "--gpu", "8GiB"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        server.settimeout(20)
        asked, _ = server.accept()
        time.sleep(0.2)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=20)
        asked.close()
    assert (program.returncode, out, err.strip()) == (130, "", "")


@pytest.mark.parametrize("arguments", [["schema", "plan"], ["shapes"], ["gpus", "--all"], ["--help"]])
def test_a_reader_that_leaves_is_not_an_error(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([*VRAMCTL, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=20)
    os.close(writing)
    assert ran.stderr == ""
    assert ran.returncode in (0, 1)


def test_a_terminal_without_utf_8_gets_ascii() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    ran = subprocess.run([*VRAMCTL, "shapes", "qwen3-0"], capture_output=True, env=environment, timeout=20)
    assert ran.returncode == 0
    assert ran.stdout.isascii()


def test_help_imports_neither_rich_nor_the_plan() -> None:
    script = (
        "import sys; from vramctl.cli.main import main; main(['--help'])\n"
        "heavy = {'rich', 'numpy', 'pynvml', 'psutil', 'jsonschema', 'vramctl.planning', 'vramctl.shapes'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
    assert ran.returncode == 0, ran.stderr


def test_help_takes_less_than_150_ms_of_processor_time() -> None:
    taken = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*VRAMCTL, "--help"], check=True, capture_output=True, timeout=20)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) < 0.150


@pytest.mark.parametrize("name", NAMES)
def test_schema_prints_a_schema(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0
    assert json.loads(capsys.readouterr().out) == schema(name)


def test_schema_alone_lists_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out.split() == list(NAMES)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's redirections")
@pytest.mark.parametrize(
    ("arguments", "code"), [("schema plan", 0), ("plan nope.gguf --json", 2), ("plan nope.gguf", 2)]
)
def test_closed_streams_leave_the_exit_code(arguments: str, code: int) -> None:
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        command = f'"{sys.executable}" -m vramctl {arguments} {closed}'
        assert subprocess.run(["sh", "-c", command], capture_output=True, timeout=60).returncode == code


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", ["schema plan", "shapes --json"])
def test_a_full_disk_is_an_error_without_a_traceback(arguments: str) -> None:
    command = f'"{sys.executable}" -m vramctl {arguments} > /dev/full'
    found = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, text=True)
    assert found.returncode == 2
    assert found.stderr.startswith("error: cannot-write")
    assert "Traceback" not in found.stderr
