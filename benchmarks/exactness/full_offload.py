"""The loads of the data files that other planners can be compared on: one GPU, every layer on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import measured
from measured import Row

from vramctl.records import Model, Settings, Unknown
from vramctl.shapes import shape_model

# llama.h's defaults of what the rows leave open (include/llama.h, both builds).
DEFAULTS = Settings(
    n_batch=2048, n_ubatch=512, n_parallel=1, n_outputs_max=0, type_k="f16", type_v="f16", flash_attn="auto",
    offload_kqv=True, op_offload=True, split_mode="layer", swa_full=True, kv_unified=False,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Load:
    """One measured load: what the engine counted on the GPU and, where it was recorded, what the driver did."""

    number: int
    row: Row
    model: Model
    settings: Settings
    newer: bool  # the engine in xllamacpp's wheel
    engine_bytes: int
    driver_bytes: int | Unknown


def loads(shapes: dict[str, Model]) -> Iterator[Load]:
    """The loads on one GPU with every layer on it, from every data file."""
    number = 0
    for path in measured.files():
        data = measured.read(path)
        document = json.loads(path.read_text(encoding="utf-8"))
        for row, raw in zip(data.rows, document["rows"], strict=True):
            whole = row.settings.n_gpu_layers == -1 and row.settings.tensor_overrides is None
            if len(row.devices) != 1 or not whole or row.refused is not None:
                continue
            model = shapes.setdefault(row.shape, shape_model(row.shape, row.quant))
            driver = driver_bytes(document["nvml_used_before"], raw.get("nvml_context"))
            number += 1
            yield Load(number, row, model, filled(row.settings, model), data.of_xllamacpp, sum(row.on_gpu[0]), driver)


def driver_bytes(before: list[int], after: list[int] | None) -> int | Unknown:
    """What the driver counted more on the GPU in use once the context existed."""
    if after is None:
        return Unknown("another process used a GPU at the same time")
    return max(now - then for now, then in zip(after, before, strict=True))


def filled(asked: Settings, model: Model) -> Settings:
    """The settings with the engine's defaults, and all layers as their number."""
    given = {name: getattr(asked, name) for name in asked.__slots__ if getattr(asked, name) is not None}
    return replace(DEFAULTS, **{**given, "n_gpu_layers": model.layers + 1})
