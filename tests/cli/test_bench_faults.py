"""What ends a benchmark or a verification early: killed children, Ctrl-C, want of memory, another process; nothing is left."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from vramctl.bench.job import run_bench
from vramctl.bench.request import Effort, Request
from vramctl.engines.binding import Binding
from vramctl.engines.builds import look_build
from vramctl.errors import Wrong
from vramctl.planning.ready import Machine
from vramctl.probes.cpu_watch import CpuWatch
from vramctl.records import Build, Settings
from vramctl.records.measurement import Bench
from vramctl.records.stand_in import ModelFile
from vramctl.verifying import Request as VerifyRequest
from vramctl.verifying import verify_model

sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))
from small_llama import small_llama

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no engine is installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="children are found through /proc"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("mö del 模型") / "a small one.gguf"
    small_llama(path)
    return str(path)


class Command:
    """vramctl in a process of its own, with its own folders for everything that it could leave behind."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir(exist_ok=True)
        state = {f"XDG_{name}_HOME": str(folder / name) for name in ("STATE", "CACHE")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vramctl", *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=folder, env={**os.environ, "TMPDIR": str(self.temporary), **state, **environ},
        )  # fmt: skip

    def children(self) -> list[psutil.Process]:
        """The engine's process: it names its parent."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if "vramctl.engines.run_model" in line and line[-1] == str(self.process.pid):
                found.append(process)
        return found

    def engine(self) -> psutil.Process:
        """The engine's process, once it is there."""
        until = time.monotonic() + 20
        while time.monotonic() < until and self.process.poll() is None:
            found = self.children()
            if found:
                return found[0]
            time.sleep(0.01)
        raise AssertionError(f"no engine was started: {self.process.communicate()}")

    def end(self) -> tuple[int, str, str]:
        """The exit code and what was written; nothing may be left."""
        out, err = self.process.communicate(timeout=30)
        until = time.monotonic() + 5
        while self.children() and time.monotonic() < until:
            time.sleep(0.02)
        assert self.children() == []
        assert not list(self.temporary.iterdir())
        return self.process.returncode, out, err


def bench_arguments(model: str) -> list[str]:
    """A benchmark that takes many seconds."""
    sizes = ["--prompt", "4096", "--generate", "64", "--rounds", "10000", "--seconds", "20"]
    return ["bench", model, "--threads", "1", *sizes]


@pytest.mark.parametrize("after", [0.0, 0.1, 0.6])
def test_a_killed_engine_is_a_clear_result(model: str, after: float, tmp_path: Path) -> None:
    command = Command(tmp_path, *bench_arguments(model))
    engine = command.engine()
    time.sleep(after)
    engine.kill()
    code, out, err = command.end()
    document: dict[str, Any] = json.loads(out)
    assert (code, err) == (1, "")
    assert document["rows"][0]["failed"] == "the process was ended from outside"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seed", [1, 2])
def test_interrupted_at_any_moment_nothing_is_left(
    model: str, number: signal.Signals, seed: int, tmp_path: Path
) -> None:
    command = Command(tmp_path, *bench_arguments(model))
    if seed == 1:
        command.engine()
    time.sleep(random.Random(seed * int(number)).uniform(0.3, 0.8))
    command.process.send_signal(number)
    code, out, _ = command.end()
    assert out == ""
    assert code in (
        128 + number,
        -number,
    )  # the signal itself ends a Python that has not begun: a shell calls both 130, 143


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_rows_that_are_done_outlive_an_interrupt(model: str, number: signal.Signals, tmp_path: Path) -> None:
    rows = ["--long-context", "64,2048,4096", "--prompt", "32", "--generate", "16", "--seconds", "1", "--threads", "1"]
    files = ["--save", "r.json", "--html", "r.html", "--floor", "1e9"]
    command = Command(tmp_path, "bench", model, *rows, *files, "--verbose")
    assert command.process.stderr is not None
    for line in command.process.stderr:
        if "loading" in line and "2048 tokens" in line:
            break
    command.process.send_signal(number)
    code, out, _ = command.end()
    document: dict[str, Any] = json.loads(out)
    assert code == 128 + number
    assert [row["name"] for row in document["rows"]] == ["64 tokens, CPU"]
    assert document["rows"][0]["decode_tokens_per_second"]["median"] > 0
    assert not document["valid"] and document["invalid_because"][0] == "interrupted: 1 of 3 rows"
    assert json.loads((tmp_path / "r.json").read_text()) == document
    assert "interrupted: 1 of 3 rows" in (tmp_path / "r.html").read_text()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), SystemExit(143)])
@pytest.mark.parametrize("done", [0, 1, 2])
def test_an_interrupt_keeps_what_is_done_and_goes_on_where_nothing_is(
    model: str, ending: BaseException, done: int
) -> None:
    effort = Effort(prompt_tokens=32, decode_tokens=8, rounds=1, seconds=1.0, keep_sizes=True)
    request = Request(model=model, settings=Settings(n_threads=1), effort=effort, depths=(64, 96, 128))

    def say(told: str) -> None:
        if told.startswith("loading") and f"{(64, 96, 128)[done]} tokens" in told:
            raise ending

    def run() -> Bench:
        return run_bench(
            request,
            say=say,
            open_file=lambda plan: ModelFile(model, 1, invented=False, was_there=True),
            machine=Machine(()),
        )

    if not done:
        with pytest.raises(type(ending)):
            run()
        return
    found = run()
    assert len(found.rows) == done
    assert found.ended_by == (130 if isinstance(ending, KeyboardInterrupt) else 143)


def test_folders_that_cannot_be_written_and_no_home_are_no_obstacle(model: str, tmp_path: Path) -> None:
    command = Command(
        tmp_path, "verify", model, "--ctx", "512", "--threads", "1", XDG_STATE_HOME="/dev/null/x", XDG_CACHE_HOME="/dev/null/x",
        HOME="",
    )  # fmt: skip
    code, out, err = command.end()
    assert (code, err) == (1, "")
    assert json.loads(out)["verdict"] == "cpu-only"


def limited() -> Binding:
    build = look_build(None)
    assert isinstance(build, Build)
    return Binding(build, memory_limit_bytes=1 << 30)


def test_want_of_memory_is_survived(model: str) -> None:
    file = ModelFile(model, 1, invented=False, was_there=True)
    settings = Settings(n_threads=1, n_ctx=4 << 20)  # 4 GiB of cache
    request = Request(model=model, settings=settings, effort=Effort(rounds=1, seconds=1), force=True)
    found = run_bench(
        request,
        say=lambda _: None,
        open_file=lambda plan: file,
        engine=limited(),
    )
    assert "failed to allocate" in found.rows[0].failed and not found.valid
    with pytest.raises(Wrong) as raised:
        verify_model(
            VerifyRequest(model=model, settings=settings, force=True), say=lambda _: None, open_file=lambda plan: file,
            engine=limited(),
        )  # fmt: skip
    assert raised.value.code == "did-not-load"
    assert raised.value.because[0] == "how it ended: out-of-memory, phase: load"


def test_another_busy_process_is_seen_and_ours_is_not_foreign() -> None:
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.5)
        watch, own = CpuWatch(None), CpuWatch(other.pid)
        time.sleep(0.6)
        foreign, ours = watch.use(), own.use()
    finally:
        other.kill()
        other.wait()
    assert isinstance(foreign.foreign, float) and isinstance(ours.foreign, float) and isinstance(ours.own, float)
    assert isinstance(foreign.own, float)
    # How much depends on who else runs here; what is ours is not foreign, and nothing is lost.
    assert foreign.foreign > 0
    assert ours.own > foreign.own
    assert ours.foreign < foreign.foreign
    assert abs((ours.foreign + ours.own) - (foreign.foreign + foreign.own)) < 0.15
