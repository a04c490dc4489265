"""Each check speaks on the lines that show its cause, and all are silent on a healthy log."""

from __future__ import annotations

import inspect

import pytest

from log_cases import CASES, HEALTHY, PARTLY
from vramctl.checks.failure_modes import BY_ID, environment_step
from vramctl.checks.log_findings import CHECKS, EXPLAINED_BY, FOLLOWS_FROM, findings
from vramctl.logs.assemble import assemble
from vramctl.logs.decode import decode
from vramctl.records.finding import ERROR, INFO, WARNING, Finding


def of(text: str) -> tuple[Finding, ...]:
    return findings(assemble(decode(text.splitlines())))


def first(text: str) -> str:
    found = of(text)
    return found[0].id if found else ""


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_check_is_the_first_to_speak_on_its_lines(name: str) -> None:
    assert first(CASES[name]) == name


def test_a_healthy_log_has_no_findings() -> None:
    assert of(HEALTHY) == ()


def test_the_same_speed_within_noise_is_no_regression() -> None:
    text = CASES["engine-regression-after-update"].replace(" 5.17", "88.17")
    assert of(text) == ()


def test_another_test_of_the_benchmark_is_not_compared() -> None:
    assert of(CASES["engine-regression-after-update"].replace("tg128 |          5.17", "pp512 |          5.17")) == ()


def test_pinned_memory_that_could_not_be_had_is_harmless() -> None:
    assert (
        of(HEALTHY + "ggml_cuda_host_malloc: failed to allocate 505.00 MiB of pinned memory: initialization error\n")
        == ()
    )


def test_one_pipeline_copy_is_what_is_wanted() -> None:
    assert of(HEALTHY + "llama_context: pipeline parallelism enabled (n_copies=1)\n") == ()


def test_a_partial_offload_says_needed_available_biggest_part_and_a_change_that_fits() -> None:
    found = next(one for one in of(CASES["partial-offload"]) if one.id == "partial-offload")
    assert "needs 5.8 GiB" in found.what and "3.9 GiB free" in found.what
    assert any("the weights take most" in reason for reason in found.because)
    assert "bits a weight" in found.fix and "estimated" in found.fix


def test_all_layers_that_would_fit_are_recommended() -> None:
    found = next(one for one in of(PARTLY) if one.id == "partial-offload")
    assert "-ngl 99" in found.fix


def test_a_crash_that_has_a_known_cause_is_not_told_twice() -> None:
    ids = [one.id for one in of(CASES["gpu-arch-not-in-build"])]
    assert "engine-crash" not in ids and "xid-errors" not in ids


def test_findings_quote_the_lines_they_rest_on() -> None:
    text = CASES["xid-errors"]
    quoted = of(text)[0].lines[0]
    assert text.splitlines()[quoted.line - 1] == quoted.text


def test_every_check_is_named_after_a_failure_mode() -> None:
    for check in CHECKS:
        assert check.__name__.replace("_", "-") in BY_ID
        assert inspect.getdoc(check)
    names = {check.__name__.replace("_", "-") for check in CHECKS}
    assert set(EXPLAINED_BY) | set(FOLLOWS_FROM) <= names
    assert {cause for causes in EXPLAINED_BY.values() for cause in causes} <= names


def test_notes_come_after_everything_that_is_wrong() -> None:
    order = {ERROR: 0, WARNING: 0, INFO: 1}
    for text in CASES.values():
        ranks = [order[one.severity] for one in of(text)]
        assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    ("platform", "words"),
    [
        ("linux", "systemctl edit ollama"),
        ("container", "-e OLLAMA_X=1"),
        ("windows", "OLLAMA_X"),
        ("macos", "launchctl"),
        ("any", "restart"),
    ],
)
def test_a_variable_is_set_as_the_platform_does_it(platform: str, words: str) -> None:
    assert words in environment_step("OLLAMA_X=1", platform)
