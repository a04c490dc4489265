"""Bytes per buffer type of a loaded context, in the engine's own count: llama_get_memory_breakdown's std::map, walked."""

from __future__ import annotations

import ctypes as C
import struct
from collections.abc import Callable, Iterator
from typing import Any

from vramctl.engines.dry_run.layouts import LayoutUnknown

MOST_BUFTS, DEEPEST = 64, 32


def walk(fill: Callable[..., Any], context: int) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """(buffer type, (weights, KV, compute) in bytes) of each entry, in order; LayoutUnknown for what is no such map.

    `fill(map, context)` makes the map; libstdc++ lays it out as a header, then red-black nodes of colour, parent, left, right.
    """
    header = (C.c_uint64 * 6)()
    fill(C.addressof(header), context)
    count = header[5]
    if not 0 < count <= MOST_BUFTS or not header[2]:
        raise LayoutUnknown("the memory breakdown is not a map as libstdc++ lays it out")
    seen = 0
    for entry in _nodes(header[2], 0):
        seen += 1
        if seen > count:
            raise LayoutUnknown("the memory breakdown holds more entries than it says")
        yield entry
    if seen != count:
        raise LayoutUnknown(f"the memory breakdown holds {seen} entries and says {count}")


def _nodes(node: int, depth: int) -> Iterator[tuple[int, tuple[int, int, int]]]:
    if not node:
        return
    if depth > DEEPEST:
        raise LayoutUnknown("the memory breakdown holds more entries than it says")
    left, right, buft, *sizes = struct.unpack("<QQQQQQ", C.string_at(node + 16, 48))
    yield from _nodes(left, depth + 1)
    yield buft, (sizes[0], sizes[1], sizes[2])
    yield from _nodes(right, depth + 1)
