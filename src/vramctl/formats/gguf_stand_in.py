"""The header of a stand-in: a model's own, with one key more that says that the weights are invented.

llama.cpp counts keys that it does not know and goes on (src/llama-model-loader.cpp, b11434), so sizes, placement and speed
are those of the model.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vramctl.errors import BadInput
from vramctl.formats import gguf
from vramctl.formats.gguf_write import Entry, encode_entry
from vramctl.formats.weights import GENERATOR, can_make
from vramctl.formats.weights_fill import Traits, traits_of
from vramctl.records import Tensor
from vramctl.records.model import MetadataValue
from vramctl.units import pad

MARK = "vramctl.stand_in"
_TOKEN_TYPES = "tokenizer.ggml.token_type"
_NEVER_TEXT = frozenset((2, 3, 5, 6))  # llama_token_type: unknown, control, unused, byte
_MAX_FILE_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class StandIn:
    """A stand-in to be written: its header (padded), tensors in the order of the file, and the whole file's bytes.

    In the matrix that gives the logits, the rows in `muted` are kept near zero.
    """

    header: bytes
    tensors: tuple[Tensor, ...]
    file_bytes: int
    traits: Traits
    muted: tuple[range, ...]
    seed: int


def stand_in_of(header: bytes, *, where: str, seed: int = 0) -> StandIn:
    """What to write for a GGUF header (with padding); BadInput where llama.cpp could not load the result here."""
    parsed = gguf.parse(header, file_bytes=_MAX_FILE_BYTES, where=where)
    if parsed.byte_order == "big":
        raise BadInput(
            "gguf-big-endian",
            f"{where} is a big-endian file.",
            because=("llama.cpp loads files of the machine's own byte order",),
            fix="Give a little-endian GGUF of the model.",
        )
    _refuse_types(parsed.tensors, where)
    marked, data_offset = _marked(header, parsed, seed)
    moved = data_offset - parsed.data_offset
    tensors = tuple(
        Tensor(t.name, t.type, t.shape, t.data_bytes, t.offset + moved)
        for t in sorted(parsed.tensors, key=lambda tensor: tensor.offset)
    )
    return StandIn(
        header=marked,
        tensors=tensors,
        file_bytes=data_offset + pad(parsed.data_bytes, parsed.alignment),
        traits=traits_of({tensor.name for tensor in tensors}, parsed.metadata),
        muted=_ranges(_never_text(header, parsed.metadata)),
        seed=seed,
    )


def stand_in_mark(metadata: Mapping[str, MetadataValue]) -> str | None:
    """What a stand-in's header says of its making, None for a file with weights of its own."""
    mark = metadata.get(MARK)
    return mark if isinstance(mark, str) else None


def _refuse_types(tensors: Iterable[Tensor], where: str) -> None:
    for tensor in tensors:
        if not can_make(tensor.type):
            raise BadInput(
                "type-not-in-files",
                f"{where}: weights of the type {tensor.type} cannot be invented.",
                because=(f"{tensor.name[:80]} has it", "engines use it only while they compute"),
                fix="Give a model whose tensors have types that llama-quantize writes.",
            )


def _marked(header: bytes, parsed: gguf.Header, seed: int) -> tuple[bytes, int]:
    """The header with the mark as its last key, padded, and its length."""
    spans = [span for span in gguf.key_spans(header) if span[0] != MARK]
    mark = encode_entry(Entry(MARK, "str", f"weights invented by vramctl (generator {GENERATOR}, seed {seed})"))
    pairs_end = max([stop for _, _, stop in gguf.key_spans(header)], default=24)
    parts = [header[:4], struct.pack("<IQQ", parsed.version, len(parsed.tensors), len(spans) + 1)]
    parts += [header[start:stop] for _, start, stop in spans]
    made = b"".join((*parts, mark, header[pairs_end : parsed.header_bytes]))
    size = pad(len(made), parsed.alignment)
    return made.ljust(size, b"\0"), size


def _never_text(header: bytes, metadata: Mapping[str, MetadataValue]) -> set[int]:
    """The tokens that no sampler should pick: those of control, bytes, and of the ids that the header names."""
    found = {
        value
        for key, value in metadata.items()
        if key.startswith("tokenizer.ggml.") and key.endswith("_token_id") and isinstance(value, int)
    }
    for key, start, stop in gguf.key_spans(header):
        if key != _TOKEN_TYPES:
            continue
        at = start + 8 + len(key)
        kind, element, count = struct.unpack_from("<IIQ", header, at)
        if (kind, element) == (9, 5) and stop == at + 16 + 4 * count:
            types = struct.unpack_from(f"<{count}i", header, at + 16)
            found |= {token for token, kind in enumerate(types) if kind in _NEVER_TEXT}
    return found


def _ranges(numbers: Iterable[int]) -> tuple[range, ...]:
    """The numbers as ranges without gaps, in order."""
    found: list[range] = []
    for number in sorted(numbers):
        if found and found[-1].stop == number:
            found[-1] = range(found[-1].start, number + 1)
        else:
            found.append(range(number, number + 1))
    return tuple(found)
