"""`vramctl gpus`, `vramctl shapes` and completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator

from vramctl.catalogue import entries, find
from vramctl.cli.completion import script
from vramctl.cli.main import main
from vramctl.shapes.build import names
from vramctl.show.schemas import schema
from vramctl.show.verdict import without_vendor


def test_shapes_lists_every_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shapes"]) == 0
    first_words = [line.split(" ")[0] for line in capsys.readouterr().out.splitlines()]
    assert set(names()) <= set(first_words)


def test_shapes_and_gpus_print_what_their_schemas_say(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["shapes"], ["gpus"], ["gpus", "--all"], ["gpus", "3060"]):
        assert main([*arguments, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert list(Draft202012Validator(schema(arguments[0])).iter_errors(document)) == []


def test_gpus_finds_by_every_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpus", "3060 laptop"]) == 0
    out = capsys.readouterr().out
    assert "RTX 3060 Laptop GPU" in out
    assert "RTX 3060 Ti" not in out


def test_one_gpu_says_where_its_figures_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpus", "RTX 3060 Ti"]) == 0
    assert "\nmemory: " in capsys.readouterr().out


def test_the_names_that_are_listed_are_names_that_gpu_takes() -> None:
    for entry in entries():
        assert find(without_vendor(entry.name)) is entry
        assert find(without_vendor(entry.name).lower().replace(" ", "-")) is entry


def completed(line: str) -> list[str]:
    """What bash is offered for this line."""
    ran = subprocess.run(
        [sys.executable, "-m", "vramctl"],
        env={**os.environ, "_VRAMCTL_COMPLETE": "bash_complete", "COMP_LINE": line},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ran.stderr == ""
    return [row.partition(",")[2] for row in ran.stdout.splitlines()]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("vramctl pl", ["plan"]),
        ("vramctl plan shape:qwen3-0", ["qwen3-0.6b@Q4_K_M"]),
        ("vramctl plan shape:qwen3-0.6b@Q4_K_", ["qwen3-0.6b@Q4_K_S", "qwen3-0.6b@Q4_K_M"]),
        ("vramctl plan x --gpu rtx-3090", ["rtx-3090", "rtx-3090-ti"]),
        ("vramctl plan x --gpu=rtx-3090", ["rtx-3090", "rtx-3090-ti"]),
        ("vramctl plan x --kv-type q8_0,q4", ["q8_0,q4_0", "q8_0,q4_1"]),
        ("vramctl plan x --emit llama-s", ["llama-server", "llama-swap"]),
        ("vramctl plan x --ngl a", ["auto", "all"]),
        ("vramctl schema plan-", ["plan-table", "plan-diff"]),
    ],
)
def test_bash_is_offered_what_comes_next(line: str, offered: list[str]) -> None:
    assert completed(line) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert capsys.readouterr().out == script(shell) + "\n"
    assert "_VRAMCTL_COMPLETE" in script(shell)


def test_bash_accepts_its_script() -> None:
    ran = subprocess.run(["bash", "-n"], input=script("bash"), text=True, capture_output=True, timeout=20)
    assert (ran.returncode, ran.stderr) == (0, "")
