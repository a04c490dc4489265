"""llama-server, started by us or attached to: the contract, on the program that is here and on an imitation."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from run_contract import SMALL, RunContract, gone_within, is_running, running
from small_llama import small_llama

from vramctl.engines.llama_server import AttachedServer, LlamaServer, free_port, wheel_server
from vramctl.engines.server_flags import known_flags, own_arguments, server_arguments
from vramctl.engines.server_run import server_lines
from vramctl.records import Settings, Unknown
from vramctl.records.load import Load
from vramctl.records.run import CRASHED, KILLED, REFUSED, TIMEOUT, UNLOADED, Ended, Generation, LogLine

PROGRAM = os.environ.get("VRAMCTL_LLAMA_SERVER") or shutil.which("llama-server")
QUIET = {"OMP_WAIT_POLICY": "passive"}
needs_program = pytest.mark.skipif(PROGRAM is None, reason="no llama-server (VRAMCTL_LLAMA_SERVER names one)")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("models") / "small.gguf")


@needs_program
@pytest.mark.engine
class TestStarted(RunContract):
    """A real server that we start."""

    @pytest.fixture
    def engine(self) -> LlamaServer:
        return LlamaServer(str(PROGRAM), environ=QUIET)


@pytest.mark.engine
@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no xllamacpp")
class TestFromTheWheel(RunContract):
    """The server inside xllamacpp's wheel, that we start."""

    @pytest.fixture
    def engine(self) -> LlamaServer:
        return LlamaServer(wheel_server(), environ=QUIET)

    def test_settings_reach_it(self, engine: LlamaServer, model: Path) -> None:
        asked = replace(SMALL, n_parallel=2, type_k="q8_0", type_v="q8_0", use_mmap=False, n_cpu_moe=1, kv_unified=True)
        with running(engine, model, replace(asked, tensor_overrides=(("ffn_down", "CPU"),))) as run:
            assert run.loaded.not_applied == ()
            assert (run.loaded.n_seq_max, run.loaded.n_ubatch, run.loaded.n_ctx_seq) == (2, 128, 2048)
            assert isinstance(run.loaded.load, Load)
            said = run.loaded.load.settings
            assert (said.type_k, said.type_v, said.flash_attn) == ("q8_0", "q8_0", "on")

    def test_a_broken_file_is_refused(self, engine: LlamaServer, model: Path, tmp_path: Path) -> None:
        broken = tmp_path / "broken.gguf"
        broken.write_bytes(model.read_bytes()[:5000])
        assert failure(engine, broken).how == REFUSED


@pytest.fixture(scope="module")
def imitation(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The imitation as a program."""
    script = Path(__file__).with_name("imitation_server.py")
    program = tmp_path_factory.mktemp("bin") / "llama-server"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    program.chmod(0o755)
    return str(program)


class TestImitated(RunContract):
    """An imitation that we start."""

    @pytest.fixture
    def engine(self, imitation: str) -> LlamaServer:
        return LlamaServer(imitation)


def real_server() -> list[str]:
    """The command of a real llama-server: the program that is here, else the one inside xllamacpp's wheel."""
    if PROGRAM is not None:
        return [PROGRAM]
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("no llama-server, and no xllamacpp")
    return list(wheel_server())


@pytest.fixture(params=["imitation", "real"])
def served(request: pytest.FixtureRequest, imitation: str, model: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """(URL, log) of a server that somebody else runs."""
    program = [imitation] if request.param == "imitation" else real_server()
    port, log = free_port(), tmp_path / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*program, "--model", str(model), "--host", "127.0.0.1", "--port", str(port), "--ctx-size", "2048",
             "--batch-size", "512", "--threads", "1", "--parallel", "1", "--no-warmup", "--log-verbosity", "4"],
            stdout=out, stderr=out,
        )  # fmt: skip
    while not listens(port):
        assert process.poll() is None
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}/v1", log
    assert process.poll() is None
    process.kill()
    process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class TestAttached(RunContract):
    """A server that runs already, with its log."""

    owns = False

    @pytest.fixture
    def engine(self, served: tuple[str, Path]) -> AttachedServer:
        return AttachedServer(served[0], log_path=str(served[1]))


def test_an_attached_server_says_who_it_is(served: tuple[str, Path], model: Path) -> None:
    engine = AttachedServer(served[0])
    with engine.load("whatever", SMALL) as early:
        assert early is not None
    with running(engine, model) as run:
        assert run.loaded.model == str(model) and run.loaded.n_ctx_seq == 2048 and run.loaded.n_seq_max == 1
        assert isinstance(run.loaded.version, Unknown) or run.loaded.version.startswith("b")
        assert "b0" not in str(run.loaded.version)
        assert isinstance(run.loaded.pid, int) and "n_ctx" in run.loaded.not_applied
        assert isinstance(run.loaded.load, Unknown) and run.log() == ()
        memory = run.memory()
        assert not isinstance(memory, (Ended, Unknown)) and isinstance(memory.resident_bytes, int)


def test_nobody_at_the_address_is_unknown() -> None:
    for url in (f"http://127.0.0.1:{free_port()}", "ftp://x", "http://"):
        with AttachedServer(url).load("", Settings(), timeout_seconds=1) as run:
            assert isinstance(run, Unknown) and run.reason


def test_a_program_that_is_no_server_is_unknown(tmp_path: Path, model: Path) -> None:
    for program in (str(tmp_path / "none"), "true", "cat"):
        with LlamaServer(program).load(str(model), SMALL) as run:
            assert isinstance(run, Unknown)


def failure(engine: LlamaServer, model: Path | str, *, seconds: float = 20) -> Ended:
    with engine.load(str(model), SMALL, timeout_seconds=seconds) as run:
        assert isinstance(run, Ended), run
        return run


def test_a_refused_model_ends_with_the_servers_words(imitation: str) -> None:
    found = failure(LlamaServer(imitation), "refuse.gguf")
    assert (found.how, found.phase) == (REFUSED, "load") and "invalid magic" in found.what


def test_an_allocation_that_failed_is_named(imitation: str) -> None:
    found = failure(LlamaServer(imitation), "memory.gguf")
    assert found.how == "out-of-memory" and found.buffer == "device 0"
    assert found.wanted_bytes == round(3480.01 * (1 << 20))


def test_a_server_that_is_never_ready_is_ended(imitation: str) -> None:
    found = failure(LlamaServer(imitation), "silent.gguf", seconds=0.6)
    assert (found.how, found.phase) == (TIMEOUT, "load")


def test_a_server_that_crashes_in_an_answer_is_a_result(imitation: str) -> None:
    with running(LlamaServer(imitation), Path("crash.gguf")) as run:
        found = run.prefill(64)
        assert isinstance(found, Ended) and (found.how, found.phase, found.signal) == (CRASHED, "prefill", "SIGABRT")
        assert "GGML_ASSERT" in found.what and run.generate(1) == found


def test_a_server_that_stalls_in_a_stream_is_ended_at_the_limit(imitation: str) -> None:
    with running(LlamaServer(imitation), Path("stall.gguf")) as run:
        pid = run.loaded.pid
        found = run.generate(16, timeout_seconds=0.4)
        assert isinstance(found, Ended) and (found.how, found.phase) == (TIMEOUT, "generate")
        assert isinstance(pid, int) and not is_running(pid)


def test_a_key_for_running_servers_is_not_passed_to_one_that_is_started(
    imitation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_API_KEY", "secret")
    with running(LlamaServer(imitation), Path("good.gguf")) as run:
        assert isinstance(run.generate(4), Generation)


def test_what_the_server_refuses_is_unknown_and_it_goes_on(imitation: str) -> None:
    for name in ("busy.gguf", "old.gguf"):
        with running(LlamaServer(imitation), Path(name)) as run:
            for _ in range(2):
                assert isinstance(run.prefill(64), Unknown) and isinstance(run.generate(8), Unknown)
    with running(LlamaServer(imitation), Path("good.gguf")) as run:
        refused = run.prefill(5000)
        assert isinstance(refused, Unknown) and "context size" in refused.reason
        assert isinstance(run.generate(8), Generation)


def test_a_stopped_or_killed_server_is_a_result(imitation: str) -> None:
    for number, how in ((signal.SIGSTOP, TIMEOUT), (signal.SIGKILL, KILLED), (signal.SIGSEGV, CRASHED)):
        with running(LlamaServer(imitation), Path("good.gguf")) as run:
            pid = run.loaded.pid
            assert isinstance(pid, int)
            os.kill(pid, number)
            found = run.generate(8, timeout_seconds=0.5)
            assert isinstance(found, Ended) and found.how == how
        assert not is_running(pid)


PARENT = """
import sys, time
from vramctl.engines.llama_server import LlamaServer
from vramctl.records import Settings
with LlamaServer(sys.argv[1]).load("good.gguf", Settings(n_ctx=2048)) as run:
    print(run.loaded.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a child with its parent")
def test_a_started_server_does_not_outlive_a_killed_parent(imitation: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, imitation], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone_within(pid, 5)


@needs_program
@pytest.mark.engine
def test_a_real_servers_cache_holds_the_depth(model: Path) -> None:
    with running(LlamaServer(str(PROGRAM), environ=QUIET), model) as run:
        assert run.loaded.not_applied == () and run.loaded.n_batch == 512 and run.loaded.n_ubatch == 128
        found = run.unload()
        assert (found.how, found.exit_code) == (UNLOADED, 0)


@needs_program
@pytest.mark.engine
def test_a_real_server_refuses_a_broken_file(tmp_path: Path, model: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(model.read_bytes()[:5000])
    found = failure(LlamaServer(str(PROGRAM), environ=QUIET), broken)
    assert found.how == REFUSED and found.what


HELP = "-c, --ctx-size N\n-ngl, --gpu-layers, --n-gpu-layers N\n--model\n--port N\n-kvo, --kv-offload, -nkvo, --no-kv-offload\n"


def test_settings_become_arguments_that_the_build_knows() -> None:
    known = known_flags(HELP + "--mmap, --no-mmap\n--kv-unified, --no-kv-unified --override-tensor --tensor-split")
    asked = Settings(
        n_ctx=4096, n_gpu_layers=-1, offload_kqv=False, use_mmap=False, kv_unified=True, n_cpu_moe=3, tensor_split=(3.0, 1.0),
        tensor_overrides=(("a", "CPU"), ("b", "CUDA0")), flash_attn="on",
    )  # fmt: skip
    arguments, missing = server_arguments(asked, known)
    assert arguments == [
        "--ctx-size", "4096", "--gpu-layers", "999", "--no-kv-offload", "--kv-unified", "--no-mmap", "--tensor-split", "3,1",
        "--override-tensor", "a=CPU,b=CUDA0",
    ]  # fmt: skip
    assert missing == ("flash_attn", "n_cpu_moe")
    newer = known_flags(HELP + "-lm, --load-mode MODE")
    assert server_arguments(Settings(use_mmap=False), newer) == (["--load-mode", "none"], ())
    assert own_arguments(known, port=5) == ["--port", "5"]


def test_times_of_a_servers_log_are_read() -> None:
    lines = list(server_lines(b"0.01.234.567 I srv  x: y\n1.02.000.000 E srv  z\nplain words\n"))
    assert [line.at_seconds for line in lines[:2]] == [pytest.approx(1.234567), pytest.approx(62.0)]
    assert [line.level for line in lines] == ["info", "error", ""]
    assert isinstance(lines[2], LogLine) and isinstance(lines[2].at_seconds, Unknown)
