"""Mutated headers: only a Header, a BadInput or a request for more bytes may come out.

The seed is fixed.  `VRAMCTL_FUZZ=2000000 pytest tests/formats/test_gguf_fuzz.py` tries more by hand.
"""

from __future__ import annotations

import os
import random
import struct

import pytest

import gguf_bytes
from vramctl.errors import BadInput, VramctlError
from vramctl.formats import gguf, safetensors
from vramctl.formats.model import join

MUTANTS = int(os.environ.get("VRAMCTL_FUZZ", "100000"))
NASTY = (0, 1, 2, 7, 8, 9, 13, 31, 32, 255, 256, 65535, 65537, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 33,
         (1 << 61), (1 << 63) - 1, 1 << 63, (1 << 64) - 32, (1 << 64) - 8, (1 << 64) - 1)  # fmt: skip

SMALL: list[gguf_bytes.Pair] = [
    *gguf_bytes.LLAMA[:-2],
    ("tokenizer.ggml.tokens", "[str]", ["a", "bc", "", "x" * 70] + ["word"] * 300),
    ("tokenizer.ggml.scores", "[f32]", [0.5] * 9),
    ("llama.flags", "[bool]", [True, False]),
    ("general.alignment", "u32", 32),
    ("split.no", "u16", 0),
    ("split.count", "u16", 1),
]
SEEDS = [
    gguf_bytes.file(SMALL, order=order, version=version)[:-7000] for order in "<>" for version in (2, 3)
] + gguf_bytes.split(2)  # the first four have lost some of their data: the file's size is what the test says


def mutate(seed: bytes, dice: random.Random) -> bytearray:
    """The seed with one to four changes: bytes, numbers, pieces moved, cut or repeated."""
    data = bytearray(seed)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        if not data:
            break
        at = dice.randrange(len(data))
        way = dice.randrange(8)
        if way == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif way == 1:
            data[at] = dice.randrange(256)
        elif way in (2, 3):
            order, letter = dice.choice("<>"), dice.choice("IQQ")
            value = dice.choice(NASTY) % (1 << (8 * struct.calcsize(letter)))
            data[at : at + struct.calcsize(letter)] = struct.pack(order + letter, value)
        elif way == 4:
            del data[at:]
        elif way == 5:
            del data[at : at + dice.randrange(1, 64)]
        elif way == 6:
            start = dice.randrange(len(data))
            data[at:at] = data[start : start + dice.randrange(1, 64)]
        else:
            data[at : at + 1] = dice.randbytes(dice.randrange(1, 16))
    return data


def outcome(data: bytearray, file_bytes: int) -> str:
    """What the reader makes of it; anything but these outcomes is a failure."""
    try:
        header = gguf.parse(data, file_bytes=file_bytes, where="x.gguf")
    except gguf.MoreBytesNeeded as more:
        assert len(data) < more.at_least <= file_bytes
        return "more"
    except BadInput as error:
        assert error.code
        assert error.because
        assert error.fix
        return error.code
    assert header.header_bytes <= len(data)
    for tensor in header.tensors:
        assert tensor.data_bytes > 0
        assert header.data_offset <= tensor.offset
        assert tensor.offset + tensor.data_bytes <= file_bytes
    try:
        model = join("x", [header], names=["x.gguf"], sizes=[file_bytes])
    except VramctlError as error:
        return error.code
    assert model.parameters >= 0
    return "read"


def test_mutated_headers_are_read_or_refused() -> None:
    dice = random.Random(20261120)
    outcomes: dict[str, int] = {}
    for index in range(MUTANTS):
        seed = SEEDS[index % len(SEEDS)]
        data = mutate(seed, dice)
        # As a file of its own, as one whose data follows, or as the start of a longer one.
        file_bytes = len(data) + dice.choice((0, 7000, 7000, 1 << 40))
        buffer = (
            data if file_bytes > len(data) and dice.random() < 0.5 else data + bytes(min(file_bytes - len(data), 7000))
        )
        result = outcome(buffer, file_bytes)
        outcomes[result] = outcomes.get(result, 0) + 1
    # The mutations reach deep: all kinds of outcome are seen, and none hides the others.
    assert outcomes["read"] > MUTANTS // 50
    assert outcomes["more"] > MUTANTS // 100
    assert len(outcomes) >= 15, outcomes
    assert max(outcomes.values()) < MUTANTS * 9 // 10


SAFETENSORS = (
    b'{"__metadata__":{"format":"pt"},'
    b'"a.weight":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},'
    b'"b":{"dtype":"F32","shape":[],"data_offsets":[12,16]}}'
)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_safetensors_headers_are_read_or_refused(seed: int) -> None:
    dice = random.Random(seed)
    read = refused = 0
    for _ in range(MUTANTS // 20):
        text = mutate(SAFETENSORS, dice) if dice.random() < 0.8 else bytearray(SAFETENSORS)
        length = len(text) if dice.random() < 0.9 else dice.choice(NASTY)
        data = struct.pack("<Q", length) + text + bytes(16)
        try:
            header = safetensors.parse(data, file_bytes=len(data), where="x.safetensors")
            assert all(tensor.offset + tensor.data_bytes <= len(data) for tensor in header.tensors)
            read += 1
        except BadInput as error:
            assert error.because
            refused += 1
    assert read > MUTANTS // 200
    assert refused > MUTANTS // 100
