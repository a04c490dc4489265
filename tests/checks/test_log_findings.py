"""Each check speaks on the lines that show its cause, and all are silent on a healthy log."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from log_cases import CASES, HEALTHY, OUT_OF_MEMORY, PARTLY
from vramctl.checks.failure_modes import OURS, environment_step
from vramctl.checks.log_findings import CHECKS, EXPLAINED_BY, FOLLOWS_FROM, findings
from vramctl.checks.modes import BY_ID
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


def test_ids_of_our_own_are_those_that_the_decision_lists() -> None:
    page = Path(__file__).parents[2] / "docs" / "decisions" / "0004-own-failure-modes.md"
    table = page.read_text(encoding="utf-8").split("## What is mapped")[0]
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`(?=[^|]*\|[^|]+\|[^|]+\|$)", table, re.MULTILINE)) == OURS


def test_a_crash_is_quoted_once_and_without_a_folder() -> None:
    line = "/src/ggml/src/iqk/iqk_mul_mat.cpp:4065: GGML_ASSERT(nrc_x%8 == 0) failed\n"
    found = of(HEALTHY + 3 * line)[0]
    assert len(found.lines) == 1 and "at iqk_mul_mat.cpp:4065" in found.what


def test_a_segmentation_fault_says_that_the_log_does_not_say_why() -> None:
    found = of(HEALTHY + "[1]    3804384 segmentation fault (core dumped)\n")[0]
    assert "(segmentation fault)" in found.what and "does not say why" in found.what


def test_memory_that_ran_out_and_was_got_over_is_a_note() -> None:
    text = HEALTHY.replace("main: server", OUT_OF_MEMORY + "main: server") + (
        "llama_perf_context_print:        load time =    1524.84 ms\n"
    )
    assert all(one.severity == INFO for one in of(text))


def test_pinned_memory_of_vulkan_is_no_lack_of_memory() -> None:
    line = "ggml_vulkan: Failed to allocate pinned memory (vk::Device::allocateMemory: ErrorOutOfDeviceMemory)\n"
    assert all(one.severity == INFO for one in of(HEALTHY + line))


def test_an_empty_cache_type_was_asked_for_by_nobody() -> None:
    line = 'time=2025-09-11T00:42:12.000Z level=WARN source=server.go:1 msg="kv cache type not supported by model" type=""\n'
    assert "ollama-kv-type-without-fa" not in [one.id for one in of(HEALTHY + line)]


def test_builds_are_named_where_one_is_slower() -> None:
    found = of(CASES["engine-regression-after-update"])[0]
    assert found.what.startswith("Build 1 (b6d6c52) runs the same test 17.5 times slower than build 3235")


def test_rows_are_compared_also_in_long_tables() -> None:
    row = "| qwen2 7B Q5_K - Medium         |   5.07 GiB |     7.62 B | CUDA       |  99 |  1 | {:>13} | {:>13.2f} ± 0.03 |\n"
    tables = "".join(
        "".join(row.format(f"pp{2**power}", speed * power) for power in range(4, 14)) + f"build: {commit} ({number})\n"
        for commit, number, speed in (("aaaaaaa", 100, 50.0), ("bbbbbbb", 101, 10.0))
    )
    head = CASES["engine-regression-after-update"].splitlines()[0] + "\n"
    assert first(head + tables) == "engine-regression-after-update"


def test_a_gpu_that_is_left_out_does_not_hide_a_crash_on_the_cpu() -> None:
    lines = (
        'time=2026-09-02T16:51:59.900Z level=WARN source=cuda_compat.go:80 msg="NVIDIA driver too old" '
        'device="NVIDIA GeForce RTX 3060" compute=8.6 driver=546 required_driver="550 or newer"\n'
        'time=2026-09-02T16:53:40.000Z level=ERROR source=sched.go:910 msg="Load failed" model=/m/sha256-aa '
        'error="llama-server process has terminated: exit status 1"\n'
    )
    assert [one.id for one in of(lines)] == ["ollama-driver-filter", "ollama-runner-crash"]


def test_a_runner_killed_at_an_unload_is_no_crash() -> None:
    ended = (
        'time=2025-07-24T18:30:00.000+09:00 level=ERROR source=server.go:464 msg="llama runner terminated" '
        'error="signal: killed"\n'
    )
    failed = '[GIN] 2025/07/24 - 18:30:01 | 500 |     4.2s |       127.0.0.1 | POST     "/api/chat"\n'
    assert of(ended) == ()
    assert first(ended + failed) == "host-oom-kill"


TWO_GPUS = """\
ggml_cuda_init: found 2 CUDA devices:
  Device 0: NVIDIA GeForce RTX 4090, compute capability 8.9, VMM: yes
  Device 1: NVIDIA GeForce RTX {second}, compute capability 8.9, VMM: yes
llm_load_tensors: offloaded 62/62 layers to GPU
llm_load_tensors:      CUDA0 buffer size = 20480.00 MiB
llm_load_tensors:      CUDA1 buffer size = {held} MiB
llama_new_context_with_model: n_ctx      = 8192
llama_kv_cache_init:      CUDA0 KV buffer size =  1024.00 MiB
llama_kv_cache_init:      CUDA1 KV buffer size =   128.00 MiB
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 3480.01 MiB on device 0: cudaMalloc failed: out of memory
ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size 3649058816
"""


@pytest.mark.parametrize(
    ("held", "second", "name"),
    [
        ("2048.00", "4090", "multi-gpu-uneven"),
        ("18432.00", "4090", "out-of-memory"),
        ("11264.00", "4070", "out-of-memory"),
    ],
)
def test_a_split_is_uneven_only_where_another_gpu_surely_had_room(held: str, second: str, name: str) -> None:
    first = of(TWO_GPUS.format(held=held, second=second))[0]
    assert (first.id, first.title) == (name, "GPU memory ran out")
