"""Names of split GGUF sets, and one header for a whole set."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

from vramctl import ggml_types
from vramctl.formats.gguf import Header, key_spans
from vramctl.units import pad

_PART = re.compile(
    r"^(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)$", re.IGNORECASE | re.DOTALL
)


def part_names(name: str) -> tuple[str, ...]:
    """All names of the split set that `name` (a path or an address) belongs to; empty where it has no part number.

    `x-00002-of-00003.gguf` gives `x-00001-of-00003.gguf` to `x-00003-of-00003.gguf` (llama_split_path, b11434).
    """
    match = _PART.match(name)
    if match is None:
        return ()
    number, count = int(match["number"]), int(match["count"])
    if not 1 <= number <= count or count == 1:
        return ()
    return tuple(f"{match['prefix']}-{part:05d}-of-{count:05d}{match['suffix']}" for part in range(1, count + 1))


def joined_header(raws: Sequence[bytes], headers: Sequence[Header]) -> bytes:
    """One GGUF header, with padding, that has the first part's metadata and the tensors of all parts.

    For a stand-in: as if the set had never been split.  The split.* keys are left out, the data is placed anew.
    """
    if len(raws) == 1:
        return raws[0][: headers[0].data_offset].ljust(headers[0].data_offset, b"\0")
    first = headers[0]
    order = "<" if first.byte_order == "little" else ">"
    spans = [span for span in key_spans(raws[0]) if not span[0].startswith("split.")]
    tensors = [tensor for header in headers for tensor in header.tensors]
    parts = [b"GGUF", struct.pack(f"{order}IQQ", first.version, len(tensors), len(spans))]
    parts += [raws[0][start:stop] for _, start, stop in spans]
    offset = 0
    for tensor in tensors:
        name, dims = tensor.name.encode(), len(tensor.shape)
        parts.append(struct.pack(f"{order}Q", len(name)) + name)
        kind = ggml_types.BY_NAME[tensor.type].id
        parts.append(struct.pack(f"{order}I{dims}QIQ", dims, *tensor.shape, kind, offset))
        offset += pad(tensor.data_bytes, first.alignment)
    joined = b"".join(parts)
    return joined.ljust(pad(len(joined), first.alignment), b"\0")
