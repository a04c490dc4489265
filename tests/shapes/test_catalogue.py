"""Every built-in shape: its numbers as verified, its header as readers want it."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest

from vramctl.errors import BadInput
from vramctl.formats import gguf as reader
from vramctl.records import ArrayInfo
from vramctl.shapes import names, quants, shape_model
from vramctl.shapes.catalogue import BY_NAME
from vramctl.shapes.page import page

# Bytes, weights, layers and tensors of the runs in which llama.cpp loaded these very headers.
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())


def test_the_goldens_cover_the_catalogue() -> None:
    assert set(GOLDEN) == set(names())
    assert len(names()) >= 60


@pytest.mark.parametrize("name", names())
def test_a_shape_has_the_numbers_that_llama_cpp_confirmed(name: str) -> None:
    golden = GOLDEN[name]
    for file_type in ("F16", "Q8_0", "Q4_K_M"):
        model = shape_model(name, file_type)
        assert model.file_bytes == golden["file_bytes"][file_type]
        assert (model.parameters, model.layers, len(model.tensors)) == (
            golden["parameters"],
            golden["layers"],
            golden["tensors"],
        )


@pytest.mark.parametrize("name", [name for name in names() if BY_NAME[name].parameters])
def test_weights_are_as_many_as_the_publisher_states(name: str) -> None:
    model = shape_model(name, "F16")
    added = sum(math.prod(tensor.shape) for tensor in model.tensors if tensor.name.startswith("rope_f"))
    assert model.parameters - added == BY_NAME[name].parameters


@pytest.mark.parametrize("name", names())
def test_the_header_reads_back_as_the_model_says(name: str) -> None:
    model = shape_model(name, "Q4_K_M")
    assert model.header is not None
    read = reader.parse(model.header, file_bytes=model.file_bytes, where=name)
    assert dict(read.metadata) == dict(model.metadata)
    assert read.tensors == model.tensors
    assert read.data_offset == len(model.header) < 100_000
    assert model.reference == f"shape:{name}@Q4_K_M"
    assert model.metadata[f"{model.architecture}.vocab_size"] == _embedding_rows(name)


def _embedding_rows(name: str) -> int:
    (embedding,) = (t for t in shape_model(name, "F16").tensors if t.name == "token_embd.weight")
    return embedding.shape[1]


def test_every_file_type_can_be_had_and_fewer_bits_are_smaller() -> None:
    sizes = {file_type: shape_model("qwen2.5-7b", file_type).file_bytes for file_type in quants()}
    order = ("F32", "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K", "IQ2_XXS", "IQ1_S")
    assert all(sizes[more] > sizes[fewer] for more, fewer in pairwise(order))


def test_names_and_file_types_are_taken_in_any_case() -> None:
    assert shape_model("Llama3.1-8B", "q4_k_m") == shape_model("llama3.1-8b", "Q4_K_M")


def test_an_unknown_name_or_file_type_is_answered_with_near_ones() -> None:
    with pytest.raises(BadInput) as shape:
        shape_model("llama-3.1-8b", "Q4_K_M")
    assert shape.value.code == "unknown-shape"
    assert "llama3.1-8b" in shape.value.because[0]
    with pytest.raises(BadInput) as file_type:
        shape_model("llama3.1-8b", "Q4_KM")
    assert file_type.value.code == "unknown-quantization"
    assert "Q4_K_M" in file_type.value.because[0]
    with pytest.raises(BadInput, match="no built-in shape"):
        shape_model("", "Q4_K_M")


@pytest.mark.parametrize("name", ["llama3.1-8b", "mistral-7b", "all-minilm-l6-v2"])
def test_an_invented_vocabulary_has_every_token_once_and_merges_of_earlier_ones(name: str) -> None:
    model = shape_model(name, "Q8_0", vocabulary=True)
    assert model.header is not None
    tokens = _strings(model.header, "tokenizer.ggml.tokens")
    assert len(tokens) == len(set(tokens)) == model.metadata[f"{model.architecture}.vocab_size"]
    types = model.metadata["tokenizer.ggml.token_type"]
    assert types == ArrayInfo("i32", len(tokens))
    if "tokenizer.ggml.merges" in model.metadata:
        rank = {token: index for index, token in enumerate(tokens)}
        for merge in _strings(model.header, "tokenizer.ggml.merges"):
            left, right = merge.split(" ")
            assert max(rank[left], rank[right]) < rank[left + right]


def _strings(header: bytes, key: str) -> list[str]:
    """The elements of a list of strings in a header."""
    at = header.index(key.encode()) + len(key) + 8  # value type and element type
    count = int.from_bytes(header[at : at + 8], "little")
    at += 8
    found = []
    for _ in range(count):
        size = int.from_bytes(header[at : at + 8], "little")
        found.append(header[at + 8 : at + 8 + size].decode())
        at += 8 + size
    return found


def test_a_vocabulary_changes_nothing_but_the_tokenizer() -> None:
    plain, full = (shape_model("gemma3-4b", "Q4_K_M", vocabulary=yes) for yes in (False, True))
    assert [(t.name, t.type, t.shape) for t in plain.tensors] == [(t.name, t.type, t.shape) for t in full.tensors]
    assert plain.file_bytes - len(plain.header or b"") == full.file_bytes - len(full.header or b"")
    kept = {key for key in plain.metadata if not key.startswith("tokenizer.")}
    assert all(plain.metadata[key] == full.metadata[key] for key in kept)


def test_the_page_is_current() -> None:
    written = Path(__file__).parents[2] / "docs/shapes.md"
    assert written.read_text() == page(), "run python -m vramctl.shapes.page > docs/shapes.md"
