"""Every planted fault of a load on an H200 gets its true cause, through all of `verify`: plan, load, watch, judge, learn."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from vramctl.errors import Wrong
from vramctl.planning.ready import Machine
from vramctl.probes.learnt import read_learnt
from vramctl.records import Placement, Settings, Unknown
from vramctl.records.run import CRASHED, Ended
from vramctl.records.stand_in import ModelFile
from vramctl.records.verification import CPU_ONLY, MISMATCH, ON_GPU, PARTIAL, Verification
from vramctl.show.page import Page
from vramctl.show.schemas import schema
from vramctl.show.verify_json import verify_document
from vramctl.show.verify_text import verify_text
from vramctl.units import GIB, MIB
from vramctl.verifying import Request, verify_model

sys.path.insert(0, str(Path(__file__).parent.parent))
from h200 import CONTEXT, CPU_INFO, GPU, H200, POOL, Fault, Nvml, h200, hidden, measured

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="the planner's engine is not installed"
)
LLAMA = "shape:llama3.1-8b@Q4_K_M"
SETTINGS = Settings(n_ctx=8192, n_parallel=1, flash_attn="on", n_outputs_max=0)
WHOLE = measured("llama3.1-8b", n_ctx=8192, flash_attn=1)
HIDING = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


FILE = ModelFile("model.gguf", 1, invented=True, was_there=True)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name in HIDING:
        monkeypatch.delenv(name, raising=False)


def verified(
    fault: Fault,
    asked: Settings = SETTINGS,
    *,
    model: str = LLAMA,
    nvml: Nvml | None = None,
    machine: Machine | None = None,
) -> Verification:
    nvml = nvml or Nvml()
    found, _, _ = verify_model(
        Request(model=model, settings=asked), say=lambda _: None, open_file=lambda plan: FILE,
        engine=H200(nvml, fault), machine=machine or h200(nvml),
    )  # fmt: skip
    jsonschema.validate(verify_document(found, model=model, engine="replay"), schema("verify"))
    text = verify_text(found, Page(), model=model, engine="replay")
    assert max(map(len, text.splitlines())) <= 80
    return found


def causes(found: Verification) -> list[str]:
    return [one.id for one in found.findings if one.severity != "info"]


def partly(layers: int, weights: int, kv: int) -> Mapping[str, Sequence[int]]:
    """The buffers with so many layers on the GPU; the rest of the model is on the host."""
    all_weights = sum(part[0] for part in WHOLE.values())
    return {
        "CUDA0": (weights, kv, 304_627_712), "CPU_Mapped": (all_weights - weights, 0, 0), "CPU": (0, GIB - kv, 0),
        "CUDA_Host": (0, 0, 41_963_520),
    }  # fmt: skip


def test_full_offload_is_on_the_gpu_and_the_witnesses_agree() -> None:
    found = verified(Fault(buffers=WHOLE, layers="33/33"))
    assert (found.verdict, causes(found), found.differences) == (ON_GPU, [], ())
    assert isinstance(found.planned, Placement) and isinstance(found.reported, Placement)
    assert found.planned.devices[0].compute_bytes == found.reported.devices[0].compute_bytes
    assert found.watches[0].process_bytes == sum(WHOLE["CUDA0"]) + CONTEXT + POOL
    assert found.evidence.decode_share == pytest.approx(0.25, abs=0.05)  # 258 tokens/s of 4.6 GB each, at 4.8 TB/s


@pytest.mark.parametrize(
    ("fault", "asked", "verdict", "cause"),
    [
        (
            Fault(buffers=partly(30, 4_200_587_520, 928 * MIB), layers="30/33", splits=8, decode=64),
            {"n_gpu_layers": 30}, PARTIAL, ["partial-offload"],
        ),
        (
            Fault(buffers=partly(32, 4_478_460_160, 992 * MIB), layers="32/33", splits=6, decode=90),
            {"n_gpu_layers": 32}, PARTIAL, ["one-layer-short"],
        ),
        (
            Fault(buffers=measured("llama3.1-8b", layers=0, n_ctx=8192, flash_attn=1), layers="0/33", splits=1, decode=8),
            {"n_gpu_layers": 0}, CPU_ONLY, ["n-gpu-layers-zero"],
        ),
        (
            Fault(buffers=measured("llama3.1-8b", n_ctx=8192, flash_attn=1, offload_kqv=False), layers="33/33", splits=66,
                  decode=44),
            {"offload_kqv": False}, PARTIAL, ["offload-kqv-false"],
        ),
        (
            Fault(buffers={**WHOLE, "CUDA0": (WHOLE["CUDA0"][0], 384 * MIB, WHOLE["CUDA0"][2])}, layers="33/33", splits=66,
                  decode=30, kv="q5_1"),
            {"type_k": "q5_1", "type_v": "q5_1"}, PARTIAL, ["quantized-kv-no-kernel"],
        ),
        (
            Fault(buffers=measured("llama3.1-8b", n_ctx=8192, flash_attn=0), layers="33/33", flash=False, decode=229,
                  overhead=CONTEXT + 235 * MIB),
            {"flash_attn": "off"}, ON_GPU, ["flash-attn-disabled"],
        ),
    ],
    ids=["ngl-30", "ngl-32", "ngl-0", "no-kv-offload", "q5_1", "no-flash-attention"],
)  # fmt: skip
def test_a_planted_fault_gets_its_cause(fault: Fault, asked: dict[str, object], verdict: str, cause: list[str]) -> None:
    found = verified(fault, replace(SETTINGS, **asked))  # type: ignore[arg-type]
    assert (found.verdict, causes(found)) == (verdict, cause)
    assert [one.part for one in found.differences if one.part in {"weights", "kv"}] == []


def test_eight_gigabytes_of_another_process_are_named() -> None:
    nvml = Nvml(p77=8 * GIB)
    found = verified(Fault(buffers=WHOLE, layers="33/33"), nvml=nvml, machine=h200(nvml, free=GPU.free_bytes - 8 * GIB))
    assert found.verdict == ON_GPU
    assert [one.id for one in found.findings] == ["vram-held-by-other"]
    assert "8.0 of" in found.findings[0].what
    assert found.watches[0].grown_bytes == sum(WHOLE["CUDA0"]) + CONTEXT + POOL


CPU_BUFFERS = {"CPU_Mapped": (4_912_898_304, 0, 0), "CPU": (0, GIB, 304_627_712)}


def test_a_cpu_build_is_told_from_a_cuda_build_that_lists_no_gpu() -> None:
    on_cpu = Fault(buffers=CPU_BUFFERS, layers="0/33", splits=1, decode=8, gpus=())
    assert causes(verified(replace(on_cpu, info=CPU_INFO))) == ["cpu-only-build"]
    assert causes(verified(on_cpu)) == ["engine-lists-no-gpu"]


def test_a_hidden_gpu_is_said_to_be_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = verified(Fault(buffers=CPU_BUFFERS, layers="0/33", splits=1, decode=8, gpus=()), machine=hidden())
    assert (found.verdict, causes(found)) == (CPU_ONLY, ["visible-devices-hides-gpu"])
    assert "CUDA_VISIBLE_DEVICES=" in found.findings[0].what


def test_what_the_driver_keeps_elsewhere_is_a_mismatch() -> None:
    found = verified(Fault(buffers=WHOLE, layers="33/33", spilled=2 * GIB, decode=20))
    assert (found.verdict, causes(found)) == (MISMATCH, ["windows-sysmem-fallback"])


def test_an_engine_that_ends_while_it_decodes_is_not_called_on_the_gpu() -> None:
    ended = Ended(how=CRASHED, phase="generate", what="CUDA error: out of memory")
    nvml = Nvml()
    with pytest.raises(Wrong) as raised:
        verify_model(
            Request(model=LLAMA, settings=SETTINGS), say=lambda _: None, open_file=lambda plan: FILE, machine=h200(nvml),
            engine=H200(nvml, Fault(buffers=WHOLE, layers="33/33", ended=ended), steps=[]),
        )  # fmt: skip
    assert raised.value.code == "did-not-run"
    assert "CUDA error: out of memory" in raised.value.what


def test_what_is_learnt_on_one_model_the_plan_of_another_uses() -> None:
    small = measured("qwen2.5-1.5b", n_ctx=8192, flash_attn=1)
    taught = verified(
        Fault(buffers=small, layers="29/29", overhead=700 * MIB + POOL), model="shape:qwen2.5-1.5b@Q4_K_M"
    )
    assert taught.verdict == ON_GPU
    assert read_learnt() == {"GPU-h200 580.159.04": 700 * MIB}
    assert any("700" in note for note in taught.notes)
    found = verified(Fault(buffers=WHOLE, layers="33/33", overhead=700 * MIB + POOL))
    assert found.differences == ()
    assert isinstance(found.planned, Placement)
    planned, seen = found.planned.devices[0].used_bytes, found.watches[0].process_bytes
    assert isinstance(planned, int) and isinstance(seen, int)
    assert abs(planned - seen) < 64 * MIB


def test_a_disturbed_or_partial_view_teaches_nothing_wrong() -> None:
    verified(Fault(buffers=WHOLE, layers="33/33", spilled=2 * GIB))
    assert read_learnt() == {}


def test_json_and_text_say_the_same_of_a_partial_offload() -> None:
    fault = Fault(buffers=partly(30, 4_200_587_520, 928 * MIB), layers="30/33", splits=8, decode=64)
    found = verified(fault, replace(SETTINGS, n_gpu_layers=30))
    document = json.loads(json.dumps(verify_document(found, model=LLAMA, engine="replay")))
    text = verify_text(found, Page(), model=LLAMA, engine="replay")
    assert document["verdict"] == "partial"
    assert document["words"].split(".")[0] in " ".join(text.split())
    assert "30 of 33 layers" in text
    assert isinstance(found.observed, Placement) and isinstance(found.observed.devices[0].weights_bytes, Unknown)
