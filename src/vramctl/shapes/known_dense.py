"""Dense models: every layer attends to everything, with separate or fused q, k and v."""

from __future__ import annotations

from vramctl.shapes.dense import llama, phi3, qwen2, qwen3
from vramctl.shapes.layout import ConfigValues
from vramctl.shapes.shape import Shape

_LLAMA3: ConfigValues = {
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_theta": 500000.0,
    "rms_norm_eps": 1e-5,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
}
_QWEN25: ConfigValues = {
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "rope_theta": 1000000.0,
    "rms_norm_eps": 1e-6,
}
_QWEN25_SMALL: ConfigValues = {**_QWEN25, "vocab_size": 151936, "tie_word_embeddings": True}
_QWEN3: ConfigValues = {
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "rope_theta": 1000000.0,
    "rms_norm_eps": 1e-6,
    "head_dim": 128,
}
_PHI4: ConfigValues = {"rms_norm_eps": 1e-5}

DENSE = (
    Shape("llama3.2-1b", "Llama 3.2 1B", "dense", "meta-llama/Llama-3.2-1B", llama, {
        **_LLAMA3, "num_hidden_layers": 16, "hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 64, "tie_word_embeddings": True,
        "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "original_max_position_embeddings": 8192},
    }, pre="llama-bpe", parameters=1_235_814_400),
    Shape("llama3.2-3b", "Llama 3.2 3B", "dense", "meta-llama/Llama-3.2-3B", llama, {
        **_LLAMA3, "num_hidden_layers": 28, "hidden_size": 3072, "intermediate_size": 8192, "num_attention_heads": 24,
        "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True,
        "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "original_max_position_embeddings": 8192},
    }, pre="llama-bpe", parameters=3_212_749_824),
    Shape("llama3.1-8b", "Llama 3.1 8B", "dense", "meta-llama/Llama-3.1-8B", llama, {
        **_LLAMA3, "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_key_value_heads": 8,
    }, pre="llama-bpe", parameters=8_030_261_248),
    Shape("llama3.1-70b", "Llama 3.1 70B", "dense", "meta-llama/Llama-3.1-70B", llama, {
        **_LLAMA3, "num_hidden_layers": 80, "hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64,
        "num_key_value_heads": 8,
    }, pre="llama-bpe", parameters=70_553_706_496),
    Shape("llama3.1-405b", "Llama 3.1 405B", "dense", "meta-llama/Llama-3.1-405B", llama, {
        **_LLAMA3, "num_hidden_layers": 126, "hidden_size": 16384, "intermediate_size": 53248,
        "num_attention_heads": 128, "num_key_value_heads": 8,
    }, pre="llama-bpe", parameters=405_853_388_800),
    Shape("tinyllama-1.1b", "TinyLlama 1.1B Chat v1.0", "dense", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", llama, {
        "num_hidden_layers": 22, "hidden_size": 2048, "intermediate_size": 5632, "num_attention_heads": 32,
        "num_key_value_heads": 4, "vocab_size": 32000, "max_position_embeddings": 2048, "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5,
    }, tokenizer="spm", parameters=1_100_048_384),
    Shape("llama2-7b", "Llama 2 7B", "dense", "meta-llama/Llama-2-7b-hf", llama, {
        "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
        "num_key_value_heads": 32, "vocab_size": 32000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
    }, tokenizer="spm", parameters=6_738_415_616),
    Shape("llama2-13b", "Llama 2 13B", "dense", "meta-llama/Llama-2-13b-hf", llama, {
        "num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 13824, "num_attention_heads": 40,
        "num_key_value_heads": 40, "vocab_size": 32000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
    }, tokenizer="spm", parameters=13_015_864_320),
    Shape("mistral-7b", "Mistral 7B v0.3", "dense", "mistralai/Mistral-7B-v0.3", llama, {
        "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 32768, "max_position_embeddings": 32768, "rope_theta": 1000000.0,
        "rms_norm_eps": 1e-5,
    }, tokenizer="spm", parameters=7_248_023_552),
    Shape("mistral-nemo-12b", "Mistral Nemo 12B 2407", "dense", "mistralai/Mistral-Nemo-Instruct-2407", llama, {
        "num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072, "max_position_embeddings": 131072,
        "rope_theta": 1000000.0, "rms_norm_eps": 1e-5,
    }, pre="tekken", parameters=12_247_782_400),
    Shape("mistral-small-24b", "Mistral Small 24B 2501", "dense", "mistralai/Mistral-Small-24B-Instruct-2501", llama, {
        "num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 32768, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072, "max_position_embeddings": 32768,
        "rope_theta": 100000000.0, "rms_norm_eps": 1e-5,
    }, pre="tekken", parameters=23_572_403_200),
    Shape("smollm2-1.7b", "SmolLM2 1.7B", "dense", "HuggingFaceTB/SmolLM2-1.7B", llama, {
        "num_hidden_layers": 24, "hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 32,
        "num_key_value_heads": 32, "vocab_size": 49152, "max_position_embeddings": 8192, "rope_theta": 130000.0,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
    }, pre="smollm", parameters=1_711_376_384),
    Shape("yi-34b", "Yi 34B", "dense", "01-ai/Yi-34B", llama, {
        "num_hidden_layers": 60, "hidden_size": 7168, "intermediate_size": 20480, "num_attention_heads": 56,
        "num_key_value_heads": 8, "vocab_size": 64000, "max_position_embeddings": 4096, "rope_theta": 5000000.0,
        "rms_norm_eps": 1e-5,
    }, tokenizer="spm", parameters=34_388_917_248),
    Shape("qwen2.5-0.5b", "Qwen2.5 0.5B", "dense", "Qwen/Qwen2.5-0.5B-Instruct", qwen2, {
        **_QWEN25_SMALL, "num_hidden_layers": 24, "hidden_size": 896, "intermediate_size": 4864,
        "num_attention_heads": 14, "num_key_value_heads": 2,
    }, pre="qwen2", parameters=494_032_768),
    Shape("qwen2.5-1.5b", "Qwen2.5 1.5B", "dense", "Qwen/Qwen2.5-1.5B-Instruct", qwen2, {
        **_QWEN25_SMALL, "num_hidden_layers": 28, "hidden_size": 1536, "intermediate_size": 8960,
        "num_attention_heads": 12, "num_key_value_heads": 2,
    }, pre="qwen2", parameters=1_543_714_304),
    Shape("qwen2.5-3b", "Qwen2.5 3B", "dense", "Qwen/Qwen2.5-3B-Instruct", qwen2, {
        **_QWEN25_SMALL, "num_hidden_layers": 36, "hidden_size": 2048, "intermediate_size": 11008,
        "num_attention_heads": 16, "num_key_value_heads": 2,
    }, pre="qwen2", parameters=3_085_938_688),
    Shape("qwen2.5-7b", "Qwen2.5 7B", "dense", "Qwen/Qwen2.5-7B-Instruct", qwen2, {
        **_QWEN25, "num_hidden_layers": 28, "hidden_size": 3584, "intermediate_size": 18944,
        "num_attention_heads": 28, "num_key_value_heads": 4,
    }, pre="qwen2", parameters=7_615_616_512),
    Shape("qwen2.5-14b", "Qwen2.5 14B", "dense", "Qwen/Qwen2.5-14B-Instruct", qwen2, {
        **_QWEN25, "num_hidden_layers": 48, "hidden_size": 5120, "intermediate_size": 13824,
        "num_attention_heads": 40, "num_key_value_heads": 8,
    }, pre="qwen2", parameters=14_770_033_664),
    Shape("qwen2.5-32b", "Qwen2.5 32B", "dense", "Qwen/Qwen2.5-32B-Instruct", qwen2, {
        **_QWEN25, "num_hidden_layers": 64, "hidden_size": 5120, "intermediate_size": 27648,
        "num_attention_heads": 40, "num_key_value_heads": 8,
    }, pre="qwen2", parameters=32_763_876_352),
    Shape("qwen2.5-72b", "Qwen2.5 72B", "dense", "Qwen/Qwen2.5-72B-Instruct", qwen2, {
        **_QWEN25, "num_hidden_layers": 80, "hidden_size": 8192, "intermediate_size": 29568,
        "num_attention_heads": 64, "num_key_value_heads": 8,
    }, pre="qwen2", parameters=72_706_203_648),
    Shape("qwen3-0.6b", "Qwen3 0.6B", "dense", "Qwen/Qwen3-0.6B", qwen3, {
        **_QWEN3, "num_hidden_layers": 28, "hidden_size": 1024, "intermediate_size": 3072,
        "num_attention_heads": 16, "num_key_value_heads": 8, "tie_word_embeddings": True,
    }, pre="qwen2", parameters=596_049_920),
    Shape("qwen3-1.7b", "Qwen3 1.7B", "dense", "Qwen/Qwen3-1.7B", qwen3, {
        **_QWEN3, "num_hidden_layers": 28, "hidden_size": 2048, "intermediate_size": 6144,
        "num_attention_heads": 16, "num_key_value_heads": 8, "tie_word_embeddings": True,
    }, pre="qwen2", parameters=1_720_574_976),
    Shape("qwen3-4b", "Qwen3 4B", "dense", "Qwen/Qwen3-4B", qwen3, {
        **_QWEN3, "num_hidden_layers": 36, "hidden_size": 2560, "intermediate_size": 9728,
        "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": True,
    }, pre="qwen2", parameters=4_022_468_096),
    Shape("qwen3-8b", "Qwen3 8B", "dense", "Qwen/Qwen3-8B", qwen3, {
        **_QWEN3, "num_hidden_layers": 36, "hidden_size": 4096, "intermediate_size": 12288,
        "num_attention_heads": 32, "num_key_value_heads": 8,
    }, pre="qwen2", parameters=8_190_735_360),
    Shape("qwen3-14b", "Qwen3 14B", "dense", "Qwen/Qwen3-14B", qwen3, {
        **_QWEN3, "num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 17408,
        "num_attention_heads": 40, "num_key_value_heads": 8,
    }, pre="qwen2", parameters=14_768_307_200),
    Shape("qwen3-32b", "Qwen3 32B", "dense", "Qwen/Qwen3-32B", qwen3, {
        **_QWEN3, "num_hidden_layers": 64, "hidden_size": 5120, "intermediate_size": 25600,
        "num_attention_heads": 64, "num_key_value_heads": 8,
    }, pre="qwen2", parameters=32_762_123_264),
    Shape("phi3-mini-4k", "Phi 3 Mini 4k Instruct", "dense", "microsoft/Phi-3-mini-4k-instruct", phi3, {
        **_PHI4, "num_hidden_layers": 32, "hidden_size": 3072, "intermediate_size": 8192, "num_attention_heads": 32,
        "num_key_value_heads": 32, "vocab_size": 32064, "max_position_embeddings": 4096, "sliding_window": 2047,
        "original_max_position_embeddings": 4096, "rope_theta": 10000.0,
    }, tokenizer="spm", parameters=3_821_079_552),
    Shape("phi4-mini", "Phi 4 Mini Instruct", "dense", "microsoft/Phi-4-mini-instruct", phi3, {
        **_PHI4, "num_hidden_layers": 32, "hidden_size": 3072, "intermediate_size": 8192, "num_attention_heads": 24,
        "num_key_value_heads": 8, "vocab_size": 200064, "max_position_embeddings": 131072, "sliding_window": 262144,
        "original_max_position_embeddings": 4096, "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
        "rope_scaling": {"rope_type": "longrope"}, "tie_word_embeddings": True,
    }, pre="gpt-4o", parameters=3_836_021_760),
    Shape("phi4-14b", "Phi 4", "dense", "microsoft/phi-4", phi3, {
        **_PHI4, "num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 17920, "num_attention_heads": 40,
        "num_key_value_heads": 10, "vocab_size": 100352, "max_position_embeddings": 16384,
        "original_max_position_embeddings": 16384, "rope_theta": 250000.0,
    }, pre="dbrx", parameters=14_659_507_200),
)  # fmt: skip
