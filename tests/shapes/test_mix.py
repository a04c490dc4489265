"""Which type each tensor gets, against llama-quantize's dry run (as data) and files that people published."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from vramctl.shapes import names, quants, shape_model
from vramctl.shapes.mix import Traits, converted_type, file_order, pick_types
from vramctl.shapes.published import PUBLISHED, Published

RESULT = json.loads((Path(__file__).parents[2] / "benchmarks/results/shapes-vs-quantize.json").read_text())
ROWS = {(row["shape"], row["file_type"]): row for row in RESULT["rows"]}
# All file types for one shape of each kind of rule, two for all shapes; the benchmark walks the whole product.
WALKED = [(name, kind) for name in names() for kind in ("Q4_K_M", "IQ2_M")] + [
    (name, kind)
    for name in ("llama3.1-70b", "mixtral-8x7b", "gpt-oss-20b", "deepseek-v2-lite", "nemotron-nano-9b-v2", "gemma4-e2b")
    for kind in quants()
    if kind not in ("F32", "F16", "BF16")
]


def test_the_recorded_comparison_is_complete_and_without_a_difference() -> None:
    assert RESULT["equal"] == RESULT["combinations"] == len(ROWS) >= 60 * 30
    assert {name for name, _ in ROWS} == set(names())
    assert {kind for _, kind in ROWS} == set(quants()) - {"F32", "F16", "BF16"}
    assert all(row["tensors_that_differ"] == 0 for row in ROWS.values())


@pytest.mark.parametrize(("name", "kind"), WALKED)
def test_types_and_bytes_are_still_those_that_were_compared(name: str, kind: str) -> None:
    model = shape_model(name, kind)
    assert Counter(tensor.type for tensor in model.tensors) == ROWS[name, kind]["types"]
    assert sum(tensor.data_bytes for tensor in model.tensors) == ROWS[name, kind]["tensor_bytes"]


@pytest.mark.parametrize("item", PUBLISHED, ids=lambda item: f"{item.shape}@{item.file_type}")
def test_a_published_file_has_the_same_size_and_types(item: Published) -> None:
    tensors = shape_model(item.shape, item.file_type).tensors
    rounding = 0.0006 if item.gib == 132.386 else 0.0055
    assert sum(tensor.data_bytes for tensor in tensors) / 2**30 == pytest.approx(item.gib, abs=rounding)
    if item.types:
        assert Counter(tensor.type for tensor in tensors) == item.types
    else:
        assert item.note


# Tensor counts that llama.cpp printed for real files (gemma 4: bartowski; GLM 4.5 Air: llama.cpp pull request 14939).
@pytest.mark.parametrize(
    ("name", "count"), [("gemma4-31b", 833), ("gemma4-26b-a4b", 658), ("gemma4-e2b", 601), ("glm4.5-air", 803)]
)
def test_a_shape_has_as_many_tensors_as_the_real_file(name: str, count: int) -> None:
    assert len(shape_model(name, "Q8_0").tensors) == count


def _types(kind: str, tensors: Mapping[str, tuple[int, ...]], **traits: int) -> dict[str, str]:
    order = sorted(tensors.items(), key=lambda item: file_order(item[0]))
    known = Traits(
        layers=traits.get("layers", 32), experts=traits.get("experts", 0), gqa=traits.get("gqa", 4), is_70b=False
    )
    return dict(zip((name for name, _ in order), pick_types(order, known, kind), strict=True))


def test_rows_that_are_no_whole_blocks_fall_back() -> None:
    assert _types("Q4_K_M", {"blk.0.attn_q.weight": (896, 8), "output.weight": (64, 8)}) == {
        "blk.0.attn_q.weight": "Q5_0",
        "output.weight": "Q8_0",
    }
    assert (
        _types("IQ4_XS", {"blk.0.attn_q.weight": (100, 8), "output.weight": (256, 8)})["blk.0.attn_q.weight"] == "F16"
    )


def test_tied_embeddings_get_the_output_matrix_type() -> None:
    embedding = {"token_embd.weight": (256, 8)}
    assert _types("Q4_K_M", embedding) == {"token_embd.weight": "Q6_K"}
    assert _types("Q4_K_M", {**embedding, "output.weight": (256, 8)})["token_embd.weight"] == "Q4_K"


def test_eight_experts_keep_keys_and_values_at_eight_bits() -> None:
    attention = {f"blk.0.attn_{part}.weight": (256, 256) for part in ("q", "k", "v", "output")}
    assert _types("Q4_K_M", {**attention, "output.weight": (256, 8)}, experts=8) == {
        "output.weight": "Q6_K",
        "blk.0.attn_q.weight": "Q4_K",
        "blk.0.attn_k.weight": "Q8_0",
        "blk.0.attn_v.weight": "Q8_0",
        "blk.0.attn_output.weight": "Q5_K",
    }


def test_norms_routers_and_biases_are_never_quantised() -> None:
    for name in ("blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.0.attn_q.bias", "blk.0.ssm_a"):
        assert converted_type(name, (256, 4), "F16") == "F32"
        assert _types("Q4_0", {name: (256, 4)}) == {name: "F32"}


def test_blocks_come_in_the_order_of_llama_cpps_loader() -> None:
    given = ["blk.10.attn_q.weight", "output.weight", "blk.2.ffn_up.weight", "blk.2.attn_q.weight"]
    assert sorted(given, key=file_order) == [given[1], given[3], given[2], given[0]]
