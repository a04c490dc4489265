"""bench on an H200 that plays what one measured: tables of layers and contexts, activity, limits, what does not count."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from vramctl.bench.job import run_bench
from vramctl.bench.request import Effort, Request
from vramctl.errors import Wrong
from vramctl.planning.ready import Machine
from vramctl.probes.bandwidth import Bandwidth
from vramctl.probes.cpu_watch import CpuUse
from vramctl.records import Settings, Unknown
from vramctl.records.measurement import Bench, Row, Stat
from vramctl.records.run import KILLED, OUT_OF_MEMORY, Ended, Generation, Prefill
from vramctl.records.stand_in import ModelFile
from vramctl.show.bench_json import bench_document
from vramctl.show.bench_page import html_page
from vramctl.show.bench_read import read_bench
from vramctl.show.bench_text import bench_text, markdown
from vramctl.show.page import Page
from vramctl.show.schemas import schema
from vramctl.units import GIB

sys.path.insert(0, str(Path(__file__).parent.parent))
from h200 import GPU, H200, Fault, Nvml, Step, h200, measured

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="the planner's engine is not installed"
)
LLAMA = "shape:llama3.1-8b@Q4_K_M"
WHOLE = Fault(buffers=measured("llama3.1-8b", n_ctx=8192, flash_attn=1), layers="33/33")
NONE = Fault(
    buffers=measured("llama3.1-8b", layers=0, n_ctx=8192, flash_attn=1), layers="0/33", splits=1, decode=8, prefill=707
)
CPU = replace(NONE, prefill=120)


FILE = ModelFile("stand-in.gguf", 1, invented=True, was_there=True)


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = Bandwidth(60e9, 2, "test")
    monkeypatch.setattr("vramctl.bench.limits.look_host_bandwidth", lambda *_, **__: found)
    monkeypatch.setattr("vramctl.bench.limits.look_device_bandwidth", lambda device: Unknown("a replay"))
    monkeypatch.setattr(
        "vramctl.bench.job.CpuWatch", lambda pid: type("Watch", (), {"use": lambda self: CpuUse(0.5, 0.0, 1)})()
    )


def benched(
    *faults: Fault, asked: Settings | None = None, nvml: Nvml | None = None, machine: Machine | None = None,
    steps: Sequence[Step] = (), **request: object,
) -> tuple[Bench, H200]:  # fmt: skip
    nvml = nvml or Nvml()
    engine = H200(nvml, *faults, steps=steps)
    found = run_bench(
        Request(model=LLAMA, settings=asked or Settings(), **request),  # type: ignore[arg-type]
        say=lambda _: None, open_file=lambda plan: FILE, engine=engine, machine=machine or h200(nvml),
    )  # fmt: skip
    jsonschema.validate(bench_document(found), schema("bench"))
    assert max(map(len, bench_text(found, Page()).splitlines())) <= 80
    return found, engine


def medians(found: Bench, quantity: str = "decode_tokens_per_second") -> dict[str, int]:
    shown = {row.name: getattr(row, quantity) for row in found.rows}
    return {name: round(value.median) for name, value in shown.items() if isinstance(value, Stat)}


def only(found: Bench) -> Row:
    (row,) = found.rows
    return row


def test_one_row_with_its_limit_and_what_the_gpu_did() -> None:
    found, _ = benched(WHOLE)
    row = only(found)
    assert medians(found) == {"": 258} and medians(found, "prefill_tokens_per_second") == {"": 9400}
    assert isinstance(row.limit.decode_tokens_per_second, float)
    assert 900 < row.limit.decode_tokens_per_second < 1100  # 4.6 GB at 4.8 TB/s
    assert row.limit.bound_by == "memory bandwidth of CUDA0"
    (seen,) = row.activity
    assert isinstance(seen.busy_percent, Stat) and seen.busy_percent.median == 96
    assert seen.energy_joules_per_token == pytest.approx(480 / 258, rel=0.01)
    assert found.valid and found.stand_in and row.layers == "33/33"
    text = bench_text(found, Page())
    assert "258 ±0" in text.replace(".0", "") and "by the bandwidth of CUDA0, 4800 GB/s" in " ".join(text.split())


def test_the_table_of_layers() -> None:
    some = replace(NONE, layers="16/33", decode=18, prefill=1500)
    found, engine = benched(NONE, some, WHOLE, layers=(0, 16, None))
    assert medians(found) == {"n_gpu_layers 0": 8, "n_gpu_layers 16": 18, "n_gpu_layers auto": 258}
    assert [asked.n_gpu_layers for asked in engine.asked] == [0, 16, 33]
    assert "| n_gpu_layers 16 |" in markdown(found)
    assert html_page(found).count("<rect") == 6


def test_long_contexts_on_the_gpu_and_without_it() -> None:
    slow = replace(CPU, decode=6, prefill=90)
    found, engine = benched(WHOLE, CPU, WHOLE, slow, depths=(2048, 8192), on_cpu_too=True)
    assert medians(found) == {
        "2048 tokens, GPU": 258, "2048 tokens, CPU": 8, "8192 tokens, GPU": 258, "8192 tokens, CPU": 6,
    }  # fmt: skip
    assert [(asked.n_gpu_layers, asked.op_offload) for asked in engine.asked][1::2] == [(0, False), (0, False)]
    assert [row.depth for row in found.rows] == [1536, 1536, 7680, 7680]


def test_a_context_that_takes_far_too_long_is_not_begun() -> None:
    found, engine = benched(WHOLE, replace(CPU, prefill=20), depths=(32768,), on_cpu_too=True)
    assert medians(found) == {"32768 tokens, GPU": 258}
    assert engine.clock.now_seconds() < 120
    missing = found.rows[1].decode_tokens_per_second
    assert isinstance(missing, Unknown) and missing.reason.startswith("not measured: one round takes about")
    assert "--seconds" in " ".join(found.notes)


def test_a_slow_model_is_measured_with_less_and_says_so() -> None:
    slow = replace(CPU, decode=10, prefill=19)
    found, engine = benched(slow, effort=Effort(seconds=60))
    assert engine.clock.now_seconds() < 75
    row = only(found)
    assert row.prompt_tokens < 512
    assert isinstance(row.decode_tokens_per_second, Stat) and len(row.decode_tokens_per_second.samples) >= 6
    assert found.notes[0].startswith(f"slow here: {row.prompt_tokens} tokens of prompt")


def test_sizes_that_were_asked_for_are_kept_on_a_slow_machine() -> None:
    found, engine = benched(replace(CPU, decode=10, prefill=19), effort=Effort(seconds=30, keep_sizes=True))
    assert only(found).prompt_tokens == 512
    assert engine.clock.now_seconds() < 150


def test_a_smoke_test_counts_its_loading_too() -> None:
    slow = replace(CPU, decode=10, prefill=19)
    _, engine = benched(slow, effort=Effort(prompt_tokens=128, decode_tokens=32, seconds=20, in_all_seconds=15))
    assert engine.clock.now_seconds() < 20


def test_memory_that_changes_beside_us_and_heat_do_not_count() -> None:
    nvml = Nvml(p77=GIB)
    nvml.reasons = 0x40
    found, _ = benched(WHOLE, nvml=nvml)
    assert not found.valid
    assert found.invalid_because == ("CUDA0 was slowed down: hardware thermal slowdown",)
    assert "do not count" in bench_text(found, Page())


def test_what_does_not_fit_is_refused_before_it_is_loaded() -> None:
    small = Machine((replace(GPU, total_bytes=4 * GIB, free_bytes=4 * GIB),), Nvml())
    with pytest.raises(Wrong) as raised:
        benched(WHOLE, asked=Settings(n_gpu_layers=33), machine=small)
    assert raised.value.code == "model-does-not-fit"
    assert "--force" in raised.value.fix


def test_a_row_that_does_not_fit_leaves_the_others() -> None:
    small = Machine((replace(GPU, total_bytes=4 * GIB, free_bytes=4 * GIB),), Nvml())
    found, engine = benched(NONE, layers=(0, -1), machine=small)
    assert medians(found) == {"n_gpu_layers 0": 8}
    assert "does not fit" in found.rows[1].failed
    assert len(engine.asked) == 1


def test_forced_it_loads_and_survives_the_lack_of_memory() -> None:
    small = Machine((replace(GPU, total_bytes=4 * GIB, free_bytes=4 * GIB),), Nvml())
    ended = Ended(how=OUT_OF_MEMORY, phase="generate", what="CUDA0 has no 1024 MiB for the KV cache")
    found, _ = benched(replace(WHOLE, ended=ended), asked=Settings(n_gpu_layers=33), machine=small, force=True, steps=[
        Step("prefill", (32, 0), Prefill(n_tokens=32, depth=0, seconds=0.1, first_run=True)),
    ])  # fmt: skip
    assert only(found).failed == "CUDA0 has no 1024 MiB for the KV cache"
    assert bench_text(found, Page()).startswith("Nothing was measured.")


def test_an_engine_that_ends_midway_leaves_what_was_measured() -> None:
    steps = [
        Step("prefill", (tokens, 0), Prefill(n_tokens=tokens, depth=0, seconds=0.1, first_run=False))
        for tokens in (32, 32, 512, 512)
    ]
    each = (0.004,) * 64
    steps += [
        Step("generate", (64, 0), Generation(n_tokens=64, depth=0, seconds=0.256, token_seconds=each, first_run=False))
    ] * 3
    ended = Ended(how=KILLED, phase="generate", what="the process was ended from outside")
    found, _ = benched(replace(WHOLE, ended=ended), steps=steps)
    assert only(found).failed == "the process was ended from outside"


def test_an_engine_that_stops_answering_is_not_waited_for_long() -> None:
    def prefill(tokens: int, seconds: float) -> Step:
        return Step("prefill", (tokens, 0), Prefill(n_tokens=tokens, depth=0, seconds=seconds, first_run=False))

    each = (0.004,) * 8
    some = Generation(n_tokens=8, depth=0, seconds=0.032, token_seconds=each, first_run=False)
    steps = [prefill(32, 0.01), Step("generate", (8, 0), some), prefill(512, 1e6)]
    found, engine = benched(WHOLE, steps=steps)
    assert "no answer within 60 s" in only(found).failed
    assert engine.clock.now_seconds() < 150


def test_everything_is_one_report_that_can_be_read_again() -> None:
    found, _ = benched(
        WHOLE, NONE, NONE, NONE, WHOLE, WHOLE, CPU, WHOLE, CPU, everything=True, effort=Effort(seconds=20)
    )
    assert [row.name for row in found.rows] == [
        "", "n_gpu_layers 0", "n_gpu_layers 8", "n_gpu_layers 16", "n_gpu_layers auto", "2048 tokens, GPU", "2048 tokens, CPU",
        "8192 tokens, GPU", "8192 tokens, CPU",
    ]  # fmt: skip
    import json

    again = read_bench(json.dumps(bench_document(found)), "test")
    assert medians(again) == medians(found)
