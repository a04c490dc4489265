"""The bytes of a stand-in from first to last, in pieces that share their memory: nothing is copied here."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator

from vramctl.formats.gguf_stand_in import StandIn
from vramctl.formats.weights import Fill, make_tile, tile_blocks
from vramctl.formats.weights_fill import fill_of, muted
from vramctl.ggml_types import BY_NAME
from vramctl.records import Tensor

_KEPT_TILES = 48  # of 2 MiB; models need 10 to 20
_ZEROS = memoryview(bytes(1 << 20))

Piece = memoryview


def stand_in_bytes(stand_in: StandIn) -> Iterator[Piece]:
    """The whole file in order: header, tensors, and zeros in the gaps between them."""
    tiles = _Tiles(stand_in.seed)
    yield memoryview(stand_in.header)
    at = len(stand_in.header)
    for tensor in stand_in.tensors:
        yield from _zeros(tensor.offset - at)
        fill = fill_of(tensor.name, tensor.shape, stand_in.traits)
        yield from _tensor(tensor, fill, stand_in, tiles)
        at = tensor.offset + tensor.data_bytes
    yield from _zeros(stand_in.file_bytes - at)


class _Tiles:
    """Tiles as they are needed; the least recently used are let go."""

    def __init__(self, seed: int) -> None:
        self._seed = str(seed).encode()
        self._kept: OrderedDict[tuple[str, Fill], memoryview] = OrderedDict()

    def cut(self, tensor: Tensor, fill: Fill, start: int, length: int) -> Iterator[Piece]:
        """`length` bytes of the tensor from byte `start`, whose stretch of the tile begins at a place of its own."""
        tile = self._tile(tensor.type, fill)
        size = BY_NAME[tensor.type].size
        first = int.from_bytes(hashlib.blake2b(tensor.name.encode(), digest_size=8).digest(), "little")
        at = (0 if fill.modulus > 1 else first % (len(tile) // size) * size) + start
        while length > 0:
            at %= len(tile)
            piece = tile[at : at + length]
            yield piece
            at += len(piece)
            length -= len(piece)

    def _tile(self, kind: str, fill: Fill) -> memoryview:
        key = (kind, fill)
        if key not in self._kept:
            made = make_tile(kind, fill, blocks=tile_blocks(kind, fill), seed=self._seed)
            self._kept[key] = memoryview(made).toreadonly()
            if len(self._kept) > _KEPT_TILES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def _tensor(tensor: Tensor, fill: Fill, stand_in: StandIn, tiles: _Tiles) -> Iterator[Piece]:
    """The tensor's bytes; rows of tokens that are never text are muted in the output matrix."""
    at = 0
    if tensor.name == stand_in.traits.output and len(tensor.shape) == 2:
        rows = tensor.shape[1]
        row = tensor.data_bytes // rows
        for quiet in stand_in.muted:
            start, stop = min(max(quiet.start, 0), rows) * row, min(max(quiet.stop, 0), rows) * row
            yield from tiles.cut(tensor, fill, at, start - at)
            yield from tiles.cut(tensor, muted(fill), start, stop - start)
            at = stop
    yield from tiles.cut(tensor, fill, at, tensor.data_bytes - at)


def _zeros(length: int) -> Iterator[Piece]:
    while length > 0:
        piece = _ZEROS[:length]
        yield piece
        length -= len(piece)
