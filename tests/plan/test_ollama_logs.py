"""Ollama's estimator against the lines that Ollama itself logged, in Ollama's own rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from vramctl.plan.ollama import OllamaEstimate, ollama_estimate
from vramctl.plan.ollama_graph import Graph, graph_size
from vramctl.records import ArrayInfo, Device, Model, Settings, Tensor, Unknown
from vramctl.units import GIB, MIB

BITS = {"F32": 32.0, "F16": 16.0, "Q4_0": 4.5, "Q4_K": 4.5, "Q5_K": 5.5, "Q6_K": 6.5625}
Rows = list[tuple[str, str, tuple[int, ...]]]


def written(size: float) -> str:
    """A size as Ollama's `HumanBytes2` prints it."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.1f} MiB" if size >= MIB else f"{size:.0f} B"


def more_bits(layer: int, layers: int) -> bool:
    """llama.cpp's rule for the layers of a Q4_K_M file that get a bigger type."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def model(arch: str, layers: int, vocab: int, meta: Mapping[str, int], rows: Rows) -> Model:
    tensors = []
    for name, kind, shape in rows:
        elements = 1
        for side in shape:
            elements *= side
        tensors.append(Tensor(name, kind, shape, int(elements * BITS[kind] / 8), 0))
    metadata: dict[str, int | ArrayInfo] = {f"{arch}.{key}": value for key, value in meta.items()}
    metadata[f"{arch}.block_count"] = layers
    metadata["tokenizer.ggml.tokens"] = ArrayInfo("str", vocab)
    size = sum(tensor.data_bytes for tensor in tensors)
    return Model("log", "gguf", arch, arch, 0, "Q4_K_M", size, layers, 131072, metadata, tuple(tensors))


def dense(
    arch: str, layers: int, vocab: int, e: int, ff: int, heads: int, kv: int, *,
    k: int | None = None, tied: bool = False, v_small: str = "Q4_K", plain: str = "Q4_K", head: str = "Q6_K",
) -> Model:  # fmt: skip
    """A dense model with the tensors and the mix of a Q4_K_M file (or one plain type)."""
    wide = k or e // heads
    rows: Rows = [("token_embd.weight", head if tied else plain, (e, vocab)), ("output_norm.weight", "F32", (e,))]
    if not tied:
        rows.append(("output.weight", head, (e, vocab)))
    for layer in range(layers):
        big = plain == "Q4_K" and more_bits(layer, layers)
        value, down = ("Q6_K", "Q6_K") if big else (v_small if plain == "Q4_K" else plain, plain)
        blk = f"blk.{layer}."
        rows += [
            (blk + "attn_norm.weight", "F32", (e,)), (blk + "ffn_norm.weight", "F32", (e,)),
            (blk + "attn_q.weight", plain, (e, heads * wide)), (blk + "attn_k.weight", plain, (e, kv * wide)),
            (blk + "attn_v.weight", value, (e, kv * wide)), (blk + "attn_output.weight", plain, (heads * wide, e)),
            (blk + "ffn_gate.weight", plain, (e, ff)), (blk + "ffn_up.weight", plain, (e, ff)),
            (blk + "ffn_down.weight", down, (ff, e)),
        ]  # fmt: skip
    meta = {"embedding_length": e, "attention.head_count": heads, "attention.head_count_kv": kv}
    if k:
        meta |= {"attention.key_length": k, "attention.value_length": k}
    return model(arch, layers, vocab, meta, rows)


def phi4() -> Model:
    e, ff = 5120, 17920
    rows: Rows = [("token_embd.weight", "Q4_K", (e, 100352)), ("output_norm.weight", "F32", (e,))]
    rows.append(("output.weight", "Q6_K", (e, 100352)))
    for layer in range(40):
        blk = f"blk.{layer}."
        rows += [
            (blk + "attn_norm.weight", "F32", (e,)), (blk + "ffn_norm.weight", "F32", (e,)),
            (blk + "attn_qkv.weight", "Q5_K", (e, 7680)), (blk + "attn_output.weight", "Q4_K", (e, e)),
            (blk + "ffn_up.weight", "Q4_K", (e, 2 * ff)),
            (blk + "ffn_down.weight", "Q6_K" if more_bits(layer, 40) else "Q4_K", (ff, e)),
        ]  # fmt: skip
    meta = {"embedding_length": e, "attention.head_count": 40, "attention.head_count_kv": 10}
    return model("phi3", 40, 100352, meta, rows)


def gemma3_27b() -> Model:
    text = dense("gemma3", 62, 262145, 5376, 21504, 32, 16, k=128, tied=True)
    meta = {
        "attention.sliding_window": 1024, "vision.block_count": 27, "vision.image_size": 896, "vision.patch_size": 14,
        "vision.num_channels": 3, "vision.attention.head_count": 16, "vision.embedding_length": 1152,
    }  # fmt: skip
    eye = Tensor("v.patch_embedding.weight", "F16", (417_281_000,), 834_562_000, 0)
    metadata = {**text.metadata, **{f"gemma3.{key}": value for key, value in meta.items()}}
    return Model("log", "gguf", "gemma3", "gemma3", 0, "Q4_K_M", 0, 62, 131072, metadata, (*text.tensors, eye))


def llama(size: str) -> Model:
    if size == "70b":
        return dense("llama", 80, 128256, 8192, 28672, 64, 8, v_small="Q5_K")
    if size == "3b":
        return dense("llama", 28, 128256, 3072, 8192, 24, 8, k=128, tied=True)
    if size == "mistral-7b":
        return dense("llama", 32, 32768, 4096, 14336, 32, 8, plain="Q4_0")
    return dense("llama", 32, 128256, 4096, 14336, 32, 8)


def gpu(free: float, *, name: str = "CUDA0", backend: str = "cuda") -> Device:
    return Device(name, name, round(free * GIB), round(free * GIB), "log", backend)


def estimate(of: Model, version: str, ctx: int, *devices: Device, parallel: int = 1) -> OllamaEstimate:
    settings = Settings(n_ctx=ctx, n_parallel=parallel)
    answer = ollama_estimate(of, settings, devices, version=version)
    assert isinstance(answer, OllamaEstimate), answer
    return answer


def test_phi4_on_8_gib_is_split_as_ollama_0_5_4_logged_it() -> None:
    said = estimate(phi4(), "0.5.4", 2048, gpu(6.9))
    assert said.layers_on_gpu == 29 and said.layers_total == 41
    assert written(said.required_full_bytes) == "9.6 GiB"
    assert written(said.required_partial_bytes) == "6.8 GiB"
    assert written(said.kv_bytes) == "400.0 MiB"
    assert written(said.graph_full_bytes) == written(said.graph_partial_bytes) == "266.7 MiB"
    assert written(said.weights_nonrepeating_bytes) == "402.0 MiB"
    # up to v0.6.2 `weights.total` holds the cache and `repeating` is that less the output layer
    total = said.weights_repeating_bytes + said.kv_bytes
    assert written(total) == "8.2 GiB" and written(total - said.weights_nonrepeating_bytes) == "7.8 GiB"


def test_gemma3_27b_is_placed_as_ollama_0_9_6_logged_it() -> None:
    said = estimate(gemma3_27b(), "0.9.6", 8192, gpu(33.6, backend="rocm"), parallel=2)
    assert said.layers_on_gpu == 63 and said.layers_total == 63
    assert written(said.required_full_bytes) == written(said.required_partial_bytes) == "20.1 GiB"
    assert written(said.kv_bytes) == "1.6 GiB"
    assert written(said.weights_repeating_bytes) == "14.3 GiB"
    assert written(said.weights_nonrepeating_bytes) == "1.1 GiB"
    assert written(said.graph_full_bytes) == "565.0 MiB" and written(said.graph_partial_bytes) == "1.6 GiB"


def test_llama_3b_on_the_cpu_is_summed_as_ollama_0_12_logged_it() -> None:
    said = estimate(llama("3b"), "0.12.3", 4096, gpu(27.5, name="CPU", backend="cpu"))
    assert written(said.required_full_bytes) == "2.6 GiB"
    assert written(said.kv_bytes) == "448.0 MiB"
    assert written(said.weights_repeating_bytes) == "1.6 GiB"
    assert written(said.weights_nonrepeating_bytes) == "308.2 MiB"
    assert written(said.graph_full_bytes) == "256.5 MiB" and written(said.graph_partial_bytes) == "570.7 MiB"


def test_mistral_7b_is_sized_as_ollama_0_3_7_logged_it() -> None:
    said = estimate(llama("mistral-7b"), "0.3.7", 8192, gpu(7.3, name="CPU", backend="cpu"), parallel=4)
    assert written(said.kv_bytes) == "1.0 GiB"
    assert written(said.weights_repeating_bytes + said.kv_bytes) == "4.7 GiB"
    assert written(said.weights_nonrepeating_bytes) == "105.0 MiB"
    assert written(said.graph_full_bytes) == "560.0 MiB" and written(said.graph_partial_bytes) == "585.0 MiB"
    assert written(said.required_full_bytes) == "5.5 GiB"


def test_gpt_oss_cache_and_graph_are_those_of_ollama_0_11_10() -> None:
    meta = {
        "embedding_length": 2880, "attention.head_count": 64, "attention.head_count_kv": 8,
        "attention.key_length": 64, "attention.value_length": 64,
    }  # fmt: skip
    of = model("gptoss", 36, 201088, meta, [])
    graph = graph_size(of, version=(0, 11, 10), context=8192, batch=512, parallel=1, kv_type="f16", flash=True)
    assert isinstance(graph, Graph)
    assert written(sum(graph.kv_bytes)) == "450.0 MiB"
    assert written(graph.full_bytes) == written(graph.partial_bytes) == "122.0 MiB"


LAYOUTS: list[tuple[str, Callable[[], Model], int, list[float], list[list[str]], list[int]]] = [
    ("8B, 90000 tokens, L40S", lambda: llama("8b"), 90000, [44.4], [["4.3 GiB", "11.0 GiB", "5.7 GiB"]], [33]),
    ("70B, 4096 tokens, L40S", lambda: llama("70b"), 4096, [44.4], [["39.0 GiB", "1.2 GiB", "584.0 MiB"]], [81]),
    ("70B, 8192 tokens, L40S", lambda: llama("70b"), 8192, [44.4], [["39.0 GiB", "2.5 GiB", "1.1 GiB"]], [81]),
    (
        "70B, 4096 tokens, two L40S", lambda: llama("70b"), 4096, [44.4, 44.0],
        [["39.0 GiB", "1.2 GiB", "584.0 MiB"], ["0 B", "0 B", "0 B"]], [81, 0],
    ),
    (
        "70B, 4096 tokens, two Quadro RTX 6000", lambda: llama("70b"), 4096, [23.5, 23.3],
        [["19.6 GiB", "656.0 MiB", "584.0 MiB"], ["19.5 GiB", "624.0 MiB", "584.0 MiB"]], [41, 40],
    ),
    ("70B, 8192 tokens beside another model", lambda: llama("70b"), 8192, [43.5], [], [80]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "of", "ctx", "free", "lines", "layers"), LAYOUTS, ids=[row[0] for row in LAYOUTS])
def test_ollama_0_13_5_lays_out_llama_3_1_as_it_logged(
    name: str, of: Callable[[], Model], ctx: int, free: list[float], lines: list[list[str]], layers: list[int]
) -> None:
    said = estimate(of(), "0.13.5", ctx, *(gpu(bytes_free, name=f"CUDA{i}") for i, bytes_free in enumerate(free)))
    assert list(said.layers_per_device) == layers
    for use, expected in zip(said.placement.devices, lines, strict=False):
        shown = [part for part in (use.weights_bytes, use.kv_bytes, use.compute_bytes) if isinstance(part, int)]
        assert [written(part) for part in shown] == expected, name


def test_the_totals_of_ollama_0_13_5_are_the_sums_of_their_lines() -> None:
    said = estimate(llama("70b"), "0.13.5", 4096, gpu(23.5), gpu(23.3, name="CUDA1"))
    assert written(said.required_full_bytes) == "41.4 GiB"
    assert written(estimate(llama("8b"), "0.13.5", 90000, gpu(44.4)).required_full_bytes) == "21.0 GiB"


def test_a_model_of_ollamas_own_engine_has_no_estimate() -> None:
    said = ollama_estimate(gemma3_27b(), Settings(n_ctx=4096), (gpu(44.4),), version="0.13.5")
    assert isinstance(said, Unknown) and "own engine" in said.reason


def test_qwen2_5_1_5b_is_placed_as_the_line_of_july_2025_says() -> None:
    plain = dense("qwen2", 28, 151936, 1536, 8960, 12, 2, tied=True)
    biases = tuple(
        Tensor(f"blk.{layer}.attn_{name}.bias", "F32", (wide,), 4 * wide, 0)
        for layer in range(28)
        for name, wide in (("q", 1536), ("k", 256), ("v", 256))
    )
    said = estimate(replace(plain, tensors=plain.tensors + biases), "0.9.6", 8192, gpu(3377552306 / GIB), parallel=2)
    assert said.layers_on_gpu == said.layers_total == 29
    assert written(said.required_full_bytes) == written(said.required_partial_bytes) == "1.9 GiB"
    assert written(said.kv_bytes) == "224.0 MiB"
    assert written(said.weights_repeating_bytes) == "752.1 MiB"
    assert written(said.weights_nonrepeating_bytes) == "182.6 MiB"
    assert written(said.weights_repeating_bytes + said.weights_nonrepeating_bytes) == "934.7 MiB"
    assert written(said.graph_full_bytes) == "299.8 MiB" and written(said.graph_partial_bytes) == "482.3 MiB"
