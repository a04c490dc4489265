"""Logs that the project recorded on one H200: what each gives, and that no line of them is unknown."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from golden_fields import fields_of_log
from vramctl.explaining import Explained, explain
from vramctl.logs.assemble import assemble
from vramctl.logs.decode import Stats, decode
from vramctl.records.load import Log
from vramctl.records.unknown import Unknown
from vramctl.show.explain_text import explain_text
from vramctl.show.explain_verdict import verdict
from vramctl.show.page import Page

HERE = Path(__file__).parent / "h200"
LOGS = sorted(path.stem for path in HERE.glob("*.log"))
WEIGHTS = re.compile(r"load_tensors: +(\w+) model buffer size = +(\d+\.\d+) MiB")


@cache
def read(name: str) -> Log:
    """The record of one of these logs."""
    path, stats = HERE / f"{name}.log", Stats()
    with path.open("rb") as file:
        return assemble(decode(file, stats=stats), stats=stats, name=path.name, size_bytes=path.stat().st_size)


@cache
def told(name: str) -> Explained:
    """What is said of it."""
    return explain(read(name))


def document(name: str) -> dict[str, Any]:
    """What a golden file holds: the record's fields, the first sentence, and each finding with its fix."""
    log, found = read(name), told(name).findings
    return {
        "verdict": verdict(log, found).words,
        "findings": [{"id": one.id, "severity": one.severity, "what": one.what, "fix": one.fix} for one in found],
        **fields_of_log(log, found),
    }


@pytest.mark.parametrize("name", LOGS)
def test_a_log_of_the_h200_gives_what_was_compared_with_its_lines(name: str) -> None:
    assert document(name) == json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", LOGS)
def test_no_line_of_the_engine_is_unknown(name: str) -> None:
    assert read(name).unrecognised_samples == ()


@pytest.mark.parametrize("name", LOGS)
def test_the_weights_are_the_sums_of_the_lines(name: str) -> None:
    host = gpu = 0.0
    for device, size in WEIGHTS.findall((HERE / f"{name}.log").read_text(encoding="utf-8")):
        host, gpu = (host, gpu + float(size)) if device.startswith("CUDA0") else (host + float(size), gpu)
    load = read(name).loads[0]
    for uses, printed in ((load.on_host, host), (load.on_gpus, gpu)):
        size = sum(use.weights_bytes for use in uses if isinstance(use.weights_bytes, int))
        assert size == pytest.approx(printed * 2**20, abs=16)


def test_every_log_is_in_the_index() -> None:
    index = (HERE / "README.md").read_text(encoding="utf-8")
    assert [name for name in LOGS if f"`{name}`" not in index] == []


def test_the_load_time_that_llama_cpp_python_prints_is_not_believed() -> None:
    """It resets the engine's clock before each answer: the line counts from the request."""
    seconds = read("llama-cpp-python-full").loads[0].load_seconds
    assert isinstance(seconds, Unknown) and "first request" in seconds.reason


def test_experts_in_system_memory_are_said_although_every_layer_counts_as_on_the_gpu() -> None:
    name = "llama-server-experts-in-ram"
    assert read(name).loads[0].outcome == "partial"
    assert [(one.id, one.severity) for one in told(name).findings] == [("partial-offload", "info")]
    assert "8.3 GiB of their weights are in system memory" in verdict(read(name), told(name).findings).words


def changed(name: str, *changes: tuple[str, str]) -> Log:
    """The log with some of its text replaced."""
    text = (HERE / f"{name}.log").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return assemble(decode(text.splitlines()))


def test_experts_in_system_memory_are_seen_without_the_line_that_names_overrides() -> None:
    """Without mmap the loader has no hint to give: a model of experts has more in system memory than an embedding."""
    name = "llama-server-experts-in-ram"
    silent = changed(name, ("tensor overrides to CPU are used with mmap enabled - consider using", "something else:"))
    assert silent.loads[0].outcome == "partial"
    whole = changed(name, ("8807.41 MiB", " 166.92 MiB"), ("9154.43 MiB", "17528.00 MiB"))
    assert whole.loads[0].outcome == "on-gpu"


def test_experts_that_have_no_room_on_the_gpu_are_where_they_should_be() -> None:
    log = changed("llama-server-experts-in-ram", ("142629 MiB free", "12000 MiB free"), ("143155 MiB", "12288 MiB"))
    (one,) = explain(log, compute=False).findings
    assert one.severity == "info" and "would fit" not in one.what
    assert "8.3 GiB of the weights in system memory" in one.what


def test_a_log_without_placement_says_what_would_print_it() -> None:
    words = verdict(read("llama-server-level3"), ()).words
    assert "`-lv 4`" in words and "`vramctl verify http://127.0.0.1:8099`" in words
    assert read("llama-server-level3").loads[0].model.path == "m/llama3.1-8b-Q4_K_M.gguf"


@pytest.mark.parametrize("tail", ["/;reboot", "/$(reboot)", "/`reboot`", "|sh"])
def test_an_address_that_a_shell_would_run_is_not_offered_in_a_command(tail: str) -> None:
    lines = (HERE / "llama-server-level3.log").read_bytes().replace(b":8099", b":8099" + tail.encode()).splitlines()
    log = assemble(decode(lines, stats=(stats := Stats())), stats=stats, name="log", size_bytes=1)
    assert "`vramctl verify URL`" in verdict(log, ()).words


def test_prompts_that_shared_the_gpu_are_not_a_slower_build() -> None:
    """At once 512 tokens are read at less than half the speed of one alone: no build or option changed between."""
    name = "llama-server-level3-parallel"
    text = (HERE / f"{name}.log").read_text(encoding="utf-8")
    rates = [
        float(rate) for rate in re.findall(r"prompt eval time.*/   512 tokens.* (\d+\.\d+) tokens per second", text)
    ]
    assert max(rates) > 2 * min(rates)
    assert told(name).findings == ()
    totals = read(name).loads[0].totals
    assert (totals.prompt_slowest_per_second, totals.prompt_fastest_per_second) == (min(rates), max(rates))


def test_a_repacked_copy_is_told_apart_from_the_file() -> None:
    log = read("llama-cpp-python-hidden")
    text = " ".join(explain_text(log, told("llama-cpp-python-hidden").findings, Page(width=200)).split())
    assert "(3.1 GiB of the weights are there twice: in the file and repacked for the CPU)" in text


@pytest.mark.parametrize("name", [name for name in LOGS if "python" in name])
def test_a_fix_for_python_names_no_option_of_llama_server(name: str) -> None:
    for one in told(name).findings:
        assert not re.search(r"`-(?!D)|llama-server|/ `", one.fix), one.fix


@pytest.mark.parametrize("name", [name for name in LOGS if "server" in name])
def test_a_fix_for_llama_server_names_no_argument_of_python(name: str) -> None:
    for one in told(name).findings:
        assert not re.search(r"n_gpu_layers|offload_kqv|Llama\(|flash_attn", one.fix), one.fix
