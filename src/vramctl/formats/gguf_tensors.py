"""The tensor table of a GGUF header: names, types, shapes, and where the data lies in the file."""

from __future__ import annotations

import math
from typing import NoReturn

from vramctl import ggml_types
from vramctl.formats.gguf_cursor import AGAIN, MAX_NAME_BYTES, Cursor, quoted
from vramctl.records import Tensor
from vramctl.units import pad

MAX_ELEMENTS = (1 << 63) - 1
_REMOVED_TYPES = {4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4",
                  37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8"}  # fmt: skip


Row = tuple[str, int, tuple[int, ...], int]


def read_table(cursor: Cursor, count: int) -> list[Row]:
    """Name, type id, shape and relative offset of each tensor."""
    rows: list[Row] = []
    seen: set[str] = set()
    for index in range(count):
        name = cursor.name("gguf-bad-tensor-name", f"the name of tensor {index}", MAX_NAME_BYTES)
        if name in seen:
            cursor.bad(
                "gguf-duplicate-tensor",
                f"{cursor.where} is corrupt: the tensor {quoted(name)} is there twice.",
                because=(f"tensor {index} of {count}", "llama.cpp refuses such a file"),
                fix=AGAIN,
            )
        seen.add(name)
        dims = cursor.number("I", f"the dimensions of {quoted(name)}")
        if dims > 4:
            _bad_shape(cursor, name, f"{dims} dimensions; ggml has at most 4")
        layout = cursor.unpacker(f"{dims}QIQ")
        values = layout.unpack_from(cursor.buffer, cursor.advance(layout.size, f"tensor {quoted(name)}"))
        rows.append((name, values[-2], values[:dims] or (1,), values[-1]))
    return rows


def _bad_shape(cursor: Cursor, name: str, because: str) -> NoReturn:
    cursor.bad(
        "gguf-bad-shape",
        f"{cursor.where} is corrupt: the tensor {quoted(name)} has an impossible shape.",
        because=(because,),
        fix=AGAIN,
    )


def place(cursor: Cursor, table: list[Row], data_offset: int, alignment: int) -> tuple[tuple[Tensor, ...], int]:
    """The tensors with sizes and offsets from the file's start, and where the last one ends."""
    tensors = []
    expected = 0
    in_order = True
    last = 0
    for name, kind, shape, offset in table:
        size = _data_bytes(cursor, name, kind, shape)
        if offset % alignment:
            cursor.bad(
                "gguf-bad-offset",
                f"{cursor.where} is corrupt: the data of {quoted(name)} is not aligned.",
                because=(f"offset {offset} is no multiple of {alignment}",),
                fix=AGAIN,
            )
        if data_offset + offset + size > cursor.file_bytes:
            _past_end(cursor, name, data_offset + offset, size)
        in_order = in_order and offset == expected
        expected = pad(offset + size, alignment)
        last = max(last, offset + size)
        tensors.append(Tensor(name, ggml_types.BY_ID[kind].name, shape, size, data_offset + offset))
    if not in_order:
        _check_overlaps(cursor, tensors)
    return tuple(tensors), last


def _data_bytes(cursor: Cursor, name: str, kind: int, shape: tuple[int, ...]) -> int:
    """Bytes of the tensor's data (ggml_nbytes)."""
    known = ggml_types.BY_ID.get(kind)
    if known is None:
        removed = _REMOVED_TYPES.get(kind)
        cursor.bad(
            "gguf-unknown-tensor-type",
            f"{cursor.where}: the tensor {quoted(name)} has type {kind}, which "
            + (f"llama.cpp dropped ({removed})." if removed else "is not known."),
            because=("types known are those of ggml 0.26.0 (llama.cpp b11434)",),
            fix="Get the model in another quantisation, for example Q4_K_M, or update vramctl."
            if removed is None
            else "Get the model in another quantisation, for example Q4_0 or Q4_K_M.",
        )
    elements = math.prod(shape)
    if elements == 0 or elements > MAX_ELEMENTS:
        _bad_shape(cursor, name, f"{list(shape)}: {'no elements' if elements == 0 else 'more than 2^63 elements'}")
    if shape[0] % known.block:
        _bad_shape(cursor, name, f"rows of {shape[0]} elements are no whole {known.name} blocks of {known.block}")
    return elements // known.block * known.size


def _past_end(cursor: Cursor, name: str, start: int, size: int) -> NoReturn:
    cursor.bad(
        "gguf-truncated",
        f"{cursor.where} is cut short or corrupt: the data of {quoted(name)} is past the end of the file.",
        because=(f"it takes bytes {start} to {start + size}", f"the file has {cursor.file_bytes} bytes"),
        fix=AGAIN,
    )


def _check_overlaps(cursor: Cursor, tensors: list[Tensor]) -> None:
    end, before = 0, ""
    for tensor in sorted(tensors, key=lambda t: t.offset):
        if tensor.offset < end:
            cursor.bad(
                "gguf-bad-offset",
                f"{cursor.where} is corrupt: the data of {quoted(before)} and {quoted(tensor.name)} overlap.",
                because=(f"one ends at byte {end}, the other starts at byte {tensor.offset}",),
                fix=AGAIN,
            )
        end, before = tensor.offset + tensor.data_bytes, tensor.name
