"""Invented weights: repeatable, of the right length, and by a tensor's name."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stand_in_models import SMALL, small_model
from vramctl.errors import BadInput
from vramctl.formats import gguf
from vramctl.formats.gguf_stand_in import stand_in_mark, stand_in_of
from vramctl.formats.gguf_write import Entry, TensorSpec, write_header
from vramctl.formats.weights import GENERATOR, Fill, can_make, make_tile, tile_blocks
from vramctl.formats.weights_fill import Traits, fill_of, muted, traits_of
from vramctl.formats.weights_stream import stand_in_bytes
from vramctl.ggml_types import BY_NAME

MADE = sorted(name for name in BY_NAME if can_make(name))
PLAIN = Traits("output.weight", "", experts=8, sandwich=False, louder=1.0)


@given(name=st.sampled_from(MADE), blocks=st.integers(1, 300), std=st.floats(1e-6, 10), seed=st.binary(max_size=8))
def test_a_tile_has_as_many_blocks_as_asked_and_is_the_same_again(
    name: str, blocks: int, std: float, seed: bytes
) -> None:
    tile = make_tile(name, Fill(std), blocks=blocks, seed=seed)
    assert len(tile) == blocks * BY_NAME[name].size
    assert tile == make_tile(name, Fill(std), blocks=blocks, seed=seed)


def test_tiles_of_two_seeds_differ() -> None:
    assert make_tile("Q4_K", Fill(0.02), blocks=9, seed=b"0") != make_tile("Q4_K", Fill(0.02), blocks=9, seed=b"1")


@pytest.mark.parametrize("name", ["Q8_1", "Q8_K"])
def test_types_that_no_file_holds_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be invented"):
        make_tile(name, Fill(0.02), blocks=1, seed=b"")


def test_generator_one_writes_these_bytes() -> None:
    """Another digest means another generator: count `GENERATOR` up, or kept stand-ins are taken for new ones."""
    tiles = b"".join(make_tile(name, Fill(0.02), blocks=40, seed=b"0") for name in MADE)
    assert (GENERATOR, hashlib.sha256(tiles).hexdigest()[:16]) == (1, "796d9dc6589a49fc")


@given(name=st.sampled_from(MADE), modulus=st.integers(1, 5000))
def test_rows_of_whole_blocks_never_start_at_the_same_place_of_a_tile(name: str, modulus: int) -> None:
    blocks = tile_blocks(name, Fill(0.02, modulus=modulus))
    if name.startswith("I") and not name.startswith("IQ"):
        assert blocks % modulus == 0
    else:
        assert all(blocks % length for length in (2, 3, 4, 8, 16, 18, 56))


def values(name: str, fill: Fill) -> tuple[float, ...]:
    tile = make_tile(name, fill, blocks=4096, seed=b"0")
    return struct.unpack(f"<4096{'e' if name == 'F16' else 'f'}", bytes(tile))


@pytest.mark.parametrize("name", ["F16", "F32"])
def test_norms_are_about_one_and_flipped_ones_have_both_signs(name: str) -> None:
    norm = values(name, fill_of("blk.0.attn_norm.weight", (64,), PLAIN))
    assert 0.8 < min(norm) < max(norm) < 1.2
    tied = Traits("token_embd.weight", "output_norm.weight", experts=0, sandwich=False, louder=1.0)
    flipped = values(name, fill_of("output_norm.weight", (64,), tied))
    assert 0.8 < min(map(abs, flipped)) < max(map(abs, flipped)) < 1.2
    assert 0.4 < sum(value < 0 for value in flipped) / len(flipped) < 0.6


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("rope_freqs.weight", 1, 1.01),
        ("blk.3.ssm_a", -15, -1),
        ("blk.3.ssm_d", 1, 1.01),
        ("blk.3.ssm_dt.bias", -7, -2.5),
        ("blk.3.attn_q.scale", 1, 1.01),
        ("blk.3.ffn_down_exps.bias", -0.01, 0.01),
        ("blk.3.exp_probs_b.bias", -0.01, 0.01),
        ("blk.3.attn_norm.bias", -0.1, 0.1),
        ("blk.3.attn_sinks.weight", -0.1, 0.1),
    ],
)
def test_values_that_must_lie_in_a_range_do(name: str, low: float, high: float) -> None:
    found = values("F32", fill_of(name, (4096,), PLAIN))
    assert low <= min(found) <= max(found) <= high


def test_matrices_keep_their_input_s_size_and_layers_add_little() -> None:
    assert fill_of("blk.0.attn_q.weight", (4096, 4096), PLAIN).std == pytest.approx(1 / 64)
    assert fill_of("blk.0.attn_output.weight", (4096, 4096), PLAIN).std < 0.001
    assert fill_of("blk.0.ffn_down_exps.weight", (1024, 64, 8), PLAIN).std < 0.002
    assert muted(Fill(0.16)).std == pytest.approx(0.01)


def test_tables_of_experts_name_experts_that_are_there() -> None:
    fill = fill_of("blk.0.ffn_gate_tid2eid.weight", (6, 1000), PLAIN)
    numbers = struct.unpack("<4096i", bytes(make_tile("I32", fill, blocks=4096, seed=b"")))
    assert set(numbers) == set(range(8))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_stand_in_reads_as_the_model_with_one_key_more(name: str) -> None:
    model = small_model(name)
    assert model.header is not None
    stand_in = stand_in_of(model.header, where=name, seed=7)
    pieces = list(stand_in_bytes(stand_in))
    assert sum(map(len, pieces)) == stand_in.file_bytes
    whole = b"".join(pieces)
    before = gguf.parse(model.header, file_bytes=1 << 50, where=name)
    after = gguf.parse(whole, file_bytes=len(whole), where=name)
    assert [(t.name, t.type, t.shape, t.data_bytes) for t in after.tensors] == [
        (t.name, t.type, t.shape, t.data_bytes) for t in before.tensors
    ]
    mark = stand_in_mark(after.metadata)
    assert mark is not None
    assert "seed 7" in mark
    assert {key: value for key, value in after.metadata.items() if value != mark} == before.metadata
    assert all(any(whole[t.offset : t.offset + t.data_bytes]) for t in after.tensors)


def test_a_stand_in_of_a_stand_in_is_itself() -> None:
    header = small_model("qwen3-30b-a3b").header
    assert header is not None
    once = stand_in_of(header, where="x")
    assert stand_in_of(once.header, where="x") == once


def test_rows_of_control_tokens_are_quiet() -> None:
    header = small_model("llama3.1-8b", "F32").header
    assert header is not None
    stand_in = stand_in_of(header, where="x")
    assert stand_in.muted == (range(4093, 4096),)
    whole = b"".join(stand_in_bytes(stand_in))
    output = next(tensor for tensor in stand_in.tensors if tensor.name == "output.weight")
    loud, quiet = (struct.unpack_from("<256f", whole, output.offset + token * 1024) for token in (4092, 4094))
    assert max(map(abs, quiet)) < 0.2 * max(map(abs, loud))
    assert any(quiet)


def test_big_endian_files_and_endless_padding_are_refused() -> None:
    plain = write_header([Entry("general.architecture", "str", "llama")], [TensorSpec("a", "F32", (8,))]).data
    swapped = plain[:4] + struct.pack(">IQQ", 3, 0, 0)
    with pytest.raises(BadInput, match="big-endian"):
        stand_in_of(swapped + bytes(64), where="x")
    aligned = [Entry("general.architecture", "str", "llama"), Entry("general.alignment", "u32", 1 << 31)]
    with pytest.raises(BadInput, match="alignment is 2147483648"):
        stand_in_of(write_header(aligned, [TensorSpec("a", "F32", (8,))]).data, where="x")


def test_an_alignment_of_its_own_is_kept() -> None:
    entries = [Entry("general.architecture", "str", "llama"), Entry("general.alignment", "u32", 4096)]
    specs = [TensorSpec("a", "F32", (8,)), TensorSpec("b", "F32", (8,))]
    written = write_header(entries, specs).data
    at = written.rindex(struct.pack("<Q", 32))  # b's offset, which write_header pads to 32
    header = (written[:at] + struct.pack("<Q", 4096) + written[at + 8 :]).ljust(4096, b"\0")
    stand_in = stand_in_of(header, where="x")
    assert [tensor.offset % 4096 for tensor in stand_in.tensors] == [0, 0]
    assert len(b"".join(stand_in_bytes(stand_in))) == stand_in.file_bytes == 3 * 4096


def test_traits_follow_the_names_and_the_scales() -> None:
    metadata = {"general.architecture": "granite", "granite.embedding_scale": 12.0, "granite.residual_scale": 0.25}
    traits = traits_of({"token_embd.weight", "output_norm.weight", "blk.0.ffn_norm.weight"}, metadata)
    assert traits == Traits("token_embd.weight", "output_norm.weight", experts=0, sandwich=True, louder=48.0)
    nonsense = {
        "general.architecture": "granite",
        "granite.embedding_scale": float("nan"),
        "granite.expert_count": True,
    }
    assert traits_of({"output.weight"}, nonsense) == Traits("output.weight", "", experts=0, sandwich=False, louder=1.0)
