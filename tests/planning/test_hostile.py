"""Headers whose numbers cannot be true: a clear error, quickly, whichever part would have computed with them."""

from __future__ import annotations

import importlib.util
import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest

from vramctl.errors import BadInput
from vramctl.formats.gguf import key_spans
from vramctl.plan.graph_hparams import hparams
from vramctl.planning import Request, make_plan
from vramctl.records import Settings, Unknown
from vramctl.shapes import shape_model

engine = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no engine is installed")


def changed(folder: Path, shape: str, key: str, kind: str, value: float) -> str:
    """A sparse file of a built-in shape with one number of its header changed."""
    model = shape_model(shape, "Q4_K_M")
    header = bytearray(model.header or b"")
    stop = next(stop for name, _, stop in key_spans(bytes(header)) if name == f"{model.architecture}.{key}")
    struct.pack_into("<" + kind, header, stop - struct.calcsize(kind), value)
    path = folder / "changed.gguf"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(model.file_bytes)
    return str(path)


@pytest.mark.parametrize(
    ("shape", "key", "kind", "value", "code"),
    [
        ("llama3.1-8b", "attention.head_count", "I", 0, "model-contradicts-itself"),
        ("llama3.1-8b", "attention.head_count_kv", "I", 7, "model-contradicts-itself"),
        ("llama3.1-8b", "embedding_length", "I", 2**32 - 1, "model-contradicts-itself"),
        ("llama3.1-8b", "vocab_size", "I", 2**32 - 1, "model-contradicts-itself"),
        ("llama3.1-8b", "block_count", "I", 0, "gguf-no-layers"),
        ("llama3.1-8b", "block_count", "I", 2**31, "gguf-no-layers"),
        ("llama3.1-8b", "rope.freq_base", "f", float("nan"), "gguf-bad-number"),
        ("qwen3-30b-a3b", "expert_used_count", "I", 4000, "model-contradicts-itself"),
    ],
)
def test_numbers_that_contradict_each_other_are_an_error(
    tmp_path: Path, shape: str, key: str, kind: str, value: float, code: str
) -> None:
    path = changed(tmp_path, shape, key, kind, value)
    started = time.process_time()
    with pytest.raises(BadInput) as raised:
        make_plan(Request(model=path, gpus=("RTX 3060",), settings=Settings()))
    assert (raised.value.code, raised.value.exit_code) == (code, 2)
    assert time.process_time() - started < 2


@pytest.mark.engine
@engine
@pytest.mark.parametrize(
    ("shape", "key", "value"),
    [
        ("llama3.1-8b", "embedding_length", 3),
        ("llama3.1-8b", "block_count", 500),
        ("granite4-h-tiny", "ssm.state_size", 2**30),
        ("mamba-2.8b", "ssm.inner_size", 2**31 - 1),
    ],
)
def test_a_model_that_the_engine_refuses_is_an_error_in_its_words(
    tmp_path: Path, shape: str, key: str, value: int
) -> None:
    with pytest.raises(BadInput) as raised:
        make_plan(Request(model=changed(tmp_path, shape, key, "I", value), gpus=("RTX 3060",), settings=Settings()))
    assert raised.value.code == "engine-refuses-model"
    assert "error loading model" in raised.value.because[0]


@pytest.mark.engine
@engine
@pytest.mark.parametrize("value", [0, 2**32 - 1])
def test_an_absurd_training_context_is_not_believed(tmp_path: Path, value: int) -> None:
    path = changed(tmp_path, "llama3.1-8b", "context_length", "I", value)
    found = make_plan(Request(model=path, gpus=("RTX 3060",), settings=Settings()))
    assert found.fits and found.settings.n_ctx and found.settings.n_ctx < 1 << 20


@pytest.mark.parametrize("value", [0, -4])
def test_an_interval_of_no_layers_is_not_divided_by(value: int) -> None:
    model = shape_model("qwen3-next-80b-a3b", "Q4_K_M")
    broken = replace(model, metadata={**model.metadata, "qwen3next.full_attention_interval": value})
    assert hparams(broken) == Unknown(f"qwen3next.full_attention_interval is {value}")
