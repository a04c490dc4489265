"""Models whose layers partly look through a sliding window."""

from __future__ import annotations

from vramctl.shapes.layout import ConfigValues
from vramctl.shapes.shape import Shape
from vramctl.shapes.windowed import cohere2, gemma2, gemma3, gemma4

_GEMMA2: ConfigValues = {
    "vocab_size": 256000,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "tie_word_embeddings": True,
}
_GEMMA3: ConfigValues = {
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "sliding_window": 1024,
    "rope_local_base_freq": 10000.0,
    "tie_word_embeddings": True,
    "rope_scaling": {"rope_type": "linear", "factor": 8.0},
}

_GEMMA4: ConfigValues = {
    "vocab_size": 262144,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "rope_local_base_freq": 10000.0,
    "head_dim": 256,
    "global_head_dim": 512,
    "final_logit_softcapping": 30.0,
    "tie_word_embeddings": True,
}
_GEMMA4_SMALL: ConfigValues = {
    **_GEMMA4,
    "max_position_embeddings": 131072,
    "sliding_window": 512,
    "hidden_size_per_layer_input": 256,
    "num_attention_heads": 8,
}
_GEMMA4_LARGE: ConfigValues = {
    **_GEMMA4,
    "max_position_embeddings": 262144,
    "sliding_window": 1024,
    "hidden_size_per_layer_input": 0,
    "num_kv_shared_layers": 0,
    "attention_k_eq_v": True,
    "full_attention_interval": 6,
}

WINDOWED = (
    Shape("gemma2-2b", "Gemma 2 2B", "swa", "google/gemma-2-2b", gemma2, {
        **_GEMMA2, "num_hidden_layers": 26, "hidden_size": 2304, "intermediate_size": 9216, "num_attention_heads": 8,
        "num_key_value_heads": 4, "head_dim": 256,
    }, tokenizer="spm", parameters=2_614_341_888),
    Shape("gemma2-9b", "Gemma 2 9B", "swa", "google/gemma-2-9b", gemma2, {
        **_GEMMA2, "num_hidden_layers": 42, "hidden_size": 3584, "intermediate_size": 14336, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 256,
    }, tokenizer="spm", parameters=9_241_705_984),
    Shape("gemma2-27b", "Gemma 2 27B", "swa", "google/gemma-2-27b", gemma2, {
        **_GEMMA2, "num_hidden_layers": 46, "hidden_size": 4608, "intermediate_size": 36864, "num_attention_heads": 32,
        "num_key_value_heads": 16, "head_dim": 128,
    }, tokenizer="spm", parameters=27_227_128_320),
    Shape("gemma3-1b", "Gemma 3 1B", "swa", "google/gemma-3-1b-it", gemma3, {
        **_GEMMA3, "num_hidden_layers": 26, "hidden_size": 1152, "intermediate_size": 6912, "num_attention_heads": 4,
        "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144, "max_position_embeddings": 32768,
        "sliding_window": 512, "rope_scaling": None,
    }, tokenizer="spm", parameters=999_885_952),
    Shape("gemma3-4b", "Gemma 3 4B", "swa", "google/gemma-3-4b-it", gemma3, {
        **_GEMMA3, "num_hidden_layers": 34, "hidden_size": 2560, "intermediate_size": 10240, "num_attention_heads": 8,
        "num_key_value_heads": 4, "head_dim": 256,
    }, tokenizer="spm", parameters=3_880_263_168),
    Shape("gemma3-12b", "Gemma 3 12B", "swa", "google/gemma-3-12b-it", gemma3, {
        **_GEMMA3, "num_hidden_layers": 48, "hidden_size": 3840, "intermediate_size": 15360, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 256,
    }, tokenizer="spm", parameters=11_766_034_176),
    Shape("gemma3-27b", "Gemma 3 27B", "swa", "google/gemma-3-27b-it", gemma3, {
        **_GEMMA3, "num_hidden_layers": 62, "hidden_size": 5376, "intermediate_size": 21504, "num_attention_heads": 32,
        "num_key_value_heads": 16, "head_dim": 128,
    }, tokenizer="spm"),
    Shape("command-r7b", "Command R7B 12-2024", "swa", "CohereLabs/c4ai-command-r7b-12-2024", cohere2, {
        "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 256000, "max_position_embeddings": 132096,
        "layer_norm_eps": 1e-5, "rope_theta": 50000, "sliding_window": 4096, "logit_scale": 0.25,
        "tie_word_embeddings": True,
    }, pre="command-r", parameters=8_028_033_024),
    Shape("gemma4-e2b", "Gemma 4 E2B", "swa", "google/gemma-4-E2B-it", gemma4, {
        **_GEMMA4_SMALL, "num_hidden_layers": 35, "hidden_size": 1536, "intermediate_size": 6144,
        "num_key_value_heads": 1, "num_kv_shared_layers": 20, "use_double_wide_mlp": True, "full_attention_interval": 5,
    }, tokenizer="spm"),
    Shape("gemma4-e4b", "Gemma 4 E4B", "swa", "google/gemma-4-E4B-it", gemma4, {
        **_GEMMA4_SMALL, "num_hidden_layers": 42, "hidden_size": 2560, "intermediate_size": 10240,
        "num_key_value_heads": 2, "num_kv_shared_layers": 18, "full_attention_interval": 6,
    }, tokenizer="spm"),
    Shape("gemma4-26b-a4b", "Gemma 4 26B A4B", "swa", "google/gemma-4-26B-A4B-it", gemma4, {
        **_GEMMA4_LARGE, "num_hidden_layers": 30, "hidden_size": 2816, "intermediate_size": 2112,
        "num_attention_heads": 16, "num_key_value_heads": 8, "num_global_key_value_heads": 2, "num_experts": 128,
        "num_experts_per_tok": 8, "moe_intermediate_size": 704,
    }, tokenizer="spm"),
    Shape("gemma4-31b", "Gemma 4 31B", "swa", "google/gemma-4-31B-it", gemma4, {
        **_GEMMA4_LARGE, "num_hidden_layers": 60, "hidden_size": 5376, "intermediate_size": 21504,
        "num_attention_heads": 32, "num_key_value_heads": 16, "num_global_key_value_heads": 4,
    }, tokenizer="spm"),
)  # fmt: skip
