"""What a golden file holds of a log: the fields that were read by hand out of its lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vramctl.records.finding import Finding
from vramctl.records.load import Fit, Load, Log, LoggedGpu
from vramctl.records.unknown import Unknown

_PARTS = ("weights", "kv", "compute", "output")
_MODEL = ("name", "architecture", "parameters", "quantization", "file_bytes", "sha256", "train_ctx", "layers")
_SETTINGS = ("ctx", "parallel", "batch", "ubatch", "flash_attn", "type_k", "type_v", "mmap", "asked_layers", "threads")


def known(values: dict[str, Any]) -> dict[str, Any]:
    """The values that the log prints: one that is not there is not printed."""
    return {name: value for name, value in values.items() if not isinstance(value, Unknown) and value != []}


def fields_of_load(load: Load) -> dict[str, Any]:
    """One load: identity, settings, layers, bytes per device, what Ollama worked out, time, end, requests."""
    values: dict[str, Any] = {
        "lines": list(load.lines),
        "model": known({name: getattr(load.model, name) for name in _MODEL}),
        "settings": known({name: getattr(load.settings, name) for name in _SETTINGS}),
        "layers_on_gpu": load.layers_on_gpu,
        "layers_total": load.layers_total,
        "load_seconds": load.load_seconds,
        "outcome": load.outcome,
        "ready": load.ready,
        "requests": load.totals.count,
        "system_total_bytes": load.system_total_bytes,
        "system_free_bytes": load.system_free_bytes,
        "devices": {use.name: known({part: getattr(use, f"{part}_bytes") for part in _PARTS}) for use in load.devices},
    }
    if load.fit is not None:
        parts = {name: getattr(load.fit, name) for name in Fit.__dataclass_fields__ if name != "line"}
        values["fit"] = known({**parts, "available_bytes": list(load.fit.available_bytes)})
    return known(values)


def _gpu(gpu: LoggedGpu) -> dict[str, Any]:
    return known({name: getattr(gpu, name) for name in LoggedGpu.__dataclass_fields__ if name != "line"})


def fields_of_log(log: Log, findings: Iterable[Finding]) -> dict[str, Any]:
    """One log: engine, GPUs, loads, requests, and the ids of findings that are errors."""
    return {
        "source": known({"engine": log.source.engine, "version": log.source.version, "system": log.source.system}),
        "gpus": [_gpu(gpu) for gpu in log.gpus],
        "loads": [fields_of_load(load) for load in log.loads],
        "requests": {"count": log.totals.count, "failed": log.totals.failed},
        "errors": [one.id for one in findings if one.severity == "error"],
    }
