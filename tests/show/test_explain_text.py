"""The answer to a log as text: verdict first, then causes with their lines, then the load with bars."""

from __future__ import annotations

import re

import pytest

from log_cases import CASES, HEALTHY
from vramctl.checks.log_findings import findings
from vramctl.logs.assemble import assemble
from vramctl.logs.decode import Stats, decode
from vramctl.show.explain_text import explain_text
from vramctl.show.explain_verdict import COULD_NOT_TELL, verdict
from vramctl.show.page import Page


def screen(text: str, page: Page | None = None) -> str:
    stats = Stats()
    log = assemble(decode(text.splitlines(), stats=stats), stats=stats)
    return explain_text(log, findings(log), page or Page())


def test_a_healthy_log_begins_with_healthy_and_why() -> None:
    text = screen(HEALTHY)
    assert text.startswith("Healthy: all 33 layers are on the GPU")
    assert "\nfix " not in text


def test_the_first_words_are_what_is_wrong() -> None:
    assert screen(CASES["n-gpu-layers-zero"]).startswith("The model runs on the CPU: none of its 33 layers")


def test_a_finding_shows_its_id_its_lines_and_its_fix() -> None:
    text = screen(CASES["xid-errors"])
    assert "[xid-errors]" in text
    assert re.search(r"^lines +18  CUDA error: an illegal memory access", text, re.MULTILINE)
    assert re.search(r"^fix ", text, re.MULTILINE)


def test_a_load_shows_a_bar_of_its_parts_on_the_gpu_as_wide_as_the_page() -> None:
    text = screen(HEALTHY, Page(width=80))
    bars = [line for line in text.splitlines() if re.fullmatch("[█▓▒░·─]+", line)]
    assert len(bars) == 2 and all(len(line) <= 80 for line in bars)
    assert "weights 4.1 GiB" in text and "KV 1.0 GiB" in text
    assert "of 11.2 GiB" in text


def test_without_unicode_everything_is_ascii() -> None:
    assert screen(CASES["partial-offload"], Page(unicode=False)).isascii()


def test_no_line_is_wider_than_the_page() -> None:
    for text in CASES.values():
        assert all(len(line) <= 60 for line in screen(text, Page(width=60)).splitlines())


def test_a_log_of_another_program_cannot_be_told() -> None:
    log = assemble(decode(["hello", "world"]))
    assert verdict(log, ()).state == COULD_NOT_TELL
    assert "could not tell" in screen("hello\nworld").lower()


def test_an_answer_is_one_screen() -> None:
    for text in CASES.values():
        assert len(screen(text).splitlines()) <= 50


def test_the_timeline_names_the_steps_of_the_load() -> None:
    text = screen(HEALTHY)
    assert re.search(r"^load +weights > KV cache > compute graph$", text, re.MULTILINE)
    assert re.search(
        r"^extended +model file read > tensors loading > 33/33 layers on GPU > weights", text, re.MULTILINE
    )


def test_unrecognised_lines_are_counted_and_shown() -> None:
    text = screen(HEALTHY + "llama_context: a line that nobody knows 42\n")
    assert "1 line of the engine that no rule knows" in text
    assert "a line that nobody knows" in text


@pytest.mark.parametrize(
    "prefix",
    [
        "Sep 11 00:42:09 ai ollama[3110]: ", "3月 25 09:28:05 ai ollama[3110]: ", "févr. 13 13:11:44 ollama[18421]: ",
        "2025-09-11T00:42:09+0200 ai kernel: ",
    ],
)  # fmt: skip
def test_a_quoted_line_is_shown_without_the_journals_prefix(prefix: str) -> None:
    text = screen("".join(f"{prefix}{line}\n" for line in CASES["n-gpu-layers-zero"].splitlines()))
    assert re.search(r"^lines +1  llm_load_tensors: offloaded 0/33 layers", text, re.MULTILINE)
