"""GGUF headers to one Model: split sets joined, the words of the metadata looked up, roles told apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from vramctl import ggml_types
from vramctl.errors import BadInput
from vramctl.formats.gguf import Header
from vramctl.formats.gguf_cursor import AGAIN
from vramctl.records import Model, Tensor, Unknown
from vramctl.records.model import MetadataValue

Role = Literal["model", "projector", "adapter", "matrix"]

MAX_LAYERS = 512  # LLAMA_MAX_LAYERS of llama.cpp b11434


def role_of(metadata: Mapping[str, MetadataValue]) -> Role:
    """What a GGUF file is for: a model, a projector (mmproj), a LoRA adapter or an importance matrix."""
    kind = metadata.get("general.type")
    if kind == "adapter" or "adapter.type" in metadata:
        return "adapter"
    if kind in ("mmproj", "clip-vision") or metadata.get("general.architecture") == "clip":
        return "projector"
    if kind == "imatrix" or "imatrix.datasets" in metadata:
        return "matrix"
    return "model"


def join(
    reference: str,
    headers: Sequence[Header],
    *,
    names: Sequence[str],
    sizes: Sequence[int],
    files: tuple[str, ...] = (),
    header: bytes | None = None,
) -> Model:
    """The Model of one GGUF file, or of a split set given in order; BadInput where the parts do not belong together.

    `names` and `sizes` (bytes) are those of the files, in the same order; `header` is kept for a stand-in.
    """
    _check_set(headers, names)
    first = headers[0]
    architecture = _architecture(first, names[0])
    tensors = _all_tensors(headers, names)
    role = role_of(first.metadata)
    metadata = dict(first.metadata)
    metadata["gguf.version"] = first.version
    metadata["gguf.byte_order"] = first.byte_order
    return Model(
        reference=reference,
        kind="gguf",
        name=_name(first.metadata),
        architecture=architecture,
        parameters=sum(math.prod(tensor.shape) for tensor in tensors),
        quantization=_quantization(first.metadata, tensors),
        file_bytes=sum(sizes),
        layers=_layers(first.metadata, architecture, role, names[0]),
        train_ctx=_train_ctx(first.metadata, architecture),
        metadata=metadata,
        tensors=tensors,
        files=files,
        header=header,
    )


def require_role(model: Model, wanted: Role) -> Model:
    """The same Model; BadInput where its file is for something else than `wanted`."""
    role = role_of(model.metadata)
    if role == wanted:
        return model
    names = {"model": "a language model", "projector": "a multimodal projector (mmproj)", "adapter": "a LoRA adapter",
             "matrix": "an importance matrix"}  # fmt: skip
    fixes = {
        "model": "Give the projector that was published beside the model (mmproj-*.gguf).",
        "projector": "Give the language model as MODEL and this file with --mmproj.",
        "adapter": "Give the model that the adapter was trained for.",
        "matrix": "Give the model itself; this file is only used while quantising.",
    }
    raise BadInput(
        f"not-a-{wanted}",
        f"{model.reference} is {names[role]}, not {names[wanted]}.",
        because=(f"its header says architecture {model.architecture!r}", _type_line(model.metadata)),
        fix=fixes[role],
    )


def _type_line(metadata: Mapping[str, MetadataValue]) -> str:
    kind = metadata.get("general.type")
    return "general.type is not given" if kind is None else f"general.type is {_printable(str(kind))!r}"


def _check_set(headers: Sequence[Header], names: Sequence[str]) -> None:
    """Raises unless these headers are all parts of one set, in order (as llama.cpp's loader checks)."""
    split = headers[0].split
    expected = 1 if split is None else split.count
    if len(headers) != expected:
        raise BadInput(
            "split-incomplete",
            f"{names[0]} is one of {expected} files; {len(headers)} were found.",
            because=("key split.count",),
            fix="Download all parts of the set into one folder.",
        )
    if split is None:
        return
    for index, (header, name) in enumerate(zip(headers, names, strict=True)):
        check_part(header, index, expected, name)
    found = sum(len(header.tensors) for header in headers)
    if split.tensors is not None and split.tensors != found:
        raise BadInput(
            "split-incomplete",
            f"The set of {names[0]} should have {split.tensors} tensors; its files have {found}.",
            because=("key split.tensors.count",),
            fix="Download all parts again, from one revision.",
        )


def check_part(header: Header, index: int, count: int, name: str) -> None:
    """Raises BadInput unless `header` is that of part `index` (from 0) of `count`."""
    part = header.split
    if part is None or (part.number, part.count) != (index, count):
        says = "no split set" if part is None else f"part {part.number + 1} of {part.count}"
        raise BadInput(
            "split-mixed-up",
            f"{name} is not part {index + 1} of {count} of this model.",
            because=(f"its header says {says}",),
            fix="Download that part again: a file was renamed, or comes from another set.",
        )


def _all_tensors(headers: Sequence[Header], names: Sequence[str]) -> tuple[Tensor, ...]:
    """The tensors of all parts in order; each offset counts from the start of its own file."""
    if len(headers) == 1:
        return headers[0].tensors
    seen: dict[str, str] = {}
    for header, file in zip(headers, names, strict=True):
        for tensor in header.tensors:
            if tensor.name in seen:
                raise BadInput(
                    "split-duplicate-tensor",
                    f"The tensor {_printable(tensor.name)!r} is in two parts of the model.",
                    because=(seen[tensor.name], file),
                    fix="Download all parts again, from one revision.",
                )
            seen[tensor.name] = file
    return tuple(tensor for header in headers for tensor in header.tensors)


def _architecture(header: Header, name: str) -> str:
    value = header.metadata.get("general.architecture")
    if isinstance(value, str) and value and value.isprintable() and len(value) <= 64:
        return value
    raise BadInput(
        "gguf-no-architecture",
        f"{name} does not say which architecture it is.",
        because=("general.architecture is missing" if value is None else "general.architecture is no name",),
        fix=AGAIN,
    )


def _name(metadata: Mapping[str, MetadataValue]) -> str | Unknown:
    for key in ("general.name", "general.basename"):
        value = metadata.get(key)
        if isinstance(value, str) and (name := _printable(value).strip()):
            return name
    return Unknown("the header has no general.name")


def _printable(text: str) -> str:
    """At most 120 characters of a text from a file, without control characters (terminal escapes)."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:120])


def _quantization(metadata: Mapping[str, MetadataValue], tensors: tuple[Tensor, ...]) -> str | Unknown:
    """The file type's usual name; Unknown names the type that most tensors have."""
    value = metadata.get("general.file_type")
    if type(value) is int and value in ggml_types.FILE_TYPES:
        return ggml_types.FILE_TYPES[value]
    why = "the header has no general.file_type" if value is None else f"file type {_printable(str(value))} is not known"
    usual = Counter(tensor.type for tensor in tensors).most_common(1)
    return Unknown(f"{why}; most tensors are {usual[0][0]}" if usual else why)


def _layers(metadata: Mapping[str, MetadataValue], architecture: str, role: Role, name: str) -> int:
    """`<architecture>.block_count`; a projector's is the larger of its encoders', an adapter has none of its own."""
    if role in ("adapter", "matrix"):
        return 0
    keys = [f"{architecture}.block_count"]
    if role == "projector":
        keys = ["clip.vision.block_count", "clip.audio.block_count", *keys]
    given = [value for key in keys if (value := metadata.get(key)) is not None]
    counts = [value for value in given if type(value) is int and 0 < value <= MAX_LAYERS]
    if counts:
        return max(counts)
    if role == "projector" and not given:
        return 0
    raise BadInput(
        "gguf-no-layers",
        f"{name} does not describe a language model: it has no usable layer count.",
        because=(
            f"{keys[0]} is missing"
            if not given
            else f"{keys[0]} is {_printable(str(given[0]))}; 1 to {MAX_LAYERS} make sense",
        ),
        fix="Give a language model; image, speech and diffusion models are not planned." if not given else AGAIN,
    )


def _train_ctx(metadata: Mapping[str, MetadataValue], architecture: str) -> int | Unknown:
    value = metadata.get(f"{architecture}.context_length")
    if type(value) is int and value > 0:
        return value
    return Unknown(f"the header has no {architecture}.context_length")
