"""Ollama over its API, by an imitation that answers in its format: the contract, and what it says when it cannot."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_contract import SMALL, RunContract, running

from vramctl.engines.http_api import Api
from vramctl.engines.llama_server import free_port
from vramctl.engines.ollama import Ollama
from vramctl.engines.ollama_talk import options
from vramctl.records import Settings, Unknown
from vramctl.records.load import ON_GPU, Load
from vramctl.records.run import BY_SERVER, CRASHED, REFUSED, TIMEOUT, UNLOADED, Answer, Ended, Generation, Prefill


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, Path, int]]:
    """(URL, log, pid) of an imitated Ollama."""
    port, log = free_port(), tmp_path / "server.log"
    log.write_text('time=2026-11-20T20:00:00.000Z level=INFO source=routes.go:1 msg="Listening on 127.0.0.1"\n')
    script = Path(__file__).with_name("imitation_ollama.py")
    process = subprocess.Popen([sys.executable, str(script), str(port), str(log)])
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}", log, process.pid
    process.kill()
    process.wait()


@pytest.fixture
def engine(service: tuple[str, Path, int]) -> Ollama:
    return Ollama(service[0], log_path=str(service[1]))


class TestContract(RunContract):
    """The shared promises; counts are Ollama's own, near those asked for."""

    owns, exact_counts = False, False

    @pytest.fixture
    def model(self) -> Path:
        return Path("llama3")


def models(url: str) -> list[str]:
    return [row["name"] for row in Api(url).get("/api/ps", timeout_seconds=5).document["models"]]


def test_it_says_what_ollama_reports(engine: Ollama) -> None:
    with running(engine, Path("llama3")) as run:
        loaded = run.loaded
        assert (loaded.version, loaded.n_ctx) == ("0.33.0-imitation", 2048)
        assert (loaded.reported_total_bytes, loaded.reported_gpu_bytes) == (5_000_000_000, 4_900_000_000)
        assert loaded.facts["quantization_level"] == "Q4_K_M"
        assert set(loaded.not_applied) == {"n_parallel", "n_ubatch", "flash_attn"}
        assert isinstance(loaded.load, Load) and loaded.load.outcome == ON_GPU and loaded.graph_splits == 2
        assert isinstance(loaded.pid, int)


def test_its_durations_become_seconds_and_steps(engine: Ollama) -> None:
    with running(engine, Path("llama3")) as run:
        prompt, steps, answer = run.prefill(100), run.generate(9, depth=50), run.answer(20, 5)
        assert isinstance(prompt, Prefill) and (prompt.n_tokens, prompt.depth) == (101, 0)
        assert prompt.seconds == pytest.approx(101 * 1e-4) and prompt.measured_by == BY_SERVER
        assert isinstance(steps, Generation) and (steps.n_tokens, steps.depth) == (9, 51)
        assert steps.seconds == pytest.approx(9 * 2e-3) and isinstance(steps.token_seconds, Unknown)
        assert (
            isinstance(answer, Answer) and not isinstance(answer.gap_seconds, Unknown) and len(answer.gap_seconds) == 4
        )
        deep = run.prefill(100, depth=30)
        assert isinstance(deep, Prefill) and (deep.n_tokens, deep.depth) == (100, 31)


def test_a_model_that_was_there_stays_and_one_that_was_not_goes(engine: Ollama, service: tuple[str, Path, int]) -> None:
    url = service[0]
    with running(engine, Path("ollama:llama3")) as first:
        assert models(url) == ["llama3:latest"] and isinstance(first.loaded.load_seconds, float)
        with running(engine, Path("llama3")) as second:
            assert isinstance(second.loaded.load_seconds, Unknown)
            assert isinstance(second.loaded.load, Unknown)
        assert models(url) == ["llama3:latest"]
    assert models(url) == []


@pytest.mark.parametrize(
    ("name", "how", "words"), [("missing", REFUSED, "not found"), ("memory", "out-of-memory", "more system memory")]
)
def test_a_refusal_has_ollamas_words(engine: Ollama, name: str, how: str, words: str) -> None:
    with engine.load(name, SMALL) as run:
        assert isinstance(run, Ended) and (run.how, run.phase) == (how, "load") and words in run.what


def test_a_runner_that_ends_is_a_crash(engine: Ollama) -> None:
    with running(engine, Path("crash")) as run:
        found = run.generate(4)
        assert isinstance(found, Ended) and (found.how, found.phase) == (CRASHED, "generate")
        assert "terminated" in found.what and run.unload() == found


def test_an_answer_that_ends_at_once_is_unknown(engine: Ollama) -> None:
    with running(engine, Path("short")) as run:
        assert isinstance(run.generate(4), Unknown)
        assert run.unload().how == UNLOADED


def test_a_stream_that_stalls_ends_at_the_limit_and_the_model_goes(
    engine: Ollama, service: tuple[str, Path, int]
) -> None:
    with running(engine, Path("stall")) as run:
        found = run.answer(4, 8, timeout_seconds=0.3)
        assert isinstance(found, Ended) and (found.how, found.phase) == (TIMEOUT, "answer")
    assert models(service[0]) == []


def test_an_ollama_that_goes_away_is_a_crash(engine: Ollama, service: tuple[str, Path, int]) -> None:
    with running(engine, Path("llama3")) as run:
        os.kill(service[2], signal.SIGKILL)
        time.sleep(0.05)
        found = run.generate(4)
        assert isinstance(found, Ended) and found.how == CRASHED


def test_no_ollama_is_unknown() -> None:
    with Ollama(f"http://127.0.0.1:{free_port()}").load("llama3", Settings()) as run:
        assert isinstance(run, Unknown) and "no Ollama answers" in run.reason


def test_settings_become_ollamas_options() -> None:
    asked = Settings(
        engine="ollama",
        n_ctx=8192,
        n_batch=512,
        n_gpu_layers=-1,
        n_threads=4,
        use_mmap=False,
        main_gpu=1,
        type_k="q8_0",
    )
    assert options(asked) == (
        {"num_ctx": 8192, "num_batch": 512, "num_gpu": 999, "num_thread": 4, "use_mmap": False, "main_gpu": 1}, ("type_k",)
    )  # fmt: skip
