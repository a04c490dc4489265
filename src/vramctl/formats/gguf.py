"""The header of a GGUF file: metadata and the tensor table, never the weights.

Format: docs/gguf.md of ggml and ggml/src/gguf.cpp of llama.cpp b11434 (ggml 0.26.0); versions 2 and 3, both byte
orders.  Every length is compared with the file before it is used, and what is kept and walked over is bounded, so
that a hostile header costs an error and neither memory nor time.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from vramctl.formats.gguf_cursor import (
    AGAIN,
    MAX_KEPT_ELEMENTS,
    MAX_KEPT_TEXT,
    MAX_KEPT_TEXTS,
    MAX_KEY_BYTES,
    MAX_KEYS,
    MAX_TENSORS,
    MAX_TUPLE,
    Buffer,
    ByteOrder,
    Cursor,
    MoreBytesNeeded,
    quoted,
)
from vramctl.formats.gguf_tensors import place, read_table
from vramctl.records import ArrayInfo, Tensor
from vramctl.records.model import MetadataValue, Scalar
from vramctl.units import pad

__all__ = ["Header", "MoreBytesNeeded", "Split", "key_spans", "parse"]

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 1 << 24  # the largest seen is 65536; the header is padded to it
MAX_PARTS = 4096  # of a split set; the largest seen is below 200
STRING, ARRAY = 8, 9
# Value types (enum gguf_type): id to (name, struct letter).
_NUMBERS = {
    0: ("u8", "B"), 1: ("i8", "b"), 2: ("u16", "H"), 3: ("i16", "h"), 4: ("u32", "I"), 5: ("i32", "i"),
    6: ("f32", "f"), 7: ("bool", "?"), 10: ("u64", "Q"), 11: ("i64", "q"), 12: ("f64", "d"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Split:
    """Which part of a split set this file is: `number` counts from 0, `tensors` is the count in all parts."""

    number: int
    count: int
    tensors: int | None


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says before its weights.

    `header_bytes` ends with the tensor table; `data_offset` is that, padded to `alignment`.
    `data_bytes` is where the last tensor ends, counted from `data_offset`.
    """

    version: int
    byte_order: ByteOrder
    metadata: Mapping[str, MetadataValue]
    tensors: tuple[Tensor, ...]
    alignment: int
    data_offset: int
    header_bytes: int
    data_bytes: int
    split: Split | None


def parse(buffer: Buffer, *, file_bytes: int, where: str) -> Header:
    """The header in `buffer`, which holds the first bytes (or all) of a file of `file_bytes` bytes.

    Raises BadInput naming `where`, or MoreBytesNeeded where the buffer is shorter than both header and file.
    """
    cursor = Cursor(buffer, file_bytes, where)
    version, order = _opening(cursor)
    cursor.set_order(order)
    tensor_count = cursor.number("Q", "the tensor count")
    key_count = cursor.number("Q", "the key count")
    _check_counts(cursor, key_count, tensor_count)
    metadata = _metadata(cursor, key_count)
    alignment = _alignment(cursor, metadata)
    table = read_table(cursor, tensor_count)
    header_bytes = cursor.offset
    data_offset = pad(header_bytes, alignment)
    tensors, data_bytes = place(cursor, table, data_offset, alignment)
    return Header(
        version=version,
        byte_order=order,
        metadata=metadata,
        tensors=tensors,
        alignment=alignment,
        data_offset=data_offset,
        header_bytes=header_bytes,
        data_bytes=data_bytes,
        split=_split(cursor, metadata),
    )


def _opening(cursor: Cursor) -> tuple[int, ByteOrder]:
    """Version and byte order, from the first eight bytes."""
    if cursor.file_bytes == 0:
        cursor.bad(
            "empty-file",
            f"{cursor.where} is empty.",
            because=("0 bytes",),
            fix="Download the model again; the last attempt left nothing.",
        )
    start = bytes(cursor.buffer[: min(cursor.end, 64)])
    if start[:4] != MAGIC[: len(start)]:
        cursor.bad("not-gguf", f"{cursor.where} is not a GGUF file.", because=_seen(start), fix=_instead(start))
    offset = cursor.advance(8, "the version")
    version: int = struct.unpack_from("<I", cursor.buffer, offset + 4)[0]
    order: ByteOrder = "little"
    if version and version & 0xFFFF == 0:  # gguf.cpp's test for the other byte order
        version, order = struct.unpack_from(">I", cursor.buffer, offset + 4)[0], "big"
    if version not in (2, 3):
        cursor.bad(
            "gguf-version",
            f"{cursor.where} is a GGUF file of version {version}; versions 2 and 3 can be read.",
            because=("version 1 was dropped by llama.cpp as well" if version == 1 else "no such version is known",),
            fix="Convert the model again with a current llama.cpp." if version == 1 else AGAIN,
        )
    return version, order


def _seen(start: bytes) -> tuple[str, ...]:
    return (f"it starts with {start[:8]!r}; a GGUF file starts with {MAGIC!r}",)


def _instead(start: bytes) -> str:
    """Advice for what the file seems to be."""
    head = start.lstrip().lower()
    if head.startswith(b"version https://git-lfs"):
        return "This is a Git LFS pointer, not the model: run `git lfs pull` in its repository."
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "This is a web page: download the file itself (on the hub: the /resolve/ address, not /blob/)."
    if start[8:9] == b"{":
        return "This looks like a safetensors file: give the folder that holds it and its config.json."
    if head.startswith((b"pk\x03\x04", b"\x80\x02")):
        return "This looks like a PyTorch checkpoint: convert it with llama.cpp's convert_hf_to_gguf.py."
    if start[:4] in (b"lmgg", b"tjgg", b"fmgg", b"algg"):
        return "This is llama.cpp's format from before August 2023: convert the model again."
    return "Give a .gguf file, or the folder of a Hugging Face, EXL2 or EXL3 model."


def _check_counts(cursor: Cursor, keys: int, tensors: int) -> None:
    """Raises where the header claims more entries than are sensible, or than the file has room for."""
    for count, limit, least, name in ((keys, MAX_KEYS, 14, "keys"), (tensors, MAX_TENSORS, 24, "tensors")):
        if count > limit:
            cursor.bad(
                f"gguf-too-many-{name}",
                f"{cursor.where} is corrupt: its header claims {count} {name}.",
                because=(f"more than {limit} {name} are not read",),
                fix=AGAIN,
            )
        if cursor.offset + count * least > cursor.file_bytes:
            cursor.short(cursor.offset + count * least, f"the last of {count} {name}")


def key_spans(header: Buffer) -> list[tuple[str, int, int]]:
    """Each key with the bytes [start, stop) that it and its value take; `header` must have been parsed before."""
    cursor = Cursor(header, len(header), "the header")
    _, order = _opening(cursor)
    cursor.set_order(order)
    cursor.advance(8, "the tensor count")
    spans: list[tuple[str, int, int]] = []
    budget = _Budget()
    for index in range(cursor.number("Q", "the key count")):
        start = cursor.offset
        key, _ = _pair(cursor, index, budget)
        spans.append((key, start, cursor.offset))
    return spans


def _metadata(cursor: Cursor, count: int) -> dict[str, MetadataValue]:
    """The keys and values; long arrays and long texts as ArrayInfo."""
    values: dict[str, MetadataValue] = {}
    budget = _Budget()
    for index in range(count):
        key, value = _pair(cursor, index, budget)
        if key in values:
            cursor.bad(
                "gguf-duplicate-key",
                f"{cursor.where} is corrupt: the key {quoted(key)} is there twice.",
                because=(f"key {index} of {count}", "llama.cpp refuses such a file"),
                fix=AGAIN,
            )
        values[key] = value
    return values


def _pair(cursor: Cursor, index: int, budget: _Budget) -> tuple[str, MetadataValue]:
    key = cursor.name("gguf-bad-key", f"key {index}", MAX_KEY_BYTES)
    return key, _value(cursor, key, budget)


@dataclass(slots=True)
class _Budget:
    """What may still be kept: elements of arrays, bytes of texts."""

    elements: int = MAX_KEPT_ELEMENTS
    text_bytes: int = MAX_KEPT_TEXTS


def _value(cursor: Cursor, key: str, budget: _Budget) -> MetadataValue:
    """The value that follows a key."""
    kind = cursor.number("I", f"the type of {quoted(key)}")
    if kind == STRING:
        return _text_value(cursor, key, budget)
    if kind == ARRAY:
        return _array(cursor, key, budget)
    if kind not in _NUMBERS:
        _bad_type(cursor, key, kind)
    letter = _NUMBERS[kind][1]
    value: Scalar = cursor.number(letter, f"the value of {quoted(key)}")
    if isinstance(value, float) and ".rope." in key and not math.isfinite(value):
        cursor.bad(
            "gguf-bad-number",
            f"{cursor.where} is corrupt: {quoted(key)} is {value}.",
            because=("a rotary position embedding needs finite numbers",),
            fix=AGAIN,
        )
    return value


def _text_value(cursor: Cursor, key: str, budget: _Budget) -> MetadataValue:
    length = cursor.number("Q", f"the length of {quoted(key)}")
    start = cursor.advance(length, f"the value of {quoted(key)}")
    budget.text_bytes -= length
    if length > MAX_KEPT_TEXT or budget.text_bytes < 0:
        return ArrayInfo("text byte", length)
    return bytes(cursor.buffer[start : start + length]).decode("utf-8", "replace")


def _array(cursor: Cursor, key: str, budget: _Budget) -> MetadataValue:
    kind = cursor.number("I", f"the element type of {quoted(key)}")
    count = cursor.number("Q", f"the element count of {quoted(key)}")
    if kind == STRING:
        cursor.skip_strings(count, f"the {count} strings of {quoted(key)}")
        return ArrayInfo("str", count)
    if kind not in _NUMBERS:
        _bad_type(cursor, key, kind)
    name, letter = _NUMBERS[kind]
    start = cursor.advance(count * struct.calcsize("<" + letter), f"the {count} elements of {quoted(key)}")
    if count > MAX_TUPLE or count > budget.elements:
        return ArrayInfo(name, count)
    budget.elements -= count
    return struct.unpack_from(f"{cursor.order}{count}{letter}", cursor.buffer, start)


def _bad_type(cursor: Cursor, key: str, kind: int) -> NoReturn:
    nested = kind == ARRAY
    cursor.bad(
        "gguf-nested-array" if nested else "gguf-bad-value-type",
        f"{cursor.where} is corrupt: {quoted(key)} "
        + ("is an array of arrays." if nested else f"has value type {kind}, which GGUF does not have."),
        because=(f"at byte {cursor.offset}", "llama.cpp refuses such a file"),
        fix=AGAIN,
    )


def _alignment(cursor: Cursor, metadata: Mapping[str, MetadataValue]) -> int:
    """`general.alignment`, by default 32."""
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(value) is not int or not 0 < value <= MAX_ALIGNMENT or value & (value - 1):
        shown = value if isinstance(value, int | float) else type(value).__name__
        cursor.bad(
            "gguf-bad-alignment",
            f"{cursor.where} is corrupt: general.alignment is {shown}.",
            because=(f"it must be a power of two, at most {MAX_ALIGNMENT}",),
            fix=AGAIN,
        )
    return value


def _split(cursor: Cursor, metadata: Mapping[str, MetadataValue]) -> Split | None:
    """The place in a split set (gguf-split's split.* keys), None for a file that stands alone."""
    count = metadata.get("split.count", 0)
    number = metadata.get("split.no", 0)
    tensors = metadata.get("split.tensors.count")
    if count in (0, 1) and number == 0:
        return None
    if type(count) is not int or type(number) is not int or not 0 <= number < count <= MAX_PARTS:
        cursor.bad(
            "gguf-bad-split",
            f"{cursor.where} is corrupt: it says it is part {_plain(number)} of {_plain(count)} (from 0).",
            because=("keys split.no and split.count",),
            fix=AGAIN,
        )
    return Split(number, count, tensors if type(tensors) is int else None)


def _plain(value: MetadataValue) -> str:
    return quoted(str(value))
