"""How a run ended, told from its log, its exit status and the kernel's counter."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from vramctl.engines.endings import NO_SYSTEM_MEMORY, ended, how_gone, what_to_do, witnessed
from vramctl.engines.oom import oom_kills, was_out_of_memory
from vramctl.engines.reported import graph_splits, placement, timed_lines
from vramctl.records import Placement, Settings, Unknown
from vramctl.records.run import (
    CRASHED,
    KILLED,
    OUT_OF_MEMORY,
    REFUSED,
    TIMEOUT,
    BufferUse,
    Ended,
    Loaded,
    LogLine,
)


def told(how: str, *lines: str, otherwise: str = "the engine ended", code: int | None = None) -> Ended:
    log = [LogLine(float(i), line) for i, line in enumerate(lines)]
    return ended(how, "load", seen=witnessed(log), otherwise=otherwise, seconds=1.0, code=code)


def test_a_failed_allocation_before_a_refusal_is_out_of_memory() -> None:
    found = told(
        REFUSED,
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 3480.01 MiB on device 0: cudaMalloc failed: out of memory",
        "alloc_tensor_range: failed to allocate CUDA0 buffer of size 3649053696",
        "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
        otherwise="the model could not be loaded",
    )
    assert found.how == OUT_OF_MEMORY and "cudaMalloc" in found.what
    assert (found.buffer, found.wanted_bytes) == ("device 0", round(3480.01 * (1 << 20)))


def test_a_crash_for_want_of_memory_while_it_runs_is_out_of_memory() -> None:
    for line in (
        "CUDA error: out of memory",
        "  what():  std::bad_alloc",
        "ggml_gallocr_reserve_n: failed to allocate CUDA1 buffer of size 1",
    ):
        assert told(CRASHED, line, code=-signal.SIGABRT).how == OUT_OF_MEMORY


def test_a_time_limit_or_a_kill_stays_what_it_is() -> None:
    line = "ggml_gallocr_reserve_n: failed to allocate CUDA1 buffer of size 1"
    assert told(TIMEOUT, line).how == TIMEOUT
    killed = told(KILLED, line, code=-signal.SIGKILL)
    assert (killed.how, killed.signal, killed.buffer) == (KILLED, "SIGKILL", "CUDA1")


def test_an_assertion_is_said_with_its_signal() -> None:
    found = told(CRASHED, "/src/ggml.c:1: GGML_ASSERT(a == b) failed", code=-signal.SIGABRT)
    assert found.how == CRASHED and "SIGABRT" in found.what and "a == b" in found.what
    assert isinstance(found.exit_code, Unknown) and isinstance(found.buffer, Unknown)
    assert isinstance(told(CRASHED, code=3).signal, Unknown) and told(CRASHED, code=3).exit_code == 3


@pytest.mark.parametrize(
    ("code", "how"),
    [(-signal.SIGKILL, KILLED), (-signal.SIGTERM, KILLED), (-signal.SIGSEGV, CRASHED), (1, CRASHED), (0, CRASHED)],
)
def test_exit_states_are_told_apart(code: int, how: str) -> None:
    assert how_gone(code, timed_out=False) == how
    assert how_gone(code, timed_out=True) == TIMEOUT


def test_the_kernels_killer_is_told_by_its_counter(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("nr_free_pages 1\noom_kill 4\nballoon_inflate 0\n")
    assert oom_kills(vmstat) == 4
    assert was_out_of_memory(-signal.SIGKILL, 3, vmstat=vmstat)
    assert not was_out_of_memory(-signal.SIGKILL, 4, vmstat=vmstat)
    assert not was_out_of_memory(-signal.SIGSEGV, 3, vmstat=vmstat)
    assert not was_out_of_memory(-signal.SIGKILL, None, vmstat=vmstat)
    assert oom_kills(tmp_path / "none") is None
    assert told(OUT_OF_MEMORY, otherwise=NO_SYSTEM_MEMORY, code=-signal.SIGKILL).what == NO_SYSTEM_MEMORY


def loaded(*buffers: BufferUse) -> Loaded:
    return Loaded(
        vehicle="binding", engine="x", version="x", model="m", settings=Settings(), buffers=buffers or Unknown("none")
    )


def test_buffers_become_a_placement_per_device() -> None:
    found = placement(
        loaded(
            BufferUse("CUDA0", "CUDA0", False, 100, 10, 1),
            BufferUse("CUDA0_Split", "CUDA0", False, 50, 0, 0),
            BufferUse("CUDA_Host", "CUDA0", True, 7, 0, 3),
            BufferUse("CPU", "", True, 20, 5, 0),
        )
    )
    assert isinstance(found, Placement)
    assert [(use.name, use.weights_bytes, use.kv_bytes, use.compute_bytes) for use in found.devices] == [
        ("CUDA0", 150, 10, 1)
    ]
    assert (found.host.weights_bytes, found.host.kv_bytes, found.host.compute_bytes) == (27, 5, 3)
    assert found.kv_operations == "mixed"


def test_where_a_host_cache_is_used_is_not_guessed() -> None:
    beside = placement(loaded(BufferUse("CUDA0", "CUDA0", False, 9, 0, 1), BufferUse("CPU", "", True, 0, 5, 0)))
    assert isinstance(beside, Placement) and isinstance(beside.kv_operations, Unknown)
    alone = placement(loaded(BufferUse("CPU", "", True, 9, 5, 1)))
    assert isinstance(alone, Placement) and alone.kv_operations == "cpu" and alone.devices == ()
    assert isinstance(placement(loaded()), Unknown)


def test_graph_splits_of_one_token_are_read_in_all_eras() -> None:
    for line, count in (
        ("llama_context: graph splits = 2", 2),
        ("llama_context: graph splits = 183 (with bs=512), 98 (with bs=1)", 98),
        ("sched_reserve: graph: nodes = 1254, splits = 66, input objects = 5, input tensors = 9", 66),
    ):
        assert graph_splits(witnessed([LogLine(0.0, line)]).events) == count
    assert isinstance(graph_splits(()), Unknown)


def test_a_log_cut_short_is_read_as_far_as_it_goes() -> None:
    lines = timed_lines(b"10.5\tinfo\tfirst\n11.0\twarn\tsecond\twith a tab\n11.5\terr", zero_seconds=10.0)
    assert lines == [LogLine(0.5, "first", "info"), LogLine(1.0, "second\twith a tab", "warn")]


def test_of_a_traceback_the_line_that_names_the_error_is_said() -> None:
    found = told(
        CRASHED, "Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: no such thing", code=1
    )
    assert found.what == "the engine ended: ValueError: no such thing"


def test_each_ending_has_a_next_step() -> None:
    steps = {how: what_to_do(told(how)) for how in (OUT_OF_MEMORY, KILLED, TIMEOUT, CRASHED)}
    assert "--ctx" in steps[OUT_OF_MEMORY] and "dmesg" in steps[KILLED]
    assert len(set(steps.values())) == 4
    assert what_to_do(Unknown("too old")) == steps[CRASHED]


def test_signals_that_mean_one_thing_are_explained() -> None:
    assert "its disk failed" in told(CRASHED, code=-signal.SIGBUS).what
    assert "instructions" in told(CRASHED, code=-signal.SIGILL).what
