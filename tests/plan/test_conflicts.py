"""Contradictory settings are named before an engine is asked."""

from __future__ import annotations

import pytest

from vramctl.errors import BadInput
from vramctl.plan.conflicts import check_settings, train_ctx_note
from vramctl.records import Model, Settings
from vramctl.shapes import shape_model


@pytest.fixture(scope="module")
def dense() -> Model:
    return shape_model("llama3.1-8b", "Q4_K_M")


@pytest.mark.parametrize(
    ("asked", "devices", "code"),
    [
        (Settings(flash_attn="off", type_k="f16", type_v="q8_0"), 1, "quantised-v-needs-flash-attention"),
        (Settings(n_batch=256, n_ubatch=512), 1, "batch-below-ubatch"),
        (Settings(n_gpu_layers=34), 1, "more-layers-than-the-model-has"),
        (Settings(n_cpu_moe=4), 1, "no-experts"),
        (Settings(tensor_split=(1.0, 1.0, 1.0)), 2, "tensor-split-too-long"),
        (Settings(tensor_split=(0.0, 0.0)), 2, "tensor-split-empty"),
        (Settings(main_gpu=2), 2, "no-such-gpu"),
        (Settings(n_ctx=0), 1, "setting-out-of-range"),
        (Settings(n_ctx=1 << 40), 1, "setting-out-of-range"),
        (Settings(n_parallel=1000), 1, "setting-out-of-range"),
        (Settings(type_k="q9_9"), 1, "unknown-kv-type"),
    ],
)
def test_a_contradiction_is_a_clear_error(asked: Settings, devices: int, code: str, dense: Model) -> None:
    with pytest.raises(BadInput) as raised:
        check_settings(asked, dense, devices=devices)
    error = raised.value
    assert (error.code, error.exit_code) == (code, 2)
    assert error.because and error.fix


def test_a_cache_type_whose_blocks_do_not_divide_the_head_is_an_error() -> None:
    with pytest.raises(BadInput) as raised:
        check_settings(Settings(type_k="q8_0"), _with_head(80), devices=1)
    assert raised.value.code == "kv-type-does-not-divide-head"


def _with_head(width: int) -> Model:
    return Model("x", "gguf", "x", "toy", 1, "F16", 1, 2, 4096, {"toy.attention.key_length": width}, ())


def test_sensible_settings_pass_in_silence(dense: Model) -> None:
    check_settings(
        Settings(n_ctx=8192, type_k="q8_0", type_v="q8_0", flash_attn="on", n_gpu_layers=33), dense, devices=1
    )


def test_a_context_beyond_the_training_is_noted_per_sequence(dense: Model) -> None:
    assert train_ctx_note(Settings(n_ctx=131072, kv_unified=True), dense) is None
    note = train_ctx_note(Settings(n_ctx=262144, kv_unified=True), dense)
    assert note is not None and "131072" in note
    assert train_ctx_note(Settings(n_ctx=262144, n_parallel=4, kv_unified=False), dense) is None


def test_an_override_names_a_buffer_that_there_is(dense: Model) -> None:
    check_settings(Settings(tensor_overrides=(("a", "CPU"), ("b", "CUDA1"))), dense, devices=2)
    for devices, buffer in ((2, "CUDA2"), (0, "CUDA0"), (1, "GPU")):
        with pytest.raises(BadInput) as raised:
            check_settings(Settings(tensor_overrides=(("a", buffer),)), dense, devices=devices)
        assert raised.value.code == "unknown-buffer"
