"""A writer of small GGUF files for tests, in both byte orders, well-formed or broken on purpose."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

LETTERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
KINDS = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "str": 8, "u64": 10,
         "i64": 11, "f64": 12}  # fmt: skip
BLOCKS = {0: (1, 4), 1: (1, 2), 8: (32, 34), 12: (256, 144)}  # F32, F16, Q8_0, Q4_K

Pair = tuple[str, str, Any]  # key, kind (`u32`, `[str]`, ...), value
Row = tuple[str, Sequence[int], int]  # name, shape, ggml type

LLAMA: list[Pair] = [
    ("general.architecture", "str", "llama"),
    ("general.name", "str", "Tiny Llama"),
    ("general.file_type", "u32", 15),
    ("llama.block_count", "u32", 2),
    ("llama.context_length", "u32", 4096),
    ("llama.embedding_length", "u32", 256),
    ("llama.attention.head_count_kv", "[u32]", [2, 1]),
    ("llama.rope.freq_base", "f32", 10000.0),
    ("tokenizer.ggml.tokens", "[str]", ["<s>", "a", "", "token " * 20, "é"]),
    ("tokenizer.ggml.scores", "[f32]", [0.5] * 5000),
]
TENSORS: list[Row] = [
    ("token_embd.weight", (256, 8), 12),
    ("blk.0.attn_norm.weight", (256,), 0),
    ("blk.0.ffn_up.weight", (256, 4), 8),
    ("output.weight", (256, 8), 1),
]


def text(value: str | bytes, order: str = "<") -> bytes:
    """A length-prefixed string."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(order + "Q", len(data)) + data


def pair(key: str | bytes, kind: str, value: Any, order: str = "<") -> bytes:
    """A key with its type and value; kind `[x]` is an array of x."""
    start = text(key, order)
    if kind.startswith("["):
        inner = KINDS[kind[1:-1]]
        body = struct.pack(order + "IIQ", 9, inner, len(value))
        if inner == 8:
            return start + body + b"".join(text(one, order) for one in value)
        return start + body + struct.pack(f"{order}{len(value)}{LETTERS[inner]}", *value)
    if kind == "str":
        return start + struct.pack(order + "I", 8) + text(value, order)
    return start + struct.pack(order + "I" + LETTERS[KINDS[kind]], KINDS[kind], value)


def tensor_bytes(shape: Iterable[int], kind: int) -> int:
    """Bytes of a tensor's data."""
    count = 1
    for size in shape:
        count *= size
    block, size = BLOCKS[kind]
    return count // block * size


def file(
    pairs: Sequence[Pair] = tuple(LLAMA),
    tensors: Sequence[Row] = tuple(TENSORS),
    *,
    order: str = "<",
    version: int = 3,
    alignment: int = 32,
    offsets: Sequence[int] | None = None,
    data: bool = True,
) -> bytes:
    """A whole file: header, and zeros for the data."""
    body = b"GGUF" + struct.pack(order + "IQQ", version, len(tensors), len(pairs))
    body += b"".join(pair(*one, order) for one in pairs)
    offset = 0
    for index, (name, shape, kind) in enumerate(tensors):
        place = offset if offsets is None else offsets[index]
        body += text(name, order) + struct.pack(f"{order}I{len(shape)}QIQ", len(shape), *shape, kind, place)
        offset += -(-tensor_bytes(shape, kind) // alignment) * alignment
    return body.ljust(-(-len(body) // alignment) * alignment, b"\0") + bytes(offset if data else 0)


def split(count: int, *, order: str = "<", numbers: Sequence[int] | None = None) -> list[bytes]:
    """The files of a split set, one tensor each."""
    rows: list[Row] = [(f"blk.{index}.ffn_up.weight", (256, 4 + index), 12) for index in range(count)]
    parts = []
    for index in range(count):
        number = index if numbers is None else numbers[index]
        keys: list[Pair] = [("split.no", "u16", number), ("split.count", "u16", count)]
        keys.append(("split.tensors.count", "i32", count))
        parts.append(file([*(LLAMA if index == 0 else []), *keys], [rows[index]], order=order))
    return parts
