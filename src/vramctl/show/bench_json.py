"""Benchmarks as documents: vramctl.bench/1 and vramctl.bench-compare/1, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from vramctl.errors import BadInput
from vramctl.records import Placement, Settings, Unknown
from vramctl.records.measurement import Activity, Bench, Limit, Measured, Ratio, Row, Stat
from vramctl.show.plan_json import known

SCHEMA, COMPARE_SCHEMA = "vramctl.bench/1", "vramctl.bench-compare/1"
_STATS = (
    "prefill_tokens_per_second", "decode_tokens_per_second", "ttft_seconds", "gap_seconds", "load_seconds", "requests_per_second",
    "throughput_tokens_per_second",
)  # fmt: skip
DEFINITIONS = {
    "prefill_tokens_per_second": "prompt tokens / time of llama_decode over them, synchronised, no tokenizer (llama-bench's pp)",
    "decode_tokens_per_second": (
        "single-token decodes / their time, each synchronised, nothing sampled (llama-bench's tg); the first step "
        "after a prompt, which builds the graph anew, is left out where steps are timed one by one"
    ),
    "ttft_seconds": "from a request's start on an empty cache to its first token, without network and queue",
    "gap_seconds": "time between two tokens of an answer (inter-token latency), every gap a sample",
    "throughput_tokens_per_second": "tokens given to all requests at a time / time from their common start to the last end",
    "first_run_seconds": "32 tokens of prompt and 8 decoded right after the load (kernels, graphs, cold pages): no sample",
    "load_seconds": "loading the model alone, without context and process start",
    "limit": "1 / sum over devices of (active weight bytes + KV bytes at the depth) / memory bandwidth: an upper bound",
    "ci95": "95 % interval of the median by order statistics",
}

Json = Any


def stat_document(value: Measured) -> Json:
    """A STAT of the contract."""
    if isinstance(value, Unknown):
        return known(value)
    return {"median": value.median, "ci95": known(value.ci95), "samples": list(value.samples), "unit": value.unit}


def placement_document(placement: Placement | Unknown) -> Json:
    """A PLACEMENT of the contract."""
    if isinstance(placement, Unknown):
        return known(placement)
    host = placement.host
    return {
        "devices": [
            {
                "name": use.name,
                "weights_bytes": known(use.weights_bytes),
                "kv_bytes": known(use.kv_bytes),
                "compute_bytes": known(use.compute_bytes),
                "overhead_bytes": known(use.overhead_bytes),
                "used_bytes": known(use.used_bytes),
            }
            for use in placement.devices
        ],
        "host": {
            "weights_bytes": known(host.weights_bytes),
            "kv_bytes": known(host.kv_bytes),
            "compute_bytes": known(host.compute_bytes),
            "output_bytes": known(host.output_bytes),
            "used_bytes": known(host.used_bytes),
        },
        "kv_operations": known(placement.kv_operations),
    }


def bench_document(bench: Bench) -> dict[str, Json]:
    """The whole run, all samples included."""
    return {
        "schema": SCHEMA,
        "model": bench.model,
        "stand_in": bench.stand_in,
        "engine": bench.engine,
        "started": bench.started,
        "machine": {name: known(value) for name, value in bench.machine.items()},
        "bandwidths_bytes_per_second": {name: known(value) for name, value in bench.bandwidths.items()},
        "valid": bench.valid,
        "invalid_because": list(bench.invalid_because),
        "notes": list(bench.notes),
        "definitions": DEFINITIONS,
        "rows": [_row(row) for row in bench.rows],
    }


def _row(row: Row) -> dict[str, Json]:
    return {
        "name": row.name,
        "settings": {f.name: _setting(getattr(row.settings, f.name)) for f in fields(Settings)},
        "prompt_tokens": row.prompt_tokens,
        "depth": row.depth,
        "parallel": row.parallel,
        "layers": row.layers,
        "placement": placement_document(row.placement),
        **{name: stat_document(getattr(row, name)) for name in _STATS},
        "first_run_seconds": known(row.first_run_seconds),
        "host_resident_bytes": known(row.host_resident_bytes),
        "limit": {
            "decode_tokens_per_second": known(row.limit.decode_tokens_per_second),
            "share": known(row.limit.share),
            "bound_by": row.limit.bound_by,
            "sources": list(row.limit.sources),
        },
        "activity": [_activity(one) for one in row.activity],
        "failed": row.failed,
    }


def _setting(value: object) -> Json:
    return known(Unknown("left to the engine")) if value is None else known(value)


def _activity(one: Activity) -> dict[str, Json]:
    return {
        "device": one.device,
        "busy_percent": stat_document(one.busy_percent),
        "power_watts": stat_document(one.power_watts),
        "sm_clock_mhz": stat_document(one.sm_clock_mhz),
        "used_bytes": known(one.used_bytes),
        "energy_joules_per_token": known(one.energy_joules_per_token),
        "throttled": known(one.throttled),
    }


def compare_document(before: str, after: str, ratios: Sequence[Ratio]) -> dict[str, Json]:
    """What changed from one run to another."""
    return {
        "schema": COMPARE_SCHEMA,
        "before": before,
        "after": after,
        "ratios": [
            {
                "row": one.row,
                "quantity": one.quantity,
                "ratio": one.ratio,
                "ci95": known(one.ci95),
                "verdict": one.verdict,
            }
            for one in ratios
        ],
    }


def read_bench(text: str, where: str) -> Bench:
    """A run that was saved with --save or --json: names, figures and samples; BadInput for anything else."""
    try:
        document = json.loads(text)
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}")
        rows = tuple(_read_row(row) for row in document["rows"])
        return Bench(
            model=str(document["model"]), stand_in=bool(document["stand_in"]), engine=str(document["engine"]),
            machine=dict(document["machine"]), rows=rows, valid=bool(document["valid"]),
            invalid_because=tuple(map(str, document["invalid_because"])), started=str(document.get("started", "")),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(
            "not-a-bench", f"{where} is no saved benchmark.", because=(str(error) or type(error).__name__,),
            fix="Give a file that `vramctl bench --save FILE` wrote.",
        ) from None  # fmt: skip


def _read_row(row: dict[str, Json]) -> Row:
    empty = Row(
        name=str(row["name"]), settings=Settings(), prompt_tokens=int(row["prompt_tokens"]), depth=int(row["depth"]),
        layers=str(row.get("layers", "")), parallel=int(row.get("parallel", 1)),
        limit=Limit(Unknown("not read"), _number(row["limit"]["share"]), str(row["limit"]["bound_by"])),
    )  # fmt: skip
    figures: dict[str, Any] = {name: _read_stat(row[name]) for name in _STATS}
    return replace(empty, **figures)


def _read_stat(value: Json) -> Measured:
    if "unknown" in value:
        return Unknown(str(value["unknown"]))
    ci95 = value["ci95"]
    interval = Unknown(str(ci95["unknown"])) if isinstance(ci95, dict) else (float(ci95[0]), float(ci95[1]))
    return Stat(
        float(value["median"]), interval, tuple(float(sample) for sample in value["samples"]), str(value["unit"])
    )


def _number(value: Json) -> float | Unknown:
    return float(value) if isinstance(value, int | float) else Unknown(str(value.get("unknown", "")))
