"""Invented weights: bytes that every engine takes for a tensor of a given type, mean and spread; pure and repeatable.

A tile is a stretch of blocks that is written over and over; big tensors hold many, small ones a part.  Random bytes come
from SHAKE-128, so the same seed gives the same bytes everywhere.  Columns of scales are made for all blocks at once by
`bytes.translate` and slices with a step, which takes 10 ns a block.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from vramctl.errors import BadInput
from vramctl.formats.weights_blocks import BLOCKS, FLOATS, INTEGERS, Block
from vramctl.ggml_types import BY_NAME

GENERATOR = 1  # counts up whenever the same header and seed give other bytes
TILE_BYTES = 2 << 20
_LEAST_HALF = 2.0**-24  # the smallest f16 above zero
_MOST_HALF = 65504.0
_BYTE = range(256)


@dataclass(frozen=True, slots=True)
class Fill:
    """What a tensor's values are like: their mean and standard deviation.

    Integers count from 0 to `modulus` - 1, again and again (indices of experts), and are 0 where it is 1.  Types in blocks
    have the mean 0 always.
    """

    std: float
    mean: float = 0.0
    modulus: int = 1
    alternating: bool = False  # half of the values are negated


def can_make(type_name: str) -> bool:
    """Whether values of this ggml type can be invented; what engines use only while they compute cannot."""
    return type_name in BLOCKS or type_name in FLOATS or type_name in INTEGERS


def make_tile(type_name: str, fill: Fill, *, blocks: int, seed: bytes) -> bytearray:
    """`blocks` blocks of a ggml type with values as `fill` says; BadInput for a type that no file holds."""
    if type_name in INTEGERS:
        return _counting(INTEGERS[type_name], fill.modulus, blocks)
    size = BY_NAME[type_name].size
    label = f"{type_name} {fill}".encode()
    if type_name in FLOATS:
        tile = bytearray(_random(size * blocks, b"values", label, seed))
        _write_floats(tile, type_name, fill, _random(blocks, b"draw", label, seed))
        return tile
    if type_name not in BLOCKS:
        raise BadInput(
            "type-not-in-files",
            f"Weights of the type {type_name} cannot be invented.",
            because=("engines use it only while they compute; no file holds it",),
            fix="Give a model whose tensors have types that llama-quantize writes.",
        )
    tile = bytearray(_random(size * blocks, b"values", label, seed))
    _write_scales(tile, size, BLOCKS[type_name], fill.std, _random(blocks, b"draw", label, seed))
    return tile


def tile_blocks(type_name: str, fill: Fill) -> int:
    """How many blocks a tile of this type has.

    A prime where rows are whole blocks, so that rows of any length start at ever new places; a multiple of the modulus for
    integers.
    """
    most = TILE_BYTES // BY_NAME[type_name].size
    if type_name in INTEGERS:
        return max(most // fill.modulus, 1) * fill.modulus
    return next(n for n in range(most, 1, -1) if all(n % d for d in range(2, math.isqrt(n) + 1)))


def _random(count: int, *labels: bytes) -> bytes:
    return hashlib.shake_128(b"vramctl weights\0" + b"\0".join(labels)).digest(count)


def _counting(size: int, modulus: int, count: int) -> bytearray:
    most = min(modulus, 1 << (8 * size - 1))
    once = b"".join(value.to_bytes(size, "little") for value in range(most))
    return bytearray((once * -(-count // most))[: count * size])


@lru_cache(maxsize=4)
def _quantiles(mean: float, std: float, alternating: bool) -> tuple[float, ...]:
    """256 equally likely values of a normal distribution, in mixed order where every other one is negated."""
    normal = NormalDist()
    raw = [normal.inv_cdf((n + 0.5) / 256) for n in _BYTE]
    scale = 1 / math.sqrt(sum(value * value for value in raw) / 256)
    found = [mean + std * scale * value for value in raw]
    return tuple(-value if alternating and n % 2 else value for n, value in enumerate(found))


def _write_floats(tile: bytearray, type_name: str, fill: Fill, draw: bytes) -> None:
    size, known = FLOATS[type_name]
    values = _quantiles(fill.mean, fill.std, fill.alternating)
    codes = {"F16": "<e", "F64": "<d"}
    written = [struct.pack(codes.get(type_name, "<f"), value) for value in values]
    if type_name == "BF16":
        written = [_rounded_bf16(raw) for raw in written]
    for at in range(size - known, size):
        tile[at::size] = draw.translate(bytes(raw[at] for raw in written))


def _rounded_bf16(raw: bytes) -> bytes:
    number = int.from_bytes(raw, "little")
    return ((number + 0x8000) >> 16).to_bytes(2, "little")


def _write_scales(tile: bytearray, size: int, block: Block, std: float, draw: bytes) -> None:
    """Overwrite what is not free in the blocks of a tile: scales, minima, and the columns that depend on others."""
    for column in block.columns:
        for at in range(column.start, column.stop):
            source = column.source + at - column.start
            tile[at::size] = tile[source::size].translate(column.table)
    scale = std / block.spread
    halves = _scale_bits(scale, signed=block.signed)
    if block.scale is not None:
        _write_half(tile, size, block.scale, halves, draw)
    if block.minimum is not None:
        minima = [_half_bits(block.per_scale * _half_value(bits)) for bits in halves]
        _write_half(tile, size, block.minimum, minima, draw)
    for place, at in enumerate(block.nibbles):
        table = bytes((bits >> 4 * place & 15) << 4 | (n * 7 + place * 5) % 16 for n, bits in enumerate(halves))
        tile[at::size] = draw.translate(table)
    for at in block.powers:
        tile[at::size] = draw.translate(_power_table(scale))
    for at in block.fp8:
        tile[at::size] = tile[at::size].translate(_fp8_table(scale))


def _write_half(tile: bytearray, size: int, at: int, halves: list[int], draw: bytes) -> None:
    tile[at::size] = draw.translate(bytes(bits & 255 for bits in halves))
    tile[at + 1 :: size] = draw.translate(bytes(bits >> 8 for bits in halves))


def _scale_bits(scale: float, *, signed: bool) -> list[int]:
    """256 f16 scales around `scale`, 0.75 to 1.25 times as large, of the same mean square."""
    spread = [0.75 + 0.5 * (n * 89 % 256) / 255 for n in _BYTE]
    even = scale / math.sqrt(sum(part * part for part in spread) / 256)
    return [
        _half_bits((-1 if signed and n % 2 else 1) * min(max(even * part, _LEAST_HALF), _MOST_HALF))
        for n, part in enumerate(spread)
    ]


def _half_bits(value: float) -> int:
    return int.from_bytes(struct.pack("<e", value), "little")


def _half_value(bits: int) -> float:
    value: float = struct.unpack("<e", bits.to_bytes(2, "little"))[0]
    return value


def _power_table(scale: float) -> bytes:
    """256 exponents e of the value 2^(e - 128) (ggml_e8m0_to_fp32_half), two neighbours mixed to the mean square."""
    exact = min(max(math.log2(scale) + 128, 2.0), 250.0)
    low = math.floor(exact)
    high_share = (4.0 ** (exact - low) - 1) / 3
    return bytes(low + (n < 256 * high_share) for n in _BYTE)


def _fp8_table(scale: float) -> bytes:
    """256 UE4M3 scales of half their value (ggml_ue4m3_to_fp32), two neighbours mixed to the mean square.

    Where even the smallest is too large, few blocks have it and the rest are zero.
    """
    values = [_fp8_value(code) for code in range(0x7F)]
    high = next((code for code, value in enumerate(values) if value >= scale), 0x7E)
    low = max(high - 1, 0)
    share = (scale**2 - values[low] ** 2) / (values[high] ** 2 - values[low] ** 2)
    return bytes(high if n < max(256 * share, 1) else low for n in _BYTE)


def _fp8_value(code: int) -> float:
    exponent, mantissa = code >> 3, code & 7
    return (math.ldexp(mantissa, -9) if exponent == 0 else math.ldexp(1 + mantissa / 8, exponent - 7)) / 2
