"""A llama of a few MB with invented but valid weights and an invented vocabulary, which every engine loads and runs."""

from __future__ import annotations

import random
import struct
from pathlib import Path

from vramctl.formats.gguf_write import Entry, TensorSpec, write_header
from vramctl.shapes.vocabulary import vocabulary

LAYERS, WIDTH, HEADS, KV_HEADS, FEED_FORWARD, VOCABULARY, TRAIN_CTX = 2, 256, 4, 2, 512, 2048, 8192
KV_WIDTH = WIDTH // HEADS * KV_HEADS
_TILE_BLOCKS = 4096


def tensors(layers: int, width: int, feed_forward: int) -> list[TensorSpec]:
    """Every tensor: matrices are Q8_0, vectors F32."""
    kv_width = width // HEADS * KV_HEADS
    found = [TensorSpec("token_embd.weight", "Q8_0", (width, VOCABULARY))]
    for i in range(layers):
        matrices = {
            "attn_q": (width, width), "attn_k": (width, kv_width), "attn_v": (width, kv_width),
            "attn_output": (width, width), "ffn_gate": (width, feed_forward), "ffn_up": (width, feed_forward),
            "ffn_down": (feed_forward, width),
        }  # fmt: skip
        found += [TensorSpec(f"blk.{i}.{name}.weight", "F32", (width,)) for name in ("attn_norm", "ffn_norm")]
        found += [TensorSpec(f"blk.{i}.{name}.weight", "Q8_0", shape) for name, shape in matrices.items()]
    found.append(TensorSpec("output_norm.weight", "F32", (width,)))
    return [*found, TensorSpec("output.weight", "Q8_0", (width, VOCABULARY))]


def small_llama(path: Path, *, layers: int = LAYERS, width: int = WIDTH, feed_forward: int = FEED_FORWARD) -> Path:
    """The file at `path`, made anew: the same bytes every time."""
    numbers = {
        "context_length": TRAIN_CTX, "embedding_length": width, "block_count": layers, "feed_forward_length": feed_forward,
        "attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS, "rope.dimension_count": width // HEADS,
        "vocab_size": VOCABULARY,
    }  # fmt: skip
    entries = [
        Entry("general.architecture", "str", "llama"),
        Entry("general.name", "str", "small"),
        *(Entry(f"llama.{key}", "u32", value) for key, value in numbers.items()),
        Entry("llama.attention.layer_norm_rms_epsilon", "f32", 1e-5),
        Entry("general.file_type", "u32", 7),
        *vocabulary("spm", "default", VOCABULARY),
    ]
    header = write_header(entries, tensors(layers, width, feed_forward))
    tile = _q8_0_blocks(random.Random(1))
    with path.open("wb") as file:
        file.write(header.data)
        for tensor in header.tensors:
            file.seek(tensor.offset)
            if tensor.type == "F32":
                file.write(struct.pack("<f", 1.0) * (tensor.data_bytes // 4))
            else:
                file.write((tile * (tensor.data_bytes // len(tile) + 1))[: tensor.data_bytes])
        file.truncate(header.file_bytes)
    return path


def _q8_0_blocks(source: random.Random) -> bytes:
    """Blocks of a half-precision scale and 32 signed bytes: values within 0.1 of zero."""
    scale = struct.pack("<e", 0.0008)
    raw = source.randbytes(32 * _TILE_BLOCKS)
    return b"".join(scale + raw[i * 32 : i * 32 + 32] for i in range(_TILE_BLOCKS))
