"""The configurations on which a plan is compared with a real load: architectures x placements x contexts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Q8, Q4, Q51, F16 = 8, 2, 7, 1  # ggml type numbers

# One of each kind: dense, tied, with biases, sliding windows, experts (with and without a shared one), MLA, hybrid.
SHAPES = (
    "llama3.1-8b", "llama3.2-1b", "qwen2.5-1.5b", "qwen3-8b", "phi4-14b", "gemma2-9b", "gemma3-4b", "command-r7b",
    "gpt-oss-20b", "qwen3-30b-a3b", "mixtral-8x7b", "deepseek-v2-lite",
)  # fmt: skip

MORE = (
    "gemma4-e4b", "gemma4-26b-a4b", "glm4.7-flash", "qwen3.5-27b", "qwen3.5-35b-a3b", "granite4-h-tiny",
    "nemotron-nano-9b-v2", "nemotron3-nano-30b-a3b", "falcon-h1-0.5b", "lfm2-1.2b", "jamba1.5-mini", "mamba-2.8b",
    "qwen3-next-80b-a3b", "gemma2-27b", "llama3.2-3b",
)  # fmt: skip

SERVER = {"n_seq_max": 4, "kv_unified": True, "n_outputs_max": 4, "swa_full": False, "flash_attn": -1}

FULL: tuple[dict[str, Any], ...] = (
    {"n_ctx": 8192, "flash_attn": 1},
    {"n_ctx": 8192, "flash_attn": 0},
    {"n_ctx": 16384, "flash_attn": 1, "type_k": Q8, "type_v": Q8},
    {"n_ctx": 16384, "flash_attn": 1, "type_k": Q4, "type_v": Q4},
    {"n_ctx": 32768, "flash_attn": 1, "type_k": Q8, "type_v": F16, "swa_full": False},
    {"n_ctx": 8192, "flash_attn": 1, "n_batch": 2048, "n_ubatch": 2048},
    {"n_ctx": 8192, "flash_attn": 0, "n_batch": 2048, "n_ubatch": 2048},
    {"n_ctx": 16384, "flash_attn": 1, "n_seq_max": 4},
    {"n_ctx": 16384, **SERVER},
    {"n_ctx": 131072, "flash_attn": 1, "swa_full": False},
    {"n_ctx": 131072, **SERVER},
    {"n_ctx": 8192, "flash_attn": 1, "offload_kqv": False},
    {"n_ctx": 8192, "flash_attn": 0, "offload_kqv": False},
)
PART: tuple[dict[str, Any], ...] = (
    {"n_ctx": 8192, "flash_attn": 1},
    {"n_ctx": 8192, "flash_attn": 0},
    {"n_ctx": 16384, "flash_attn": 1, "type_k": Q8, "type_v": Q8},
    {"n_ctx": 16384, **SERVER},
)
NONE = ({"n_ctx": 8192, "flash_attn": 1}, {"n_ctx": 8192, "flash_attn": 0})
EXPERTS = ("gpt-oss-20b", "qwen3-30b-a3b", "mixtral-8x7b", "deepseek-v2-lite")


def one_gpu(shapes: tuple[str, ...] = SHAPES) -> Iterator[dict[str, Any]]:
    """Loads on one device: each with the contexts to create in it."""
    for shape in shapes:
        yield {"shape": shape, "devices": 1, "model_params": {"n_gpu_layers": -1}, "contexts": FULL}
        yield {"shape": shape, "devices": 1, "model_params": {"n_gpu_layers": 12}, "contexts": PART}
        yield {"shape": shape, "devices": 1, "model_params": {"n_gpu_layers": 0}, "contexts": NONE}
        if shape in EXPERTS:
            overrides = [[rf"blk\.{i}\.ffn_(up|down|gate|gate_up)_(ch|)exps", "CPU"] for i in range(10)]
            yield {
                "shape": shape, "devices": 1, "contexts": PART,
                "model_params": {"n_gpu_layers": -1, "overrides": overrides},
            }  # fmt: skip


def two_gpus(shapes: tuple[str, ...] = SHAPES) -> Iterator[dict[str, Any]]:
    """Loads on two equal devices, split by layers: by free memory, and 3:1."""
    full = tuple(FULL[i] for i in (0, 1, 2, 5, 7, 8, 10))
    for shape in shapes:
        yield {
            "shape": shape,
            "devices": 2,
            "model_params": {"n_gpu_layers": -1, "tensor_split": [1, 1]},
            "contexts": full,
        }
        yield {
            "shape": shape,
            "devices": 2,
            "model_params": {"n_gpu_layers": 14, "tensor_split": [3, 1]},
            "contexts": PART,
        }


def cache_types(shapes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Loads on one device with every cache type that llama.cpp offers, K and V alike and mixed, and other odd settings."""
    kinds = ((7, 7), (6, 6), (3, 3), (30, 30), (20, 20), (0, 0), (8, 2), (1, 8), (30, 8))
    contexts = tuple({"n_ctx": 16384, "flash_attn": 1, "type_k": k, "type_v": v} for k, v in kinds)
    contexts += tuple(
        {"n_ctx": 16384, "flash_attn": -1, "type_k": k, "type_v": v} for k, v in ((8, 8), (20, 20), (7, 7))
    )
    contexts += (
        {"n_ctx": 16384, "flash_attn": 0, "type_k": 8, "type_v": 1},
        {"n_ctx": 12345, "flash_attn": 1, "n_batch": 1024, "n_ubatch": 1024},
        {"n_ctx": 32768, "flash_attn": 1, "n_seq_max": 8, "n_outputs_max": 8},
        {"n_ctx": 16384, "flash_attn": 1, "n_ubatch": 128, "op_offload": False},
    )
    for shape in shapes:
        for layers in (-1, 12):
            yield {"shape": shape, "devices": 1, "model_params": {"n_gpu_layers": layers}, "contexts": contexts}
