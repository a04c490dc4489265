"""A GGUF v3 header from metadata and a tensor table: the bytes that llama.cpp's loader reads.

The container is described in docs/gguf.md of ggml-org/ggml and read by ggml/src/gguf.cpp (llama.cpp 0c1e57098):
magic, version, counts, key/value pairs, tensor infos, then the data, each tensor on a multiple of the alignment.
Little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vramctl.formats.gguf_cursor import MAX_TUPLE
from vramctl.ggml_types import BY_NAME, tensor_bytes
from vramctl.records import ArrayInfo, Tensor
from vramctl.records.model import MetadataValue, Scalar
from vramctl.units import pad

ALIGNMENT = 32
_MAX_DIMS = 4
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")

# Value types of ggml/include/gguf.h (`gguf_type`): number and struct format; strings and arrays are written apart.
_KINDS = {
    "u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i"),
    "f32": (6, "f"), "bool": (7, "?"), "str": (8, ""), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d"),
}  # fmt: skip
_ARRAY = 9


@dataclass(frozen=True, slots=True)
class Entry:
    """One metadata pair. `kind` is the value's type (`u32`, `f32`, `bool`, `str`, ...), of each element in an array."""

    key: str
    kind: str
    value: Scalar | Sequence[Scalar]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor to be: ggml's type name and its shape [ne0, ne1, ...]."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """The header's bytes with padding (the first tensor's data follows), the placed tensors, the whole file's bytes."""

    data: bytes
    tensors: tuple[Tensor, ...]
    file_bytes: int


def write_header(entries: Sequence[Entry], specs: Sequence[TensorSpec]) -> Header:
    """A GGUF v3 header and where each tensor's data will lie, in bytes from the file's start.

    ValueError for what the format cannot hold: unknown types, part blocks, more than four dimensions, repeated names.
    """
    _refuse_repeats("metadata key", (entry.key for entry in entries))
    _refuse_repeats("tensor name", (spec.name for spec in specs))
    infos, relative, data_bytes = _tensor_infos(specs)
    head = b"".join((b"GGUF", _U32.pack(3), _U64.pack(len(specs)), _U64.pack(len(entries)),
                     *map(encode_entry, entries), infos))  # fmt: skip
    start = pad(len(head), ALIGNMENT)
    tensors = tuple(
        Tensor(spec.name, spec.type, spec.shape, size, start + offset)
        for spec, (offset, size) in zip(specs, relative, strict=True)
    )
    return Header(head.ljust(start, b"\0"), tensors, start + data_bytes)


def encode_entry(entry: Entry) -> bytes:
    """The bytes of one key/value pair; ValueError for an unknown kind or a value that does not fit it."""
    if entry.kind not in _KINDS:
        raise ValueError(f"{entry.key}: {entry.kind!r} is not a GGUF value type")
    number, code = _KINDS[entry.kind]
    key, value = _string(entry.key), entry.value
    if isinstance(value, (str, int, float)):
        return key + _U32.pack(number) + _values(entry, code, (value,))
    return b"".join((key, _U32.pack(_ARRAY), _U32.pack(number), _U64.pack(len(value)), _values(entry, code, value)))


def parsed_metadata(entries: Iterable[Entry]) -> Mapping[str, MetadataValue]:
    """The metadata as `formats.gguf.parse` reads it back: f32 rounded, long lists and lists of strings counted only."""
    parsed: dict[str, MetadataValue] = {}
    for entry in entries:
        if isinstance(entry.value, (str, int, float)):
            parsed[entry.key] = _read_back(entry, (entry.value,))[0]
        elif entry.kind == "str" or len(entry.value) > MAX_TUPLE:
            parsed[entry.key] = ArrayInfo(entry.kind, len(entry.value))
        else:
            parsed[entry.key] = _read_back(entry, entry.value)
    return parsed


def _read_back(entry: Entry, values: Sequence[Scalar]) -> tuple[Scalar, ...]:
    if entry.kind != "f32":
        return tuple(values)
    layout = f"<{len(values)}f"
    return struct.unpack(layout, struct.pack(layout, *values))


def _values(entry: Entry, code: str, values: Sequence[Scalar]) -> bytes:
    if entry.kind == "str":
        return b"".join(map(_string, map(str, values)))
    try:
        return struct.pack(f"<{len(values)}{code}", *values)
    except struct.error as error:
        raise ValueError(f"{entry.key}: {error} ({entry.kind})") from error


def _string(text: str) -> bytes:
    data = text.encode()
    return _U64.pack(len(data)) + data


def _tensor_infos(specs: Sequence[TensorSpec]) -> tuple[bytes, list[tuple[int, int]], int]:
    """The tensor table, (offset from the data's start, bytes) of each tensor, and the data's bytes with padding."""
    parts: list[bytes] = []
    places: list[tuple[int, int]] = []
    offset = 0
    for spec in specs:
        if spec.type not in BY_NAME or not 1 <= len(spec.shape) <= _MAX_DIMS or min(spec.shape) < 1:
            raise ValueError(f"{spec.name}: {spec.type} {spec.shape} is not a tensor that GGUF can hold")
        size = tensor_bytes(spec.type, spec.shape)
        n = len(spec.shape)
        parts.append(_string(spec.name))
        parts.append(struct.pack(f"<I{n}QIQ", n, *spec.shape, BY_NAME[spec.type].id, offset))
        places.append((offset, size))
        offset += pad(size, ALIGNMENT)
    return b"".join(parts), places, offset


def _refuse_repeats(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"the {what} {name!r} is given twice")
        seen.add(name)
