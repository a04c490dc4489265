"""A log as the document vramctl.explain/1, and several as vramctl.explain-list/1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vramctl.records import Unknown
from vramctl.records.change import Change, WhatFits
from vramctl.records.event import Event, Printed
from vramctl.records.finding import Finding
from vramctl.records.load import Fit, Load, Log, LoggedGpu, LoggedModel, LoggedRequest, LoggedSettings, LoggedUse

EXPLAIN_SCHEMA = "vramctl.explain/1"
LIST_SCHEMA = "vramctl.explain-list/1"

Json = Any
_NOT_ASKED = Unknown("the planner was not asked")


def known(value: object) -> Json:
    """A value as JSON: an Unknown is `{"unknown": reason}`, a printed size its bytes."""
    if isinstance(value, Unknown):
        return {"unknown": value.reason}
    if isinstance(value, Printed):
        return {"bytes": value.bytes, "tolerance_bytes": value.tolerance_bytes}
    if isinstance(value, tuple | list):
        return [known(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): known(item) for key, item in value.items()}
    return value


def explain_document(
    log: Log,
    findings: Sequence[Finding],
    verdict: str,
    events: Iterable[Event] | None = None,
    what_fits: Sequence[WhatFits | Unknown] = (),
) -> dict[str, Json]:
    """One log as a JSON value; sizes in bytes, times in seconds. `events` adds every event.

    `what_fits` are the answers of the planner, one a load in their order.
    """
    answers = (*what_fits, *[_NOT_ASKED] * len(log.loads))
    source = log.source
    document = {
        "schema": EXPLAIN_SCHEMA,
        "verdict": verdict,
        "source": {
            "name": source.name,
            "lines": source.lines,
            "bytes": source.bytes,
            "engine": known(source.engine),
            "era": known(source.era),
            "version": known(source.version),
            "platforms": list(source.platforms),
            "system": known(source.system),
        },
        "environment": dict(log.environment),
        "event_counts": dict(sorted(log.event_counts.items())),
        "unrecognised": {
            "lines": log.unrecognised_lines,
            "samples": [{"line": line, "text": text} for line, text in log.unrecognised_samples],
        },
        "gpus": [_gpu(gpu) for gpu in log.gpus],
        "loads": [
            {**_load(load), "what_fits": _what_fits(answer)} for load, answer in zip(log.loads, answers, strict=False)
        ],
        "loads_left_out": log.dropped_loads,
        "requests": {
            "count": log.totals.count,
            "failed": log.totals.failed,
            "latency_seconds": log.totals.latency_seconds,
            "longest_seconds": log.totals.longest_seconds,
        },
        "findings": [_finding(one) for one in findings],
    }
    if events is not None:
        document["events"] = [event_document(event) for event in events]
    return document


def list_document(documents: Sequence[dict[str, Json]]) -> dict[str, Json]:
    """Several logs of one command, in the order in which they were named."""
    return {"schema": LIST_SCHEMA, "logs": list(documents)}


def event_document(event: Event) -> dict[str, Json]:
    """One event as a JSON value."""
    return {
        "kind": event.kind,
        "line": event.line,
        "engine": event.engine,
        "time_seconds": known(event.seconds),
        "time_inherited": event.inherited,
        "fields": known(event.fields),
        "text": event.text,
    }


def _gpu(gpu: LoggedGpu) -> dict[str, Json]:
    return {
        "id": known(gpu.id),
        "name": known(gpu.name),
        "device": known(gpu.device),
        "library": known(gpu.library),
        "compute_capability": known(gpu.compute_capability),
        "driver": known(gpu.driver),
        "total_bytes": known(gpu.total_bytes),
        "available_bytes": known(gpu.available_bytes),
    }


def _load(load: Load) -> dict[str, Json]:
    return {
        "lines": list(load.lines),
        "model": _model(load.model),
        "layers_on_gpu": known(load.layers_on_gpu),
        "layers_total": known(load.layers_total),
        "settings": _settings(load.settings),
        "devices": [_use(use) for use in load.devices],
        "sizes_estimated": load.estimated,
        "fit": _fit(load.fit),
        "header": dict(load.header),
        "tensor_types": dict(load.tensor_types),
        "load_seconds": known(load.load_seconds),
        "outcome": load.outcome,
        "ready": load.ready,
        "ended": load.ended or {"unknown": "nothing in the log ends it"},
        "command": list(load.command),
        "requests": [_request(request) for request in load.requests],
        "request_totals": {
            "count": load.totals.count,
            "failed": load.totals.failed,
            "truncated": load.totals.truncated,
            "latency_seconds": load.totals.latency_seconds,
            "longest_seconds": load.totals.longest_seconds,
            "prompt_slowest_per_second": known(load.totals.prompt_slowest_per_second),
            "prompt_fastest_per_second": known(load.totals.prompt_fastest_per_second),
            "generated_slowest_per_second": known(load.totals.generated_slowest_per_second),
            "generated_fastest_per_second": known(load.totals.generated_fastest_per_second),
        },
        "timeline": [
            {
                "sequence": moment.sequence,
                "what": moment.what,
                "line": moment.line,
                "time_seconds": known(moment.seconds),
            }
            for moment in load.moments
        ],
    }


def _what_fits(answer: WhatFits | Unknown) -> Json:
    """Changes with which the load would fit, as the planner computed them."""
    if isinstance(answer, Unknown):
        return known(answer)
    changes = [{name: getattr(change, name) for name in Change.__dataclass_fields__} for change in answer.changes]
    return {"witness": answer.witness, "because": list(answer.because), "changes": changes}


def _model(model: LoggedModel) -> dict[str, Json]:
    return {name: known(getattr(model, name)) for name in LoggedModel.__dataclass_fields__}


def _settings(settings: LoggedSettings) -> dict[str, Json]:
    return {name: known(getattr(settings, name)) for name in LoggedSettings.__dataclass_fields__}


def _use(use: LoggedUse) -> dict[str, Json]:
    return {name: known(getattr(use, name)) for name in LoggedUse.__dataclass_fields__}


def _fit(fit: Fit | None) -> Json:
    if fit is None:
        return {"unknown": "the log prints no estimate before the load"}
    return {name: known(getattr(fit, name)) for name in Fit.__dataclass_fields__}


def _request(request: LoggedRequest) -> dict[str, Json]:
    return {name: known(getattr(request, name)) for name in LoggedRequest.__dataclass_fields__}


def _finding(found: Finding) -> dict[str, Json]:
    return {
        "id": found.id,
        "title": found.title,
        "severity": found.severity,
        "what": found.what,
        "because": list(found.because),
        "fix": found.fix,
        "lines": [quote.line for quote in found.lines],
        "quotes": [{"line": quote.line, "text": quote.text} for quote in found.lines],
        "follows_from": found.under or {"unknown": "it is a cause of its own"},
    }
