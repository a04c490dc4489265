"""How a block of each ggml type is laid out, as far as invented weights must know: where its scales are.

Read from ggml/src/ggml-common.h and the `dequantize_row_*` functions of ggml/src/ggml-quants.c (ggml 0.26.0).  All other
bytes of a block are indices, signs and quants, of which every value is valid; they stay random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_SAME = bytes(range(256))
_LOW_TWICE = bytes((byte & 15) * 17 for byte in range(256))
_NO_MINUS_128 = bytes([*range(128), 129, *range(129, 256)])
_TRITS = [a | b << 2 | c << 4 | d << 6 for a in range(3) for b in range(3) for c in range(3) for d in range(3)]
_TERNARY = bytes(_TRITS[byte * 81 // 256] for byte in range(256))
_BASE_3 = bytes((byte * 243 // 256 * 256 + 242) // 243 for byte in range(256))  # five trits in a byte
_BASE_3_OF_4 = bytes((byte * 81 // 256 * 3 * 256 + 242) // 243 for byte in range(256))  # four, the fifth is zero


@dataclass(frozen=True, slots=True)
class Column:
    """Bytes [start, stop) of every block become those at `source`, each looked up in `table` (256 bytes)."""

    start: int
    stop: int
    source: int
    table: bytes = _SAME


@dataclass(frozen=True, slots=True)
class Block:
    """Where the scales of a block are.

    `spread`: root mean square of the block's values where its scale is 1 and the other bytes are random.
    `scale`: offset of the f16 scale; `minimum`: offset of the f16 minimum, which is `per_scale` times the scale, so that
    the values' mean is zero. `signed`: half of the scales are negative, for the same reason.
    `nibbles`: the four bytes whose upper halves are the f16 scale, lowest first (IQ1_M).
    `powers`, `fp8`: offsets of scale bytes that are powers of two (E8M0) or unsigned E4M3.
    """

    spread: float
    scale: int | None = None
    minimum: int | None = None
    per_scale: float = 0.0
    signed: bool = False
    columns: tuple[Column, ...] = ()
    nibbles: tuple[int, ...] = ()
    powers: tuple[int, ...] = ()
    fp8: tuple[int, ...] = ()


# The minima of Q4_K and Q5_K repeat the scales: 6 bits each in 12 bytes (get_scale_min_k4), so that every part of a
# block has the mean zero.
_K_MINIMA = (Column(8, 12, 4), Column(12, 16, 12, _LOW_TWICE))

BLOCKS: Mapping[str, Block] = {
    "Q1_0": Block(1.0, scale=0),
    "Q2_0": Block(1.2247, scale=0, signed=True),
    "Q4_0": Block(4.6368, scale=0, signed=True),
    "Q4_1": Block(4.6098, scale=0, minimum=2, per_scale=-7.5),
    "Q5_0": Block(9.2466, scale=0, signed=True),
    "Q5_1": Block(9.2331, scale=0, minimum=2, per_scale=-15.5),
    "Q8_0": Block(73.9, scale=0, signed=True, columns=(Column(2, 34, 2, _NO_MINUS_128),)),
    "Q2_K": Block(9.84, scale=80, minimum=82, per_scale=1.5, columns=(Column(0, 16, 0, _LOW_TWICE),)),
    "Q3_K": Block(43.3, scale=108),
    "Q4_K": Block(168.5, scale=0, minimum=2, per_scale=7.5, columns=_K_MINIMA),
    "Q5_K": Block(337.6, scale=0, minimum=2, per_scale=15.5, columns=_K_MINIMA),
    "Q6_K": Block(1371.0, scale=208),
    "IQ1_S": Block(7.2, scale=0),
    "IQ1_M": Block(7.2, nibbles=(49, 51, 53, 55)),
    "IQ2_XXS": Block(53.35, scale=0),
    "IQ2_XS": Block(55.94, scale=0),
    "IQ2_S": Block(56.4, scale=0),
    "IQ3_XXS": Block(142.5, scale=0),
    "IQ3_S": Block(140.3, scale=0),
    "IQ4_NL": Block(67.4, scale=0, signed=True),
    "IQ4_XS": Block(1257.0, scale=0),
    "TQ1_0": Block(0.8165, scale=52, columns=(Column(0, 48, 0, _BASE_3), Column(48, 52, 48, _BASE_3_OF_4))),
    "TQ2_0": Block(0.8165, scale=64, columns=(Column(0, 64, 0, _TERNARY),)),
    "MXFP4": Block(5.8524, powers=(0,)),
    "NVFP4": Block(5.8524, fp8=(0, 1, 2, 3)),
}  # fmt: skip

# Types of single numbers: bytes of one, and how many of them (the upper ones) a table gives; the rest are random.
FLOATS: Mapping[str, tuple[int, int]] = {"F16": (2, 2), "BF16": (2, 2), "F32": (4, 2), "F64": (8, 4)}
INTEGERS: Mapping[str, int] = {"I8": 1, "I16": 2, "I32": 4, "I64": 8}
