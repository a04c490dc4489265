"""The formula as a whole, against what real loads and dry runs reported."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vramctl.ggml_types import BY_ID
from vramctl.plan.compute import GRAPHS
from vramctl.plan.formula import FormulaPlacement, formula_placement
from vramctl.plan.kv_cache import cells
from vramctl.records import Device, Model, Settings, Tensor, Unknown
from vramctl.records.placement import total
from vramctl.shapes import shape_model

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
PLAIN = Settings(
    n_ctx=8192, n_parallel=1, n_batch=2048, n_ubatch=512, n_gpu_layers=999, type_k="f16", type_v="f16", flash_attn="on",
    offload_kqv=True, op_offload=True, split_mode="layer", swa_full=False, kv_unified=False, n_outputs_max=0,
)  # fmt: skip


@cache
def model_of(name: str, quant: str = "Q4_K_M") -> Model:
    return shape_model(name, quant)


def cards(count: int, free: int = 140 << 30) -> tuple[Device, ...]:
    return tuple(Device(f"CUDA{i}", "test", free, free, "test", compute_capability="9.0") for i in range(count))


def parts(found: FormulaPlacement) -> list[list[Any]]:
    rows = [[d.weights_bytes, d.kv_bytes, d.compute_bytes] for d in found.placement.devices]
    host = found.placement.host
    return [*rows, [host.weights_bytes, host.kv_bytes, host.compute_bytes]]


def dry_runs() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((RESULTS / "formula-vs-dry-run.json").read_text("utf-8"))["rows"]
    return rows[::23]


def label(row: dict[str, Any]) -> str:
    changes = ",".join(f"{key}={value}" for key, value in row["changes"].items())
    return f"{row['build']}-{row['shape'].removeprefix('shape:')}-{row['devices']}gpu-{changes}"


@pytest.mark.parametrize("row", dry_runs(), ids=label)
def test_weights_and_kv_equal_the_dry_run_to_the_byte_and_compute_within_one_percent(row: dict[str, Any]) -> None:
    name, _, quant = row["shape"].removeprefix("shape:").partition("@")
    changes = {key: tuple(value) if isinstance(value, list) else value for key, value in row["changes"].items()}
    found = formula_placement(
        model_of(name, quant), replace(PLAIN, **changes), cards(row["devices"]), build=row["build"]
    )
    for said, own in zip(row["dry_run"], parts(found), strict=True):
        assert own[:2] == said[:2]
        assert own[2] == pytest.approx(said[2], rel=0.01)


def test_the_recorded_comparison_is_within_its_goal() -> None:
    document = json.loads((RESULTS / "formula-vs-dry-run.json").read_text("utf-8"))
    error = document["summary"]["worst_relative_error_on_gpu"]
    assert error["weights"] == error["kv"] == 0
    assert error["compute"] <= 0.01
    assert document["summary"]["slowest_formula_seconds"] < 0.3


def measured() -> list[tuple[str, dict[str, Any]]]:
    """Rows of what llama.cpp reported on one and two H200s, with the build each is of."""
    found = []
    for file in sorted(RESULTS.glob("exactness-h200*.json")):
        build = "b11549" if "xllamacpp" in file.name else "0c1e57098"
        rows = json.loads(file.read_text("utf-8"))["rows"]
        found += [(build, row) for row in rows[::20] if "buffers" in row]
    return found


def settings_of(row: dict[str, Any]) -> Settings:
    """What a measured row asked llama.cpp for, its own defaults filled in (include/llama.h)."""
    asked = {"n_ctx": 512, "n_seq_max": 1, "flash_attn": -1, "type_k": 1, "type_v": 1, "swa_full": True}
    asked |= row["context_params"]
    model = row["model_params"]
    return replace(
        PLAIN, n_ctx=asked["n_ctx"], n_parallel=asked["n_seq_max"], n_ubatch=asked.get("n_ubatch", 512),
        flash_attn={1: "on", 0: "off", -1: "auto"}[asked["flash_attn"]], swa_full=asked["swa_full"],
        type_k=BY_ID[asked["type_k"]].name.lower(), type_v=BY_ID[asked["type_v"]].name.lower(),
        kv_unified=asked.get("kv_unified", False), n_outputs_max=asked.get("n_outputs_max", 0),
        offload_kqv=asked.get("offload_kqv", True), op_offload=asked.get("op_offload", True), n_gpu_layers=model["n_gpu_layers"],
        tensor_split=tuple(model.get("tensor_split", ())) or None,
        tensor_overrides=tuple((pattern, name) for pattern, name in model.get("overrides", ())),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("build", "row"), measured(), ids=lambda value: value if isinstance(value, str) else value["shape"]
)
def test_every_byte_of_a_real_load_on_an_h200_is_where_the_formula_says(build: Any, row: dict[str, Any]) -> None:
    model = model_of(row["shape"], row["quant"])
    asked = settings_of(row)
    found = formula_placement(model, asked, cards(row["devices"]), build=build)
    if "iq4_nl" in (asked.type_k, asked.type_v):
        assert not found.exact
        return
    assert found.exact
    for use in found.placement.devices:
        assert [use.weights_bytes, use.kv_bytes, use.compute_bytes] == row["buffers"].get(use.name, [0, 0, 0])


def test_every_architecture_with_a_graph_is_in_the_recorded_comparison() -> None:
    rows = json.loads((RESULTS / "formula-vs-dry-run.json").read_text("utf-8"))["rows"]
    names = {row["shape"].removeprefix("shape:").partition("@")[0] for row in rows}
    compared = {model_of(name).architecture for name in names}
    compared |= {model_of(row["shape"], row["quant"]).architecture for _, row in measured()}
    alike = {"phimoe": "phi3", "lfm2moe": "lfm2", "mamba2": "mamba"}
    assert {alike.get(name, name) for name in GRAPHS} <= compared


def test_because_names_upstream_files_and_the_version() -> None:
    found = formula_placement(model_of("llama3.1-8b"), PLAIN, cards(1), build="0c1e57098")
    text = " ".join(found.because)
    for name in ("llama-model-loader.cpp", "llama-kv-cache.cpp", "ggml-alloc.c", "0c1e57098"):
        assert name in text


def test_an_architecture_without_a_graph_still_gets_weights() -> None:
    model = replace(model_of("llama3.1-8b"), architecture="not-yet-invented")
    model = replace(model, metadata={"not-yet-invented.embedding_length": 4096})
    found = formula_placement(model, PLAIN, cards(1))
    use = found.placement.devices[0]
    assert use.weights_bytes == 4617396480
    assert isinstance(use.kv_bytes, Unknown)
    assert isinstance(use.compute_bytes, Unknown)
    assert isinstance(use.used_bytes, Unknown)
    assert not found.exact


def test_a_known_cache_without_a_graph_gives_kv_and_leaves_compute_unknown() -> None:
    model = model_of("llama3.1-8b")
    metadata = {key.replace("llama.", "starcoder2.", 1): value for key, value in model.metadata.items()}
    found = formula_placement(replace(model, architecture="starcoder2", metadata=metadata), PLAIN, cards(1))
    assert found.placement.devices[0].kv_bytes == 1 << 30
    assert isinstance(found.placement.devices[0].compute_bytes, Unknown)


def test_split_mode_row_on_several_gpus_is_unknown() -> None:
    found = formula_placement(model_of("llama3.1-8b"), replace(PLAIN, split_mode="row"), cards(2))
    assert isinstance(found.placement.devices[0].weights_bytes, Unknown)


def test_without_a_gpu_everything_is_on_the_host() -> None:
    found = formula_placement(model_of("llama3.1-8b"), PLAIN, ())
    assert found.layers_on_gpu == 0
    assert found.placement.host.kv_bytes == 1 << 30


def test_other_backends_are_not_exact_and_it_says_why() -> None:
    found = formula_placement(model_of("llama3.1-8b"), PLAIN, (replace(cards(1)[0], backend="metal"),))
    assert not found.exact
    assert any("metal" in line for line in found.because)


def test_a_model_of_no_tensors_does_not_crash() -> None:
    empty = Model("t", "gguf", "t", "llama", 0, "F16", 0, 0, 0, {}, ())
    assert isinstance(formula_placement(empty, PLAIN, cards(1)).placement.devices[0].kv_bytes, Unknown)


def test_the_logits_buffer_has_a_row_for_each_sequence() -> None:
    found = formula_placement(model_of("llama3.1-8b"), replace(PLAIN, n_parallel=4), cards(1))
    assert found.placement.host.output_bytes == 4 * 128256 * 4


NAMES = st.sampled_from(
    ("llama3.2-1b", "qwen2.5-0.5b", "gemma3-1b", "deepseek-v2-lite", "falcon-h1-0.5b", "gpt-oss-20b")
)
SETTINGS = st.fixed_dictionaries({
    "n_ctx": st.integers(256, 65536), "n_parallel": st.integers(1, 5), "n_ubatch": st.sampled_from((64, 512, 2048)),
    "flash_attn": st.sampled_from(("on", "off", "auto")), "type_k": st.sampled_from(("f16", "q8_0")),
    "offload_kqv": st.booleans(), "op_offload": st.booleans(), "kv_unified": st.booleans(),
    "n_outputs_max": st.integers(0, 8),
})  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(name=NAMES, changes=SETTINGS, layers=st.integers(0, 40), gpus=st.integers(1, 3))
def test_parts_sum_and_weights_do_not_vanish(name: str, changes: dict[str, Any], layers: int, gpus: int) -> None:
    model, asked = model_of(name), replace(PLAIN, **changes, n_gpu_layers=layers)
    found = formula_placement(model, asked, cards(gpus)).placement
    for use in found.devices:
        assert use.used_bytes == total(use.weights_bytes, use.kv_bytes, use.compute_bytes, use.overhead_bytes)
    weights = total(found.host.weights_bytes, *(use.weights_bytes for use in found.devices))
    assert isinstance(weights, int)
    assert weights >= sum(tensor.data_bytes for tensor in model.tensors)


@settings(max_examples=12, deadline=None)
@given(name=NAMES, changes=SETTINGS, layers=st.integers(0, 30))
def test_one_more_layer_never_needs_fewer_weights_on_the_gpu(name: str, changes: dict[str, Any], layers: int) -> None:
    model = model_of(name)

    def on_gpu(count: int) -> int:
        found = formula_placement(model, replace(PLAIN, **changes, n_gpu_layers=count), cards(1)).placement
        size = found.devices[0].weights_bytes
        assert isinstance(size, int)
        return size

    assert on_gpu(layers) <= on_gpu(layers + 1)


@settings(max_examples=10, deadline=None)
@given(name=NAMES, changes=SETTINGS, more=st.integers(0, 65536))
def test_more_context_never_needs_less(name: str, changes: dict[str, Any], more: int) -> None:
    model = model_of(name)

    def needs(n_ctx: int) -> int:
        asked = replace(PLAIN, **changes | {"n_ctx": n_ctx})
        use = formula_placement(model, asked, cards(1)).placement.devices[0]
        assert isinstance(use.kv_bytes, int)
        return use.kv_bytes

    assert needs(changes["n_ctx"]) <= needs(changes["n_ctx"] + more)


def test_a_strange_tensor_type_or_shape_is_placed_without_a_crash() -> None:
    model = replace(model_of("llama3.2-1b"), tensors=(Tensor("blk.0.attn_norm.weight", "F32", (), 0, 0),))
    found = formula_placement(model, PLAIN, cards(1))
    assert isinstance(found.placement.devices[0].compute_bytes, Unknown)


def test_cells_never_exceed_the_context() -> None:
    from vramctl.plan.graph_hparams import Hparams, hparams

    hp = hparams(model_of("gemma3-4b"))
    assert isinstance(hp, Hparams)
    count = cells(hp, replace(PLAIN, n_ctx=512))
    assert count.windowed <= count.per_stream
