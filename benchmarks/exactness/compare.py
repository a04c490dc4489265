"""Plans without a GPU against the engine's own bytes after a real load on H200s.

    python benchmarks/exactness/compare.py [--engine-path PYTHON] [--file DATA ...] [--out FILE]

Each row of each data file is planned again by a dry run on phantom GPUs of the same size, on a stand-in of the same shape.
Data of xllamacpp is planned with this environment's wheel, data of llama.cpp 0c1e57098 with the llama-cpp-python 0.3.36 that
the Python at --engine-path has (left out without it). A configuration is exact where weights, KV and compute of every GPU are
within 0.1 MiB; one that the engine refuses must be refused by both. Takes one to two minutes; exit code 1 where a row misses.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import measured
from measured import Measured, Row, Sizes

from vramctl.engines.builds import look_build
from vramctl.engines.llama_cpp import DryRun
from vramctl.engines.stand_in import stand_in
from vramctl.records import Build, Model, Placement, Unknown
from vramctl.shapes import shape_model

MIB = 1 << 20
TOLERANCE = MIB // 10
PARTS = ("weights", "kv", "compute")


def planned(placement: Placement) -> tuple[tuple[Sizes, ...], Sizes]:
    """Bytes of each GPU and of the host as a dry run counts them."""

    def known(*sizes: int | Unknown) -> Sizes:
        weights, kv, compute = (size if isinstance(size, int) else -1 for size in sizes)
        return weights, kv, compute

    host = placement.host
    gpus = tuple(known(use.weights_bytes, use.kv_bytes, use.compute_bytes) for use in placement.devices)
    return gpus, known(host.weights_bytes, host.kv_bytes, host.compute_bytes)


def plan_again(engine: DryRun, rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    """What became of each row: exact or not, the differences in bytes, and the seconds it took."""
    for (shape, quant), group in groupby(rows, key=lambda row: (row.shape, row.quant)):
        model = shape_model(shape, quant)
        with stand_in(model) as path:
            if isinstance(path, Unknown):
                raise SystemExit(path.reason)
            for row in group:
                yield {"model": model, **outcome(engine, path, row)}


def outcome(engine: DryRun, path: str, row: Row) -> dict[str, Any]:
    """One row planned again."""
    started = time.perf_counter()
    answer = engine.ask(path, row.settings, row.devices)
    seconds = time.perf_counter() - started
    if isinstance(engine.ready, Unknown):
        raise SystemExit(engine.ready.reason)
    common = {"row": row, "seconds": seconds, "refused": row.refused is not None, "worst": 0, "host_worst": 0}
    if isinstance(answer, Unknown) or row.refused is not None:
        same = isinstance(answer, Unknown) and row.refused is not None
        said = answer.reason if isinstance(answer, Unknown) else "a placement"
        return {**common, "exact": same, "differences": [] if same else [{"real": row.refused, "planned": said}]}
    gpus, host = planned(answer.placement)
    found: list[dict[str, Any]] = [
        {"device": device.name, "part": part, "real_bytes": real, "planned_bytes": plan}
        for device, real_sizes, plan_sizes in zip(row.devices, row.on_gpu, gpus, strict=True)
        for part, real, plan in zip(PARTS, real_sizes, plan_sizes, strict=True)
    ]
    off = [abs(one["planned_bytes"] - one["real_bytes"]) for one in found]
    return {
        **common,
        "exact": max(off) <= TOLERANCE,
        "differences": [one for one, by in zip(found, off, strict=True) if by > TOLERANCE],
        "worst": max(off),
        "host_worst": max(abs(a - b) for a, b in zip(row.on_host, host, strict=True)),
    }


def file_report(data: Measured, build: Build, found: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts of one data file."""
    return {
        "file": data.name,
        "engine": data.engine,
        "planned_with": build.name,
        "gpus": max(len(row.devices) for row in data.rows),
        "configurations": len(found),
        "exact": sum(one["exact"] for one in found),
        "refused_by_both": sum(one["exact"] and one["refused"] for one in found),
        "worst_difference_bytes": max(one["worst"] for one in found),
        "equal_to_the_byte": sum(one["exact"] and one["worst"] == 0 for one in found),
        "host_within_tolerance": sum(one["exact"] and one["host_worst"] <= TOLERANCE for one in found),
        "plan_seconds": round(sum(one["seconds"] for one in found), 2),
        "architectures": architectures(found),
        "misses": [miss(one) for one in found if not one["exact"]],
    }


def architectures(found: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Configurations, exact ones and the worst difference for each architecture."""
    table: dict[str, dict[str, int]] = {}
    for one in found:
        model: Model = one["model"]
        line = table.setdefault(model.architecture, {"configurations": 0, "exact": 0, "worst_difference_bytes": 0})
        line["configurations"] += 1
        line["exact"] += one["exact"]
        line["worst_difference_bytes"] = max(line["worst_difference_bytes"], one["worst"])
    return table


def miss(one: dict[str, Any]) -> dict[str, Any]:
    """A row that was not exact: what was asked and what differs."""
    row: Row = one["row"]
    asked = {name: value for name, value in asdict(row.settings).items() if value is not None}
    return {"shape": row.shape, "gpus": len(row.devices), "settings": asked, "differences": one["differences"]}


def markdown(reports: list[dict[str, Any]]) -> str:
    """The counts as two tables: a row a file, a row an architecture."""
    lines = [
        "| data file | GPUs | planned with | configurations | exact | equal to the byte | worst difference, MiB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in reports:
        worst = one["worst_difference_bytes"] / MIB
        lines.append(
            f"| {one['file']} | {one['gpus']} | {one['planned_with']} | {one['configurations']} | {one['exact']} "
            f"| {one['equal_to_the_byte']} | {worst:.3f} |"
        )
    total: dict[str, list[int]] = {}
    for one in reports:
        for name, line in one["architectures"].items():
            sums = total.setdefault(name, [0, 0, 0])
            sums[0] += line["configurations"]
            sums[1] += line["exact"]
            sums[2] = max(sums[2], line["worst_difference_bytes"])
    lines += ["", "| architecture | configurations | exact | worst difference, MiB |", "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {a} | {b} | {c / MIB:.3f} |" for name, (a, b, c) in sorted(total.items())]
    return "\n".join(lines)


def main() -> int:
    """Plans every data file again, writes the counts and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine-path", help="a Python that has llama-cpp-python 0.3.36")
    parser.add_argument("--file", action="append", type=Path)
    parser.add_argument("--out", type=Path, default=measured.RESULTS / "exactness.json")
    options = parser.parse_args()
    reports, left_out = [], []
    for path in options.file or measured.files():
        data = measured.read(path)
        if not data.of_xllamacpp and options.engine_path is None:
            left_out.append({"file": data.name, "because": "no --engine-path with llama-cpp-python 0.3.36 was given"})
            continue
        build = look_build(None if data.of_xllamacpp else options.engine_path)
        if isinstance(build, Unknown):
            parser.error(build.reason)
        with DryRun(build, max_devices=max(len(row.devices) for row in data.rows)) as engine:
            reports.append(file_report(data, build, list(plan_again(engine, data.rows))))
    document = {
        "what": "plans without a GPU against the engine's own bytes after a real load (H200)",
        "tolerance_bytes": TOLERANCE,
        "configurations": sum(one["configurations"] for one in reports),
        "exact": sum(one["exact"] for one in reports),
        "worst_difference_bytes": max((one["worst_difference_bytes"] for one in reports), default=0),
        "left_out": left_out,
        "files": reports,
    }
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(markdown(reports))
    print(f"\n{document['exact']} of {document['configurations']} configurations are exact (0.1 MiB on every GPU).")
    for one in reports:
        for missed in one["misses"]:
            print("miss:", one["file"], json.dumps(missed))
    return 0 if document["exact"] == document["configurations"] else 1


if __name__ == "__main__":
    sys.exit(main())
