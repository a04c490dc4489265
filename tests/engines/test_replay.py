"""Replays: a run recorded from a real engine plays again with the same times, and made-up ones play what they say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from run_builds import builds
from run_contract import SMALL, RunContract, running
from small_llama import small_llama

from vramctl.engines.binding import Binding
from vramctl.engines.recorder import Recorder
from vramctl.engines.recording import RecordedLoad, Recording, Step, read_recording, write_recording
from vramctl.engines.replay import Replay, VirtualClock
from vramctl.errors import BadInput
from vramctl.records import Settings, Unknown
from vramctl.records.load import Load
from vramctl.records.run import (
    CRASHED,
    REFUSED,
    TIMEOUT,
    UNLOADED,
    Answer,
    Ended,
    EngineDevice,
    Generation,
    Loaded,
    LogLine,
    Memory,
    Prefill,
)

LOG = (
    LogLine(0.1, "load_tensors: offloaded 33/33 layers to GPU", "info"),
    LogLine(0.2, "load_tensors:        CUDA0 model buffer size =  4403.49 MiB", "info"),
    LogLine(0.3, "llama_context: n_ctx         = 2048", "info"),
    LogLine(0.4, "llama_kv_cache:      CUDA0 KV buffer size =   512.00 MiB", "info"),
)
LOADED = Loaded(
    vehicle="binding", engine="made up", version=Unknown("made up"), model="m.gguf", settings=SMALL, start_seconds=0.5,
    load_seconds=2.0, context_seconds=0.25, n_ctx=2048, log=LOG,
    devices=(EngineDevice("CUDA0", "a card", "gpu", 24 << 30, 23 << 30),),
)  # fmt: skip
GOOD_END = Ended(how=UNLOADED, phase="unload", what="unloaded", seconds=0.125, log=LOG)


def generation(*seconds: float, depth: int = 0, first: bool = False) -> Step:
    found = Generation(n_tokens=len(seconds), depth=depth, seconds=sum(seconds), token_seconds=seconds, first_run=first)
    return Step("generate", (len(seconds), depth), found)


STEPS = (
    Step("prefill", (256, 0), Prefill(n_tokens=256, depth=0, seconds=1.0, first_run=True)),
    Step("prefill", (256, 128), Prefill(n_tokens=256, depth=128, seconds=0.5, first_run=False)),
    generation(*[0.5] * 8, first=True),
    generation(*[0.25] * 16, depth=256),
    Step("answer", (64, 8), Answer(
        prompt_tokens=64, n_tokens=8, prompt_seconds=0.5, first_token_seconds=0.5, gap_seconds=(0.1,) * 7, total_seconds=1.2)),
)  # fmt: skip


def replay(steps: tuple[Step, ...] = STEPS, end: Ended | Unknown = GOOD_END, loaded: Loaded | None = LOADED) -> Replay:
    return Replay(Recording("made up", (RecordedLoad("m.gguf", SMALL, loaded, steps, end),)))


class TestContract(RunContract):
    """The shared promises, by a made-up recording that was written to a file and read again."""

    @pytest.fixture
    def model(self) -> Path:
        return Path("m.gguf")

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Replay:
        write_recording(replay().recording, tmp_path / "run.json")
        recording = read_recording(tmp_path / "run.json")
        loads = [dataclasses.replace(load, loaded=_as_replay(load.loaded)) for load in recording.loads]
        return Replay(dataclasses.replace(recording, loads=tuple(loads)))


def _as_replay(loaded: Loaded | None) -> Loaded | None:
    return loaded and dataclasses.replace(loaded, vehicle="replay")


def test_the_clock_goes_on_by_exactly_what_was_recorded() -> None:
    engine = replay()
    clock = engine.clock
    with running(engine, Path("m.gguf")) as run:
        assert clock.now_seconds() == 2.75
        run.prefill(256)
        assert clock.now_seconds() == 3.75
        run.generate(16, depth=256)
        assert clock.now_seconds() == 7.75
        run.answer(64, 8)
        assert clock.now_seconds() == pytest.approx(8.95)
    assert clock.now_seconds() == pytest.approx(9.075)


def test_the_same_question_plays_the_recorded_answers_in_turn() -> None:
    steps = (generation(1.0, first=True), generation(2.0), generation(3.0))
    with running(replay(steps), Path("m.gguf")) as run:
        found = [run.generate(1) for _ in range(5)]
        assert [g.seconds for g in found if isinstance(g, Generation)] == [1.0, 2.0, 3.0, 1.0, 2.0]
        assert [g.first_run for g in found if isinstance(g, Generation)] == [True, False, False, False, False]


def test_more_steps_than_recorded_are_made_of_the_recorded_ones() -> None:
    with running(replay((generation(1.0, 2.0, depth=4),)), Path("m.gguf")) as run:
        found = run.generate(5, depth=4)
        assert isinstance(found, Generation) and found.token_seconds == (1.0, 2.0, 1.0, 2.0, 1.0)
        assert isinstance(run.generate(5, depth=8), Unknown)


def test_what_was_not_recorded_is_unknown() -> None:
    engine = replay()
    with engine.load("m.gguf", Settings(n_ctx=1)) as run:
        assert isinstance(run, Unknown)
    with running(engine, Path("m.gguf")) as run:
        assert isinstance(run.prefill(99), Unknown) and isinstance(run.memory(), Unknown)
        assert isinstance(run.answer(1, 1), Unknown)


def test_in_order_every_load_plays_the_next_one() -> None:
    loads = [RecordedLoad("m", SMALL, dataclasses.replace(LOADED, engine=name), (), GOOD_END) for name in ("a", "b")]
    engine = Replay(Recording("made up", tuple(loads)), in_order=True)
    names = []
    for n_ctx in (1, 2, 3):
        with engine.load("m", Settings(n_ctx=n_ctx)) as run:
            assert not isinstance(run, (Ended, Unknown))
            names.append(run.loaded.engine)
    assert names == ["a", "b", "b"]


def test_a_recorded_failure_to_load_is_played() -> None:
    end = Ended(how=REFUSED, phase="load", what="no such model", seconds=3.0)
    engine = replay((), end, loaded=None)
    with engine.load("m.gguf", SMALL) as run:
        assert run == end
    assert engine.clock.now_seconds() == 3.0


def test_a_recorded_crash_comes_once_the_steps_are_played_and_at_its_time() -> None:
    end = Ended(how=CRASHED, phase="generate", what="it crashed", seconds=100.0)
    engine = replay((generation(1.0),), end)
    with running(engine, Path("m.gguf")) as run:
        assert isinstance(run.generate(1), Generation)
        assert run.generate(1) == end and run.prefill(256) == end and run.unload() == end
    assert engine.clock.now_seconds() == 102.75


def test_time_limits_hold_on_the_virtual_clock() -> None:
    engine = replay()
    with engine.load("m.gguf", SMALL, timeout_seconds=1) as run:
        assert isinstance(run, Ended) and (run.how, run.phase) == (TIMEOUT, "load")
    with running(engine, Path("m.gguf")) as run:
        found = run.prefill(256, timeout_seconds=0.5)
        assert isinstance(found, Ended) and (found.how, found.phase) == (TIMEOUT, "prefill")
        assert run.generate(8) == found


def test_a_real_clock_can_be_passed() -> None:
    clock = VirtualClock(50.0)
    engine = Replay(replay().recording, clock=clock)
    with running(engine, Path("m.gguf")):
        assert clock.now_seconds() == 52.75


def test_a_recording_survives_its_file(tmp_path: Path) -> None:
    memory = Memory(at_seconds=1.0, devices=(EngineDevice("CUDA0", "x", "gpu", 2, 1),), resident_bytes=Unknown("no"))
    steps = (*STEPS, Step("memory", (), memory), Step("prefill", (9, 9), Unknown("it does not fit")))
    settings = dataclasses.replace(SMALL, tensor_split=(1.0, 2.0), tensor_overrides=(("a", "CPU"),))
    loaded = dataclasses.replace(LOADED, settings=settings)
    crashed = Ended(how=CRASHED, phase="generate", what="it crashed", seconds=1.0, signal="SIGSEGV", log=LOG)
    loads = (
        RecordedLoad("m.gguf", settings, loaded, steps, crashed),
        RecordedLoad("m.gguf", settings, None, (), Unknown("no library")),
    )
    write_recording(Recording("made up", loads), tmp_path / "run.json")
    found = read_recording(tmp_path / "run.json")
    again = found.loads[0]
    assert again.loaded is not None and isinstance(again.loaded.load, Load)
    assert again.loaded.load.layers_on_gpu == 33
    assert dataclasses.replace(again.loaded, load=loaded.load) == loaded
    assert (again.steps, again.settings) == (steps, settings)
    assert isinstance(again.ended, Ended)
    assert dataclasses.replace(again.ended, load=crashed.load) == crashed
    assert found.loads[1] == loads[1]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "vramctl.recording/1", "engine": "x", "loads": [{}]}', "\x00"]
)
def test_a_file_that_is_none_is_bad_input(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(BadInput, match="no recorded run"):
        read_recording(path)


@pytest.mark.engine
@pytest.mark.skipif(not builds(), reason="no llama.cpp library is installed")
def test_a_real_run_plays_again_with_its_own_times(tmp_path: Path) -> None:
    model = small_llama(tmp_path / "small.gguf")
    recorder = Recorder(Binding(builds()[0], environ={"OMP_WAIT_POLICY": "passive"}))
    with running(recorder, model) as run:
        real = [run.prefill(256), run.generate(8, depth=256), run.answer(64, 8), run.memory(), run.prefill(9999)]
        loaded = run.loaded
    write_recording(recorder.recording, tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text())["engine"] == loaded.engine
    engine = Replay(read_recording(tmp_path / "run.json"))
    with running(engine, model) as run:
        assert [
            run.prefill(256),
            run.generate(8, depth=256),
            run.answer(64, 8),
            run.memory(),
            run.prefill(9999),
        ] == real
        assert run.loaded.load == loaded.load and run.loaded.buffers == loaded.buffers
        assert run.log() == loaded.log
        assert run.unload().how == UNLOADED
    with recorder.load(str(tmp_path / "none.gguf"), SMALL) as failed:
        assert isinstance(failed, Ended)
    with Replay(recorder.recording, in_order=True).load("", SMALL) as first:
        assert not isinstance(first, (Ended, Unknown))
    assert len(recorder.recording.loads) == 2
