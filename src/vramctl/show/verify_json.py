"""A verification as the document vramctl.verify/1."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from vramctl.records import Placement
from vramctl.records.verification import DeviceWatch, Difference, Evidence, Verification
from vramctl.show.bench_json import placement_document
from vramctl.show.plan_json import known

SCHEMA = "vramctl.verify/1"

Json = Any


def verify_document(found: Verification, *, model: str, engine: str) -> dict[str, Json]:
    """The verdict with its three witnesses, differences and findings."""
    return {
        "schema": SCHEMA,
        "model": model,
        "stand_in": found.stand_in,
        "engine": engine,
        "verdict": found.verdict,
        "words": found.words,
        "planned": placement_document(found.planned),
        "reported": placement_document(found.reported),
        "observed": _observed(found),
        "differences": [_difference(one) for one in found.differences],
        "findings": [
            {"id": one.id, "severity": one.severity, "what": one.what, "because": list(one.because), "fix": one.fix}
            for one in found.findings
        ],
        "evidence": {f.name: _value(getattr(found.evidence, f.name)) for f in fields(Evidence)},
        "devices_watched": [_watch(watch) for watch in found.watches],
        "notes": list(found.notes),
    }


def _observed(found: Verification) -> Json:
    """The devices' own count as their use; its parts cannot be seen."""
    document = placement_document(found.observed)
    if isinstance(found.observed, Placement):
        for device, watch in zip(document["devices"], found.watches, strict=True):
            device["used_bytes"] = known(watch.grown_bytes)
    return document


def _difference(one: Difference) -> dict[str, Json]:
    return {
        "device": one.device,
        "part": one.part,
        "planned_bytes": known(one.planned_bytes),
        "reported_bytes": known(one.reported_bytes),
        "observed_bytes": known(one.observed_bytes),
        "what": one.what,
    }


def _watch(watch: DeviceWatch) -> dict[str, Json]:
    return {f.name: _value(getattr(watch, f.name)) for f in fields(DeviceWatch)} | {
        "grown_bytes": known(watch.grown_bytes)
    }


def _value(value: object) -> Json:
    return sorted(value) if isinstance(value, frozenset) else known(value)
