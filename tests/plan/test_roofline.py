"""The most that memory bandwidth allows: bytes per token counted by hand."""

from __future__ import annotations

import pytest

from vramctl.plan.roofline import decode_bound, decode_reads
from vramctl.records import Device, Settings, Unknown
from vramctl.shapes import shape_model
from vramctl.units import GIB

CUDA0 = Device("CUDA0", "H200", 140 * GIB, 140 * GIB, "test")


def test_a_dense_model_reads_all_weights_but_the_input_embeddings() -> None:
    model = shape_model("llama3.1-8b", "Q4_K_M")
    reads = decode_reads(model, Settings(n_ctx=8192, n_gpu_layers=33), (CUDA0,), 0)
    assert not isinstance(reads, Unknown)
    embedding = next(tensor for tensor in model.tensors if tensor.name == "token_embd.weight")
    assert reads.weights_bytes == {"CUDA0": sum(tensor.data_bytes for tensor in model.tensors) - embedding.data_bytes}
    assert reads.kv_bytes == {"CUDA0": 0}


def test_the_cache_is_read_to_its_depth() -> None:
    model = shape_model("llama3.1-8b", "Q4_K_M")
    reads = decode_reads(model, Settings(n_ctx=8192, n_gpu_layers=33), (CUDA0,), 1000)
    assert not isinstance(reads, Unknown)
    assert reads.kv_bytes == {"CUDA0": 1000 * 32 * 2 * 8 * 128 * 2}
    away = decode_reads(model, Settings(n_ctx=8192, n_gpu_layers=33, offload_kqv=False), (CUDA0,), 1000)
    assert not isinstance(away, Unknown)
    assert away.kv_bytes == {"host": 1000 * 32 * 2 * 8 * 128 * 2}


def test_a_tied_output_matrix_is_read_once() -> None:
    model = shape_model("gemma3-4b", "Q4_K_M")
    reads = decode_reads(model, Settings(n_ctx=4096, n_gpu_layers=99), (CUDA0,), 0)
    assert not isinstance(reads, Unknown)
    assert reads.weights_bytes == {"CUDA0": sum(tensor.data_bytes for tensor in model.tensors)}


def test_of_experts_only_those_in_use_are_read() -> None:
    model = shape_model("qwen3-30b-a3b", "Q4_K_M")
    reads = decode_reads(model, Settings(n_ctx=4096, n_gpu_layers=99), (CUDA0,), 0)
    assert not isinstance(reads, Unknown)
    experts = sum(tensor.data_bytes for tensor in model.tensors if "_exps" in tensor.name)
    embedding = next(tensor.data_bytes for tensor in model.tensors if tensor.name == "token_embd.weight")
    rest = sum(tensor.data_bytes for tensor in model.tensors) - experts - embedding
    assert reads.weights_bytes["CUDA0"] == pytest.approx(rest + experts * 8 / 128, rel=1e-6)


def test_the_bound_adds_the_time_of_each_device() -> None:
    model = shape_model("llama3.1-8b", "Q4_K_M")
    reads = decode_reads(model, Settings(n_ctx=8192, n_gpu_layers=16), (CUDA0,), 0)
    assert not isinstance(reads, Unknown)
    bound = decode_bound(reads, {"CUDA0": 4e12, "host": 50e9})
    assert not isinstance(bound, Unknown)
    assert bound.bound_by == "memory bandwidth of host"
    assert 1 / bound.tokens_per_second == pytest.approx(reads.on("CUDA0") / 4e12 + reads.on("host") / 50e9)
    assert isinstance(decode_bound(reads, {"CUDA0": 4e12}), Unknown)


def test_an_8b_on_an_h200_reaches_about_a_third_of_its_bound() -> None:
    """Measured there: 258 tokens/s; the copy bandwidth was 4.26 TB/s."""
    model = shape_model("llama3.1-8b", "Q4_K_M")
    reads = decode_reads(model, Settings(n_ctx=8192, n_gpu_layers=33), (CUDA0,), 0)
    assert not isinstance(reads, Unknown)
    bound = decode_bound(reads, {"CUDA0": 4.26e12})
    assert not isinstance(bound, Unknown)
    assert 258 / bound.tokens_per_second == pytest.approx(0.28, abs=0.02)
