"""ExLlama's placements against the bytes measured on an H200 and the loaders' own rules."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plan.exllama_models import gpu, llama
from vramctl.errors import BadInput
from vramctl.plan import exllama_v2 as v2
from vramctl.plan import exllama_v3 as v3
from vramctl.plan.exllama import ExllamaPlan, plan_exllama
from vramctl.plan.exllama_parts import CONTEXT_BYTES, read_config
from vramctl.records import Model, Settings, Unknown
from vramctl.units import GIB, MIB


def plan(
    model: Model, version: int, *gib: float, budgets: tuple[int, ...] | None = None, **asked: object
) -> ExllamaPlan:
    devices = tuple(gpu(size, index) for index, size in enumerate(gib))
    wanted = Settings(**asked)  # type: ignore[arg-type]
    answer = plan_exllama(model, wanted, devices, budgets or tuple(d.free_bytes for d in devices), version=version)
    assert isinstance(answer, ExllamaPlan), answer
    return answer


def parts(answer: ExllamaPlan, device: int = 0) -> tuple[int, int, int, int]:
    use = answer.placement.devices[device]
    sizes = (use.weights_bytes, use.kv_bytes, use.compute_bytes, use.overhead_bytes)
    assert all(isinstance(size, int) for size in sizes)
    return sizes  # type: ignore[return-value]


# measured on an H200, tensor by tensor, at 4096 and 32768 tokens (layers x kv heads x head size = 32 x 8 x 128)
V2_CACHE_MIB = {"fp16": (4096, 0), "fp8": (2048, 128), "q8": (2176, 128), "q6": (1664, 128), "q4": (1152, 128)}


@pytest.mark.parametrize("name", V2_CACHE_MIB)
def test_a_v2_cache_takes_the_bytes_that_were_measured(name: str) -> None:
    cache, staging = V2_CACHE_MIB[name]
    long = plan(llama("exl2"), 2, 80, n_ctx=32768, type_k=name)
    short = plan(llama("exl2"), 2, 80, n_ctx=4096, type_k=name)
    assert long.placement.devices[0].kv_bytes == (cache + staging) * MIB
    assert short.placement.devices[0].kv_bytes == (cache + staging) * MIB // 8


V3_CACHE_BYTES_PER_ELEMENT_PAIR = {"fp16": 4, "8,8": 2.125, "6,6": 1.625, "4,4": 1.125, "8,4": 1.625, "2,8": 1.375}


@pytest.mark.parametrize("name", V3_CACHE_BYTES_PER_ELEMENT_PAIR)
def test_a_v3_cache_takes_the_bytes_that_were_measured(name: str) -> None:
    for tokens in (4096, 32768):
        answer = plan(llama("exl3"), 3, 80, n_ctx=tokens, type_k=name)
        expected = 32 * 8 * 128 * tokens * V3_CACHE_BYTES_PER_ELEMENT_PAIR[name]
        assert answer.placement.devices[0].kv_bytes == expected


def test_keys_and_values_may_be_named_apart_in_v3() -> None:
    together = plan(llama("exl3"), 3, 80, n_ctx=4096, type_k="8,4")
    assert together.placement == plan(llama("exl3"), 3, 80, n_ctx=4096, type_k="8", type_v="4").placement


def test_v3_weights_are_the_files_tensors_less_the_embedding() -> None:
    model = llama("exl3")
    answer = plan(model, 3, 80, n_ctx=4096)
    assert parts(answer)[0] == model.file_bytes - 128256 * 4096 * 2
    assert answer.placement.host.weights_bytes == 128256 * 4096 * 2


def test_v2_weights_add_permutations_and_group_maps_to_the_file() -> None:
    model = llama("exl2")
    # a row of every matrix: 4 bytes of q_invperm become 2 x 2 bytes of permutations and 4 bytes of group map,
    # but the down projection of each layer keeps only the group map
    rows = 32 * (6 * 4096) + 4096
    expected = model.file_bytes - 128256 * 4096 * 2 + 4 * rows
    assert parts(plan(model, 2, 80, n_ctx=4096))[0] == expected


def test_fp16_weights_are_the_same_in_both_engines_and_have_no_scratch() -> None:
    model = llama("fp16")
    two, three = plan(model, 2, 80, n_ctx=4096, flash_attn="on"), plan(model, 3, 80, n_ctx=4096)
    assert parts(two)[0] == parts(three)[0] == model.file_bytes - 128256 * 4096 * 2
    assert parts(two)[2] == two.transient_bytes[0] + 4096 * 128 * 4


def test_a_tied_output_layer_is_a_second_copy_on_the_gpu() -> None:
    untied, tied = llama("fp16", tied=False), llama("fp16", tied=True)
    for version in (2, 3):
        answer = plan(tied, version, 80, n_ctx=4096)
        assert parts(answer)[0] == parts(plan(untied, version, 80, n_ctx=4096))[0]
        assert answer.placement.host.weights_bytes == 128256 * 4096 * 2
        assert any("second copy" in line for line in answer.warnings)


def test_v2_scratch_is_the_largest_modules() -> None:
    config = read_config(llama("exl2"))
    assert not isinstance(config, Unknown)
    assert v2.attention_scratch_bytes(config, 2048) == 2048 * 4096 * 2 + 128 + 2 * 4096 * 4096
    mlp = (2048 * 4096 * 2 + 128) + 2 * (2048 * 14336 * 2 + 128) + 2 * 4096 * 14336
    assert v2.mlp_scratch_bytes(config, 2048) == mlp
    assert v2.head_scratch_bytes(config) == 2 * 4096 * 128256
    answer = plan(llama("exl2"), 2, 80, n_ctx=4096, flash_attn="on")
    rope = 4096 * 128 * 4
    assert parts(answer)[2] == v2.head_scratch_bytes(config) + rope + answer.transient_bytes[0]


def test_autosplit_keeps_its_reserve_and_256_mib_free() -> None:
    answer = plan(llama("exl2"), 2, 24, n_ctx=8192)
    used = answer.placement.devices[0].used_bytes
    assert isinstance(used, int) and answer.fits
    assert answer.reserve_bytes == (192 * MIB,)
    assert plan(llama("exl2"), 2, 24, n_ctx=8192, program="tabbyapi").reserve_bytes == (96 * MIB,)
    exact = (used + (192 + 256) * MIB) / GIB
    assert plan(llama("exl2"), 2, exact, n_ctx=8192).fits
    assert not plan(llama("exl2"), 2, exact - 1 / 1024, n_ctx=8192).fits


def test_v3_keeps_half_a_gib_free_and_a_smaller_budget_wins() -> None:
    answer = plan(llama("exl3"), 3, 24, n_ctx=8192)
    assert answer.reserve_bytes == (GIB // 2,)
    tight = plan(llama("exl3"), 3, 24, n_ctx=8192, budgets=(20 * GIB,))
    assert tight.reserve_bytes == (4 * GIB,) and tight.fits


def test_gpus_fill_in_index_order_and_later_ones_may_stay_empty() -> None:
    for kind, version in (("exl2", 2), ("exl3", 3)):
        roomy = plan(llama(kind), version, 24, 24, n_ctx=8192)
        assert roomy.layers_per_device == (tuple(range(32)), ())
        assert roomy.placement.devices[1].used_bytes == 0
        split = plan(llama(kind), version, 5, 12, n_ctx=8192)
        first, second = split.layers_per_device
        assert first and second and first + second == tuple(range(32))
        assert split.placement.devices[1].overhead_bytes != 0


def test_a_model_that_does_not_fit_is_refused_in_the_engines_words() -> None:
    two = plan(llama("exl2"), 2, 4, n_ctx=8192)
    assert not two.fits and two.because[0].startswith("Insufficient VRAM for model and cache")
    three = plan(llama("exl3"), 3, 4, n_ctx=8192)
    assert not three.fits and three.because[0].startswith("Insufficient VRAM in split for model and cache")
    manual = plan(llama("exl2"), 2, 24, n_ctx=8192, tensor_split=(2.0,))
    assert not manual.fits and manual.because[0].startswith("Insufficient space in device allocation")


def test_one_gib_per_device_is_too_little_for_v3_as_was_measured() -> None:
    small = llama("exl3", layers=16, hidden=2048, heads=32, inner=8192)
    answer = plan(small, 3, 139, n_ctx=32768, tensor_split=(1.0,))
    assert not answer.fits and "Insufficient VRAM in split" in answer.because[0]


def test_a_manual_v2_split_counts_weights_and_not_the_cache() -> None:
    split = plan(llama("exl2"), 2, 24, 24, n_ctx=8192, tensor_split=(3.0, 20.0), flash_attn="on")
    longer = plan(llama("exl2"), 2, 24, 24, n_ctx=8192, tensor_split=(3.0, 20.0), flash_attn="on", type_k="q4")
    assert split.fits and all(split.layers_per_device)
    assert split.layers_per_device == longer.layers_per_device


def test_the_longest_cache_fits_and_256_tokens_more_do_not() -> None:
    for kind, version, cache in (("exl2", 2, "q4"), ("exl3", 3, "8,4"), ("exl3", 3, "fp16")):
        most = plan(llama(kind), version, 12, n_ctx=256, type_k=cache).max_tokens
        assert most and most % 256 == 0
        assert plan(llama(kind), version, 12, n_ctx=most, type_k=cache).fits
        assert not plan(llama(kind), version, 12, n_ctx=most + 256, type_k=cache).fits


def test_gpt_oss_windows_are_rings_in_v3() -> None:
    kinds = ("sliding_attention", "full_attention") * 12
    model = llama(
        "exl3", layers=24, hidden=2880, heads=64, kv=8, inner=2880, architecture="GptOssForCausalLM",
        head_dim=64, sliding_window=128, layer_types=kinds,
    )  # fmt: skip
    answer = plan(model, 3, 80, n_ctx=32768)
    full, ring = 12 * 32768 * 8 * 64 * 4, 12 * 16 * 768 * 8 * 64 * 4
    assert answer.placement.devices[0].kv_bytes == full + ring


def test_latent_and_recurrent_caches_are_unknown_with_a_reason() -> None:
    for name in ("DeepseekV3ForCausalLM", "Qwen3NextForCausalLM", "Gemma4ForConditionalGeneration"):
        answer = plan_exllama(llama("exl3", architecture=name), Settings(), (gpu(80),), (80 * GIB,), version=3)
        assert isinstance(answer, Unknown) and name in answer.reason


def test_a_config_without_a_needed_key_is_unknown() -> None:
    model = llama("exl3")
    metadata = {key: value for key, value in model.metadata.items() if key != "hf.hidden_size"}
    broken = Model("x", "exl3", "x", "llama", 0, "exl3", 1, 32, 4096, metadata, model.tensors)
    answer = plan_exllama(broken, Settings(), (gpu(80),), (80 * GIB,), version=3)
    assert isinstance(answer, Unknown) and "hidden_size" in answer.reason


def test_a_wrong_format_and_a_wrong_cache_are_wrong_usage() -> None:
    for model, version, asked, code in (
        (llama("exl2"), 3, Settings(), "exllama-format"),
        (llama("exl3"), 2, Settings(), "exllama-format"),
        (llama("exl2"), 2, Settings(type_k="8,4"), "exllama-cache-type"),
        (llama("exl3"), 3, Settings(type_k="q9"), "exllama-cache-type"),
    ):
        with pytest.raises(BadInput) as caught:
            plan_exllama(model, asked, (gpu(80),), (80 * GIB,), version=version)
        assert caught.value.code == code


def test_v2_without_flash_attn_warns_of_the_missing_mask() -> None:
    assert any("causal mask" in line for line in plan(llama("exl2"), 2, 24, n_ctx=4096).warnings)
    assert not any("causal" in line for line in plan(llama("exl2"), 2, 24, n_ctx=4096, flash_attn="on").warnings)
    assert not any("causal" in line for line in plan(llama("exl3"), 3, 24, n_ctx=4096).warnings)


def test_the_staging_of_a_quantised_v3_cache_does_not_grow_with_it() -> None:
    config = read_config(llama("exl3"))
    assert not isinstance(config, Unknown)
    assert v3.staging_bytes(config, 2048) == 2 * 65536 * 8 * 128 * 2 + 2048 * 32 * 128 * 4
    short, long = (plan(llama("exl3"), 3, 80, n_ctx=n, type_k="8,8").transient_bytes for n in (256, 131072))
    assert short == long


@settings(max_examples=25, deadline=None)
@example(tokens=1, sizes=[3.5], version=2)  # a cache shorter than a chunk
@given(
    tokens=st.integers(1, 400),
    sizes=st.lists(st.floats(3, 30), min_size=1, max_size=3),
    version=st.sampled_from((2, 3)),
)
def test_more_context_never_needs_less_and_what_fits_stays_within_limits(
    tokens: int, sizes: list[float], version: int
) -> None:
    model = llama("exl2" if version == 2 else "exl3", layers=8)
    answer, more = (plan(model, version, *sizes, n_ctx=256 * n) for n in (tokens, tokens + 1))

    def total(of: ExllamaPlan) -> int:
        return sum(use.used_bytes for use in of.placement.devices if isinstance(use.used_bytes, int))

    if len(sizes) == 1:  # several GPUs are filled greedily: a module that moves on can make room for others
        assert more.fits <= answer.fits
        assert total(more) >= total(answer)
    if answer.fits:
        for use, size in zip(answer.placement.devices, sizes, strict=True):
            assert isinstance(use.used_bytes, int) and use.used_bytes <= round(size * GIB)
        assert sum(map(len, answer.layers_per_device)) == 8
        assert len(sizes) > 1 or answer.max_tokens >= 256 * tokens
    assert all(use.overhead_bytes in (0,) or use.overhead_bytes >= CONTEXT_BYTES for use in answer.placement.devices)  # type: ignore[operator]
