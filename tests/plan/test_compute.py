"""The compute buffer: allocator, scheduler and graphs, with figures that real engines reported."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vramctl.plan import graph_tensor as g
from vramctl.plan.compute import GRAPHS, ComputePlan, pipeline_copies, plan_compute
from vramctl.plan.graph_alloc import Arena, buffer_sizes
from vramctl.plan.graph_build import Graph
from vramctl.plan.graph_hparams import Hparams, hparams
from vramctl.plan.graph_sched import Scheduler, schedule
from vramctl.plan.layer_split import layer_split
from vramctl.plan.weights import place_weights
from vramctl.records import Device, Settings, Unknown
from vramctl.shapes import shape_model

MIB = 1 << 20
BASE = Settings(
    n_ctx=8192, n_parallel=1, n_batch=2048, n_ubatch=512, n_gpu_layers=999, type_k="f16", type_v="f16", flash_attn="on",
    offload_kqv=True, op_offload=True, split_mode="layer", swa_full=False, kv_unified=False, n_outputs_max=0,
)  # fmt: skip


def cards(count: int) -> tuple[Device, ...]:
    return tuple(
        Device(f"CUDA{i}", "H200", 140 << 30, 140 << 30, "test", compute_capability="9.0") for i in range(count)
    )


def plan(name: str, count: int = 1, *, newer: bool = False, **changes: object) -> ComputePlan:
    model, settings, devices = shape_model(name, "Q4_K_M"), replace(BASE, **changes), cards(count)  # type: ignore[arg-type]
    hp = hparams(model)
    assert isinstance(hp, Hparams)
    split = layer_split(model.layers, settings, devices)
    found = plan_compute(hp, settings, split, place_weights(model, settings, devices, split), devices, newer=newer)
    assert isinstance(found, ComputePlan), found
    return found


def mib(size: int) -> float:
    return round(size / MIB, 2)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("llama3.1-8b", {}, 258.50),
        ("llama3.1-8b", {"flash_attn": "off"}, 564.01),
        ("llama3.1-8b", {"n_ctx": 131072, "flash_attn": "off"}, 8484.01),
        ("llama3.1-8b", {"n_gpu_layers": 16, "flash_attn": "auto"}, 258.50),
        ("llama3.1-8b", {"n_gpu_layers": 0, "flash_attn": "auto"}, 669.48),
        ("llama3.1-8b", {"n_outputs_max": 4}, 116.01),
        ("qwen2.5-1.5b", {"n_parallel": 2}, 299.75),
        ("qwen3-30b-a3b", {"n_ctx": 16384}, 341.54),
    ],
)
def test_an_h200_with_0c1e57098_logged_the_same(name: str, changes: dict[str, object], said: float) -> None:
    assert mib(plan(name, **changes).sizes[0]) == said


def test_the_build_of_october_2026_needs_32_mib_more_for_an_8b() -> None:
    assert mib(plan("llama3.1-8b", newer=True).sizes[0]) == 290.52


def test_two_gpus_keep_four_copies_of_inputs_and_norms_on_their_own_device() -> None:
    assert mib(plan("llama3.1-8b", 2, n_ctx=16384).sizes[1]) == 354.55


def test_shared_experts_of_the_routed_shape_are_moved_from_ggml_0_26_on() -> None:
    assert plan("glm4.7-flash", newer=True, flash_attn="off", swa_full=True).sizes[0] == 424161280


def test_pipeline_parallelism_needs_full_offload_and_no_overrides() -> None:
    devices = cards(2)

    def copies(**changes: object) -> int:
        settings = replace(BASE, **changes)  # type: ignore[arg-type]
        return pipeline_copies(settings, layer_split(32, settings, devices))

    assert copies() == 4
    assert copies(n_gpu_layers=32) == 1
    assert copies(offload_kqv=False) == 1
    assert copies(n_cpu_moe=1) == 1
    assert copies(split_mode="none") == 1


def test_a_quantised_cache_costs_f16_copies_of_one_layer() -> None:
    plain, quantised = (plan("llama3.1-8b", n_ctx=131072, type_k=k, type_v=k) for k in ("f16", "q8_0"))
    assert quantised.sizes[0] - plain.sizes[0] > 0
    assert quantised.sizes[0] >= 131072 * 2048 * 2


def test_decoding_uses_the_device_that_holds_the_cache() -> None:
    assert plan("llama3.1-8b").kv_operations == "gpu"
    assert plan("llama3.1-8b", n_gpu_layers=0).kv_operations == "cpu"
    assert plan("llama3.1-8b", n_gpu_layers=16).kv_operations == "mixed"
    assert plan("llama3.1-8b", offload_kqv=False, flash_attn="off").kv_operations == "cpu"


def test_flash_attention_resolves_to_on_where_every_layer_can_run_it_at_home_or_v_is_quantised() -> None:
    assert plan("llama3.1-8b", flash_attn="auto").flash
    assert plan("llama3.1-8b", flash_attn="auto", type_v="q8_0").flash
    assert not plan("lfm2-1.2b", flash_attn="auto", n_gpu_layers=8, n_parallel=3, n_ctx=300, kv_unified=True).flash
    assert not plan("llama3.1-8b", flash_attn="off").flash


def test_a_quantised_v_cache_without_flash_attention_is_unknown() -> None:
    model = shape_model("llama3.1-8b", "Q4_K_M")
    hp, settings = hparams(model), replace(BASE, flash_attn="off", type_v="q8_0")
    assert isinstance(hp, Hparams)
    split = layer_split(model.layers, settings, cards(1))
    found = plan_compute(hp, settings, split, place_weights(model, settings, cards(1), split), cards(1))
    assert isinstance(found, Unknown)


def test_a_missing_tensor_is_unknown_and_named() -> None:
    model = shape_model("llama3.1-8b", "Q4_K_M")
    model = replace(model, tensors=tuple(t for t in model.tensors if t.name != "blk.3.attn_q.weight"))
    hp = hparams(model)
    assert isinstance(hp, Hparams)
    split = layer_split(model.layers, BASE, cards(1))
    found = plan_compute(hp, BASE, split, place_weights(model, BASE, cards(1), split), cards(1))
    assert isinstance(found, Unknown)
    assert "blk.3.attn_q.weight" in found.reason


def test_there_are_graphs_for_dense_moe_windowed_compressed_and_hybrid_models() -> None:
    assert {"llama", "qwen3moe", "gemma3", "deepseek2", "qwen3next", "granitehybrid", "mamba"} <= GRAPHS.keys()


# ---- allocator and scheduler on small graphs


def used(graph: Graph) -> int:
    arenas = {0: Arena(128)}
    nodes = [(node, 0) for node in graph.nodes]
    return buffer_sizes(nodes, [(leaf, 0) for leaf in graph.leaves], arenas, {0: g.Node.data_bytes})[0]


def test_a_result_goes_over_its_only_users_source() -> None:
    graph = Graph()
    graph.expand(g.like("SCALE", g.like("SCALE", g.graph_input("F32", (256,)))))
    assert used(graph) == 1024


def test_an_output_is_never_overwritten() -> None:
    graph = Graph()
    first = g.like("SCALE", g.graph_input("F32", (256,)))
    first.is_output = True
    graph.expand(g.like("SCALE", first))
    assert used(graph) == 2048


def test_a_freed_block_is_used_again() -> None:
    graph = Graph()
    cur = g.graph_input("F32", (256,))
    for _ in range(10):
        cur = g.made("CONCAT", "F32", (256,), cur)
    graph.expand(cur)
    assert used(graph) == 2048


def test_the_arena_joins_neighbouring_free_blocks() -> None:
    arena = Arena(128)
    places = [arena.take(128) for _ in range(4)]
    arena.give(places[0], 128)
    arena.give(places[2], 128)
    arena.give(places[1], 128)
    assert arena.take(384) == 0
    assert arena.peak == 512


def test_the_best_fitting_block_is_taken() -> None:
    arena = Arena(128)
    places = [arena.take(size) for size in (512, 128, 256, 128)]
    arena.give(places[0], 512)
    arena.give(places[2], 256)
    assert arena.take(256) == places[2]


def test_weights_on_the_host_are_copied_to_the_gpu_for_large_batches_only() -> None:
    for tokens, copied in ((512, True), (31, False)):
        graph = Graph()
        weight = g.leaf("F16", (64, 64), home=-1, weight=True)
        graph.expand(g.mul_mat(weight, g.graph_input("F32", (64, tokens))))
        sched = Scheduler(1, offload_to=0, copies=1)
        schedule(graph.nodes, graph.leaves, sched)
        assert (graph.nodes[0].device == 0) is copied
        assert bool(sched.splits[0].inputs) is copied
