"""What llama.cpp prints about flash attention and the kernels behind it."""

from __future__ import annotations

from vramctl.logs.llama_cpp_values import switched
from vramctl.logs.rule import Rule, rule

RULES: tuple[Rule, ...] = (
    rule(
        "flash.resolved", r"^Flash Attention was auto, set to (?P<on>enabled|disabled)$",
        fields={"on": switched},
        seen="llama.cpp, Aug 2025 on", example="llama_context: Flash Attention was auto, set to enabled",
        gives={"on": True},
    ),
    rule(
        "flash.resolved", r"^Flash Attention (?P<on>enabled)$",
        fields={"on": switched},
        seen="llama.cpp, 2026", example="resolve_fused_ops: Flash Attention enabled",
        gives={"on": True},
    ),
    rule(
        "fused.resolved", r"^Lightning Indexer (?P<on>enabled)$",
        fields={"on": switched},
        seen="llama.cpp, 2026", example="resolve_fused_ops: Lightning Indexer enabled",
        gives={"on": True},
    ),
    rule(
        "fused.resolved", r"^fused [\w ().-]+? (?P<on>enabled)$",
        fields={"on": switched},
        seen="llama.cpp, 2026", example="resolve_fused_ops: fused Gated Delta Net (autoregressive) enabled",
        gives={"on": True},
    ),
    rule(
        "flash.resolved", r"^Flash Attention not supported, set to (?P<on>disabled)$",
        fields={"on": switched},
        seen="llama.cpp, 2026", example="resolve_fused_ops: Flash Attention not supported, set to disabled",
        gives={"on": False},
    ),
    rule(
        "fused.resolved", r"^(?P<feature>Lightning Indexer|fused [\w ().-]+?) not supported, set to (?P<on>disabled)$",
        fields={"feature": str, "on": switched},
        seen="llama.cpp, 2026",
        example="resolve_fused_ops: fused Gated Delta Net (chunked) not supported, set to disabled",
        gives={"feature": "fused Gated Delta Net (chunked)", "on": False},
    ),
    rule(
        "flash.resolving", r"^resolving fused (?P<feature>.+) support:$",
        fields={"feature": str},
        seen="llama.cpp, 2026", example="resolve_fused_ops: resolving fused Gated Delta Net support:",
        gives={"feature": "Gated Delta Net"},
    ),
    rule(
        "flash.device_mismatch",
        r"^layer (?P<layer>\d+) is assigned to device (?P<device>\S+) but (?:the )?(?P<what>.+) (?:tensor"
        r" )?is assigned to device (?P<other>\S+) \(usually due to missing support\)$",
        fields={"layer": int, "device": str, "what": str, "other": str},
        seen="llama.cpp, Aug 2025 on",
        example=(
            "llama_context: layer 0 is assigned to device CUDA0 but the Flash Attention tensor is assigned "
            "to device CPU (usually due to missing support)"
        ),
        gives={"layer": 0, "device": "CUDA0", "what": "Flash Attention tensor", "other": "CPU"},
    ),
    rule(
        "flash.unsupported",
        r"^flash_attn (?:is not compatible with .+ - forcing off|requires n_embd_head_k == n_embd_head_v -"
        r" forcing off)$",
        seen="llama.cpp, May 2024 on",
        example="llama_new_context_with_model: flash_attn is not compatible with Grok - forcing off",
    ),
    rule(
        "flash.unsupported", r"^disabling flash attention, .+$",
        seen="llama.cpp, May 2024 on",
        example="opt_init: disabling flash attention, FLASH_ATTN_EXT has no backward pass",
    ),
    rule(
        "flash.enabled", r"^enabling flash_attn since it is required for (?P<reason>.+)$",
        fields={"reason": str},
        seen="llama.cpp, 2025 on",
        example="llama_init_from_model: enabling flash_attn since it is required for quantized V cache",
        gives={"reason": "quantized V cache"},
    ),
    rule(
        "kv.needs_flash_attn", r"^V cache quantization requires flash_attn$",
        seen="llama.cpp, May 2024 on", example="llama_init_from_model: V cache quantization requires flash_attn",
    ),
    rule(
        "kv.needs_flash_attn",
        r"^quantized V cache (?:was requested, but this )?requires (?:Flash Attention|flash_attn to be enabled)$",
        seen="llama.cpp, May 2024 on",
        example="llama_init_from_model: quantized V cache requires flash_attn to be enabled",
    ),
    rule(
        "kv.type_unsupported",
        r"^(?P<which>[KV]) cache type (?P<type>\S+) with block size (?P<block>\d+) does not divide"
        r" n_embd_head_[kv]=(?P<head>\d+)$",
        fields={"which": str, "type": str, "block": int, "head": int},
        seen="llama.cpp, Dec 2024 on",
        example="llama_init_from_model: K cache type q4_K with block size 256 does not divide n_embd_head_k=128",
        gives={"which": "K", "type": "q4_K", "block": 256, "head": 128},
    ),
    rule(
        "kv.type_unsupported",
        r"^model does not support different K \((?P<k_type>\S+)\) and V \((?P<v_type>\S+)\) cache types$",
        fields={"k_type": str, "v_type": str},
        seen="llama.cpp, 2026",
        example="llama_init_from_model: model does not support different K (q8_0) and V (f16) cache types",
        gives={"k_type": "q8_0", "v_type": "f16"},
    ),
    rule(
        "kv.no_kernel",
        r"^no FlashAttention vector kernel compiled for K/V types (?P<types>\S+), converting K and V to f16"
        r' instead \(slow\)\. Add "[^"]+" to GGML_CUDA_FA_QUANTS to compile it\.$',
        fields={"types": str},
        seen="llama.cpp, 2026",
        example=(
            "no FlashAttention vector kernel compiled for K/V types q5_1-q8_0, converting K and V to f16 "
            'instead (slow). Add "q5_1-q8_0" to GGML_CUDA_FA_QUANTS to compile it.'
        ),
        gives={"types": "q5_1-q8_0"},
    ),
    rule(
        "kv.no_kernel", r"^Unsupported KV type combination for head_size (?P<head>\d+)\.$",
        fields={"head": int},
        seen="llama.cpp, Jun 2024-2025", example="Unsupported KV type combination for head_size 128.",
        gives={"head": 128},
    ),
    rule(
        "kv.no_kernel", r"^By default only f16 KV cache is supported\.$",
        seen="llama.cpp, Jun 2024-2025", example="By default only f16 KV cache is supported.",
    ),
    rule(
        "kv.no_kernel", r"^Compile with GGML_CUDA_FA_ALL_QUANTS for .+$",
        seen="llama.cpp, Jun 2024-2025",
        example="Compile with GGML_CUDA_FA_ALL_QUANTS for V cache quantization support.",
    ),
    rule(
        "attention.rotation",
        r"^(?:attn_rot|n_rot)_(?P<which>[kv]) = (?P<value>\d+), n_embd_head_k_all = (?P<head>\d+)$",
        fields={"which": str, "value": int, "head": int},
        seen="llama.cpp, 2026", example="llama_kv_cache: attn_rot_k = 0, n_embd_head_k_all = 128",
        gives={"which": "k", "value": 0, "head": 128},
    ),
    rule(
        "attention.rotation", r"^attention rotation force disabled \(LLAMA_ATTN_ROT_DISABLE\)$",
        seen="llama.cpp, 2026", example="llama_kv_cache: attention rotation force disabled (LLAMA_ATTN_ROT_DISABLE)",
    ),
)  # fmt: skip
