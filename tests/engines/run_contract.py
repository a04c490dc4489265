"""What every way of running a model promises; each has a test class that inherits this and says how it is made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from vramctl.engines.engine import Engine, Running
from vramctl.records import Settings, Unknown
from vramctl.records.load import Load
from vramctl.records.run import UNLOADED, Answer, Ended, Generation, Prefill

SMALL = Settings(n_ctx=2048, n_parallel=1, n_batch=512, n_ubatch=128, n_threads=1, flash_attn="on", n_gpu_layers=0)


class Stop(Exception):
    """What a test raises inside a load."""


def is_running(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    until = time.monotonic() + seconds
    while is_running(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def running(engine: Engine, model: Path, settings: Settings = SMALL) -> Iterator[Running]:
    """The loaded model; the test fails with the engine's words where it is none."""
    with engine.load(str(model), settings, timeout_seconds=60) as run:
        assert not isinstance(run, (Ended, Unknown)), run
        yield run


class RunContract:
    """`engine` and `model` are fixtures of the subclass; `owns` says whether it ends the process it runs in."""

    owns, logs, exact_counts = True, True, True

    def test_says_what_it_loaded(self, engine: Engine, model: Path) -> None:
        with running(engine, model) as run:
            assert run.loaded.vehicle == engine.vehicle
            assert run.loaded.model == str(model)
            assert run.loaded.settings == SMALL
            assert run.loaded.engine

    def test_its_log_tells_of_a_load(self, engine: Engine, model: Path) -> None:
        if not self.logs:
            pytest.skip("this way has no log")
        with running(engine, model) as run:
            assert isinstance(run.loaded.load, Load)
            assert run.loaded.load.settings.ctx == 2048
            times = [line.at_seconds for line in run.log() if isinstance(line.at_seconds, float)]
            assert times == sorted(times)

    def test_reads_a_prompt_in_some_time(self, engine: Engine, model: Path) -> None:
        with running(engine, model) as run:
            first, second = run.prefill(256), run.prefill(256, depth=128)
            assert isinstance(first, Prefill) and isinstance(second, Prefill)
            assert first.first_run and not second.first_run
            assert first.seconds > 0 and second.tokens_per_second > 0
            if self.exact_counts:
                assert (first.n_tokens, first.depth, second.n_tokens, second.depth) == (256, 0, 256, 128)

    def test_times_every_token(self, engine: Engine, model: Path) -> None:
        with running(engine, model) as run:
            first, second = run.generate(8), run.generate(16, depth=256)
            assert isinstance(first, Generation) and isinstance(second, Generation)
            assert first.first_run and not second.first_run
            for found in (first, second):
                if not isinstance(found.token_seconds, Unknown):
                    assert len(found.token_seconds) == found.n_tokens
                    assert sum(found.token_seconds) == pytest.approx(found.seconds, rel=0.5)
            if self.exact_counts:
                assert (second.n_tokens, second.depth) == (16, 256)

    def test_answers_a_whole_request(self, engine: Engine, model: Path) -> None:
        with running(engine, model) as run:
            found = run.answer(64, 8)
            assert isinstance(found, Answer)
            assert isinstance(found.first_token_seconds, float)
            assert 0 < found.first_token_seconds <= found.total_seconds
            if self.exact_counts:
                assert (found.prompt_tokens, found.n_tokens) == (64, 8)
            if not isinstance(found.gap_seconds, Unknown):
                assert len(found.gap_seconds) == found.n_tokens - 1

    def test_once_unloaded_everything_says_so(self, engine: Engine, model: Path) -> None:
        with running(engine, model) as run:
            run.generate(8)
            ended = run.unload()
            assert ended.how == UNLOADED and not ended.failed
            assert run.unload() == ended
            assert run.generate(8) == ended
            assert run.prefill(256) == ended
            assert run.answer(64, 8) == ended

    def test_leaving_ends_the_process(self, engine: Engine, model: Path) -> None:
        with running(engine, model) as run:
            pid = run.loaded.pid
        if isinstance(pid, int) and engine.vehicle != "replay":
            assert is_running(pid) is not self.owns

    def test_an_exception_inside_passes_through_and_ends_the_process(self, engine: Engine, model: Path) -> None:
        pid: object = None
        with pytest.raises(Stop), running(engine, model) as run:
            pid = run.loaded.pid
            raise Stop
        if isinstance(pid, int) and engine.vehicle != "replay":
            assert is_running(pid) is not self.owns

    def test_one_load_after_another(self, engine: Engine, model: Path) -> None:
        for _ in range(2):
            with running(engine, model) as run:
                assert isinstance(run.generate(8), Generation)
