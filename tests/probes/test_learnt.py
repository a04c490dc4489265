"""What one model taught about a machine holds for the others: figures of an H200 (driver 580.159.04, docs/verify.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from vramctl.plan.overhead import overhead_bytes, pool_bytes
from vramctl.probes.learnt import learnt_key, read_learnt, write_learnt
from vramctl.records import Device, Settings
from vramctl.shapes import shape_model
from vramctl.units import GIB, MIB

GPU = Device("CUDA0", "NVIDIA H200", 140 * GIB, 140 * GIB, "test", driver="580.159.04", uuid="GPU-1")
# shape, flash attention, the engine's MiB (weights, KV, compute), the device's MiB (loaded, with context, after the first decode)
MEASURED = (
    ("qwen2.5-1.5b", True, (934.70, 224, 299.75), (1462, 526, 80)),
    ("llama3.1-8b", True, (4403.49, 1024, 258.50), (4930, 1286, 78)),
    ("llama3.1-8b", False, (4403.49, 1024, 564.01), (4930, 1592, 234)),
    ("llama3.1-8b", False, (4403.49, 16384, 8484.01), (4930, 24872, 186)),
    ("qwen3-30b-a3b", True, (17524.43, 1536, 341.54), (18052, 1880, 176)),
)


@pytest.mark.parametrize("row", MEASURED[1:], ids=lambda row: f"{row[0]}-{'fa' if row[1] else 'no-fa'}")
def test_learnt_on_one_model_the_others_are_within_one_percent_or_64_mib(
    row: tuple[str, bool, tuple[float, ...], tuple[int, ...]],
) -> None:
    name, flash, engine, seen = MEASURED[0]
    residual = int((sum(seen) - sum(engine)) * MIB)
    settings = Settings(n_gpu_layers=99)
    context = residual - pool_bytes(shape_model(name, "Q4_K_M"), settings, flash_attn=flash)
    name, flash, engine, seen = row
    model = shape_model(name, "Q4_K_M")
    planned = sum(engine) * MIB + overhead_bytes(model, settings, GPU, flash_attn=flash, context_bytes=context)
    observed = sum(seen) * MIB
    assert abs(planned - observed) < max(64 * MIB, 0.01 * observed)


def test_what_was_learnt_is_kept_per_gpu_and_driver(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert read_learnt(environ) == {}
    assert write_learnt({learnt_key(GPU): 500 * MIB, "": 1}, environ)
    assert write_learnt({"GPU-2 1": 7}, environ)
    assert read_learnt(environ) == {"GPU-1 580.159.04": 500 * MIB, "GPU-2 1": 7}


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"context_bytes": 3}', '{"context_bytes": {"a": "x", "b": -1, "c": true, "d": 1e99}}', "[" * 5000],
)
def test_a_broken_file_teaches_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "vramctl").mkdir()
    (tmp_path / "vramctl" / "overheads.json").write_text(text)
    assert read_learnt({"XDG_STATE_HOME": str(tmp_path)}) == {}


def test_a_gpu_that_is_only_named_has_no_key() -> None:
    assert learnt_key(Device("CUDA0", "RTX 3060", GIB, GIB, "catalogue")) == ""
