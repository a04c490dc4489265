"""Safetensors headers and the configurations beside them."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from vramctl.errors import BadInput
from vramctl.formats import hf_config, ollama_manifest, safetensors
from vramctl.formats.gguf_cursor import MoreBytesNeeded
from vramctl.records import ArrayInfo, Model, Tensor, Unknown


def file(table: Any, data: int = 0) -> bytes:
    text = json.dumps(table).encode() if not isinstance(table, bytes) else table
    return struct.pack("<Q", len(text)) + text + bytes(data)


def entry(start: int, stop: int, shape: list[int], dtype: str = "F16") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def parse(data: bytes) -> safetensors.Header:
    return safetensors.parse(data, file_bytes=len(data), where="x.safetensors")


def test_reads_names_types_shapes_and_places() -> None:
    data = file({"__metadata__": {"format": "pt"}, "a": entry(0, 12, [2, 3]), "b": entry(12, 16, [], "F32")}, 16)
    header = parse(data)
    start = len(data) - 16
    assert header.notes == {"format": "pt"}
    assert header.tensors == (Tensor("a", "F16", (2, 3), 12, start), Tensor("b", "F32", (), 4, start + 12))


def test_asks_for_more_where_the_buffer_is_short() -> None:
    data = file({"a": entry(0, 12, [2, 3])}, 12)
    for length in range(len(data) - 12):
        with pytest.raises(MoreBytesNeeded) as caught:
            safetensors.parse(data[:length], file_bytes=len(data), where="x")
        assert length < caught.value.at_least <= len(data) - 12


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty-file"),
    "nine bytes": (bytes(9), "bad-safetensors"),
    "length of 2^63": (struct.pack("<Q", 1 << 63) + b"{}", "bad-safetensors"),
    "length past the end": (struct.pack("<Q", 99) + b"{}", "bad-safetensors"),
    "no JSON": (file(b"hello world"), "bad-safetensors"),
    "a list": (file(b"[1, 2]"), "bad-safetensors"),
    "not UTF-8": (file(b'{"\xff": 1}'), "bad-safetensors"),
    "nested too deep": (file(b"[" * 100_000), "bad-safetensors"),
    "more objects than tensors": (file(b'{"a":' + b"{}," * 70_000), "bad-safetensors"),
    "a number of 10000 digits": (file(b'{"a":' + b"9" * 10_000 + b"}"), "bad-safetensors"),
    "a name twice": (file(b'{"a":{},"a":{}}'), "bad-safetensors"),
    "an entry of text": (file(b'{"a":"b"}'), "bad-safetensors"),
    "offsets past the end": (file({"a": entry(0, 12, [6])}), "bad-safetensors"),
    "offsets backwards": (file({"a": entry(12, 0, [6])}, 12), "bad-safetensors"),
    "offsets below zero": (file({"a": entry(-12, 0, [6])}, 12), "bad-safetensors"),
    "offsets that are true and false": (
        file(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[false,true]}}', 1),
        "bad-safetensors",
    ),
    "a shape that does not fit": (file({"a": entry(0, 12, [7])}, 12), "bad-safetensors"),
    "overlap": (file({"a": entry(0, 12, [6]), "b": entry(10, 22, [6])}, 22), "bad-safetensors"),
    "unknown type": (file({"a": entry(0, 12, [6], "Q4")}, 12), "unknown-tensor-type"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_clearly(name: str) -> None:
    data, code = HOSTILE[name]
    with pytest.raises(BadInput) as caught:
        parse(data)
    assert caught.value.code == code
    assert caught.value.because
    assert caught.value.fix


LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "vocab_size": 320,
    "tie_word_embeddings": False,
    "eos_token_id": None,
}


def tensor(name: str, dtype: str, *shape: int) -> Tensor:
    elements = 1
    for size in shape:
        elements *= size
    return Tensor(name, dtype, shape, elements * safetensors.BITS[dtype] // 8, 0)


def describe(config: dict[str, Any], *tensors: Tensor) -> Model:
    return hf_config.describe("x", name="x", config=config, tensors=tensors, file_bytes=1, files=("x",))


EMBEDDING = tensor("model.embed_tokens.weight", "F16", 320, 128)
EXL2 = (
    tensor("model.layers.0.mlp.up_proj.q_weight", "I32", 16, 256),
    tensor("model.layers.0.mlp.up_proj.q_invperm", "I32", 128),
    tensor("model.layers.0.mlp.up_proj.q_scale", "I32", 4, 32),
    tensor("model.layers.0.mlp.up_proj.q_scale_max", "F16", 4),
    tensor("model.layers.0.mlp.up_proj.q_groups", "I16", 8),
)
EXL3 = (
    tensor("model.layers.0.mlp.up_proj.trellis", "I16", 8, 16, 64),
    tensor("model.layers.0.mlp.up_proj.suh", "F16", 128),
    tensor("model.layers.0.mlp.up_proj.svh", "F16", 256),
)
GPTQ = (
    tensor("model.layers.0.mlp.up_proj.qweight", "I32", 16, 256),
    tensor("model.layers.0.mlp.up_proj.qzeros", "I32", 1, 32),
    tensor("model.layers.0.mlp.up_proj.scales", "F16", 1, 256),
    tensor("model.layers.0.mlp.up_proj.g_idx", "I32", 128),
)
AWQ = (
    tensor("model.layers.0.mlp.up_proj.qweight", "I32", 128, 32),
    tensor("model.layers.0.mlp.up_proj.qzeros", "I32", 1, 32),
    tensor("model.layers.0.mlp.up_proj.scales", "F16", 1, 256),
)


@pytest.mark.parametrize(
    ("method", "tensors", "kind", "quantization"),
    [
        ({"quant_method": "exl2", "bits": 4.25}, EXL2, "exl2", "4.25 bpw"),
        ({"quant_method": "exl3", "bits": 4.0, "head_bits": 6}, EXL3, "exl3", "4.00 bpw"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, GPTQ, "gptq", "4 bit, group 128"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, AWQ, "awq", "4 bit, group 128"),
    ],
)
def test_quantised_folders_are_told_apart_and_counted(
    method: dict[str, Any], tensors: tuple[Tensor, ...], kind: str, quantization: str
) -> None:
    model = describe({**LLAMA, "quantization_config": method}, EMBEDDING, *tensors)
    assert (model.kind, model.quantization) == (kind, quantization)
    assert model.parameters == 320 * 128 + 128 * 256
    assert model.metadata["hf.quantization_config.bits"] == method["bits"]


@pytest.mark.parametrize(("tensors", "kind"), [(EXL2, "exl2"), (EXL3, "exl3"), (GPTQ, "gptq"), (AWQ, "awq")])
def test_without_a_quantisation_config_the_tensors_tell(tensors: tuple[Tensor, ...], kind: str) -> None:
    model = describe(LLAMA, EMBEDDING, *tensors)
    assert model.kind == kind
    if kind == "exl3":  # 4 bits, and two signs of 16 bits a row and a column
        assert model.quantization == f"{4 + 16 * (128 + 256) / (128 * 256):.2f} bpw"
    if kind in ("gptq", "awq"):
        assert isinstance(model.quantization, Unknown)


def test_a_plain_folder_has_its_usual_type() -> None:
    model = describe(LLAMA, EMBEDDING, tensor("model.norm.weight", "F32", 128))
    assert (model.kind, model.quantization, model.parameters) == ("safetensors", "F16", 320 * 128 + 128)
    assert (model.architecture, model.layers, model.train_ctx) == ("llama", 2, 8192)
    assert model.metadata["hf.architectures"] == ("LlamaForCausalLM",)
    assert model.metadata["hf.tie_word_embeddings"] is False
    assert "hf.eos_token_id" not in model.metadata


def test_the_language_models_part_is_lifted() -> None:
    config = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "hidden_size": 1,
        "text_config": {**LLAMA, "model_type": "gemma3_text", "layer_types": ["full_attention", "sliding_attention"]},
        "vision_config": {"hidden_size": 7, "num_hidden_layers": 27},
    }
    model = describe(config, EMBEDDING)
    assert (model.architecture, model.layers) == ("gemma3", 2)
    assert model.metadata["hf.hidden_size"] == 128
    assert model.metadata["hf.layer_types"] == ("full_attention", "sliding_attention")
    assert model.metadata["hf.vision_config.hidden_size"] == 7
    assert model.metadata["hf.architectures"] == ("Gemma3ForConditionalGeneration",)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({}, "hf-no-architecture"),
        ({"model_type": "llama"}, "hf-no-layers"),
        ({"model_type": "llama", "num_hidden_layers": 10**9}, "hf-no-layers"),
        ({"model_type": "llama", "num_hidden_layers": "2"}, "hf-no-layers"),
    ],
)
def test_a_configuration_that_describes_no_model_is_refused(config: dict[str, Any], code: str) -> None:
    with pytest.raises(BadInput) as caught:
        describe(config, EMBEDDING)
    assert caught.value.code == code


def test_flattening_is_bounded() -> None:
    deep: dict[str, Any] = {}
    for _ in range(50):
        deep = {"x": deep, "y": 1}
    flat = hf_config.flatten({"many": {str(i): i for i in range(20_000)}, "long": [1] * 5000, "deep": deep})
    assert len(flat) <= hf_config.MAX_KEYS
    assert hf_config.flatten({"long": [1] * 5000}) == {"hf.long": ArrayInfo("json", 5000)}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("llama3.1", "registry.ollama.ai/library/llama3.1/latest"),
        ("llama3.1:8b", "registry.ollama.ai/library/llama3.1/8b"),
        ("me/model:q4", "registry.ollama.ai/me/model/q4"),
        ("hf.co/org/Repo-GGUF:Q4_K_M", "hf.co/org/Repo-GGUF/Q4_K_M"),
        ("localhost:5000/a/b", "localhost:5000/a/b/latest"),
    ],
)
def test_ollama_names_get_ollamas_defaults(text: str, shown: str) -> None:
    assert str(ollama_manifest.parse_name(text).path()) == shown


@pytest.mark.parametrize("text", ["", ":", "a:", "../../etc/passwd", "a/../b:c", "a b", "a:b/c", ".hidden", "x" * 99])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        ollama_manifest.parse_name(text)
    assert caught.value.code == "bad-ollama-name"


def test_a_manifest_names_its_blobs() -> None:
    kinds = {"model": "a", "projector": "b", "params": "c", "license": "d", "adapter": "e"}
    layers = [
        {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": "sha256:" + letter * 64}
        for kind, letter in kinds.items()
    ]
    manifest = ollama_manifest.parse(json.dumps({"schemaVersion": 2, "layers": layers}).encode(), where="m")
    assert manifest.models == ("sha256-" + "a" * 64,)
    assert manifest.projectors == ("sha256-" + "b" * 64,)
    assert manifest.adapters == ("sha256-" + "e" * 64,)
    assert manifest.params == "sha256-" + "c" * 64


@pytest.mark.parametrize(
    "text", ["", "{}", '{"layers": 3}', '{"layers": [3]}', "[]",
             '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../x"}]}'],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        ollama_manifest.parse(text.encode(), where="m")
    assert caught.value.code == "bad-ollama-manifest"
