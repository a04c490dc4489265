"""A real llama.cpp loads stand-ins of many architectures and types, checks every block, and generates from them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from stand_in_models import SMALL, small_model
from vramctl.engines.builds import look_build
from vramctl.engines.stand_in_file import prepare, write_stand_in
from vramctl.formats.gguf_write import Entry, TensorSpec, write_header
from vramctl.formats.weights_blocks import BLOCKS, FLOATS
from vramctl.ggml_types import BY_NAME
from vramctl.records import Model, Unknown

RUNNER = Path(__file__).parents[1] / "stand_in_run.py"

pytestmark = pytest.mark.engine


@cache
def libraries() -> tuple[str, ...]:
    build = look_build()
    return () if isinstance(build, Unknown) else build.libraries


@pytest.fixture(autouse=True)
def _needs_engine() -> None:
    if not libraries():
        pytest.skip("no llama.cpp is installed")


def run(models: list[Model], folder: Path) -> list[dict[str, Any]]:
    """What llama.cpp made of the models' stand-ins, all in one child."""
    paths = [folder / f"{index}.gguf" for index in range(len(models))]
    for model, path in zip(models, paths, strict=True):
        write_stand_in(prepare(model), path, progress=lambda done, total: None)
    done = subprocess.run(
        [sys.executable, str(RUNNER), json.dumps(libraries()), *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "2"},
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(models), (done.returncode, done.stderr[-800:], len(answers))
    return answers


def assert_runs(name: str, answer: dict[str, Any]) -> None:
    """It loads with every block checked, and its logits are finite, spread, and no end of text."""
    assert answer.get("context"), (name, answer)
    assert answer["codes"] == [0], name
    assert answer["finite"], name
    assert 0.02 < answer["spread"] < 20, (name, answer["spread"])
    assert answer["distinct"] > 1, name  # no token predicts itself for ever
    assert answer["ended"] == 0, name


def effective_experts(chosen: list[int]) -> float:
    """How many experts share the work: the exponential of the choice's entropy."""
    counts = Counter(chosen)
    total = sum(counts.values())
    return math.exp(-sum(count / total * math.log(count / total) for count in counts.values()))


def test_every_architecture_loads_checked_and_generates_finite_text(tmp_path: Path) -> None:
    answers = run([small_model(name) for name in SMALL], tmp_path)
    for name, answer in zip(SMALL, answers, strict=True):
        assert_runs(name, answer)


def test_experts_are_chosen_about_evenly(tmp_path: Path) -> None:
    names = ("qwen3-30b-a3b", "gpt-oss-20b", "granite4-h-tiny", "qwen3.5-35b-a3b", "deepseek-v3-671b", "glm4.5-air")
    for name, answer in zip(names, run([small_model(name) for name in names], tmp_path), strict=True):
        layers = {layer: chosen for layer, chosen in answer["experts"].items() if len(chosen) > 100}  # the last: 4
        assert layers, name
        experts = 16 if name == "gpt-oss-20b" else 32
        for layer, chosen in layers.items():
            assert effective_experts(chosen) > 0.9 * experts, (name, layer)


def test_every_type_that_llama_quantize_writes_runs(tmp_path: Path) -> None:
    quants = ("F32", "F16", "BF16", "Q4_1", "Q5_1", "Q8_0", "Q2_K", "Q3_K_M", "Q5_K_M", "IQ1_S", "IQ1_M", "IQ2_XXS",
              "IQ2_XS", "IQ2_M", "IQ3_XXS", "IQ3_M", "IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0")  # fmt: skip
    models = [small_model("llama3.1-8b", quant, layers=2) for quant in quants]
    models.append(small_model("qwen3-30b-a3b", "MXFP4_MOE", layers=2))
    for name, answer in zip((*quants, "MXFP4_MOE"), run(models, tmp_path), strict=True):
        assert_runs(name, answer)


def of_one_type(kind: str) -> Model:
    """A small llama whose matrices are all of one type."""
    model = small_model("llama3.1-8b", "F16", layers=2)
    specs = [TensorSpec(t.name, kind if t.type == "F16" else t.type, t.shape) for t in model.tensors]
    entries = [
        Entry("general.architecture", "str", "llama"),
        *(
            Entry(key, "f32" if isinstance(value, float) else "u32", value)
            for key, value in model.metadata.items()
            if key.startswith("llama.") and isinstance(value, int | float)
        ),
        Entry("tokenizer.ggml.model", "str", "none"),
    ]
    header = write_header(entries, specs)
    return replace(model, reference=f"all {kind}", header=header.data, file_bytes=header.file_bytes)


def test_types_outside_its_mixtures_run_too(tmp_path: Path) -> None:
    kinds = ("Q1_0", "Q2_0", "NVFP4", "MXFP4", "Q4_0", "Q5_0", "Q6_K", "IQ2_S", "IQ3_S")
    for kind, answer in zip(kinds, run([of_one_type(kind) for kind in kinds], tmp_path), strict=True):
        assert_runs(kind, answer)


TRAITS = r"""
import ctypes as C, json, sys
from array import array
from vramctl.engines.dry_run.library import Library
from vramctl.formats.weights import Fill, make_tile
from vramctl.ggml_types import BY_NAME
class Traits(C.Structure):
    _fields_ = [("name", C.c_char_p), ("block", C.c_int64), ("interleave", C.c_int64), ("size", C.c_size_t),
                ("quantised", C.c_bool), ("to_float", C.c_void_p), ("from_float", C.c_void_p)]
lib = Library(json.loads(sys.argv[1]))
traits = lib.function("ggml_get_type_traits", C.POINTER(Traits), C.c_int)
valid = lib.function("ggml_validate_row_data", C.c_bool, C.c_int, C.c_void_p, C.c_size_t)
for name in sys.argv[3:]:
    kind = BY_NAME[name]
    blocks = max(60_000 // kind.block, 1)
    tile = make_tile(name, Fill(float(sys.argv[2])), blocks=blocks, seed=b"0")
    raw = (C.c_char * len(tile)).from_buffer(tile)
    count = blocks * kind.block
    if name in ("F32", "F64"):
        values = array("f" if name == "F32" else "d", bytes(tile))
    else:
        out = (C.c_float * count)()
        C.CFUNCTYPE(None, C.c_void_p, C.c_void_p, C.c_int64)(traits(kind.id).contents.to_float)(
            C.addressof(raw), C.addressof(out), count)
        values = array("f", bytes(out))
    mean = sum(values) / count
    print(json.dumps({"valid": bool(valid(kind.id, C.addressof(raw), len(tile))), "mean": mean,
                      "std": (sum(v * v for v in values) / count - mean * mean) ** 0.5, "most": max(map(abs, values))}))
"""


@pytest.mark.parametrize("std", [0.0156, 0.002])
def test_blocks_of_every_type_are_valid_and_as_wide_as_asked(std: float) -> None:
    """The engine's own check and its own `to_float`."""
    kinds = [*BLOCKS, *FLOATS]
    ran = subprocess.run(
        [sys.executable, "-c", TRAITS, json.dumps(libraries()), str(std), *kinds],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-800:]
    for kind, line in zip(kinds, ran.stdout.splitlines(), strict=True):
        found = json.loads(line)
        assert found["valid"], kind
        assert math.isfinite(found["most"]), kind
        assert abs(found["mean"]) < 0.03 * std, (kind, found)
        assert found["std"] == pytest.approx(std, rel=0.03), (kind, found)


def test_every_known_type_is_made_or_named_as_none_of_files() -> None:
    made = {*BLOCKS, *FLOATS, "I8", "I16", "I32", "I64"}
    assert set(BY_NAME) - made == {"Q8_1", "Q8_K"}
