"""Whole plans, asked of the installed engine and by formula."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from vramctl.engines.builds import look_build
from vramctl.engines.llama_cpp import DryRun
from vramctl.engines.stand_in import stand_in
from vramctl.errors import BadInput, CouldNotTell
from vramctl.planning import Request, make_plan, make_plans
from vramctl.records import Plan, Settings, Unknown
from vramctl.shapes import shape_model
from vramctl.units import GIB, MIB

engine = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no engine is installed")
EIGHT = "shape:llama3.1-8b@Q4_K_M"


def plan(model: str = EIGHT, *gpus: str, witness: str = "auto", **settings: object) -> Plan:
    asked = Settings(**settings)  # type: ignore[arg-type]
    return make_plan(Request(model=model, gpus=gpus or ("RTX 3060",), settings=asked, witness=witness))


def used(found: Plan, part: str) -> int:
    values = [getattr(use, part) for use in found.placement.devices]
    assert all(isinstance(value, int) for value in values)
    return sum(values)


@pytest.mark.engine
@engine
def test_an_8b_on_a_3060_goes_to_the_gpu_whole_with_the_longest_context_that_fits() -> None:
    found = plan()
    assert found.fits and found.layers_on_gpu == found.layers_total == 33
    assert found.settings.n_ctx == found.max_ctx
    assert found.origins["n_ctx"] == "chosen" and found.origins["n_ubatch"] == "engine default"
    device = found.placement.devices[0]
    assert isinstance(device.used_bytes, int)
    assert found.budgets[0] - 256 * MIB < device.used_bytes <= found.budgets[0]
    assert found.witness.kind == "dry-run"


@pytest.mark.engine
@engine
def test_more_context_than_max_ctx_does_not_fit() -> None:
    most = plan().max_ctx
    assert isinstance(most, int)
    assert plan(n_ctx=most, n_gpu_layers=33).fits
    assert not plan(n_ctx=most + 4096, n_gpu_layers=33).fits


@pytest.mark.engine
@engine
def test_experts_leave_before_layers_and_leave_room_for_nothing_more() -> None:
    found = plan("shape:qwen3-30b-a3b@Q4_K_M", "12GiB", n_ctx=4096)
    assert found.fits and found.settings.n_gpu_layers == 49
    count = found.settings.n_cpu_moe
    assert count
    assert not plan("shape:qwen3-30b-a3b@Q4_K_M", "12GiB", n_ctx=4096, n_cpu_moe=count - 1, n_gpu_layers=49).fits


@pytest.mark.engine
@engine
def test_what_is_asked_and_does_not_fit_is_said_with_advice() -> None:
    found = plan(EIGHT, "8GiB", n_ctx=65536, n_gpu_layers=33)
    assert not found.fits
    assert any("q8_0" in advice.what for advice in found.advice)


@pytest.mark.engine
@engine
def test_two_unequal_cards_are_both_kept_within_their_budgets() -> None:
    found = plan("shape:llama3.1-70b@Q4_K_M", "24GiB", "32GiB", n_ctx=4096)
    assert found.fits and found.settings.tensor_split is not None
    for use, budget in zip(found.placement.devices, found.budgets, strict=True):
        assert isinstance(use.used_bytes, int) and use.used_bytes <= budget
    assert found.placement.devices[0].weights_bytes < found.placement.devices[1].weights_bytes  # type: ignore[operator]


@pytest.mark.engine
@engine
@pytest.mark.parametrize("shape", ["llama3.1-8b", "gemma3-4b", "qwen3-30b-a3b", "lfm2-1.2b"])
def test_a_file_with_its_vocabulary_is_planned_like_its_stripped_stand_in(shape: str, tmp_path: Path) -> None:
    whole = shape_model(shape, "Q4_K_M", vocabulary=True)
    file = tmp_path / "whole.gguf"
    with file.open("wb") as out:
        out.write(whole.header or b"")
        out.truncate(whole.file_bytes)
    build = look_build()
    assert not isinstance(build, Unknown)
    settings = Settings(n_ctx=8192, n_gpu_layers=-1)
    devices = plan(EIGHT, "24GiB", n_ctx=4096).devices
    with DryRun(build, max_devices=1) as run, stand_in(shape_model(shape, "Q4_K_M")) as stripped:
        assert isinstance(stripped, str)
        real, bare = run.ask(str(file), settings, devices), run.ask(stripped, settings, devices)
        assert not isinstance(real, Unknown) and not isinstance(bare, Unknown)
        assert real.placement == bare.placement
    from_path = plan(str(file), "24GiB", n_ctx=8192)
    from_shape = plan(f"shape:{shape}@Q4_K_M", "24GiB", n_ctx=8192)
    assert from_path.placement.devices == from_shape.placement.devices


@pytest.mark.engine
@engine
def test_a_draft_model_is_in_the_same_sum() -> None:
    alone = plan(EIGHT, "24GiB", n_ctx=8192)
    both = plan(EIGHT, "24GiB", n_ctx=8192, draft="shape:llama3.2-1b@Q8_0")
    assert used(both, "weights_bytes") - used(alone, "weights_bytes") > GIB
    assert used(both, "kv_bytes") > used(alone, "kv_bytes")
    assert not both.witness.exact


@pytest.mark.engine
@engine
def test_programs_differ_by_their_own_defaults() -> None:
    server = plan(EIGHT, "24GiB", n_ctx=8192)
    python = plan(EIGHT, "24GiB", n_ctx=8192, program="llama-cpp-python")
    assert used(python, "compute_bytes") > 2 * used(server, "compute_bytes")
    assert (server.settings.flash_attn, python.settings.flash_attn) == ("auto", "off")


@pytest.mark.engine
@engine
def test_several_requests_share_one_engine_and_keep_their_order() -> None:
    requests = [Request(model=EIGHT, gpus=("24GiB",), settings=Settings(n_ctx=n)) for n in (4096, 8192, 32768)]
    told: list[str] = []
    found = make_plans(requests, progress=told.append)
    assert [p.settings.n_ctx for p in found] == [4096, 8192, 32768]
    kv = [used(p, "kv_bytes") for p in found]
    assert kv[1] == 2 * kv[0] and kv[2] == 8 * kv[0]
    assert sum("asking" in line for line in told) == 1


def test_a_formula_speaks_where_it_is_asked_for_and_is_exact_only_of_what_was_compared() -> None:
    found = plan(EIGHT, "RTX 3060", witness="formula", n_ctx=8192)
    assert (found.witness.kind, found.witness.exact) == ("formula", True)
    assert not plan(EIGHT, "12GiB", witness="formula", n_ctx=8192).witness.exact
    assert used(found, "kv_bytes") == 1024 * MIB


def test_a_machine_without_a_gpu_asks_for_one_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vramctl.planning.job.look_gpus", lambda: Unknown("NVML is not here"))
    monkeypatch.setattr("vramctl.planning.job.look_other_gpus", lambda: ())
    with pytest.raises(BadInput) as raised:
        make_plan(Request(model=EIGHT, settings=Settings()))
    assert raised.value.code == "no-gpu-here"
    assert "NVML is not here" in raised.value.because


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (Settings(program="vllm"), "unknown-program"),
        (Settings(program="ollama", engine="exllamav2"), "program-and-engine-disagree"),
        (Settings(engine="exllamav3"), "engine-cannot-read-format"),
    ],
)
def test_a_program_that_cannot_run_the_model_is_an_error(settings: Settings, code: str) -> None:
    with pytest.raises(BadInput) as raised:
        make_plan(Request(model=EIGHT, gpus=("12GiB",), settings=settings))
    assert raised.value.code == code


def test_a_dry_run_that_was_insisted_on_and_is_not_possible_could_not_tell(tmp_path: Path) -> None:
    (tmp_path / "libllama.so").write_bytes(b"not a library")
    request = Request(
        model=EIGHT, gpus=("12GiB",), settings=Settings(n_ctx=4096), witness="dry-run", engine_path=str(tmp_path)
    )
    with pytest.raises(CouldNotTell) as raised:
        make_plan(request)
    assert (raised.value.code, raised.value.exit_code) == ("no-dry-run", 3)


def test_an_engine_that_cannot_be_loaded_makes_the_formula_speak_and_say_why(tmp_path: Path) -> None:
    (tmp_path / "libllama.so").write_bytes(b"not a library")
    found = make_plan(Request(model=EIGHT, gpus=("12GiB",), settings=Settings(n_ctx=4096), engine_path=str(tmp_path)))
    assert found.witness.kind == "formula"
    assert any("no dry run" in line for line in found.witness.because)
