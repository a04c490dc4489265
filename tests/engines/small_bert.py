"""A model of embeddings of a few MB, as BERT's: no cache, no causal attention, and no output matrix."""

from __future__ import annotations

from pathlib import Path

from vramctl.formats.gguf_write import Entry, TensorSpec, write_header
from vramctl.shapes.vocabulary import vocabulary

WIDTH, LAYERS, FEED_FORWARD, VOCABULARY, CONTEXT = 256, 2, 512, 2048, 512


def small_bert(path: Path) -> Path:
    """The file at `path`; all weights are zero."""
    numbers = {
        "context_length": CONTEXT, "embedding_length": WIDTH, "block_count": LAYERS, "feed_forward_length": FEED_FORWARD,
        "attention.head_count": 4, "vocab_size": VOCABULARY, "pooling_type": 1,
    }  # fmt: skip
    entries = [
        Entry("general.architecture", "str", "bert"),
        Entry("general.name", "str", "small bert"),
        *(Entry(f"bert.{key}", "u32", value) for key, value in numbers.items()),
        Entry("bert.attention.layer_norm_epsilon", "f32", 1e-5),
        Entry("bert.attention.causal", "bool", False),
        Entry("general.file_type", "u32", 0),
        Entry("tokenizer.ggml.token_type_count", "u32", 2),
        *vocabulary("spm", "default", VOCABULARY),
    ]
    header = write_header(entries, list(_tensors()))
    with path.open("wb") as file:
        file.write(header.data)
        file.truncate(header.file_bytes)
    return path


def _tensors() -> list[TensorSpec]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (WIDTH, VOCABULARY), "position_embd.weight": (WIDTH, CONTEXT), "token_types.weight": (WIDTH, 2),
        "token_embd_norm.weight": (WIDTH,), "token_embd_norm.bias": (WIDTH,),
    }  # fmt: skip
    for i in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes |= {f"blk.{i}.{name}.weight": (WIDTH, WIDTH), f"blk.{i}.{name}.bias": (WIDTH,)}
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes |= {f"blk.{i}.{name}.weight": (WIDTH,), f"blk.{i}.{name}.bias": (WIDTH,)}
        shapes |= {f"blk.{i}.ffn_up.weight": (WIDTH, FEED_FORWARD), f"blk.{i}.ffn_up.bias": (FEED_FORWARD,)}
        shapes |= {f"blk.{i}.ffn_down.weight": (FEED_FORWARD, WIDTH), f"blk.{i}.ffn_down.bias": (WIDTH,)}
    return [TensorSpec(name, "F32", shape) for name, shape in shapes.items()]
