"""A model as its header describes it: metadata, tensors with their types and sizes. Never the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vramctl.records.unknown import Unknown


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the file.

    `type` is ggml's name (`Q4_K`, `F16`) or, in safetensors, the dtype (`BF16`, `I32`).
    `shape` is in ggml's order for GGUF (`ne`, row length first) and in the file's own order for safetensors.
    `data_bytes` is what the data takes in the file, without padding. `offset` is from the file's start.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    data_bytes: int
    offset: int


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """An array in the metadata that was not read: its element type and how many there are (token lists)."""

    element: str
    count: int


Scalar = int | float | bool | str
MetadataValue = Scalar | tuple[Scalar, ...] | ArrayInfo


@dataclass(frozen=True, slots=True)
class Model:
    """What a plan needs to know of a model.

    `reference` is what the user wrote; `kind` one of gguf, exl2, exl3, gptq, safetensors.
    `files` are the local files that hold it (empty for a URL or a shape), first split first.
    `header` is the GGUF header's bytes where no local file holds them (URL, shape), else None: a stand-in
    is this header in a sparse file of `file_bytes`.
    `layers` counts repeating blocks, MTP blocks included (llama.cpp's n_layer_all); the output layer is not one.
    """

    reference: str
    kind: str
    name: str | Unknown
    architecture: str
    parameters: int
    quantization: str | Unknown
    file_bytes: int
    layers: int
    train_ctx: int | Unknown
    metadata: Mapping[str, MetadataValue]
    tensors: tuple[Tensor, ...]
    files: tuple[str, ...] = ()
    header: bytes | None = None

    def meta(self, key: str) -> MetadataValue | None:
        """The metadata value of `<architecture>.<key>`, None where the header has none."""
        return self.metadata.get(f"{self.architecture}.{key}")
