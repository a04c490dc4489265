"""The bounds beside measured figures: real ones on the processor, and what is said where there is none."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from vramctl.bench import limits
from vramctl.bench.job import run_bench
from vramctl.bench.limits import Rates, look_bandwidths
from vramctl.bench.request import Effort, Request
from vramctl.bench.stats import stat
from vramctl.engines.binding import Binding
from vramctl.planning.ready import Machine, default_engine
from vramctl.probes.bandwidth import Bandwidth, DeviceBandwidth
from vramctl.probes.cpu_watch import CpuUse
from vramctl.records import Device, Settings, Unknown
from vramctl.records.measurement import NOT_MEASURED, Bench, Limit, Rate, Row
from vramctl.records.stand_in import ModelFile
from vramctl.show.bench_json import bench_document
from vramctl.show.bench_limit import limit_lines
from vramctl.show.bench_read import read_bench
from vramctl.show.bench_text import bench_text, columns, shown_cells
from vramctl.show.page import Page
from vramctl.show.schemas import schema
from vramctl.units import GIB

sys.path.insert(0, str(Path(__file__).parent.parent / "engines"))
from small_llama import small_llama

needs_engine = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no engine is installed")
GPU = Device("CUDA0", "H200", GIB, GIB, "nvml", bandwidth_bytes_per_second=4_800_000_000_000)
NO_GPU = Unknown("no driver")


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(limits, "look_host_bandwidth", lambda *_, **__: Bandwidth(60e9, 2, "test"))
    _others(monkeypatch, 0.0)


def _others(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Other processes use this share of two cores while rates are measured."""
    watch = type("Watch", (), {"use": lambda self: CpuUse(0.5, share, 1.0, 2)})
    monkeypatch.setattr(limits, "CpuWatch", lambda pid, *, children: watch())


def benched(path: Path, **effort: object) -> Bench:
    request = Request(
        model=str(path), settings=Settings(n_threads=1),
        effort=replace(Effort(prompt_tokens=128, decode_tokens=8, rounds=8, seconds=2, enough=0), **effort),
    )  # fmt: skip
    return run_bench(
        request, say=lambda _: None, open_file=lambda plan: ModelFile(str(path), 1, invented=False, was_there=True),
        machine=Machine(()), engine=default_engine(None),
    )  # fmt: skip


@needs_engine
def test_rates_that_were_measured_beside_others_bound_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _others(monkeypatch, 0.7)
    found = benched(small_llama(tmp_path / "small.gguf"), rounds=1, seconds=1)
    (row,), (rate,) = found.rows, found.rates
    why = "other processes used 1.4 of 2 cores while its matrix products were measured, which are faster without them"
    assert rate.flops_per_second == row.limit.prefill_tokens_per_second == Unknown(why)
    assert row.limit.prefill_share == Unknown(why)


@needs_engine
def test_disturbed_rates_are_measured_again_by_the_next_row(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, rates, told = default_engine(None), Rates(), []

    def ask() -> float | Unknown:
        (rate,) = rates.of(engine, [("host", "F16")], columns=32, threads=1, say=told.append).values()
        return rate.flops_per_second

    _others(monkeypatch, 0.7)
    assert isinstance(ask(), Unknown)
    _others(monkeypatch, 0.0)
    calm = ask()
    assert isinstance(calm, float) and ask() == calm and len(told) == 2


@needs_engine
def test_prefill_of_a_small_dense_model_stays_below_its_bound(tmp_path: Path) -> None:
    found = benched(small_llama(tmp_path / "small.gguf", layers=4, width=1024, feed_forward=4096))
    (row,) = found.rows
    (rate,) = found.rates
    assert (rate.device, rate.type, rate.columns) == ("host", "Q8_0", row.prompt_tokens)
    assert row.limit.prefill_bound_by == "compute of host"
    share = row.limit.prefill_share
    assert isinstance(share, float) and 0 < share <= 1.05  # 0.6 to 0.9 on an idle machine
    assert any(source.startswith("host Q8_0: ") and "GFLOP/s" in source for source in row.limit.sources)
    jsonschema.validate(bench_document(found), schema("bench"))
    text = " ".join(bench_text(found, Page()).split())
    assert "by the arithmetic of the processor (Q8_0 " in text
    again = read_bench(json.dumps(bench_document(found)), "test")
    assert again.rows[0].limit.prefill_share == share
    assert again.rows[0].limit.prefill_bound_by == "compute of host"


@needs_engine
def test_rates_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def look(engine: object, wanted: list[tuple[str, str]], **more: int) -> tuple[Rate, ...]:
        asked.append(wanted)
        return tuple(Rate(d, t, 1e9, more["columns"]) for d, t in wanted)

    monkeypatch.setattr(limits, "look_rates", look)
    engine, rates = default_engine(None), Rates()
    assert isinstance(engine, Binding)
    for kinds in (("Q4_K", "Q6_K"), ("Q4_K", "F16"), ("F16",)):
        rates.of(engine, [("host", kind) for kind in kinds], columns=512, threads=2, say=lambda _: None)
    assert asked == [[("host", "Q4_K"), ("host", "Q6_K")], [("host", "F16")]]


@needs_engine
def test_a_bound_that_was_exceeded_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "look_rates", lambda *_, **more: (Rate("host", "Q8_0", 1e6, more["columns"]),))
    (row,) = benched(small_llama(tmp_path / "small.gguf"), rounds=1, seconds=0.2).rows
    assert isinstance(row.limit.prefill_share, Unknown)
    assert "something disturbed" in row.limit.prefill_share.reason


@needs_engine
def test_a_bound_of_memory_that_decode_exceeded_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_IN_CACHES", 0)
    monkeypatch.setattr(limits, "look_host_bandwidth", lambda *_, **__: Bandwidth(1e6, 2, "test"))
    limit = benched(small_llama(tmp_path / "model.gguf"), seconds=0.5).rows[0].limit
    assert isinstance(limit.share, Unknown) and isinstance(limit.decode_tokens_per_second, Unknown)
    assert "faster than memory bandwidth allows" in limit.share.reason


@pytest.mark.parametrize(
    ("measured", "sheet", "used", "words"),
    [
        (NO_GPU, 4_800_000_000_000, 4.8e12, "not measured: no driver"),
        (DeviceBandwidth(4.5e12, 4.26e12, 55e9, GIB), 4_800_000_000_000, 4.5e12, "reading 4500 GB/s measured, copying 4260"),
        (DeviceBandwidth(4.1e12, 4.26e12, 55e9, GIB), Unknown("?"), 4.26e12, "reading 4100 GB/s measured"),
        # a copy alone is no bound for reading: the data sheet's is, unless the copy exceeds it
        (DeviceBandwidth(NO_GPU, 4.26e12, 55e9, GIB), 4_800_000_000_000, 4.8e12, "copying 4260 GB/s measured"),
        (DeviceBandwidth(NO_GPU, 4.26e12, 55e9, GIB), 4_000_000_000_000, 4.26e12, "above its data sheet"),
        (DeviceBandwidth(NO_GPU, 4.26e12, 55e9, GIB), Unknown("?"), 4.26e12, "reading alone may be somewhat faster"),
    ],
)  # fmt: skip
def test_the_bandwidth_of_a_gpu_is_the_most_that_can_be_read(
    measured: DeviceBandwidth | Unknown, sheet: int | Unknown, used: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "look_device_bandwidth", lambda device: measured)
    found = look_bandwidths((replace(GPU, bandwidth_bytes_per_second=sheet),), 1, GIB, lambda _: None)
    copies = measured if isinstance(measured, Unknown) else 55e9
    assert found.found == {"host": 60e9, "CUDA0": used, "host to CUDA0": copies}
    assert words in found.sources[1] and found.sources[1].startswith("CUDA0: ")


def shown(limit: Limit, *rates: Rate) -> Bench:
    row = Row(
        name="", settings=Settings(), prompt_tokens=512, depth=0, limit=limit,
        prefill_tokens_per_second=stat([9700.0] * 8, "tokens/s"),
        decode_tokens_per_second=stat([258.0] * 8, "tokens/s"),
    )  # fmt: skip
    return Bench(model="m", stand_in=False, engine="e", machine={}, rows=(row,), valid=True,
                 bandwidths={"CUDA0": 4.5e12}, rates=rates)  # fmt: skip


def test_shares_and_what_bounds_are_told() -> None:
    both = Limit(975.0, 258 / 975, "memory bandwidth of CUDA0", ("CUDA0: measured", "CUDA0 Q4_K: 200000 GFLOP/s"),
                 14600.0, 9700 / 14600, "compute of CUDA0")  # fmt: skip
    bench = shown(both, Rate("CUDA0", "Q4_K", 2e14, 512), Rate("CUDA0", "F16", 6e14, 512))
    assert columns(bench) == ("row", "prefill tok/s", "of limit", "decode tok/s", "of limit", "TTFT", "load")
    assert shown_cells(bench, bench.rows[0])[2] == "66 %" and shown_cells(bench, bench.rows[0])[4] == "26 %"
    (prefill, decode) = [told for _, told in limit_lines(bench)]
    assert prefill == (
        "prefill can reach 14600 tok/s at most, by the arithmetic of CUDA0 "
        "(Q4_K 200 TFLOP/s measured in products with 512 tokens)"
    )
    assert decode == "decode can reach 975 tok/s at most, by the bandwidth of CUDA0, 4500 GB/s measured"


def test_copying_over_the_bus_is_told_with_its_speed() -> None:
    bench = shown(Limit(14.0, 0.5, "memory bandwidth of host", (), 6500.0, 0.11, "copying weights to CUDA0"))
    bench = replace(bench, bandwidths={"host to CUDA0": 55.2e9})
    (prefill, _) = [told for _, told in limit_lines(bench)]
    assert prefill == (
        "prefill can reach 6500 tok/s at most, by copying weights from system memory to CUDA0, 55.2 GB/s measured"
    )


def test_where_there_is_no_bound_the_reason_is_told() -> None:
    why = Unknown("weights go to the GPU")
    bench = shown(Limit(975.0, 0.26, "memory bandwidth of CUDA0", (), why, why))
    assert columns(bench) == ("row", "prefill tok/s", "decode tok/s", "of limit", "TTFT", "load")
    assert next(iter(limit_lines(bench))) == (None, "prefill's is not known: weights go to the GPU")
    assert list(limit_lines(shown(Limit(NOT_MEASURED, NOT_MEASURED, "")))) == []


def test_a_file_from_before_there_was_a_bound_for_prefill_can_be_read() -> None:
    document = bench_document(shown(Limit(975.0, 0.26, "memory bandwidth of CUDA0")))
    del document["rates"]
    for name in ("prefill_tokens_per_second", "prefill_share", "prefill_bound_by"):
        del document["rows"][0]["limit"][name]
    jsonschema.validate(document, schema("bench"))
    (row,) = read_bench(json.dumps(document), "test").rows
    assert row.limit.share == 0.26 and row.limit.prefill_share == Unknown("not in the file")
