"""The data of real loads (`benchmarks/results/exactness-h200*.json`) as records: settings, devices and bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vramctl.engines.llama_cpp import context_params, model_params
from vramctl.ggml_types import BY_NAME
from vramctl.records import Device, Settings

RESULTS = Path(__file__).parents[1] / "results"
IN_USE = 512 << 20  # what the driver holds of a GPU that nothing else uses: total minus free, rounded
TYPE_NAMES = {kind.id: name.lower() for name, kind in BY_NAME.items()}
FLASH = {1: "on", 0: "off", -1: "auto"}
FIELDS = {
    "n_gpu_layers": "n_gpu_layers", "n_ctx": "n_ctx", "n_batch": "n_batch", "n_ubatch": "n_ubatch",
    "n_seq_max": "n_parallel", "n_outputs_max": "n_outputs_max", "offload_kqv": "offload_kqv", "swa_full": "swa_full",
    "kv_unified": "kv_unified",
}  # fmt: skip

Sizes = tuple[int, int, int]  # weights, KV and compute bytes


@dataclass(frozen=True, slots=True)
class Row:
    """One real load: what was asked, and each GPU's and the host's bytes; `refused` is the engine's own words."""

    shape: str
    quant: str
    settings: Settings
    devices: tuple[Device, ...]
    on_gpu: tuple[Sizes, ...]
    on_host: Sizes
    refused: str | None


@dataclass(frozen=True, slots=True)
class Measured:
    """One data file."""

    name: str
    engine: str
    rows: tuple[Row, ...]

    @property
    def of_xllamacpp(self) -> bool:
        """Whether the engine was the one in xllamacpp's wheel (else llama-cpp-python's)."""
        return self.engine.startswith("xllamacpp")


def files() -> list[Path]:
    """The data files that are committed, in the order of their names."""
    return sorted(RESULTS.glob("exactness-h200*.json"))


def read(path: Path) -> Measured:
    """One data file as records."""
    document = json.loads(path.read_text(encoding="utf-8"))
    totals = document["machine"]["total_bytes"]
    return Measured(path.name, document["engine"], tuple(_row(row, totals) for row in document["rows"]))


def _row(row: dict[str, Any], totals: list[int]) -> Row:
    devices = tuple(
        Device(f"CUDA{i}", "NVIDIA H200", total, total - IN_USE, "data file", compute_capability="9.0")
        for i, total in enumerate(totals[: row["devices"]])
    )
    buffers = {name: (sizes[0], sizes[1], sizes[2]) for name, sizes in row.get("buffers", {}).items()}
    names = [device.name for device in devices]
    host = [sum(sizes[part] for name, sizes in buffers.items() if name not in names) for part in range(3)]
    return Row(
        shape=row["shape"],
        quant=row["quant"],
        settings=_settings(row["model_params"], row["context_params"], devices),
        devices=devices,
        on_gpu=tuple(buffers.get(name, (0, 0, 0)) for name in names),
        on_host=(host[0], host[1], host[2]),
        refused=row.get("failed"),
    )


def _settings(model: dict[str, Any], context: dict[str, Any], devices: tuple[Device, ...]) -> Settings:
    """The Settings that mean these llama.cpp parameters; checked by turning them back."""
    wanted: dict[str, Any] = {}
    for name, value in {**model, **context}.items():
        match name:
            case "type_k" | "type_v":
                wanted[name] = TYPE_NAMES[value]
            case "flash_attn":
                wanted[name] = FLASH[value]
            case "tensor_split":
                wanted[name] = tuple(float(part) for part in value)
            case "overrides":
                wanted["tensor_overrides"] = tuple((pattern, buffer) for pattern, buffer in value)
            case _:
                wanted[FIELDS[name]] = value
    settings = Settings(**wanted)
    back = {**model_params(settings, devices), **context_params(settings)}
    lost = {name for name, value in {**model, **context}.items() if back.get(name) != value}
    if lost:
        raise ValueError(f"settings cannot express {lost} of {model} {context}")
    return settings
