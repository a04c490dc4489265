"""Where tensors go: layers, overrides, padding, tied outputs, rope factors, MTP blocks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vramctl.errors import BadInput
from vramctl.plan.layer_split import HOST, layer_split
from vramctl.plan.weights import has_overrides, place_weights, stored_bytes, weights_bytes
from vramctl.records import Device, Model, Settings, Tensor
from vramctl.shapes import shape_model

GIB = 1 << 30
ALL = Settings(n_gpu_layers=999)


def gpus(*free: int) -> tuple[Device, ...]:
    return tuple(Device(f"CUDA{i}", "test", size, size, "test") for i, size in enumerate(free))


def bytes_on(model: Model, settings: Settings, devices: tuple[Device, ...], device: int) -> int:
    split = layer_split(model.layers, settings, devices)
    return weights_bytes(place_weights(model, settings, devices, split), device)


def small(*tensors: Tensor, architecture: str = "llama", layers: int = 2, **metadata: int) -> Model:
    keys = {f"{architecture}.{key}": value for key, value in metadata.items()}
    return Model(
        "test", "gguf", "test", architecture, 0, "F16", 0, layers, 4096, keys, tensors,
    )  # fmt: skip


def f16(name: str, *shape: int) -> Tensor:
    count = 2
    for size in shape:
        count *= size
    return Tensor(name, "F16", shape, count, 0)


def test_one_gpu_layer_is_the_output_layer() -> None:
    split = layer_split(32, Settings(n_gpu_layers=1), gpus(8 * GIB))
    assert split.output == 0
    assert set(split.layers) == {HOST}
    assert split.on_gpu == 1


def test_the_last_layers_are_offloaded_first() -> None:
    split = layer_split(32, Settings(n_gpu_layers=5), gpus(8 * GIB))
    assert [i for i, place in enumerate(split.layers) if place == 0] == [28, 29, 30, 31]
    assert not split.full


def test_more_layers_than_the_model_has_is_full_offload() -> None:
    split = layer_split(32, ALL, gpus(8 * GIB))
    assert split.full
    assert split.on_gpu == 33


def test_layers_are_cut_by_free_memory_unless_shares_are_given() -> None:
    by_memory = layer_split(31, ALL, gpus(24 * GIB, 8 * GIB))
    assert by_memory.layers.count(0) == 24
    asked = layer_split(31, replace(ALL, tensor_split=(1.0, 3.0)), gpus(24 * GIB, 8 * GIB))
    assert asked.layers.count(0) == 8
    assert asked.output == 1


def test_split_mode_none_uses_the_main_gpu_alone() -> None:
    split = layer_split(4, replace(ALL, split_mode="none", main_gpu=1), gpus(8 * GIB, 8 * GIB))
    assert set(split.layers) == {1}
    assert split.used == (1,)
    nowhere = layer_split(4, replace(ALL, split_mode="none", main_gpu=-1), gpus(8 * GIB))
    assert nowhere.on_gpu == 0


def test_without_a_gpu_everything_is_on_the_host() -> None:
    assert layer_split(4, ALL, ()).on_gpu == 0


def test_llama_8b_takes_what_an_h200_reported() -> None:
    model = shape_model("llama3.1-8b", "Q4_K_M")
    assert bytes_on(model, ALL, gpus(24 * GIB), 0) == 4617396480
    assert bytes_on(model, ALL, gpus(24 * GIB), HOST) == 295501824


def test_a_tied_output_is_held_twice_where_it_is_on_a_gpu() -> None:
    model = small(f16("token_embd.weight", 64, 100), f16("output_norm.weight", 64))
    table = 64 * 100 * 2
    assert bytes_on(model, ALL, gpus(GIB), HOST) == table
    assert bytes_on(model, ALL, gpus(GIB), 0) == table + 128
    assert bytes_on(model, Settings(n_gpu_layers=0), gpus(GIB), HOST) == table + 128


def test_gemma4_holds_a_tied_output_twice_on_the_host_too() -> None:
    model = small(f16("token_embd.weight", 64, 100), architecture="gemma4")
    assert bytes_on(model, Settings(n_gpu_layers=0), gpus(GIB), HOST) == 2 * 64 * 100 * 2


def test_an_encoder_without_a_language_head_has_no_output_matrix() -> None:
    model = small(f16("token_embd.weight", 64, 100), architecture="bert")
    assert bytes_on(model, ALL, gpus(GIB), 0) == 0


def test_rope_factors_are_loaded_once_per_device_that_has_layers() -> None:
    model = small(f16("rope_freqs.weight", 64))
    assert [bytes_on(model, Settings(n_gpu_layers=2), gpus(GIB), where) for where in (0, HOST)] == [128, 128]
    assert bytes_on(model, ALL, gpus(GIB), HOST) == 0


def test_mtp_blocks_are_not_loaded() -> None:
    model = small(f16("blk.0.w", 64), f16("blk.1.w", 64), nextn_predict_layers=1)
    assert bytes_on(model, ALL, gpus(GIB), 0) == 128


def test_cuda_pads_rows_of_quantised_tensors_to_512_elements() -> None:
    odd = Tensor("t", "Q4_0", (896, 16), 896 // 32 * 18 * 16, 0)
    assert stored_bytes(odd, HOST) == odd.data_bytes
    assert stored_bytes(odd, 0) == -(-(odd.data_bytes + 128 // 32 * 18) // 128) * 128
    assert stored_bytes(Tensor("t", "Q4_0", (1024, 10), 5760, 0), 0) == 5760


def test_the_first_override_that_matches_wins() -> None:
    model = small(f16("blk.0.ffn_up_exps.weight", 64), f16("blk.0.attn_q.weight", 64))
    settings = replace(ALL, tensor_overrides=((r"ffn_up_exps", "CUDA1"), (r"ffn_.*", "CPU")))
    pair = gpus(GIB, GIB)
    assert bytes_on(model, replace(settings, tensor_split=(1.0, 0.0)), pair, 1) == 128
    assert has_overrides(settings)


def test_n_cpu_moe_keeps_the_experts_of_the_first_layers_on_the_host() -> None:
    names = [f"blk.{i}.ffn_{part}_exps.weight" for i in range(2) for part in ("up", "down", "gate")]
    model = small(*(f16(name, 64) for name in names))
    settings = replace(ALL, n_cpu_moe=1)
    assert bytes_on(model, settings, gpus(GIB), HOST) == 3 * 128
    assert bytes_on(model, settings, gpus(GIB), 0) == 3 * 128


def test_an_override_that_is_no_regular_expression_is_the_users_error() -> None:
    with pytest.raises(BadInput) as error:
        bytes_on(small(f16("a", 1)), replace(ALL, tensor_overrides=(("(", "CPU"),)), gpus(GIB), 0)
    assert error.value.code == "bad-tensor-override"


def test_tensors_of_an_unknown_architecture_are_placed_by_their_names() -> None:
    model = small(f16("blk.0.strange", 64), f16("blk.1.strange", 64), architecture="not-yet-invented")
    assert bytes_on(model, Settings(n_gpu_layers=2), gpus(GIB), 0) == 128
    assert bytes_on(model, Settings(n_gpu_layers=2), gpus(GIB), HOST) == 128
