"""The formula against the engine's own dry run: weights, KV and compute bytes per device, over a grid.

    python benchmarks/formula_vs_dry_run.py [--engine-path PATH ...] [--shape NAME ...] [--out FILE]

PATH is a Python interpreter with xllamacpp or llama-cpp-python, or a folder with libllama; default: the engine of this
environment.  A row holds what both said; nothing is rounded.  Takes about a second for each shape and build.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vramctl.engines.builds import look_build
from vramctl.engines.llama_cpp import DryRun
from vramctl.engines.stand_in import stand_in
from vramctl.plan.formula import FormulaBuild, formula_placement
from vramctl.records import Device, Model, Placement, Settings, Unknown
from vramctl.shapes import shape_model

# One of each architecture the formula has a graph for, some with two (tied, experts, MLA without query compression).
SHAPES = (
    "llama3.1-8b", "llama3.2-1b", "mixtral-8x7b", "qwen2.5-1.5b", "qwen3-8b", "qwen3-30b-a3b", "phi4-mini",
    "gemma2-2b", "gemma3-4b", "gemma4-e2b", "gemma4-26b-a4b", "command-r7b", "gpt-oss-20b", "deepseek-v2-lite",
    "glm4.7-flash", "glm4.5-air", "llama4-scout", "qwen3-next-80b-a3b", "qwen3.5-27b", "qwen3.5-35b-a3b",
    "granite4-h-tiny", "nemotron-nano-9b-v2", "nemotron3-nano-30b-a3b", "falcon-h1-0.5b", "lfm2-1.2b",
    "jamba1.5-mini", "mamba-2.8b",
)  # fmt: skip
PLAIN = Settings(
    n_ctx=8192, n_parallel=1, n_batch=2048, n_ubatch=512, n_gpu_layers=999, type_k="f16", type_v="f16", flash_attn="on",
    offload_kqv=True, op_offload=True, split_mode="layer", swa_full=False, kv_unified=False, n_outputs_max=0,
)  # fmt: skip
FREE = 140 << 30


def configurations(layers: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Devices and what differs from PLAIN, for a model of `layers` blocks."""
    part, last = layers // 2, layers
    yield 1, {}
    yield 1, {"flash_attn": "off"}
    yield 1, {"n_ctx": 32768, "type_k": "q8_0", "type_v": "q8_0", "n_parallel": 4}
    yield (
        1,
        {"n_ctx": 131072, "type_k": "q4_0", "type_v": "q4_0", "n_outputs_max": 4, "kv_unified": True, "n_parallel": 4},
    )
    yield 1, {"n_ctx": 16384, "n_ubatch": 2048, "swa_full": True}
    yield 1, {"n_gpu_layers": 0, "flash_attn": "auto"}
    yield 1, {"n_gpu_layers": part, "n_ctx": 4096}
    yield 1, {"n_gpu_layers": last, "flash_attn": "off", "n_parallel": 4, "n_ctx": 10000}
    yield 1, {"offload_kqv": False, "flash_attn": "auto"}
    yield 1, {"n_gpu_layers": part, "offload_kqv": False, "flash_attn": "off", "op_offload": False}
    yield 1, {"n_cpu_moe": 8, "n_ctx": 16384}
    yield 2, {"n_ctx": 16384}
    yield 2, {"n_ctx": 131072, "n_ubatch": 2048, "n_parallel": 4, "tensor_split": (3.0, 1.0)}
    yield 2, {"n_gpu_layers": part, "type_k": "q8_0", "type_v": "q8_0"}


def figures(placement: Placement) -> list[list[int | str]]:
    """Weights, KV and compute bytes of each device, and last of the host; an unknown figure is its reason."""
    rows = [(d.weights_bytes, d.kv_bytes, d.compute_bytes) for d in placement.devices]
    rows.append((placement.host.weights_bytes, placement.host.kv_bytes, placement.host.compute_bytes))
    return [[size.reason if isinstance(size, Unknown) else size for size in row] for row in rows]


def compare(engine: DryRun, build: FormulaBuild, model: Model, path: str) -> Iterator[dict[str, Any]]:
    """A row for each configuration that the engine accepts."""
    for count, changes in configurations(model.layers):
        settings = dataclasses.replace(PLAIN, **changes)
        devices = tuple(
            Device(f"CUDA{i}", "phantom", FREE, FREE, "benchmark", compute_capability="9.0") for i in range(count)
        )
        answer = engine.ask(path, settings, devices)
        if isinstance(answer, Unknown):
            continue
        started = time.perf_counter()
        formula = formula_placement(model, settings, devices, build=build)
        yield {
            "shape": model.reference, "build": build, "devices": count, "changes": changes,
            "dry_run": figures(answer.placement), "formula": figures(formula.placement),
            "dry_run_seconds": round(answer.seconds, 4), "formula_seconds": round(time.perf_counter() - started, 4),
        }  # fmt: skip


def worst(rows: list[dict[str, Any]], part: int, *, host: bool) -> float:
    """The largest relative error of one part (0 weights, 1 KV, 2 compute), on the GPUs or on the host."""
    errors = [0.0]
    for row in rows:
        pairs = list(zip(row["dry_run"], row["formula"], strict=True))
        for said, own in pairs[-1:] if host else pairs[:-1]:
            if isinstance(own[part], str):
                return float("inf")
            errors.append(abs(own[part] - said[part]) / max(said[part], 1))
    return max(errors)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How far the formula is from the dry run, and how much faster."""
    parts = ("weights", "kv", "compute")
    return {
        "rows": len(rows),
        "worst_relative_error_on_gpu": {name: worst(rows, i, host=False) for i, name in enumerate(parts)},
        "worst_relative_error_on_host": {name: worst(rows, i, host=True) for i, name in enumerate(parts)},
        "median_formula_seconds": statistics.median(row["formula_seconds"] for row in rows),
        "slowest_formula_seconds": max(row["formula_seconds"] for row in rows),
        "median_dry_run_seconds": statistics.median(row["dry_run_seconds"] for row in rows),
    }


def main() -> None:
    """Runs the grid on every engine and writes the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine-path", action="append")
    parser.add_argument("--shape", action="append")
    parser.add_argument("--quant", default="Q4_K_M")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "formula-vs-dry-run.json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    engines = []
    for path in options.engine_path or [None]:
        found = look_build(path)
        if isinstance(found, Unknown):
            parser.error(found.reason)
        engines.append(found.name)
        build: FormulaBuild = "b11549" if found.name.startswith("xllamacpp") else "0c1e57098"
        with DryRun(found, max_devices=2) as engine:
            for name in options.shape or SHAPES:
                model = shape_model(name, options.quant)
                with stand_in(model) as file:
                    if isinstance(file, Unknown):
                        print(f"{name}: {file.reason}")
                        continue
                    rows += compare(engine, build, model, file)
                print(f"{found.name} {name}: {len(rows)} rows")
    document = {"quant": options.quant, "engines": engines, "summary": summary(rows), "rows": rows}
    options.out.write_text(_compact(document), encoding="utf-8")
    print(json.dumps(document["summary"], indent=1))


def _compact(document: dict[str, Any]) -> str:
    """JSON with one row a line."""
    rows = ",\n".join(json.dumps(row) for row in document["rows"])
    head = json.dumps({key: value for key, value in document.items() if key != "rows"}, indent=1)
    return head[:-2] + ',\n "rows": [\n' + rows + "\n ]\n}\n"


if __name__ == "__main__":
    main()
