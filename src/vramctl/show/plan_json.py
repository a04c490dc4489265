"""A plan as the document vramctl.plan/1, and several as vramctl.plan-table/1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from vramctl.records import Advice, Device, DeviceUse, Plan, Settings, Unknown

PLAN_SCHEMA = "vramctl.plan/1"
TABLE_SCHEMA = "vramctl.plan-table/1"

# What an unset field means where that is known; any other is the engine's own choice.
_UNSET: dict[str, object] = {"mmproj": "none", "draft": "none", "tensor_overrides": [], "n_cpu_moe": 0}
_LEFT_OPEN = Unknown("left to the engine")

Json = Any


def known(value: object) -> Json:
    """A value as JSON: an Unknown is `{"unknown": reason}`, a tuple a list."""
    if isinstance(value, Unknown):
        return {"unknown": value.reason}
    if isinstance(value, tuple | list):
        return [known(item) for item in value]
    return value


def plan_document(plan: Plan) -> dict[str, Json]:
    """The plan as a JSON value; sizes in bytes."""
    model, host = plan.model, plan.placement.host
    return {
        "schema": PLAN_SCHEMA,
        "model": {
            "reference": model.reference,
            "kind": model.kind,
            "name": known(model.name),
            "architecture": model.architecture,
            "parameters": model.parameters,
            "quantization": known(model.quantization),
            "file_bytes": model.file_bytes,
            "layers": model.layers,
            "train_ctx": known(model.train_ctx),
        },
        "settings": _settings(plan),
        "witness": {
            "kind": plan.witness.kind,
            "engine": plan.witness.engine,
            "exact": plan.witness.exact,
            "because": list(plan.witness.because),
        },
        "devices": [
            _device(device, use, budget)
            for device, use, budget in zip(plan.devices, plan.placement.devices, plan.budgets, strict=True)
        ],
        "host": {
            "weights_bytes": known(host.weights_bytes),
            "kv_bytes": known(host.kv_bytes),
            "compute_bytes": known(host.compute_bytes),
            "output_bytes": known(host.output_bytes),
            "used_bytes": known(host.used_bytes),
            "total_bytes": known(plan.host.total_bytes),
            "available_bytes": known(plan.host.available_bytes),
            "source": plan.host.source,
        },
        "kv_operations": known(plan.placement.kv_operations),
        "overhead_source": plan.overhead_source,
        "layers_on_gpu": known(plan.layers_on_gpu),
        "layers_total": plan.layers_total,
        "fits": plan.fits,
        "max_ctx": known(plan.max_ctx),
        "advice": [_advice(advice) for advice in plan.advice],
    }


def table_document(plans: Sequence[Plan]) -> dict[str, Json]:
    """Several plans of one question, in the order in which they were asked for."""
    return {"schema": TABLE_SCHEMA, "plans": [plan_document(plan) for plan in plans]}


def _settings(plan: Plan) -> dict[str, Json]:
    """Every setting with its value and where it came from."""
    return {
        field.name: {
            "value": _setting(plan.settings, field.name),
            "origin": plan.origins.get(field.name, "engine default"),
        }
        for field in fields(Settings)
    }


def _setting(settings: Settings, name: str) -> Json:
    value = getattr(settings, name)
    if value is None:
        return _UNSET[name] if name in _UNSET else known(_LEFT_OPEN)
    if name == "tensor_overrides":
        return [f"{pattern}={buffer}" for pattern, buffer in value]
    return known(value)


def _device(device: Device, use: DeviceUse, budget: int) -> dict[str, Json]:
    return {
        "name": device.name,
        "description": device.description,
        "backend": device.backend,
        "source": device.source,
        "total_bytes": device.total_bytes,
        "free_bytes": device.free_bytes,
        "budget_bytes": budget,
        "weights_bytes": known(use.weights_bytes),
        "kv_bytes": known(use.kv_bytes),
        "compute_bytes": known(use.compute_bytes),
        "overhead_bytes": known(use.overhead_bytes),
        "used_bytes": known(use.used_bytes),
    }


def _advice(advice: Advice) -> dict[str, Json]:
    return {"what": advice.what, "because": list(advice.because), "fix": advice.fix}
