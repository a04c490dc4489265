"""A GGUF header without its vocabulary: what a dry run needs, at a thousandth of the size.

llama.cpp makes as many dummy tokens as `<architecture>.vocab_size` says where `tokenizer.ggml.model` is "none"
(src/llama-vocab.cpp, `LLAMA_VOCAB_TYPE_NONE`), and allocates the same: checked for every built-in shape. A load then takes
10 ms instead of 300 to 500, and an unknown pre-tokenizer cannot stop it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from vramctl.records import ArrayInfo, Model, Tensor
from vramctl.units import pad

_STRING, _U32 = 8, 4


def stripped_header(
    kept: Iterable[bytes], *, architecture: str, vocab: int, tensors: Iterable[Tensor], type_id: Callable[[str], int]
) -> tuple[bytes, int]:
    """(header bytes, whole file's length) of a little-endian GGUF v3 with the given raw key-value pairs and tensors."""
    pairs = [
        *kept,
        _text("tokenizer.ggml.model") + struct.pack("<I", _STRING) + _text("none"),
        _text(f"{architecture}.vocab_size") + struct.pack("<II", _U32, vocab),
    ]
    table, offset, count = [], 0, 0
    for tensor in tensors:
        dims = tensor.shape
        table.append(
            _text(tensor.name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, type_id(tensor.type), offset)
        )
        offset += pad(tensor.data_bytes, 32)
        count += 1
    head = b"GGUF" + struct.pack("<IQQ", 3, count, len(pairs)) + b"".join(pairs) + b"".join(table)
    head += b"\0" * (pad(len(head), 32) - len(head))
    return head, len(head) + offset


def vocabulary_size(model: Model) -> int | None:
    """How many tokens the model has: its token list's length, or `vocab_size` where it has no list."""
    tokens = model.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, ArrayInfo):
        return tokens.count
    if isinstance(tokens, tuple):
        return len(tokens)
    size = model.meta("vocab_size")
    return size if isinstance(size, int) else None


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
