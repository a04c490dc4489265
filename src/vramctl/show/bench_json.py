"""Benchmarks as documents: vramctl.bench/1 and vramctl.bench-compare/1; `bench_read` reads them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from vramctl.records import Placement, Settings, Unknown
from vramctl.records.measurement import Activity, Bench, Measured, Rate, Ratio, Row
from vramctl.show.plan_json import known

SCHEMA, COMPARE_SCHEMA = "vramctl.bench/1", "vramctl.bench-compare/1"
STATS = (
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
    "activity.busy_percent": (
        "share of the time in which a kernel ran on the GPU, by NVML; well below 100 with several requests at a time: the "
        "server's work on the processor (each slot samples over the whole vocabulary) or the client bounds them, not the GPU"
    ),
    "limit": "1 / sum over devices of (active weight bytes + KV bytes at the depth) / memory bandwidth: an upper bound",
    "limit.prefill_tokens_per_second": (
        "tokens / sum over devices of the longest of operations / measured rate, by weight type, weight bytes once a ubatch "
        "/ memory bandwidth, and bytes of weights that are copied to it / the rate of that: an upper bound"
    ),
    "rates": "operations (a product and a sum are two) / time of matrix products on the engine's own kernels, best of the rounds",
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
        "rates": [_rate(rate) for rate in bench.rates],
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
        **{name: stat_document(getattr(row, name)) for name in STATS},
        "first_run_seconds": known(row.first_run_seconds),
        "host_resident_bytes": known(row.host_resident_bytes),
        "limit": {
            "decode_tokens_per_second": known(row.limit.decode_tokens_per_second),
            "share": known(row.limit.share),
            "bound_by": row.limit.bound_by,
            "prefill_tokens_per_second": known(row.limit.prefill_tokens_per_second),
            "prefill_share": known(row.limit.prefill_share),
            "prefill_bound_by": row.limit.prefill_bound_by,
            "sources": list(row.limit.sources),
        },
        "activity": [_activity(one) for one in row.activity],
        "failed": row.failed,
    }


def _rate(rate: Rate) -> dict[str, Json]:
    return {
        "device": rate.device,
        "type": rate.type,
        "flops_per_second": known(rate.flops_per_second),
        "columns": rate.columns,
        "how": rate.how,
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
