"""Models with recurrent layers."""

from __future__ import annotations

from vramctl.shapes.hybrid import jamba, lfm2, mamba, qwen3next, qwen35, qwen35moe
from vramctl.shapes.layout import ConfigValues
from vramctl.shapes.mamba2 import falcon_h1, granite_hybrid, nemotron_h
from vramctl.shapes.shape import Shape

_DELTA: ConfigValues = {
    "max_position_embeddings": 262144,
    "rope_theta": 10000000.0,
    "rms_norm_eps": 1e-6,
    "head_dim": 256,
    "partial_rotary_factor": 0.25,
    "full_attention_interval": 4,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
}
_QWEN35: ConfigValues = {**_DELTA, "vocab_size": 248320}
_GRANITE: ConfigValues = {
    "num_hidden_layers": 40,
    "vocab_size": 100352,
    "mamba_d_state": 128,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_n_groups": 1,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "attention_layers": (5, 15, 25, 35),
    "attention_multiplier": 0.0078125,
    "embedding_multiplier": 12.0,
    "residual_multiplier": 0.22,
}
_NEMOTRON: ConfigValues = {
    "vocab_size": 131072,
    "head_dim": 128,
    "ssm_state_size": 128,
    "n_groups": 8,
    "conv_kernel": 4,
    "layer_norm_epsilon": 1e-5,
}

HYBRID = (
    Shape("qwen3-next-80b-a3b", "Qwen3 Next 80B A3B", "hybrid", "Qwen/Qwen3-Next-80B-A3B-Instruct", qwen3next, {
        **_DELTA, "vocab_size": 151936, "num_hidden_layers": 48, "hidden_size": 2048, "intermediate_size": 5120,
        "num_attention_heads": 16, "num_key_value_heads": 2, "linear_num_value_heads": 32, "num_experts": 512,
        "num_experts_per_tok": 10, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512,
    }, pre="qwen2", parameters=79_674_391_296),
    Shape("qwen3.5-27b", "Qwen3.5 27B", "hybrid", "Qwen/Qwen3.5-27B", qwen35, {
        **_QWEN35, "num_hidden_layers": 64, "hidden_size": 5120, "intermediate_size": 17408, "num_attention_heads": 24,
        "num_key_value_heads": 4, "linear_num_value_heads": 48,
    }, pre="qwen35"),
    Shape("qwen3.5-35b-a3b", "Qwen3.5 35B A3B", "hybrid", "Qwen/Qwen3.5-35B-A3B", qwen35moe, {
        **_QWEN35, "num_hidden_layers": 40, "hidden_size": 2048, "num_attention_heads": 16, "num_key_value_heads": 2,
        "linear_num_value_heads": 32, "num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
    }, pre="qwen35"),
    Shape("qwen3.5-397b-a17b", "Qwen3.5 397B A17B", "hybrid", "Qwen/Qwen3.5-397B-A17B", qwen35moe, {
        **_QWEN35, "num_hidden_layers": 60, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 2,
        "linear_num_value_heads": 64, "num_experts": 512, "num_experts_per_tok": 10, "moe_intermediate_size": 1024,
        "shared_expert_intermediate_size": 1024,
    }, pre="qwen35"),
    Shape("granite4-h-tiny", "Granite 4.0 H Tiny", "hybrid", "ibm-granite/granite-4.0-h-tiny", granite_hybrid, {
        **_GRANITE, "hidden_size": 1536, "intermediate_size": 512, "shared_intermediate_size": 1024,
        "num_attention_heads": 12, "num_key_value_heads": 4, "num_local_experts": 64, "num_experts_per_tok": 6,
        "mamba_n_heads": 48, "logits_scaling": 6.0,
    }, pre="dbrx", parameters=6_939_037_248),
    Shape("granite4-h-small", "Granite 4.0 H Small", "hybrid", "ibm-granite/granite-4.0-h-small", granite_hybrid, {
        **_GRANITE, "hidden_size": 4096, "intermediate_size": 768, "shared_intermediate_size": 1536,
        "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 72, "num_experts_per_tok": 10,
        "mamba_n_heads": 128, "logits_scaling": 16.0,
    }, pre="dbrx", parameters=32_207_337_984),
    Shape("nemotron-nano-9b-v2", "NVIDIA Nemotron Nano 9B v2", "hybrid",
          "nvidia/NVIDIA-Nemotron-Nano-9B-v2", nemotron_h, {
        **_NEMOTRON, "num_hidden_layers": 56, "hidden_size": 4480, "intermediate_size": 15680,
        "num_attention_heads": 40,
        "num_key_value_heads": 8, "mamba_num_heads": 128, "mamba_head_dim": 80,
        "hybrid_override_pattern": "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-",
    }, pre="tekken", parameters=8_888_227_328),
    Shape("nemotron3-nano-30b-a3b", "NVIDIA Nemotron 3 Nano 30B A3B", "hybrid",
          "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", nemotron_h, {
        **_NEMOTRON, "num_hidden_layers": 52, "hidden_size": 2688, "intermediate_size": 1856, "num_attention_heads": 32,
        "num_key_value_heads": 2, "mamba_num_heads": 64, "mamba_head_dim": 64, "n_routed_experts": 128,
        "num_experts_per_tok": 6, "n_shared_experts": 1, "moe_intermediate_size": 1856,
        "moe_shared_expert_intermediate_size": 3712, "norm_topk_prob": True, "routed_scaling_factor": 2.5, "n_group": 1,
        "topk_group": 1,
        "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
    }, pre="tekken"),
    Shape("falcon-h1-0.5b", "Falcon H1 0.5B", "hybrid", "tiiuae/Falcon-H1-0.5B-Instruct", falcon_h1, {
        "num_hidden_layers": 36, "hidden_size": 1024, "intermediate_size": 2048, "num_attention_heads": 8,
        "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 32784, "max_position_embeddings": 16384,
        "mamba_d_ssm": 1536, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_n_heads": 24, "mamba_d_conv": 4,
        "mamba_rms_norm": False, "rms_norm_eps": 1e-5, "rope_theta": 100000000000.0,
    }, pre="falcon-h1", parameters=521_411_104),
    Shape("lfm2-1.2b", "LFM2 1.2B", "hybrid", "LiquidAI/LFM2-1.2B", lfm2, {
        "num_hidden_layers": 16, "hidden_size": 2048, "block_ff_dim": 12288, "block_multiple_of": 256,
        "block_ffn_dim_multiplier": 1.0, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 65536,
        "max_position_embeddings": 128000, "conv_L_cache": 3, "full_attn_idxs": (2, 5, 8, 10, 12, 14), "norm_eps": 1e-5,
        "rope_theta": 1000000.0, "tie_word_embeddings": True,
    }, pre="lfm2", parameters=1_170_340_608),
    Shape("jamba1.5-mini", "AI21 Jamba 1.5 Mini", "hybrid", "ai21labs/AI21-Jamba-1.5-Mini", jamba, {
        "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 65536, "max_position_embeddings": 262144, "rms_norm_eps": 1e-6,
        "num_experts": 16, "num_experts_per_tok": 2, "attn_layer_period": 8, "attn_layer_offset": 4,
        "expert_layer_period": 2, "expert_layer_offset": 1, "mamba_d_conv": 4, "mamba_d_state": 16,
        "mamba_dt_rank": 256,
        "mamba_expand": 2,
    }, tokenizer="spm", parameters=51_570_323_328),
    Shape("mamba-2.8b", "Mamba 2.8B", "recurrent", "state-spaces/mamba-2.8b-hf", mamba, {
        "num_hidden_layers": 64, "hidden_size": 2560, "state_size": 16, "time_step_rank": 160, "conv_kernel": 4,
        "vocab_size": 50280, "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True,
    }, pre="olmo", parameters=2_768_345_600),
)  # fmt: skip
