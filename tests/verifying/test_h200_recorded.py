"""Every load that was verified on a real H200, played again: the same verdict and causes from what engine and device said there.

The recordings are of benchmarks/verify_on_gpu.py (benchmarks/results/verify-h200.json has the figures); lines of the log's debug
level are left out.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from h200 import GPU, Nvml
from vramctl.engines.recording import Recording, read_recording
from vramctl.engines.replay import Replay
from vramctl.planning.ready import Machine
from vramctl.probes.device_watch import NvmlWatcher, Sample, watch_of
from vramctl.records import Placement, Settings
from vramctl.records.stand_in import ModelFile
from vramctl.records.verification import CPU_ONLY, DeviceWatch, Verification
from vramctl.units import MIB
from vramctl.verifying import Request, verify_model

FOLDER = Path(__file__).parent / "h200"
CASES = sorted(path.name.removesuffix(".json.gz") for path in FOLDER.glob("*.json.gz"))
FILE = ModelFile("model.gguf", 1, invented=True, was_there=True)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="the planner's engine is not installed"
)


class Recorded(NvmlWatcher):
    """Shows what was seen while the load was recorded."""

    kept: dict[str, list[dict[str, Any]]]

    def watches(self) -> tuple[DeviceWatch, ...]:
        return tuple(watch_of(GPU, [Sample(**sample) for sample in samples]) for samples in self.kept.values())


class RecordedMachine(Machine):
    """A machine with such a watcher."""

    def watcher(self, *, pid: int | None = None) -> NvmlWatcher:
        watcher = Recorded(self.devices, nvml=self.nvml, pid=pid)
        watcher.kept = KEPT
        return watcher


KEPT: dict[str, list[dict[str, Any]]] = {}


def played(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Verification, dict[str, Any]]:
    """What `verify` says of a recorded load now, and the recording."""
    document = json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    hidden = document["case"] == "8b-hidden"
    if hidden:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    KEPT.clear()
    KEPT.update(document["devices"])
    held = max((sample["used_bytes"] for samples in KEPT.values() for sample in samples[:1]), default=0)
    gpu = replace(GPU, free_bytes=GPU.free_bytes - held)
    settings = replace(Settings(n_ctx=8192, n_parallel=1), **document["settings"])
    found, _, _ = verify_model(
        Request(model=document["model"], settings=settings), say=lambda _: None, open_file=lambda plan: FILE,
        engine=Replay(recording(document, tmp_path), in_order=True), machine=RecordedMachine((gpu,), nvml=Nvml()),
    )  # fmt: skip
    return found, document


def recording(document: dict[str, Any], tmp_path: Path) -> Recording:
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(document["engine"]), encoding="utf-8")
    return read_recording(path)


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_and_its_causes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, document = played(name, tmp_path, monkeypatch)
    assert [found.verdict, *(one.id for one in found.findings)] == document["found"]
    assert isinstance(found.reported, Placement)
    if found.verdict != CPU_ONLY:
        assert isinstance(found.watches[0].process_bytes, int)
        assert found.watches[0].process_bytes > 1000 * MIB


def test_the_witnesses_agree_on_a_full_offload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = played("llama3.1-8b", tmp_path, monkeypatch)
    # The plan here is of another version of llama.cpp than ran there: its compute buffer differs by 8 MiB.
    assert [one.part for one in found.differences if one.part != "compute"] == []
    assert found.evidence.graph_splits == 2
    assert isinstance(found.evidence.decode_share, float) and 0.2 < found.evidence.decode_share < 0.35
    assert isinstance(found.watches[0].busy_percent, tuple) and max(found.watches[0].busy_percent) > 50


def test_a_cache_type_without_a_kernel_is_told_by_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, _ = played("8b-kv-q5_1", tmp_path, monkeypatch)
    old, _ = played("8b-kv-q5_1-ggml-0.20", tmp_path, monkeypatch)
    assert "converted to f16 on the GPU" in new.findings[0].what and "this build" in new.findings[0].what
    assert "attention runs on the CPU" in old.findings[0].what
    assert isinstance(old.evidence.graph_splits, int) and old.evidence.graph_splits > 60
