"""A model of Ollama's store is planned with the projector, the adapters and the parameters of its manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gguf_bytes
from vramctl.catalogue.devices import parse_devices
from vramctl.planning.llama_cpp import plan_with_llama_cpp
from vramctl.planning.ollama import plan_with_ollama, with_params
from vramctl.planning.request import Request
from vramctl.planning.witnesses import Witnesses
from vramctl.records import Host, Model, Plan, Settings, Unknown
from vramctl.shapes import shape_model
from vramctl.units import GIB, MIB

NO_HOST = Host(Unknown("not asked"), Unknown("not asked"), Unknown("not asked"), "test")
ROWS = 256 << 10  # of 256 F16: 128 MiB


@pytest.fixture
def projector(tmp_path: Path) -> str:
    keys: list[gguf_bytes.Pair] = [
        ("general.architecture", "str", "clip"), ("general.type", "str", "mmproj"), ("clip.vision.block_count", "u32", 1),
    ]  # fmt: skip
    header = gguf_bytes.file(keys, [("v.patch_embd.weight", (256, ROWS), 1)], data=False)
    path = tmp_path / "sha256-0"
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 512 * ROWS)
    return str(path)


@pytest.fixture
def adapter(tmp_path: Path) -> str:
    keys: list[gguf_bytes.Pair] = [("general.architecture", "str", "llama"), ("general.type", "str", "adapter")]
    path = tmp_path / "sha256-1"
    path.write_bytes(gguf_bytes.file(keys, [("blk.0.attn_q.weight.lora_a", (256, 2048), 1)]))
    return str(path)


def stored(**extras: Any) -> Model:
    model = shape_model("llama3.2-1b", "Q4_K_M")
    return replace(model, metadata={**model.metadata, **{f"ollama.{name}": value for name, value in extras.items()}})


def plan(model: Model, program: str = "ollama", *, version: str | None = None, **asked: Any) -> Plan:
    settings = Settings(**asked)
    request = Request(model=model.reference, settings=settings, witness="formula", engine_version=version)
    make = plan_with_ollama if program == "ollama" else plan_with_llama_cpp
    with Witnesses(max_devices=1, say=lambda _: None) as witnesses:
        return make(request, model, program, parse_devices(("RTX 3060",)), NO_HOST, witnesses)


def parts(found: Plan) -> tuple[int, int]:
    """Weights and overhead of the GPU, in bytes."""
    use = found.placement.devices[0]
    assert isinstance(use.weights_bytes, int) and isinstance(use.overhead_bytes, int)
    return use.weights_bytes, use.overhead_bytes


def test_the_projector_and_the_adapter_are_in_the_sum(projector: str, adapter: str) -> None:
    plain, whole = plan(stored()), plan(stored(projectors=(projector,), adapters=(adapter,)))
    assert parts(whole)[0] - parts(plain)[0] == 128 * MIB + MIB
    assert parts(whole)[1] - parts(plain)[1] == GIB
    assert not whole.witness.exact
    assert sum(word in reason for reason in whole.witness.because for word in ("projector: ", "adapter: ")) == 2


def test_ollamas_own_reserve_for_a_projector_is_not_counted_twice(projector: str) -> None:
    found = plan(stored(projectors=(projector,)))
    device = found.devices[0]
    assert device.free_bytes - GIB < found.budgets[0] <= device.free_bytes


def test_the_older_estimate_counts_the_projector(projector: str) -> None:
    plain, whole = (plan(stored(**more), version="0.9.0") for more in ({}, {"projectors": (projector,)}))
    assert sum(parts(whole)) - sum(parts(plain)) == 128 * MIB


def test_llama_server_is_given_the_projector_and_llama_cpp_python_is_not(projector: str) -> None:
    model = stored(projectors=(projector,))
    assert plan(model, "llama-server").settings.mmproj == projector
    assert plan(model, "llama-cpp-python").settings.mmproj is None


def test_the_models_own_parameters_fill_what_was_not_asked() -> None:
    model = stored(**{"params.num_ctx": 2048, "params.num_gpu": 99})
    found = plan(model)
    assert found.settings.n_ctx == 2048 and found.origins["n_ctx"] == "engine default"
    assert found.settings.n_gpu_layers == model.layers + 1
    assert "the model's own parameters: num_ctx 2048, num_gpu 99" in found.witness.because
    assert plan(model, n_ctx=4096).settings.n_ctx == 4096
    assert plan(model, version="0.9.0").settings.n_ctx == 2048


def test_parameters_that_make_no_sense_are_left_out() -> None:
    model = stored(**{"params.num_ctx": -1, "params.num_gpu": -1, "params.num_batch": "x", "params.num_thread": True})
    assert with_params(Settings(), model, 1) == Settings()
    assert with_params(Settings(), stored(**{"params.num_ctx": 1 << 60}), 4) == Settings()


@pytest.mark.parametrize("version", ["0.9.0", "0.14.0", "0.33.0"])
def test_a_part_of_the_layers_fits_in_every_era(version: str) -> None:
    found = plan(shape_model("llama3.1-70b", "Q4_K_M"), version=version)
    assert found.fits
    assert isinstance(found.layers_on_gpu, int) and 0 < found.layers_on_gpu < found.layers_total
