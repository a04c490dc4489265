"""Loads of real logs: layers, bytes and outcome were checked by hand against the lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from log_corpus import needs_corpus, read
from vramctl.records.load import Load
from vramctl.records.unknown import Unknown

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


def fields_of(load: Load) -> dict[str, Any]:
    """What a golden file holds of a load; a value that is not there is one the log does not print."""
    values: dict[str, Any] = {
        "name": load.model.name,
        "parameters": load.model.parameters,
        "quantization": load.model.quantization,
        "layers_on_gpu": load.layers_on_gpu,
        "layers_total": load.layers_total,
        "ctx": load.settings.ctx,
        "load_seconds": load.load_seconds,
        "outcome": load.outcome,
        "ready": load.ready,
        "devices": {
            use.name: {
                part: size
                for part in ("weights", "kv", "compute", "output")
                if isinstance(size := getattr(use, f"{part}_bytes"), int)
            }
            for use in load.devices
        },
    }
    return {name: value for name, value in values.items() if not isinstance(value, Unknown)}


def test_at_least_twenty_logs_have_golden_loads() -> None:
    assert len(GOLDEN) >= 20


@needs_corpus
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_loads_of_a_real_log_are_as_checked_by_hand(path: Path) -> None:
    expected = json.loads(path.read_text(encoding="utf-8"))
    assert [fields_of(load) for load in read(f"{path.stem}.log").loads] == expected["loads"]
