"""Every statement of docs/requirement-regexes.md about the requirement document's regexes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vramctl.logs import decode

PAGE = Path(__file__).parents[2] / "docs" / "requirement-regexes.md"
SECTION = re.compile(
    r"^## \d+\. (?P<title>[^\n]+)\n(?P<text>.*?)```regex printed\n(?P<printed>[^\n]+)\n```.*?"
    r"```regex right\n(?P<right>[^\n]+)\n```.*?```log (?P<state>found|missed)\n(?P<line>[^\n]+)\n```",
    re.MULTILINE | re.DOTALL,
)
SECTIONS = [match.groupdict() for match in SECTION.finditer(PAGE.read_text(encoding="utf-8"))]
NAMES = [section["title"] for section in SECTIONS]


def _reduced(printed: str) -> str:
    return printed.replace("\\\\", "\\")


def test_the_page_has_all_fourteen() -> None:
    assert len(SECTIONS) == 14


@pytest.mark.parametrize("section", SECTIONS, ids=NAMES)
def test_the_right_form_finds_the_line_and_the_printed_one_does_what_the_page_says(section: dict[str, str]) -> None:
    line = section["line"]
    assert re.search(section["right"], line)
    assert (re.search(_reduced(section["printed"]), line) is not None) == (section["state"] == "found")
    assert ("No fault but the backslashes" in section["text"]) == (section["state"] == "found")


@pytest.mark.parametrize("section", SECTIONS, ids=NAMES)
def test_doubled_backslashes_match_nothing(section: dict[str, str]) -> None:
    if "\\" in section["printed"]:
        assert re.search(section["printed"], section["line"]) is None


@pytest.mark.parametrize("section", SECTIONS, ids=NAMES)
def test_our_own_rules_know_the_line(section: dict[str, str]) -> None:
    (event,) = decode([section["line"]])
    assert event.kind != "unrecognised"
