"""Dry runs without a GPU against the figures of real H200s: to 0.1 MiB per device and part, refusals included.

The data files hold the engine's own bytes after real loads (benchmarks/exactness/). By default a spread of configurations
is asked; VRAMCTL_FULL=1 asks all of those of the installed engine.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vramctl.engines.builds import look_build
from vramctl.engines.dry_run_jobs import RawRun
from vramctl.engines.stand_in import stand_in
from vramctl.plan import compared
from vramctl.records import Unknown
from vramctl.shapes import shape_model

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
FILES = sorted(RESULTS.glob("exactness-h200*-xllamacpp-*.json"))
TOLERANCE = (1 << 20) // 10
EVERY = 1 if os.environ.get("VRAMCTL_FULL") else 9


def installed() -> str | None:
    try:
        return importlib.metadata.version("xllamacpp")
    except importlib.metadata.PackageNotFoundError:
        return None


def parts(buffers: dict[str, list[int]], devices: int) -> list[int]:
    return [size for i in range(devices) for size in buffers.get(f"CUDA{i}", [0, 0, 0])]


def wrong(rows: list[dict[str, Any]], machine: dict[str, Any]) -> Iterator[str]:
    """A line per row whose dry run differs from the real load."""
    build = look_build()
    assert not isinstance(build, Unknown)
    total = machine["total_bytes"][0]
    card = {"total": total, "free": total - (512 << 20), "cc": 900}
    with RawRun(build, max_devices=2) as run:
        for shape in dict.fromkeys(row["shape"] for row in rows):
            with stand_in(shape_model(shape, "Q4_K_M")) as path:
                assert isinstance(path, str)
                for row in (r for r in rows if r["shape"] == shape):
                    job = {key: row[key] for key in ("model_params", "context_params")}
                    answer = run.ask({"model": path, "devices": [card] * row["devices"], **job})
                    name = f"{shape} {row['devices']} {row['model_params']} {row['context_params']}"
                    if "failed" in row or not answer["ok"]:
                        if ("failed" in row) == answer["ok"]:
                            yield f"{name}: real {row.get('failed')}, dry {answer.get('error')}"
                        continue
                    real, dry = parts(row["buffers"], row["devices"]), parts(answer["buffers"], row["devices"])
                    if any(abs(a - b) > TOLERANCE for a, b in zip(real, dry, strict=True)):
                        yield f"{name}: real {real}, dry {dry}"


@pytest.mark.engine
@pytest.mark.skipif(installed() != "2026.10.11549", reason="the data is of xllamacpp 2026.10.11549")
@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_dry_run_equals_the_real_load(file: Path) -> None:
    document = json.loads(file.read_text())
    rows = document["rows"][::EVERY]
    assert len(rows) >= 10
    assert list(wrong(rows, document["machine"])) == []


def test_only_what_was_compared_is_called_exact() -> None:
    counted: Counter[str] = Counter()
    most = 0
    for file in RESULTS.glob("exactness-h200*.json"):
        for row in json.loads(file.read_text())["rows"]:
            counted[shape_model(row["shape"], "Q4_K_M").architecture] += 1
            most = max(most, row["devices"])
    assert set(counted) == set(compared.ARCHITECTURES)
    assert most == compared.MOST_DEVICES
    shapes = {
        row["shape"] for file in RESULTS.glob("exactness-h200*.json") for row in json.loads(file.read_text())["rows"]
    }
    readme = (RESULTS.parents[1] / "README.md").read_text()
    assert f"{sum(counted.values())} loads of {len(shapes)} models" in readme
