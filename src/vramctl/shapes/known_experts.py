"""Mixture-of-experts models with ordinary or latent attention."""

from __future__ import annotations

from collections.abc import Mapping

from vramctl.shapes.dense import glm4moe, llama, llama4, qwen3moe
from vramctl.shapes.latent import deepseek2
from vramctl.shapes.layout import ConfigValues
from vramctl.shapes.shape import Shape
from vramctl.shapes.windowed import gpt_oss

_QWEN3: ConfigValues = {
    "vocab_size": 151936,
    "rope_theta": 1000000.0,
    "rms_norm_eps": 1e-6,
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "num_experts_per_tok": 8,
}
_MIXTRAL: ConfigValues = {
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "rope_theta": 1000000.0,
    "rms_norm_eps": 1e-5,
    "num_key_value_heads": 8,
}
_OSS: ConfigValues = {
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 201088,
    "max_position_embeddings": 131072,
    "num_experts_per_tok": 4,
    "sliding_window": 128,
    "rope_theta": 150000.0,
    "rms_norm_eps": 1e-5,
    "rope_scaling": {
        "rope_type": "yarn",
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
    },
}
_OSS_EXPERTS = dict.fromkeys(("ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"), "MXFP4")
_LATENT: ConfigValues = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-6}
_DEEPSEEK_YARN: Mapping[str, int | float | bool | str] = {
    "rope_type": "yarn",
    "factor": 40,
    "original_max_position_embeddings": 4096,
    "beta_fast": 32,
    "beta_slow": 1,
}

EXPERTS = (
    Shape("mixtral-8x7b", "Mixtral 8x7B v0.1", "moe", "mistralai/Mixtral-8x7B-v0.1", llama, {
        **_MIXTRAL, "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "vocab_size": 32000, "max_position_embeddings": 32768,
    }, tokenizer="spm", parameters=46_702_792_704),
    Shape("mixtral-8x22b", "Mixtral 8x22B v0.1", "moe", "mistralai/Mixtral-8x22B-v0.1", llama, {
        **_MIXTRAL, "num_hidden_layers": 56, "hidden_size": 6144, "intermediate_size": 16384, "num_attention_heads": 48,
        "vocab_size": 32000, "max_position_embeddings": 65536,
    }, tokenizer="spm", parameters=140_620_634_112),
    Shape("qwen3-30b-a3b", "Qwen3 30B A3B", "moe", "Qwen/Qwen3-30B-A3B", qwen3moe, {
        **_QWEN3, "num_hidden_layers": 48, "hidden_size": 2048, "intermediate_size": 6144, "num_attention_heads": 32,
        "num_key_value_heads": 4, "num_experts": 128, "moe_intermediate_size": 768,
    }, pre="qwen2", parameters=30_532_122_624),
    Shape("qwen3-235b-a22b", "Qwen3 235B A22B", "moe", "Qwen/Qwen3-235B-A22B", qwen3moe, {
        **_QWEN3, "num_hidden_layers": 94, "hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 64,
        "num_key_value_heads": 4, "num_experts": 128, "moe_intermediate_size": 1536,
    }, pre="qwen2", parameters=235_093_634_560),
    Shape("gpt-oss-20b", "gpt-oss 20B", "moe", "openai/gpt-oss-20b", gpt_oss,
          {**_OSS, "num_hidden_layers": 24, "num_local_experts": 32}, pre="gpt-4o", native=_OSS_EXPERTS,
          parameters=20_914_757_184),
    Shape("gpt-oss-120b", "gpt-oss 120B", "moe", "openai/gpt-oss-120b", gpt_oss,
          {**_OSS, "num_hidden_layers": 36, "num_local_experts": 128}, pre="gpt-4o", native=_OSS_EXPERTS,
          parameters=116_829_156_672),
    Shape("deepseek-v2-lite", "DeepSeek V2 Lite", "mla", "deepseek-ai/DeepSeek-V2-Lite", deepseek2, {
        **_LATENT, "num_hidden_layers": 27, "hidden_size": 2048, "intermediate_size": 10944, "num_attention_heads": 16,
        "num_key_value_heads": 16, "vocab_size": 102400, "max_position_embeddings": 163840, "qk_nope_head_dim": 128,
        "v_head_dim": 128, "n_routed_experts": 64, "num_experts_per_tok": 6, "n_shared_experts": 2,
        "moe_intermediate_size": 1408, "first_k_dense_replace": 1, "routed_scaling_factor": 1.0, "rope_theta": 10000,
        "scoring_func": "softmax", "topk_method": "greedy", "n_group": 1, "topk_group": 1,
        "rope_scaling": {**_DEEPSEEK_YARN, "mscale_all_dim": 0.707},
    }, pre="deepseek-llm", parameters=15_706_484_224),
    Shape("deepseek-v3-671b", "DeepSeek V3 671B", "mla", "deepseek-ai/DeepSeek-V3", deepseek2, {
        **_LATENT, "num_hidden_layers": 61, "hidden_size": 7168, "intermediate_size": 18432, "num_attention_heads": 128,
        "num_key_value_heads": 128, "vocab_size": 129280, "max_position_embeddings": 163840, "q_lora_rank": 1536,
        "qk_nope_head_dim": 128, "v_head_dim": 128, "n_routed_experts": 256, "num_experts_per_tok": 8,
        "n_shared_experts": 1, "moe_intermediate_size": 2048, "first_k_dense_replace": 3, "routed_scaling_factor": 2.5,
        "norm_topk_prob": True, "rope_theta": 10000, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "n_group": 8,
        "topk_group": 4, "rope_scaling": {**_DEEPSEEK_YARN, "mscale_all_dim": 1.0},
    }, pre="deepseek-v3", parameters=671_026_419_200),
    Shape("kimi-k2", "Kimi K2", "mla", "moonshotai/Kimi-K2-Instruct", deepseek2, {
        **_LATENT, "num_hidden_layers": 61, "hidden_size": 7168, "intermediate_size": 18432, "num_attention_heads": 64,
        "num_key_value_heads": 64, "vocab_size": 163840, "max_position_embeddings": 131072, "q_lora_rank": 1536,
        "qk_nope_head_dim": 128, "v_head_dim": 128, "n_routed_experts": 384, "num_experts_per_tok": 8,
        "n_shared_experts": 1, "moe_intermediate_size": 2048, "first_k_dense_replace": 1,
        "routed_scaling_factor": 2.827,
        "norm_topk_prob": True, "rope_theta": 50000.0, "scoring_func": "sigmoid", "topk_method": "noaux_tc",
        "n_group": 1,
        "topk_group": 1,
        "rope_scaling": {"rope_type": "yarn", "factor": 32, "original_max_position_embeddings": 4096, "beta_fast": 1,
                         "beta_slow": 1, "mscale_all_dim": 1.0},
    }, pre="kimi-k2", parameters=1_026_408_232_448),
    Shape("glm4.7-flash", "GLM 4.7 Flash", "mla", "zai-org/GLM-4.7-Flash", deepseek2, {
        **_LATENT, "num_hidden_layers": 47, "hidden_size": 2048, "intermediate_size": 10240, "num_attention_heads": 20,
        "num_key_value_heads": 20, "vocab_size": 154880, "max_position_embeddings": 202752, "q_lora_rank": 768,
        "qk_nope_head_dim": 192, "v_head_dim": 256, "n_routed_experts": 64, "num_experts_per_tok": 4,
        "n_shared_experts": 1, "moe_intermediate_size": 1536, "first_k_dense_replace": 1, "routed_scaling_factor": 1.8,
        "norm_topk_prob": True, "rope_theta": 1000000.0, "rms_norm_eps": 1e-5, "scoring_func": "sigmoid",
        "topk_method": "noaux_tc", "n_group": 1, "topk_group": 1,
    }, pre="glm4"),
    Shape("glm4.5-air", "GLM 4.5 Air", "moe", "zai-org/GLM-4.5-Air", glm4moe, {
        "num_hidden_layers": 46, "num_nextn_predict_layers": 1, "hidden_size": 4096, "intermediate_size": 10944,
        "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151552,
        "max_position_embeddings": 131072, "n_routed_experts": 128, "num_experts_per_tok": 8, "n_shared_experts": 1,
        "moe_intermediate_size": 1408, "first_k_dense_replace": 1, "routed_scaling_factor": 1.0, "norm_topk_prob": True,
        "n_group": 1, "topk_group": 1, "partial_rotary_factor": 0.5, "rope_theta": 1000000.0, "rms_norm_eps": 1e-5,
    }, pre="glm4", parameters=110_468_824_832),
    Shape("llama4-scout", "Llama 4 Scout 17B 16E", "moe", "meta-llama/Llama-4-Scout-17B-16E-Instruct", llama4, {
        "num_hidden_layers": 48, "hidden_size": 5120, "intermediate_size": 8192, "intermediate_size_mlp": 16384,
        "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 202048,
        "max_position_embeddings": 10485760, "num_local_experts": 16, "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 1, "rope_theta": 500000.0, "rms_norm_eps": 1e-5,
        "rope_scaling": {"rope_type": "llama3", "factor": 16.0, "original_max_position_embeddings": 8192},
    }, pre="llama4"),
)  # fmt: skip
