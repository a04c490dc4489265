"""Small models of many architectures: built-in shapes with few, narrow layers, so that a stand-in has a few MiB."""

from __future__ import annotations

from dataclasses import replace

from vramctl.records import Model
from vramctl.shapes.build import model_of_shape
from vramctl.shapes.catalogue import BY_NAME
from vramctl.shapes.layout import ConfigValues

_SMALL: ConfigValues = {
    "hidden_size": 256, "num_hidden_layers": 4, "intermediate_size": 512, "num_attention_heads": 8,
    "num_key_value_heads": 2, "vocab_size": 4096, "head_dim": 64, "max_position_embeddings": 4096,
}  # fmt: skip
_EXPERTS: ConfigValues = {"num_experts": 32, "num_experts_per_tok": 4, "moe_intermediate_size": 256}
_DELTA: ConfigValues = {
    **_EXPERTS, "shared_expert_intermediate_size": 256, "linear_num_value_heads": 4, "linear_num_key_heads": 2,
}  # fmt: skip
_MIXER: ConfigValues = {"num_hidden_layers": 6, "mamba_num_heads": 8, "mamba_head_dim": 64, "n_groups": 2}

SMALL: dict[str, ConfigValues] = {
    "llama3.1-8b": {},
    "qwen2.5-0.5b": {},
    "gemma2-2b": {"sliding_window": 64},
    "gemma3-4b": {"num_hidden_layers": 7, "sliding_window": 64},
    "gemma4-26b-a4b": {
        "num_hidden_layers": 6, "num_experts": 16, "top_k_experts": 4, "moe_intermediate_size": 256, "sliding_window": 64,
    },
    "phi4-mini": {},
    "mixtral-8x7b": {},
    "qwen3-30b-a3b": _EXPERTS,
    "gpt-oss-20b": {
        "num_local_experts": 16, "num_experts_per_tok": 4, "sliding_window": 64, "intermediate_size": 256,
    },
    "deepseek-v3-671b": {
        **_EXPERTS, "n_routed_experts": 32, "n_group": 4, "topk_group": 2, "num_attention_heads": 4,
        "num_key_value_heads": 4, "kv_lora_rank": 256, "q_lora_rank": 256, "first_k_dense_replace": 1,
    },
    "glm4.5-air": {**_EXPERTS, "n_routed_experts": 32},
    "granite4-h-tiny": {
        "num_hidden_layers": 6, "num_local_experts": 32, "num_experts_per_tok": 4, "shared_intermediate_size": 256,
        "intermediate_size": 256, "mamba_n_heads": 8, "attention_layers": (2, 5),
    },
    "nemotron-nano-9b-v2": {**_MIXER, "hybrid_override_pattern": "M-M*-M"},
    "qwen3.5-35b-a3b": _DELTA,
    "qwen3-next-80b-a3b": _DELTA,
    "jamba1.5-mini": {"num_hidden_layers": 8, "num_experts": 4, "mamba_dt_rank": 16},
    "lfm2-1.2b": {"full_attn_idxs": (2,), "block_ff_dim": 768},
    "falcon-h1-0.5b": {},
    "mamba-2.8b": {},
}  # fmt: skip


def small_model(name: str, quant: str = "Q4_K_M", *, layers: int | None = None, width: int | None = None) -> Model:
    """The built-in shape of that name with a few narrow layers and 4096 tokens; its header has a vocabulary."""
    shape = BY_NAME[name]
    changes = {key: value for key, value in _SMALL.items() if key in shape.config} | dict(SMALL[name])
    if layers is not None:
        changes["num_hidden_layers"] = layers
    if width is not None:
        changes |= {"hidden_size": width, "intermediate_size": 3 * width}
    made = model_of_shape(replace(shape, config={**shape.config, **changes}), quant, vocabulary=True)
    return replace(made, reference=f"small {name}")
