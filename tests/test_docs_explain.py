"""docs/explain.md keeps its word: its output is the command's, and its examples print what stands under them."""

from __future__ import annotations

import contextlib
import io
import re

import pytest

from readme import ROOT, outputs, printed

PAGE = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def test_the_output_is_what_the_command_prints() -> None:
    found = outputs(PAGE)
    assert len(found) == 1
    for arguments, body in found.items():
        assert printed(arguments) == body, f"vramctl {arguments}"


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_prints_what_stands_under_it(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    code, expected = EXAMPLES[number]
    monkeypatch.chdir(ROOT)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "docs/explain.md", "exec"), {})
    assert said.getvalue() == expected


def test_there_are_two_examples() -> None:
    assert len(EXAMPLES) == 2
