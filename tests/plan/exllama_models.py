"""Folders with the tensors of a Llama, as EXL2, EXL3 and FP16 checkpoints hold them."""

from __future__ import annotations

import math

from vramctl.records import Device, Model, Tensor
from vramctl.records.model import MetadataValue
from vramctl.units import GIB

SIZE = {"F16": 2, "BF16": 2, "F32": 4, "I32": 4, "I16": 2}


def tensor(name: str, kind: str, *shape: int) -> Tensor:
    return Tensor(name, kind, shape, math.prod(shape) * SIZE[kind], 0)


def linear(name: str, kind: str, inner: int, outer: int, bits: int = 4) -> list[Tensor]:
    """One linear layer: EXL2 with groups of 128 rows, EXL3 at a whole bitrate, or FP16."""
    if kind == "exl2":
        groups = inner // 128
        return [
            tensor(f"{name}.q_weight", "I32", inner * bits // 32, outer),
            tensor(f"{name}.q_invperm", "I32", inner),
            tensor(f"{name}.q_scale", "I32", groups, outer // 8),
            tensor(f"{name}.q_scale_max", "F16", groups),
            tensor(f"{name}.q_groups", "I16", 2 * groups),
        ]
    if kind == "exl3":
        return [
            tensor(f"{name}.trellis", "I16", inner // 16, outer // 16, 16 * bits),
            tensor(f"{name}.suh", "F16", inner),
            tensor(f"{name}.svh", "F16", outer),
        ]
    return [tensor(f"{name}.weight", "BF16", outer, inner)]


def llama(
    kind: str, *, layers: int = 32, hidden: int = 4096, heads: int = 32, kv: int = 8, inner: int = 14336,
    vocab: int = 128256, tied: bool = False, architecture: str = "LlamaForCausalLM", **config: MetadataValue,
) -> Model:  # fmt: skip
    wide, narrow = hidden, hidden // heads * kv
    tensors = [tensor("model.embed_tokens.weight", "BF16", vocab, hidden)]
    for layer in range(layers):
        at = f"model.layers.{layer}."
        for name, a, b in (
            ("self_attn.q_proj", hidden, wide), ("self_attn.k_proj", hidden, narrow),
            ("self_attn.v_proj", hidden, narrow), ("self_attn.o_proj", wide, hidden),
            ("mlp.gate_proj", hidden, inner), ("mlp.up_proj", hidden, inner),
            ("mlp.down_proj", inner, hidden),
        ):  # fmt: skip
            tensors += linear(at + name, kind, a, b)
        tensors += [
            tensor(at + norm + ".weight", "BF16", hidden) for norm in ("input_layernorm", "post_attention_layernorm")
        ]
    tensors.append(tensor("model.norm.weight", "BF16", hidden))
    if not tied:
        tensors += linear("lm_head", kind, hidden, vocab, 6)
    metadata: dict[str, MetadataValue] = {
        "hf.architectures": (architecture,), "hf.num_hidden_layers": layers, "hf.hidden_size": hidden,
        "hf.num_attention_heads": heads, "hf.num_key_value_heads": kv, "hf.intermediate_size": inner,
        "hf.vocab_size": vocab, "hf.max_position_embeddings": 131072, "hf.tie_word_embeddings": tied,
    }  # fmt: skip
    metadata |= {f"hf.{key}": value for key, value in config.items()}
    size = sum(one.data_bytes for one in tensors)
    name = "safetensors" if kind == "fp16" else kind
    return Model("test", name, "test", "llama", 0, kind, size, layers, 131072, metadata, tuple(tensors))


def gpu(gib: float, index: int = 0) -> Device:
    return Device(f"CUDA{index}", "test", round(gib * GIB), round(gib * GIB), "test")
