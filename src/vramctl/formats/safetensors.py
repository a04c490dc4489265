"""The header of a safetensors file: tensor names, types, shapes and places, never the weights.

Format: docs/formats of huggingface/safetensors 0.5 (`safetensors/src/tensor.rs`): eight bytes of length, then JSON.
The JSON is counted before it is parsed, so that a hostile header costs neither memory nor time.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

from vramctl.errors import BadInput
from vramctl.formats.gguf_cursor import AGAIN, Buffer, MoreBytesNeeded, quoted
from vramctl.records import Tensor

MAX_HEADER_BYTES = 16 << 20  # the format allows 100 MB; 47k tensors take 6 MB
MAX_TENSORS = 65536
MAX_PARTS = 20 * MAX_TENSORS

BITS = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors file says before its weights; `notes` is its `__metadata__`."""

    tensors: tuple[Tensor, ...]
    notes: Mapping[str, str]
    header_bytes: int


def parse(buffer: Buffer, *, file_bytes: int, where: str) -> Header:
    """The header in `buffer`, which holds the first bytes (or all) of a file of `file_bytes` bytes.

    Raises BadInput naming `where`, or MoreBytesNeeded where the buffer is shorter than both header and file.
    """
    if file_bytes == 0:
        raise BadInput("empty-file", f"{where} is empty.", because=("0 bytes",), fix="Download the file again.")
    if file_bytes < 10:
        _bad(where, f"it has {file_bytes} bytes, less than any header")
    if len(buffer) < 8:
        raise MoreBytesNeeded(8)
    length: int = struct.unpack("<Q", bytes(buffer[:8]))[0]
    if length > file_bytes - 8:
        _bad(where, f"the header claims {length} bytes, the file has {file_bytes}")
    if length > MAX_HEADER_BYTES:
        _bad(where, f"the header claims {length} bytes; up to {MAX_HEADER_BYTES} are read")
    if len(buffer) < 8 + length:
        raise MoreBytesNeeded(8 + length)
    table = read_json(bytes(buffer[8 : 8 + length]), where=where, code="bad-safetensors")
    notes = table.pop("__metadata__", {})
    tensors = tuple(_tensor(where, name, entry, 8 + length, file_bytes) for name, entry in table.items())
    _check_overlaps(where, tensors)
    kept = {str(key): str(value) for key, value in notes.items()} if isinstance(notes, dict) else {}
    return Header(tensors, kept, 8 + length)


def read_json(data: bytes, *, where: str, code: str = "bad-json") -> dict[str, Any]:
    """A JSON object; BadInput where it is none, repeats a key, or is larger or deeper than a model's file ever is."""
    if data.count(b"{") > MAX_TENSORS or data.count(b"[") > 3 * MAX_TENSORS or data.count(b",") > MAX_PARTS:
        _bad(where, code=code, because="it has more entries than any model")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not JSON, a repeated key, a huge number
        _bad(where, code=code, because=f"no valid JSON: {str(error)[:120]}")
    if not isinstance(value, dict):
        _bad(where, code=code, because="its JSON is no object")
    return value


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _bad(where: str, because: str, *, code: str = "bad-safetensors") -> NoReturn:
    raise BadInput(
        code,
        f"{where} is cut short or corrupt.",
        because=(because,),
        fix=AGAIN,
    )


def _tensor(where: str, name: str, entry: Any, data_offset: int, file_bytes: int) -> Tensor:
    """One entry of the table, checked."""
    if not isinstance(entry, dict):
        _bad(where, f"the entry {quoted(name)} is no object")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise BadInput(
            "unknown-tensor-type",
            f"{where}: the tensor {quoted(name)} has type {quoted(str(dtype))}, which is not known.",
            because=(f"known: {', '.join(BITS)}",),
            fix="Update vramctl, or get the model in another format.",
        )
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2 or len(shape) > 16:
        _bad(where, f"the shape or place of {quoted(name)} is not given in whole numbers")
    start, stop = offsets
    if not start <= stop <= file_bytes - data_offset:
        _bad(where, f"the data of {quoted(name)} is past the end of the file ({data_offset + stop} of {file_bytes})")
    if math.prod(shape) * BITS[dtype] != 8 * (stop - start):
        _bad(where, f"{quoted(name)}: {dtype} {shape!s:.80} does not take {stop - start} bytes")
    return Tensor(name, dtype, tuple(shape), stop - start, data_offset + start)


def _counts(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def _check_overlaps(where: str, tensors: tuple[Tensor, ...]) -> None:
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.data_bytes)):
        if tensor.offset < end:
            _bad(where, f"the data of {quoted(tensor.name)} overlaps another tensor's")
        end = tensor.offset + tensor.data_bytes
