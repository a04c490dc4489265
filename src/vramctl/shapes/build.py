"""From a built-in shape and a quantisation to a Model, with a header that llama.cpp loads."""

from __future__ import annotations

import math
from difflib import get_close_matches

from vramctl.errors import BadInput
from vramctl.formats.gguf_write import Entry, TensorSpec, parsed_metadata, write_header
from vramctl.ggml_types import FILE_TYPES
from vramctl.records import Model
from vramctl.shapes.catalogue import BY_NAME
from vramctl.shapes.layout import Config, Layout
from vramctl.shapes.mix import DEFAULT_TYPE, Traits, file_order, pick_types
from vramctl.shapes.shape import Shape
from vramctl.shapes.vocabulary import vocabulary as invented

_FILE_TYPE_IDS = {name: number for number, name in FILE_TYPES.items()}


def names() -> tuple[str, ...]:
    """The built-in shapes, in the order of the catalogue."""
    return tuple(BY_NAME)


def quants() -> tuple[str, ...]:
    """The file types a shape can be had in, as llama-quantize names them."""
    return tuple(DEFAULT_TYPE)


def shape_model(name: str, quant: str, *, vocabulary: bool = False) -> Model:
    """The named model as its GGUF of that file type would be, bar the weights and the tokens' text.

    The header has no tokens (tokenizer model `none`, which llama.cpp loads with as many dummy tokens as the model has)
    unless `vocabulary` asks for an invented one, which a stand-in that is to be run needs.  BadInput with near names
    for an unknown shape or file type.
    """
    shape = BY_NAME.get(name.lower())
    if shape is None:
        raise _unknown("shape", name, names(), "docs/shapes.md lists them all")
    if quant.upper() not in DEFAULT_TYPE:
        raise _unknown("quantization", quant, quants(), f"one of {', '.join(quants())}")
    return model_of_shape(shape, quant.upper(), vocabulary=vocabulary)


def _unknown(what: str, given: str, known: tuple[str, ...], otherwise: str) -> BadInput:
    near = get_close_matches(given.lower(), [item.lower() for item in known], n=3, cutoff=0.5)
    spelled = [item for item in known if item.lower() in near]
    because = f"near: {', '.join(spelled)}" if spelled else f"known: {', '.join(known)}"
    return BadInput(f"unknown-{what}", f"There is no built-in {what} {given!r}.", because=(because,), fix=otherwise)


def model_of_shape(shape: Shape, quant: str, *, vocabulary: bool = False) -> Model:
    """The model of one shape, also of one that is not in the catalogue; `quant` as in `quants()`."""
    config = Config(shape.config)
    layout = shape.layout(config)
    tensors = sorted(layout.tensors, key=lambda tensor: file_order(tensor[0]))
    types = pick_types(tensors, traits(shape, layout), quant)
    specs = [TensorSpec(name, kind, dims) for (name, dims), kind in zip(tensors, types, strict=True)]
    entries = [
        Entry("general.architecture", "str", layout.architecture),
        Entry("general.type", "str", "model"),
        Entry("general.name", "str", shape.title),
        *layout.entries,
        Entry("general.file_type", "u32", _FILE_TYPE_IDS[quant]),
        Entry("general.quantization_version", "u32", 2),
        *_tokenizer(shape, config, vocabulary=vocabulary),
    ]
    header = write_header(entries, specs)
    metadata = parsed_metadata(entries)
    return Model(
        reference=f"shape:{shape.name}@{quant}",
        kind="gguf",
        name=shape.title,
        architecture=layout.architecture,
        parameters=sum(math.prod(dims) for _, dims in tensors),
        quantization=quant,
        file_bytes=header.file_bytes,
        layers=_count(metadata.get(f"{layout.architecture}.block_count")),
        train_ctx=_count(metadata.get(f"{layout.architecture}.context_length")),
        metadata=metadata,
        tensors=header.tensors,
        header=header.data,
    )


def traits(shape: Shape, layout: Layout) -> Traits:
    """What the mixture rules look at, read from the metadata."""
    values = {entry.key.split(".", 1)[1]: entry.value for entry in layout.entries}
    layers = _count(values["block_count"])
    heads, kv_heads = (_count(values.get(f"attention.{key}", 0)) for key in ("head_count", "head_count_kv"))
    return Traits(
        layers=layers,
        experts=_count(values.get("expert_count", 0)),
        gqa=heads // kv_heads if kv_heads else 0,
        is_70b=layout.architecture in ("llama", "qwen2") and layers == 80 and heads != kv_heads,
        native=shape.native,
    )


def _count(value: object) -> int:
    """A whole number, or the first of a list of them."""
    if isinstance(value, (list, tuple)):
        value = value[0]
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a count")
    return value


def _tokenizer(shape: Shape, config: Config, *, vocabulary: bool) -> list[Entry]:
    if vocabulary:
        return invented(shape.tokenizer, shape.pre, config.integer("vocab_size"))
    return [Entry("tokenizer.ggml.model", "str", "none")]
