"""Choosing settings: against a made-up witness whose bytes are simple enough to reason about."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vramctl.plan.fit import CannotMeasure, Judge, choose, context_per_sequence
from vramctl.records import DeviceUse, HostUse, Model, Placement, Settings, Tensor, Unknown

LAYERS, LAYER_BYTES, OUTPUT_BYTES = 8, 1000, 500


def model(*, experts: int = 0, train_ctx: int = 65536) -> Model:
    metadata: dict[str, int] = {"toy.expert_count": experts} if experts else {}
    tensors = tuple(Tensor(f"blk.{i}.w", "F16", (LAYER_BYTES // 2,), LAYER_BYTES, 0) for i in range(LAYERS))
    return Model("toy", "gguf", "toy", "toy", 1, "F16", 1, LAYERS, train_ctx, metadata, tensors)


def measure(s: Settings, devices: int = 1) -> Placement:
    """Layers of 1000 bytes, half of them experts; KV of one byte per token and 256 per layer; compute of 2 per ubatch."""
    shares = (
        [int(x) for x in s.tensor_split]
        if s.tensor_split and devices > 1
        else [s.n_gpu_layers or 0] + [0] * (devices - 1)
    )
    uses = []
    first = LAYERS + 1 - (s.n_gpu_layers or 0)
    for share in shares:
        mine = range(first, first + share)
        first += share
        repeating = [i for i in mine if i < LAYERS]
        weights = sum(LAYER_BYTES // 2 if i < (s.n_cpu_moe or 0) else LAYER_BYTES for i in repeating)
        weights += OUTPUT_BYTES if LAYERS in mine else 0
        uses.append(
            DeviceUse(
                "CUDA0", weights, len(repeating) * (s.n_ctx or 0) // 256, 2 * (s.n_ubatch or 512) if share else 0, 10
            )
        )
    on_gpu = sum(use.weights_bytes for use in uses if isinstance(use.weights_bytes, int))
    host = HostUse(LAYERS * LAYER_BYTES + OUTPUT_BYTES - on_gpu, 0, 0, 0)
    return Placement(tuple(uses), host, "gpu")


def judge(*budgets: int, host: int | None = None) -> Judge:
    return Judge(lambda s: measure(s, len(budgets)), budgets, Unknown("not judged") if host is None else host)


START = Settings(n_ubatch=512, n_batch=2048, n_parallel=1, kv_unified=True, split_mode="layer", n_cpu_moe=0)
OPEN = frozenset(("n_gpu_layers", "n_ctx", "n_ubatch", "n_cpu_moe", "tensor_split"))


def test_everything_goes_to_a_device_with_room_and_the_context_grows_to_the_training_length() -> None:
    found = choose(model(), START, OPEN, judge(1_000_000), devices=1)
    assert (found.fits, found.settings.n_gpu_layers, found.settings.n_ctx, found.max_ctx) == (True, 9, 65536, 65536)


def test_the_context_shrinks_before_a_layer_leaves_the_device() -> None:
    # 8500 weights + 1024 compute + 10 overhead leave 466 bytes: 58 per layer, 14848 tokens
    found = choose(model(), START, OPEN, judge(10_000), devices=1)
    assert (found.fits, found.settings.n_gpu_layers, found.settings.n_ctx) == (True, 9, 14848)


def test_a_smaller_ubatch_is_taken_where_that_alone_makes_it_fit() -> None:
    found = choose(model(), START, OPEN, judge(9_200), devices=1)
    assert (found.fits, found.settings.n_gpu_layers, found.settings.n_ubatch) == (True, 9, 256)


def test_experts_leave_the_device_before_whole_layers() -> None:
    found = choose(model(experts=8), START, OPEN, judge(7_000), devices=1)
    assert found.fits
    assert (found.settings.n_gpu_layers, found.settings.n_cpu_moe) == (9, 6)


def test_as_few_layers_as_possible_go_to_the_host() -> None:
    s = replace(START, n_ctx=4096)
    found = choose(model(), s, OPEN - {"n_ctx"}, judge(5_000), devices=1)
    assert (found.fits, found.settings.n_gpu_layers, found.max_ctx) == (True, 4, 0)
    assert max(judge(5_000).excess(replace(found.settings, n_gpu_layers=5))) > 0


def test_what_the_user_set_is_kept_even_where_it_does_not_fit() -> None:
    s = replace(START, n_ctx=8192, n_gpu_layers=9, n_ubatch=512)
    found = choose(model(), s, frozenset(), judge(5_000), devices=1)
    assert (found.fits, found.settings) == (False, s)


def test_layers_are_split_so_that_no_device_is_over_its_budget() -> None:
    s = replace(START, n_ctx=4096)
    found = choose(model(), s, OPEN - {"n_ctx"}, judge(4_000, 8_000), devices=2)
    assert found.fits
    split = found.settings.tensor_split
    assert split is not None and sum(split) == 9
    assert split[0] < split[1]


def test_nothing_fits_is_said_and_not_raised() -> None:
    found = choose(model(), START, OPEN, judge(5, host=100), devices=1)
    assert (found.fits, found.max_ctx) == (False, 0)


def test_a_host_without_room_for_the_rest_is_a_reason_not_to_fit() -> None:
    s = replace(START, n_ctx=4096)
    found = choose(model(), s, OPEN - {"n_ctx"}, judge(5_000, host=1_000), devices=1)
    assert not found.fits


def test_an_unknown_placement_is_passed_on_in_the_witness_words() -> None:
    silent = Judge(lambda s: Unknown("the engine crashed"), (10_000,), Unknown("not judged"))
    with pytest.raises(CannotMeasure, match="the engine crashed"):
        choose(model(), START, OPEN, silent, devices=1)


@given(budget=st.integers(100, 20_000), ctx=st.sampled_from((4096, 8192, 32768)), experts=st.sampled_from((0, 4)))
@settings(max_examples=150, deadline=None)
def test_what_is_said_to_fit_fits_and_one_layer_more_does_not(budget: int, ctx: int, experts: int) -> None:
    asked = judge(budget)
    found = choose(model(experts=experts), replace(START, n_ctx=ctx), OPEN - {"n_ctx"}, asked, devices=1)
    assert found.fits == asked.fits(found.settings)
    layers = found.settings.n_gpu_layers or 0
    if found.fits and layers < 9:
        assert not asked.fits(replace(found.settings, n_gpu_layers=layers + 1))
    if found.fits and found.settings.n_cpu_moe and layers == 9:
        assert not asked.fits(replace(found.settings, n_cpu_moe=found.settings.n_cpu_moe - 1))


@given(budget=st.integers(9_000, 12_000))
@settings(max_examples=60, deadline=None)
def test_the_largest_context_fits_and_the_next_step_does_not(budget: int) -> None:
    asked = judge(budget)
    found = choose(model(), START, OPEN, asked, devices=1)
    if found.fits and found.settings.n_gpu_layers == 9 and isinstance(found.max_ctx, int) and 0 < found.max_ctx < 65536:
        step = 256 * max(1, found.max_ctx // (256 * 128))
        assert not asked.fits(replace(found.settings, n_ctx=found.max_ctx + 2 * step))
        assert asked.fits(replace(found.settings, n_ctx=found.max_ctx))


def test_context_per_sequence_is_a_share_padded_to_256_unless_unified() -> None:
    assert context_per_sequence(Settings(n_ctx=10000, n_parallel=4, kv_unified=False)) == 2560
    assert context_per_sequence(Settings(n_ctx=10000, n_parallel=4, kv_unified=True)) == 10240


@pytest.mark.parametrize("devices", [0, 1])
def test_a_context_for_which_system_memory_is_too_small_is_found_in_few_questions(devices: int) -> None:
    def kept_on_the_host(s: Settings) -> Placement:
        found = measure(s, 1)
        host = HostUse(0, (s.n_ctx or 0) * 100, 0, 0)
        return replace(found, devices=found.devices if devices else (), host=host)

    asked = replace(START, n_ctx=4 << 20, n_gpu_layers=9 if devices else 0)
    witness = Judge(kept_on_the_host, (1 << 40,) * devices, 100_000_000)
    found = choose(model(), asked, frozenset(), witness, devices=devices)
    assert not found.fits
    assert isinstance(found.max_ctx, int) and 980_000 <= found.max_ctx <= 1_000_000
    assert len(witness.seen) < 20
