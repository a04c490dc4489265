"""The pages of the checks say what the checks say."""

from __future__ import annotations

from check_pages import FOLDER, pages


def test_the_pages_are_those_of_the_checks() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert written == pages(), "run: python tests/check_pages.py"
