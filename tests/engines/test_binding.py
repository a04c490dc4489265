"""Models that run in a library in a child process: the contract, exact settings, and everything that can go wrong."""

from __future__ import annotations

import ctypes.util
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from run_builds import builds
from run_contract import SMALL, RunContract, gone_within, is_running, running
from small_llama import small_llama

from vramctl.engines.binding import Binding, library_missing, options
from vramctl.engines.dry_run.layouts import LayoutUnknown
from vramctl.engines.reported import placement
from vramctl.engines.run_model.context import check_effect
from vramctl.records import Build, Placement, Settings, Unknown
from vramctl.records.load import CPU_ONLY, Load
from vramctl.records.run import CRASHED, KILLED, OUT_OF_MEMORY, REFUSED, TIMEOUT, UNLOADED, Ended, Generation, Prefill

BUILDS = builds()
QUIET = {"OMP_WAIT_POLICY": "passive"}
pytestmark = [pytest.mark.engine, pytest.mark.skipif(not BUILDS, reason="no llama.cpp library is installed")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("models") / "small.gguf")


@pytest.fixture
def engine() -> Binding:
    return Binding(BUILDS[0], environ=QUIET)


@pytest.mark.parametrize("engine", [Binding(b, environ=QUIET) for b in BUILDS], ids=[b.name for b in BUILDS])
class TestContract(RunContract):
    """The shared promises, on every build."""


def changed(**fields: object) -> Settings:
    return dataclasses.replace(SMALL, **fields)  # type: ignore[arg-type]


def failure(engine: Binding, model: Path | str, settings: Settings = SMALL, *, seconds: float = 60) -> Ended:
    with engine.load(str(model), settings, timeout_seconds=seconds) as run:
        assert isinstance(run, Ended), run
        return run


@contextmanager
def stuck(engine: Binding, tmp_path: Path) -> Iterator[Path]:
    """A model file whose opening never comes back: a pipe that nobody writes to."""
    path = tmp_path / "pipe.gguf"
    os.mkfifo(path)
    yield path


def test_every_setting_reaches_the_engine(engine: Binding, model: Path) -> None:
    asked = changed(n_ctx=1024, n_batch=256, n_ubatch=64, n_parallel=2, type_k="q8_0", type_v="q8_0", n_threads=1)
    with running(engine, model, asked) as run:
        loaded = run.loaded
        assert (loaded.n_ctx, loaded.n_ctx_seq) == (1024, 512)
        assert (loaded.n_batch, loaded.n_ubatch, loaded.n_seq_max, loaded.n_threads) == (256, 64, 2, 1)
        assert isinstance(loaded.load, Load)
        said = loaded.load.settings
        assert (said.type_k, said.type_v, said.flash_attn) == ("q8_0", "q8_0", "on")
    with running(engine, model, changed(n_parallel=2, kv_unified=True, flash_attn="off")) as run:
        assert run.loaded.n_ctx_seq == 2048
        assert isinstance(run.loaded.load, Load) and run.loaded.load.settings.flash_attn == "off"


def test_mapping_and_overrides_show_in_the_log(engine: Binding, model: Path) -> None:
    with running(engine, model, changed(use_mmap=True)) as run:
        assert any("CPU_Mapped model buffer" in line.text for line in run.log())
    with running(engine, model, changed(use_mmap=False, tensor_overrides=((r"ffn_down", "CPU"),))) as run:
        assert not any("CPU_Mapped" in line.text for line in run.log())
        assert isinstance(run.loaded.load, Load) and run.loaded.load.settings.overridden_tensors == 2


def test_bytes_are_those_of_the_file_and_the_cache(engine: Binding, model: Path) -> None:
    with running(engine, model, changed(use_mmap=False)) as run:
        found = placement(run.loaded)
        assert isinstance(found, Placement) and found.devices == () and found.kv_operations == "cpu"
        assert found.host.kv_bytes == 2 * 2 * 2048 * 128 * 2  # K and V, layers, cells, KV width, f16
        assert isinstance(run.loaded.load, Load) and run.loaded.load.outcome == CPU_ONLY
        assert run.loaded.graph_splits == 1
        logged = run.loaded.load.devices[0]
        assert isinstance(logged.kv_bytes, int) and abs(logged.kv_bytes - 2 * 2 * 2048 * 128 * 2) <= 2 * 5243


def test_what_measuring_costs_is_said_and_small(engine: Binding, model: Path) -> None:
    with running(engine, model) as run:
        assert isinstance(run.loaded.harness_seconds_per_token, float)
        assert 0 < run.loaded.harness_seconds_per_token < 20e-6


def test_processor_time_is_measured_beside_the_clock(engine: Binding, model: Path) -> None:
    with running(engine, model) as run:
        for found in (run.prefill(1024), run.generate(200)):
            assert isinstance(found, (Prefill, Generation)) and isinstance(found.cpu_seconds, float)
            assert 0 < found.cpu_seconds < 1.5 * found.seconds + 0.01


def test_memory_grows_with_the_cache(engine: Binding, model: Path) -> None:
    sizes = []
    for n_ctx in (512, 65536):
        with running(engine, model, changed(n_ctx=n_ctx)) as run:
            seen = run.memory()
            assert not isinstance(seen, (Ended, Unknown)) and isinstance(seen.resident_bytes, int)
            assert [device.kind for device in seen.devices].count("cpu") == 1
            sizes.append(seen.resident_bytes)
    assert sizes[1] - sizes[0] > 32 << 20


def test_more_tokens_than_the_context_holds_are_refused_and_it_goes_on(engine: Binding, model: Path) -> None:
    with running(engine, model) as run:
        refused = run.prefill(2000, depth=100)
        assert isinstance(refused, Unknown) and "2048" in refused.reason
        assert isinstance(run.prefill(128), Prefill)


def test_a_depth_is_reached_from_any_other(engine: Binding, model: Path) -> None:
    with running(engine, model) as run:
        for depth in (0, 512, 128, 1024, 0, 1500):
            found = run.generate(4, depth=depth)
            assert isinstance(found, Generation) and found.depth == depth


def test_a_file_whose_name_is_no_utf_8_is_loaded(engine: Binding, model: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff new\nline.gguf")
    os.link(model, odd)
    with running(engine, Path(odd)) as run:
        assert isinstance(run.generate(2), Generation)


def test_a_missing_model_is_refused_with_the_engines_words(engine: Binding, tmp_path: Path) -> None:
    found = failure(engine, tmp_path / "none.gguf")
    assert (found.how, found.phase) == (REFUSED, "load")
    assert "none.gguf" in found.what


@pytest.mark.parametrize("cut", [0, 3, 100, 20000, 1_000_000])
def test_a_file_cut_short_is_refused(engine: Binding, model: Path, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(model.read_bytes()[:cut])
    found = failure(engine, path)
    assert found.how in (REFUSED, CRASHED) and found.phase == "load"
    assert found.what and found.log


def test_a_corrupt_table_is_refused_or_a_crash_never_ours(engine: Binding, model: Path, tmp_path: Path) -> None:
    raw = bytearray(model.read_bytes())
    at = raw.index(b"blk.0.attn_q.weight") + len("blk.0.attn_q.weight")
    raw[at : at + 4] = b"\xff\xff\xff\x7f"  # number of dimensions
    path = tmp_path / "corrupt.gguf"
    path.write_bytes(raw)
    found = failure(engine, path)
    assert found.how in (REFUSED, CRASHED)


def test_memory_that_cannot_be_had_names_the_buffer(model: Path) -> None:
    engine = Binding(BUILDS[0], environ=QUIET, memory_limit_bytes=3 << 30)
    found = failure(engine, model, changed(n_ctx=8 << 20))
    assert (found.how, found.phase) == (OUT_OF_MEMORY, "load")
    assert isinstance(found.wanted_bytes, int) and found.wanted_bytes > 3 << 30
    assert isinstance(found.buffer, str) and "CPU" in found.buffer


def test_a_limit_that_python_itself_does_not_survive_is_a_result(model: Path) -> None:
    engine = Binding(BUILDS[0], environ=QUIET, memory_limit_bytes=64 << 20)
    with engine.load(str(model), SMALL, timeout_seconds=30) as run:
        assert isinstance(run, (Ended, Unknown))


def after(seconds: float, action: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


def children() -> set[int]:
    import psutil

    return {child.pid for child in psutil.Process().children(recursive=True) if is_running(child.pid)}


def kill_new_child(before: set[int], delay: float) -> None:
    """Kills the child that comes, so many seconds after it came."""
    while not children() - before:
        time.sleep(0.002)
    time.sleep(delay)
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)


def test_a_kill_while_it_starts_or_loads_is_a_result(engine: Binding, tmp_path: Path) -> None:
    for delay in (0.0, 0.05, 0.6):
        before = children()
        with stuck(engine, tmp_path) as pipe:
            after(0, lambda before=before, delay=delay: kill_new_child(before, delay))  # type: ignore[misc]
            found = failure(engine, pipe, seconds=20)
            pipe.unlink()
        assert (found.how, found.signal) == (KILLED, "SIGKILL")
        assert found.phase in ("start", "load")
        assert children() == before


@pytest.mark.parametrize("phase", ["prefill", "generate", "answer"])
def test_a_kill_while_it_computes_is_a_result(engine: Binding, model: Path, phase: str) -> None:
    with running(engine, model, changed(n_ctx=65536)) as run:
        pid = run.loaded.pid
        assert isinstance(pid, int)
        ask = {
            "prefill": lambda: run.prefill(60000),
            "generate": lambda: run.generate(60000),
            "answer": lambda: run.answer(8, 60000),
        }[phase]
        after(0.1, lambda: os.kill(pid, signal.SIGKILL))
        found = ask()
        assert isinstance(found, Ended)
        assert (found.how, found.phase, found.signal) == (KILLED, phase, "SIGKILL")
        assert isinstance(found.load, Load)
        assert run.memory() == found and run.unload() == found
    assert not is_running(pid)


def test_a_kill_between_two_questions_is_a_result(engine: Binding, model: Path) -> None:
    with running(engine, model) as run:
        pid = run.loaded.pid
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        found = run.generate(4)
        assert isinstance(found, Ended) and found.how == KILLED


def test_a_crash_names_its_signal(engine: Binding, model: Path) -> None:
    with running(engine, model) as run:
        pid = run.loaded.pid
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGSEGV)
        found = run.generate(4)
        assert isinstance(found, Ended)
        assert (found.how, found.signal) == (CRASHED, "SIGSEGV") and "SIGSEGV" in found.what


def test_a_load_that_hangs_is_ended_at_the_limit(engine: Binding, tmp_path: Path) -> None:
    before = children()
    with stuck(engine, tmp_path) as pipe:
        started = time.monotonic()
        found = failure(engine, pipe, seconds=0.3)
    assert (found.how, found.phase) == (TIMEOUT, "load")
    assert time.monotonic() - started < 20 and children() == before


def test_a_stopped_process_is_ended_at_the_limit(model: Path) -> None:
    engine = Binding(BUILDS[0], environ=QUIET, unload_seconds=0.2)
    for ask in ("generate", "unload"):
        with running(engine, model) as run:
            pid = run.loaded.pid
            assert isinstance(pid, int)
            os.kill(pid, signal.SIGSTOP)
            found = run.generate(4, timeout_seconds=0.2) if ask == "generate" else run.unload()
            assert isinstance(found, Ended) and (found.how, found.phase) == (TIMEOUT, ask)
        assert not is_running(pid)


PARENT = """
import sys, time
from pathlib import Path
from vramctl.engines.binding import Binding
from vramctl.engines.builds import look_build
from vramctl.records import Settings
with Binding(look_build(sys.argv[1]), environ={"OMP_WAIT_POLICY": "passive"}).load(
        sys.argv[2], Settings(n_ctx=65536, n_threads=1), timeout_seconds=60) as run:
    print(run.loaded.pid, flush=True)
    if sys.argv[3] == "busy":
        run.generate(60000)
    time.sleep(60)
"""


@pytest.mark.parametrize("state", ["idle", "busy", "stopped"])
def test_it_does_not_outlive_a_killed_parent(model: Path, tmp_path: Path, state: str) -> None:
    if state == "stopped" and not sys.platform.startswith("linux"):
        pytest.skip("only Linux ends a stopped child")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, BUILDS[0].path, str(model), state], stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    if state == "stopped":
        os.kill(pid, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone_within(pid, 5)
    assert list(temporary.iterdir()) == []


def test_control_c_ends_the_child_too(model: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, BUILDS[0].path, str(model), "busy"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    time.sleep(0.1)
    parent.send_signal(signal.SIGINT)
    _, said = parent.communicate(timeout=10)
    assert b"KeyboardInterrupt" in said and not is_running(pid)


def test_a_library_that_is_no_engine_is_unknown(model: Path) -> None:
    name = ctypes.util.find_library("m")
    if not name:
        pytest.skip("no libm")
    build = Build("a math library", (name,), None, None, name, Unknown("none"))
    with Binding(build).load(str(model), SMALL) as run:
        assert isinstance(run, Unknown) and "no llama.cpp library" in run.reason


def test_a_missing_openmp_says_what_to_install() -> None:
    said = library_missing("libgomp.so.1: cannot open shared object file: No such file or directory")
    assert said.endswith("(install libgomp1)") and library_missing("something else") == "something else"


def test_a_build_without_libraries_is_unknown(model: Path) -> None:
    build = Build("programs only", (), None, None, "/nowhere", Unknown("none"))
    with Binding(build).load(str(model), SMALL) as run:
        assert isinstance(run, Unknown) and "no library" in run.reason


def test_a_buffer_type_that_the_build_has_not_is_unknown(engine: Binding, model: Path) -> None:
    with engine.load(str(model), changed(tensor_overrides=((r"ffn", "CUDA7"),))) as run:
        assert isinstance(run, Unknown) and "CUDA7" in run.reason and "CPU" in run.reason


def test_parameters_that_took_no_effect_are_found() -> None:
    check_effect({"n_ctx": 1000, "n_batch": 512, "n_seq_max": 1}, {"n_ctx": 1024, "n_batch": 512, "n_seq_max": 1})
    for says in ({"n_ctx": 512}, {"n_ctx": 1024, "n_seq_max": 4}, {"n_batch": 2048}, {"n_batch": 0}):
        with pytest.raises(LayoutUnknown, match="laid out anew"):
            check_effect({"n_ctx": 1000, "n_batch": 512, "n_seq_max": 1}, says)


def test_settings_become_the_engines_own_names() -> None:
    asked = Settings(
        n_ctx=4096, n_parallel=2, n_batch=512, n_ubatch=256, n_gpu_layers=20, type_k="q8_0", type_v="q4_0", flash_attn="auto",
        offload_kqv=False, op_offload=False, split_mode="row", main_gpu=1, tensor_split=(3.0, 1.0), n_cpu_moe=1,
        tensor_overrides=(("ffn", "CPU"),), swa_full=True, kv_unified=True, n_outputs_max=4, n_threads=6, use_mmap=False,
    )  # fmt: skip
    assert options(asked) == {
        "model_params": {
            "n_gpu_layers": 20, "split_mode": 2, "main_gpu": 1, "tensor_split": [3.0, 1.0], "use_mmap": False,
            "overrides": [["ffn", "CPU"], [r"blk\.0\.ffn_(up|down|gate|gate_up)_(ch|)exps", "CPU"]],
        },
        "context_params": {
            "n_ctx": 4096, "n_batch": 512, "n_ubatch": 256, "n_seq_max": 2, "n_outputs_max": 4, "offload_kqv": False,
            "op_offload": False, "swa_full": True, "kv_unified": True, "type_k": 8, "type_v": 2, "flash_attn": -1,
        },
        "threads": 6,
    }  # fmt: skip


def test_unloading_gives_its_time_and_the_whole_log(engine: Binding, model: Path) -> None:
    with running(engine, model) as run:
        found = run.unload()
        assert (found.how, found.exit_code) == (UNLOADED, 0)
        assert isinstance(found.seconds, float) and found.seconds < 5
        assert len(found.log) >= len(run.loaded.log) > 50
