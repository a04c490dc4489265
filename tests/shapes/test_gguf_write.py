"""What the header writer writes is what readers read: ours, and gguf-py."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramctl.formats import gguf as reader
from vramctl.formats.gguf_write import ALIGNMENT, Entry, TensorSpec, encode_entry, parsed_metadata, write_header
from vramctl.records import ArrayInfo

_RANGES = {
    "u8": (0, 255),
    "i8": (-128, 127),
    "u16": (0, 2**16 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "u64": (0, 2**64 - 1),
}
_scalars = st.one_of(
    *(st.tuples(st.just(kind), st.integers(*ends)) for kind, ends in _RANGES.items()),
    st.tuples(st.just("bool"), st.booleans()),
    st.tuples(st.just("str"), st.text(max_size=20)),
    st.tuples(st.just("f64"), st.floats(allow_nan=False)),
)
_arrays = st.one_of(
    st.tuples(st.just("i32"), st.lists(st.integers(-5, 5), max_size=9).map(tuple)),
    st.tuples(st.just("str"), st.lists(st.text(max_size=5), max_size=9).map(tuple)),
)
_keys = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=12)


@given(st.dictionaries(_keys, st.one_of(_scalars, _arrays), max_size=8))
def test_our_reader_reads_back_any_metadata(pairs: dict[str, tuple[str, object]]) -> None:
    entries = [Entry(f"k.{key}", kind, value) for key, (kind, value) in pairs.items()]  # type: ignore[arg-type]
    header = write_header(entries, [TensorSpec("t.weight", "F32", (4,))])
    read = reader.parse(header.data, file_bytes=header.file_bytes, where="test")
    assert dict(read.metadata) == dict(parsed_metadata(entries))
    assert read.tensors == header.tensors


def test_tensors_are_placed_one_after_another_on_the_alignment() -> None:
    header = write_header(
        [], [TensorSpec("a", "F32", (3,)), TensorSpec("b", "Q4_K", (256, 2)), TensorSpec("c", "F16", (1,))]
    )
    first, second, third = header.tensors
    assert (first.offset, first.data_bytes) == (len(header.data), 12)
    assert (second.offset - first.offset, second.data_bytes) == (32, 288)
    assert third.offset - second.offset == 288
    assert header.file_bytes == third.offset + ALIGNMENT


def test_single_precision_values_are_reported_as_they_are_read_back() -> None:
    (value,) = parsed_metadata([Entry("eps", "f32", 1e-5)]).values()
    assert value == struct.unpack("<f", struct.pack("<f", 1e-5))[0] != 1e-5


def test_lists_of_strings_are_counted_not_kept() -> None:
    assert parsed_metadata([Entry("tokens", "str", ["a", "b"])]) == {"tokens": ArrayInfo("str", 2)}


def test_what_the_format_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="given twice"):
        write_header([Entry("k", "u8", 1), Entry("k", "u8", 2)], [])
    with pytest.raises(ValueError, match="given twice"):
        write_header([], [TensorSpec("t", "F32", (1,)), TensorSpec("t", "F32", (1,))])
    with pytest.raises(ValueError, match="not a tensor"):
        write_header([], [TensorSpec("t", "Q9_K", (256,))])
    with pytest.raises(ValueError, match="whole number"):
        write_header([], [TensorSpec("t", "Q4_K", (100, 2))])
    with pytest.raises(ValueError, match="not a GGUF value type"):
        encode_entry(Entry("k", "complex", 1))
    with pytest.raises(ValueError, match="u8"):
        encode_entry(Entry("k", "u8", 256))


def test_gguf_py_reads_the_same(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    header = write_header(
        [Entry("general.architecture", "str", "llama"), Entry("llama.list", "i32", (1, 2, 3))],
        [TensorSpec("a.weight", "Q4_K", (256, 2)), TensorSpec("b.weight", "F32", (8,))],
    )
    path = tmp_path / "small.gguf"
    path.write_bytes(header.data.ljust(header.file_bytes, b"\0"))
    read = gguf.GGUFReader(path)
    assert [(t.name, t.tensor_type.name, t.data_offset, t.n_bytes) for t in read.tensors] == [
        (t.name, t.type, t.offset, t.data_bytes) for t in header.tensors
    ]
    assert read.fields["llama.list"].contents() == [1, 2, 3]
