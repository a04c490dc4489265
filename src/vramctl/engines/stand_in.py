"""Sparse stand-in files: a model's header and full length on disk, no weights and no vocabulary."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vramctl.formats.gguf import key_spans
from vramctl.formats.gguf_cursor import Buffer
from vramctl.formats.gguf_strip import stripped_header, vocabulary_size
from vramctl.ggml_types import BY_NAME
from vramctl.records import Model, Unknown
from vramctl.world import mapped

_MAX_HEADER_BYTES = 256 << 20
_KEPT = frozenset(
    ("tokenizer.ggml.token_type_count",)
)  # a size of BERT's tensors (src/models/bert.cpp, llama.cpp b11434)


@contextmanager
def stand_in(model: Model) -> Iterator[str | Unknown]:
    """The path of a temporary file that llama.cpp loads as `model` in a dry run; removed afterwards.

    Unknown where none can be made (a big-endian file, a header without a vocabulary's size). It takes a few kB on disk.
    """
    made = _header(model)
    if isinstance(made, Unknown):
        yield made
        return
    header, length = made
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vramctl-"))
            path = Path(folder) / "model.gguf"
            with path.open("wb") as file:
                file.write(header)
                file.truncate(length)
            found: str | Unknown = str(path)
        except OSError as error:
            found = Unknown(f"no sparse file of {length} bytes can be made: {error.strerror} ({error.filename})")
        yield found


def _header(model: Model) -> tuple[bytes, int] | Unknown:
    if model.kind != "gguf":
        return Unknown(f"a dry run reads GGUF headers; this is {model.kind}")
    vocab = vocabulary_size(model)
    if vocab is None:
        return Unknown("the header names no vocabulary, so the output's width is not known")
    if model.header is not None:
        return _strip(model, model.header, vocab)
    with mapped(model.files[0], limit=_MAX_HEADER_BYTES) as first:
        return _strip(model, first.buffer, vocab)


def _strip(model: Model, raw: Buffer, vocab: int) -> tuple[bytes, int] | Unknown:
    if bytes(raw[4:8]) != b"\3\0\0\0" and bytes(raw[4:8]) != b"\2\0\0\0":
        return Unknown("the file is big-endian, which llama.cpp cannot load on this machine")
    drop = ("tokenizer.", "split.")
    kept = [
        bytes(raw[start:stop])
        for key, start, stop in key_spans(raw)
        if (key in _KEPT or not key.startswith(drop))
        and key != f"{model.architecture}.vocab_size"
        and key != "general.alignment"
    ]
    return stripped_header(
        kept, architecture=model.architecture, vocab=vocab, tensors=model.tensors, type_id=lambda name: BY_NAME[name].id
    )
