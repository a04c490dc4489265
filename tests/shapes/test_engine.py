"""A real llama.cpp loads the stand-ins and quantises as we say; it is asked in a child process.

The interpreter that has llama-cpp-python: this one, or the one that VRAMCTL_LLAMA_CPP_PYTHON names.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from vramctl.shapes import shape_model

PYTHON = os.environ.get("VRAMCTL_LLAMA_CPP_PYTHON", sys.executable)
LOAD = r"""
import ctypes, json, sys
import llama_cpp as engine
engine.llama_backend_init()
params = engine.llama_model_default_params()
params.no_alloc, params.load_mode, params.n_gpu_layers = True, 0, 0
model = engine.llama_model_load_from_file(sys.argv[1].encode(), params)
name = ctypes.create_string_buffer(256)
engine.llama_model_desc(model, name, 256)
options = engine.llama_context_default_params()
options.n_ctx = 4096
context = engine.llama_init_from_model(model, options)
print(json.dumps({
    "name": name.value.decode(), "parameters": engine.llama_model_n_params(model),
    "bytes": engine.llama_model_size(model), "context": bool(context),
    "tokens": engine.llama_vocab_n_tokens(engine.llama_model_get_vocab(model)),
}))
"""


@cache
def has_engine() -> bool:
    return subprocess.run([PYTHON, "-c", "import llama_cpp"], capture_output=True, timeout=120).returncode == 0


@cache
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks/shapes_vs_quantize.py"
    spec = importlib.util.spec_from_file_location("shapes_vs_quantize", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _needs_engine() -> None:
    if not has_engine():
        pytest.skip("llama-cpp-python is not installed")


@pytest.mark.engine
@pytest.mark.parametrize("vocabulary", [False, True])
@pytest.mark.parametrize(
    ("name", "file_type", "known_as"),
    [
        ("llama3.1-8b", "Q4_K_M", "llama 8B Q4_K - Medium"),
        ("mixtral-8x7b", "Q8_0", "llama 8x7B Q8_0"),
        ("qwen3-30b-a3b", "IQ2_M", "qwen3moe 30B.A3B IQ2_M - 2.7 bpw"),
        ("gpt-oss-20b", "MXFP4_MOE", "gpt-oss 20B MXFP4 MoE"),
        ("gemma4-26b-a4b", "Q4_K_M", "gemma4 26B.A4B Q4_K - Medium"),
        ("deepseek-v2-lite", "F16", "deepseek2 16B F16"),
        ("qwen3.5-35b-a3b", "Q4_K_M", "qwen35moe 35B.A3B Q4_K - Medium"),
        ("nemotron-nano-9b-v2", "Q6_K", "nemotron_h 9B Q6_K"),
        ("lfm2-1.2b", "Q4_0", "lfm2 1.2B Q4_0"),
        ("mamba-2.8b", "BF16", "mamba 3B BF16"),
        ("all-minilm-l6-v2", "F32", "bert 22M all F32"),
    ],
)
def test_llama_cpp_loads_the_stand_in_under_its_name(
    name: str, file_type: str, known_as: str, vocabulary: bool, tmp_path: Path
) -> None:
    model = shape_model(name, file_type, vocabulary=vocabulary)
    path = tmp_path / "stand-in.gguf"
    benchmark().stand_in(model, path)
    done = subprocess.run([PYTHON, "-c", LOAD, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1000:]
    assert json.loads(done.stdout) == {
        "name": known_as,
        "parameters": model.parameters,
        "bytes": sum(tensor.data_bytes for tensor in model.tensors),
        "context": True,
        "tokens": model.metadata[f"{model.architecture}.vocab_size"],
    }


@pytest.mark.engine
@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "mixtral-8x7b", "gemma4-e2b", "glm4.7-flash", "jamba1.5-mini"])
def test_llama_quantize_would_pick_the_same_types(name: str) -> None:
    rows = list(benchmark().rows((name,), PYTHON))
    assert len(rows) == 30
    assert [row for row in rows if row["tensors_that_differ"]] == []
