"""The READMEs keep their word: outputs are what the commands print, and both name the same commands."""

from __future__ import annotations

import importlib.metadata
import re

import pytest

from readme import READMES, ROOT, outputs, printed


def installed() -> str | None:
    try:
        return importlib.metadata.version("xllamacpp")
    except importlib.metadata.PackageNotFoundError:
        return None


@pytest.mark.engine
@pytest.mark.skipif(installed() != "2026.10.11549", reason="the outputs are of xllamacpp 2026.10.11549")
@pytest.mark.parametrize("readme", READMES, ids=[readme.name for readme in READMES])
def test_the_outputs_are_what_the_commands_print(readme: object) -> None:
    found = outputs(readme.read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    assert len(found) >= 2
    for arguments, body in found.items():
        assert printed(arguments) == body, f"run `python tests/readme.py`: vramctl {arguments}"


@pytest.mark.engine
@pytest.mark.skipif(installed() != "2026.10.11549", reason="the outputs are of xllamacpp 2026.10.11549")
@pytest.mark.parametrize("page", ["plan.md", "doctor.md"])
def test_the_pages_outputs_are_what_the_commands_print(page: str) -> None:
    found = outputs((ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert found
    for arguments, body in found.items():
        assert printed(arguments) == body, f"run `python tests/readme.py`: vramctl {arguments}"


def test_both_readmes_give_the_same_commands_and_stay_short() -> None:
    english, russian = (readme.read_text(encoding="utf-8") for readme in READMES)
    blocks = [re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for text in (english, russian)]
    commands = [[line.split("  #")[0].strip() for block in b for line in block.splitlines()] for b in blocks]
    assert commands[0] == commands[1]
    assert list(outputs(english)) == list(outputs(russian))
    assert len(english.splitlines()) <= 190
