"""Bytes of keys, values and recurrent state."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vramctl.plan.graph_hparams import Hparams, hparams
from vramctl.plan.kv_cache import cells, kv_bytes
from vramctl.plan.layer_split import layer_split
from vramctl.records import Device, Model, Settings, Unknown
from vramctl.shapes import shape_model

MIB = 1 << 20
CARD = (Device("CUDA0", "test", 80 << 30, 80 << 30, "test"),)
BASE = Settings(
    n_ctx=8192, n_parallel=1, n_batch=2048, n_ubatch=512, n_gpu_layers=999, type_k="f16", type_v="f16",
    flash_attn="on", offload_kqv=True, swa_full=False, kv_unified=False,
)  # fmt: skip


def sizes_of(name: str) -> Hparams:
    found = hparams(shape_model(name, "Q4_K_M"))
    assert isinstance(found, Hparams)
    return found


def on_gpu(name: str, **changes: object) -> int:
    hp, settings = sizes_of(name), replace(BASE, **changes)  # type: ignore[arg-type]
    found = kv_bytes(hp, settings, layer_split(hp.layers_all, settings, CARD), 1)
    assert not isinstance(found, Unknown)
    return found[0]


def test_a_dense_cache_is_layers_times_cells_times_widths() -> None:
    assert on_gpu("llama3.1-8b") == 32 * 8192 * (1024 + 1024) * 2


@pytest.mark.parametrize(("kind", "size"), [("q8_0", 34), ("q4_0", 18), ("q5_1", 24), ("iq4_nl", 18)])
def test_a_quantised_cache_takes_its_blocks(kind: str, size: int) -> None:
    assert on_gpu("llama3.1-8b", type_k=kind, type_v=kind) == 32 * 8192 * 2 * 1024 // 32 * size


def test_cuda_pads_each_quantised_cache_tensor_once() -> None:
    plain = 24 * 2 * 8192 * 128 // 32 * 34
    assert (
        on_gpu("qwen2.5-0.5b", type_k="q8_0", type_v="q8_0") == plain + 24 * 2 * 512
    )  # 408 bytes of padding, aligned to 128


def test_sliding_windows_keep_few_cells_unless_swa_full() -> None:
    small, full = on_gpu("gemma3-4b", n_ctx=32768), on_gpu("gemma3-4b", n_ctx=32768, swa_full=True)
    width = 2 * (1024 + 1024)
    assert small == width * (5 * 32768 + 29 * 1536)
    assert full == width * 34 * 32768


def test_compressed_keys_are_stored_without_values() -> None:
    assert on_gpu("deepseek-v2-lite") == 27 * 8192 * 576 * 2


def test_layers_without_attention_have_no_keys_and_recurrent_ones_have_state() -> None:
    hp = sizes_of("lfm2-1.2b")
    states = sum(hp.recurrent) * 4 * hp.embd * (hp.shortconv - 1)
    keys = sum(hp.attends) * 8192 * 2 * 512 * 2
    assert on_gpu("lfm2-1.2b") == states + keys


def test_recurrent_state_grows_with_sequences_and_not_with_context() -> None:
    one, four = on_gpu("mamba-2.8b"), on_gpu("mamba-2.8b", n_parallel=4)
    assert four == 4 * one
    assert on_gpu("mamba-2.8b", n_ctx=131072) == one


def test_later_layers_of_gemma4_share_the_caches_of_earlier_ones() -> None:
    hp = sizes_of("gemma4-e2b")
    assert sum(hp.attends) == hp.kv_from_start < hp.layers


def test_sequences_without_a_unified_cache_get_whole_streams() -> None:
    count = cells(sizes_of("llama3.1-8b"), replace(BASE, n_ctx=10000, n_parallel=4))
    assert (count.n_ctx, count.per_stream, count.streams) == (10240, 2560, 4)
    unified = cells(sizes_of("llama3.1-8b"), replace(BASE, n_ctx=10000, n_parallel=4, kv_unified=True))
    assert (unified.per_stream, unified.streams) == (10240, 1)


def test_without_offload_the_cache_is_on_the_host() -> None:
    hp, settings = sizes_of("llama3.1-8b"), replace(BASE, offload_kqv=False)
    assert kv_bytes(hp, settings, layer_split(32, settings, CARD), 1) == (0, 32 * 8192 * 2048 * 2)


def test_without_flash_attention_every_layer_gets_the_widest_values() -> None:
    hp = sizes_of("gemma4-e2b")
    assert on_gpu("gemma4-e2b", flash_attn="off") > on_gpu("gemma4-e2b")
    assert hp.v_width_max == max(hp.v_width(i) for i in range(hp.layers_all))


def test_an_architecture_with_a_cache_of_its_own_kind_is_unknown() -> None:
    model = Model(
        "test", "gguf", "test", "glm-dsa", 0, "F16", 0, 1, 4096,
        {"glm-dsa.embedding_length": 64, "glm-dsa.attention.head_count": 1}, (),
    )  # fmt: skip
    hp = hparams(model)
    assert isinstance(hp, Hparams)
    found = kv_bytes(hp, BASE, layer_split(1, BASE, CARD), 1)
    assert isinstance(found, Unknown)
    assert "glm-dsa" in found.reason


def test_a_header_without_sizes_is_unknown() -> None:
    assert isinstance(hparams(Model("t", "gguf", "t", "llama", 0, "F16", 0, 0, 0, {}, ())), Unknown)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(("llama3.1-8b", "gemma3-4b", "gpt-oss-20b", "deepseek-v2-lite", "granite4-h-tiny")),
    smaller=st.integers(1, 131072), more=st.integers(0, 131072), parallel=st.integers(1, 8), unified=st.booleans(),
    kind=st.sampled_from(("f16", "q8_0", "q4_0")),
)  # fmt: skip
def test_more_context_never_needs_less(
    name: str, smaller: int, more: int, parallel: int, unified: bool, kind: str
) -> None:
    rest = {"n_parallel": parallel, "kv_unified": unified, "type_k": kind, "type_v": kind}
    assert on_gpu(name, n_ctx=smaller, **rest) <= on_gpu(name, n_ctx=smaller + more, **rest)
