"""A two-layer llama of 3 MB of imaginary weights, whose sizes are known without an engine: the self-test's model."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

LAYERS, WIDTH, HEADS, KV_HEADS, FEED_FORWARD, VOCABULARY = 2, 256, 4, 2, 512, 4096
KV_WIDTH = WIDTH // HEADS * KV_HEADS
_F32, _Q8_0 = 0, 8
_Q8_0_BLOCK, _Q8_0_BYTES = 32, 34
_CUDA_ROW = 512  # MATRIX_ROW_PADDING, ggml-cuda/common.cuh
_CUDA_ALIGNMENT, _CPU_ALIGNMENT = 128, 32
_TEXT, _U32, _FLOAT = 8, 4, 6


def tensors() -> dict[str, tuple[int, ...]]:
    """Every tensor's shape [row, rows]; matrices are Q8_0, vectors F32."""
    found: dict[str, tuple[int, ...]] = {"token_embd.weight": (WIDTH, VOCABULARY)}
    for i in range(LAYERS):
        found |= {
            f"blk.{i}.attn_norm.weight": (WIDTH,),
            f"blk.{i}.attn_q.weight": (WIDTH, WIDTH),
            f"blk.{i}.attn_k.weight": (WIDTH, KV_WIDTH),
            f"blk.{i}.attn_v.weight": (WIDTH, KV_WIDTH),
            f"blk.{i}.attn_output.weight": (WIDTH, WIDTH),
            f"blk.{i}.ffn_norm.weight": (WIDTH,),
            f"blk.{i}.ffn_gate.weight": (WIDTH, FEED_FORWARD),
            f"blk.{i}.ffn_up.weight": (WIDTH, FEED_FORWARD),
            f"blk.{i}.ffn_down.weight": (FEED_FORWARD, WIDTH),
        }
    return found | {"output_norm.weight": (WIDTH,), "output.weight": (WIDTH, VOCABULARY)}


def cuda_bytes(shape: tuple[int, ...]) -> int:
    """Bytes of one tensor in CUDA memory: the last row padded to 512 columns, then aligned to 128."""
    size = _file_bytes(shape)
    if len(shape) > 1 and shape[0] % _CUDA_ROW:
        size += (_CUDA_ROW - shape[0] % _CUDA_ROW) // _Q8_0_BLOCK * _Q8_0_BYTES
    return _padded(size, _CUDA_ALIGNMENT)


def host_bytes(shape: tuple[int, ...]) -> int:
    """Bytes of one tensor in system memory."""
    return _padded(_file_bytes(shape), _CPU_ALIGNMENT)


@contextlib.contextmanager
def tiny_model() -> Iterator[str]:
    """The path of the model's file, sparse and in memory where the system can; removed afterwards."""
    header, length = _gguf()
    number, path = _file()
    try:
        os.write(number, header)
        os.ftruncate(number, length)
        yield path
    finally:
        os.close(number)
        if not path.startswith("/proc/"):
            Path(path).unlink()


def _file() -> tuple[int, str]:
    """(descriptor, path) of a new empty file."""
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # forbidden in some sandboxes
            number = os.memfd_create("vramctl-self-test")
            return number, f"/proc/self/fd/{number}"
    import tempfile  # takes 10 ms to import, and is seldom needed

    return tempfile.mkstemp(suffix=".gguf")


def _file_bytes(shape: tuple[int, ...]) -> int:
    if len(shape) == 1:
        return 4 * shape[0]
    return shape[0] // _Q8_0_BLOCK * _Q8_0_BYTES * shape[1]


def _padded(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _gguf() -> tuple[bytes, int]:
    """(header, whole file's length): GGUF v3, little endian, no vocabulary."""
    numbers = {
        "context_length": 8192,
        "embedding_length": WIDTH,
        "block_count": LAYERS,
        "feed_forward_length": FEED_FORWARD,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "rope.dimension_count": WIDTH // HEADS,
        "vocab_size": VOCABULARY,
    }
    pairs = [
        _text("general.architecture") + struct.pack("<I", _TEXT) + _text("llama"),
        _text("tokenizer.ggml.model") + struct.pack("<I", _TEXT) + _text("none"),
        _text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", _FLOAT, 1e-5),
        *(_text(f"llama.{key}") + struct.pack("<II", _U32, value) for key, value in numbers.items()),
    ]
    table, offset = [], 0
    for name, shape in tensors().items():
        kind = _F32 if len(shape) == 1 else _Q8_0
        table.append(_text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset))
        offset += host_bytes(shape)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(table), len(pairs)) + b"".join(pairs) + b"".join(table)
    head = head.ljust(_padded(len(head), 32), b"\0")
    return head, len(head) + offset


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
