"""What makes a load fit, computed with the planner: only where the planner gives what the log reports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from log_cases import HEALTHY, PARTLY
from log_corpus import FOLDER, needs_corpus
from vramctl.checks.log_memory import RAN_OUT
from vramctl.explaining import Explained, explain
from vramctl.explaining.fit import what_fits
from vramctl.explaining.header import model_of_log
from vramctl.explaining.machine import Machine, machine_of_log, settings_of_load
from vramctl.explaining.python_words import arguments, is_python
from vramctl.logs.assemble import assemble
from vramctl.logs.decode import Stats, decode
from vramctl.plan.ollama import OllamaEstimate, ollama_estimate
from vramctl.records import Model, Settings
from vramctl.records.change import Change, WhatFits
from vramctl.records.finding import Finding
from vramctl.records.unknown import Unknown
from vramctl.units import GIB, MIB

# llama.cpp b3985 on an RTX 3060: a context of 32768 left no memory for cuBLAS; the reporter's fix was a shorter one.
TOO_LONG = (Path(__file__).parents[2] / "docs" / "examples" / "llama-cpp-context-too-long.log").read_text(
    encoding="utf-8"
)
PHI4 = (
    Path(__file__).parents[1] / "logs" / "excerpts" / "ollama-0.5.4-windows-rtx4060-phi4-crash.log"
).read_text(encoding="utf-8")  # fmt: skip


def explained(text: str) -> Explained:
    stats = Stats()
    return explain(assemble(decode(text.splitlines(), stats=stats), stats=stats, name="a.log", size_bytes=len(text)))


def answer(text: str) -> WhatFits:
    found = explained(text).what_fits[0]
    assert isinstance(found, WhatFits), found
    return found


def why_not(text: str) -> str:
    found = explained(text).what_fits[0]
    assert isinstance(found, Unknown), found
    return found.reason


def change(found: WhatFits, beginning: str) -> Change:
    return next(one for one in found.changes if one.option.startswith(beginning))


def about_memory(told: Explained) -> Finding:
    return next(one for one in told.findings if one.id in {"kv-cache-evicts-layers", "partial-offload"})


def test_the_planner_names_the_longest_context_that_fits() -> None:
    shorter = change(answer(TOO_LONG), "-c ")
    tokens = int(shorter.option.split()[1])
    assert 16384 <= tokens < 32768 and tokens % 1024 == 0
    assert shorter.used_bytes <= shorter.budget_bytes == (10362 - 235) * MIB
    assert shorter.layers_on_gpu == 33


def test_flash_attention_is_named_first_where_it_is_off_and_enough() -> None:
    first = answer(TOO_LONG).changes[0]
    assert first.option == "-fa on"
    assert first.used_bytes == pytest.approx(8.3 * GIB, rel=0.01)


def test_the_fix_names_settings_with_bytes_and_says_who_computed_them() -> None:
    found = about_memory(explained(TOO_LONG))
    assert re.search(r"`-c \d+` \(\d+ tokens of context\): \d+\.\d of 9\.9 GiB", found.fix)
    assert found.fix.endswith("(computed with the planner for this model).")
    assert any("reproduces this log within 0.2%: weights 3.91 of 3.94, KV 4.00 of 4.00" in one for one in found.because)


def test_a_log_that_the_planner_cannot_reproduce_keeps_its_own_estimate() -> None:
    larger = TOO_LONG.replace("compute buffer size =  2266.00", "compute buffer size =  6266.00")
    assert "off the log's own figures" in why_not(larger)
    assert "computed with the planner" not in about_memory(explained(larger)).fix


def test_ollamas_own_estimate_is_the_witness_for_its_logs() -> None:
    found = answer(PHI4)
    assert "Ollama" in found.witness
    assert "needed 9.61 of 9.60 GiB, 29 of 29 layers" in found.because[0]
    assert [one.option for one in found.changes] == ["IQ3_XXS"]


def test_several_slots_and_a_long_context_under_ollama_are_named_in_its_words() -> None:
    longer = (
        PHI4.replace("--ctx-size 2048", "--ctx-size 4096").replace("--parallel 1", "--parallel 2")
        .replace('memory.available="[6.9 GiB]"', 'memory.available="[9.8 GiB]"')
        .replace('layers.offload=29', "layers.offload=39").replace("9.6 GiB", "10.0 GiB")
    )  # fmt: skip
    options = [one.option for one in answer(longer).changes]
    assert "OLLAMA_NUM_PARALLEL=1" in options or any(option.startswith("num_ctx ") for option in options)


def test_layers_that_would_fit_are_asked_for() -> None:
    header = (
        "llama_model_loader: - kv   0:                       general.architecture str              = llama\n"
        "llama_model_loader: - kv   1:                          llama.block_count u32              = 32\n"
        "llama_model_loader: - kv   2:                     llama.embedding_length u32              = 4096\n"
        "llama_model_loader: - kv   3:                 llama.attention.head_count u32              = 32\n"
        "llama_model_loader: - kv   4:                          general.file_type u32              = 15\n"
    )
    partly = PARTLY.replace("print_info: file size", f"{header}print_info: file size").replace("4.33 GiB", "4.07 GiB")
    partly = partly.replace("2600.00", "2366.00").replace(
        "compute buffer size =   560.00", "compute buffer size =   669.00"
    )
    first = answer(partly).changes[0]
    assert first.option == "-ngl 99" and first.layers_on_gpu == 33


def test_a_load_that_is_on_the_gpu_needs_no_change() -> None:
    assert why_not(HEALTHY) == "nothing in the log says that it does not fit"


def test_tensors_that_were_placed_one_by_one_are_not_judged() -> None:
    moved = TOO_LONG.replace(
        "llm_load_tensors: offloaded",
        "Tensor blk.1.ffn_up_exps.weight buffer type overriden to CPU\nllm_load_tensors: offloaded",
    )
    assert "one by one" in why_not(moved)


def test_a_model_that_no_shape_is_keeps_the_estimate() -> None:
    assert "no built-in shape" in why_not(TOO_LONG.replace("7.25 B", "9.25 B"))


def test_a_catalogue_card_stands_in_where_the_log_prints_no_free_memory() -> None:
    unsaid = "\n".join(line for line in TOO_LONG.splitlines() if "MiB free" not in line).replace("3060", "3070")
    log = explained(unsaid).log
    found = what_fits(log.loads[0], log)
    assert isinstance(found, WhatFits)
    assert "usual for this card, the log prints none, less" in found.because[1]


def test_a_load_that_failed_although_it_fits_gets_no_change() -> None:
    log = explained(TOO_LONG.replace("10362 MiB free", "23362 MiB free")).log
    found = what_fits(log.loads[0], log)
    assert isinstance(found, Unknown) and "outside the engine's accounting" in found.reason


def test_without_computing_no_planner_is_asked() -> None:
    stats = Stats()
    log = assemble(decode(TOO_LONG.splitlines(), stats=stats), stats=stats, name="a.log", size_bytes=1)
    assert all(isinstance(one, Unknown) for one in explain(log, compute=False).what_fits)


@needs_corpus
def test_a_release_that_prints_no_sum_is_judged_by_its_layers_and_buffers() -> None:
    lines = (
        (FOLDER / "umbc-ollama-0.13.5-1xL40S-11-loads.log").read_text(encoding="utf-8", errors="replace").splitlines()
    )
    text = "\n".join(lines[:230]).replace('available="43.9 GiB"', 'available="10.0 GiB"')
    log = explained(text).log
    model, load = model_of_log(log.loads[0]), log.loads[0]
    machine, settings = machine_of_log(load, log), settings_of_load(load)
    assert isinstance(model, Model) and isinstance(machine, Machine) and isinstance(settings, Settings)
    said = ollama_estimate(model, settings, machine.devices, version="0.13.5")
    assert isinstance(said, OllamaEstimate) and 0 < said.layers_on_gpu < 33
    weights, cache = said.placement.devices[0].weights_bytes, said.placement.devices[0].kv_bytes
    assert isinstance(weights, int) and isinstance(cache, int)
    for old, new in (
        ("offloaded 33/33", f"offloaded {said.layers_on_gpu}/33"), ("GPULayers:33", f"GPULayers:{said.layers_on_gpu}"),
        ("CUDA0 model buffer size =  4403.49", f"CUDA0 model buffer size = {weights / MIB:.2f}"),
        ("CPU_Mapped model buffer size =   281.81", "CPU_Mapped model buffer size =  4600.00"),
        ("CUDA0 KV buffer size = 11264.00 MiB", (f"CUDA0 KV buffer size = {cache / MIB:.2f} MiB\n"
         f"llama_kv_cache:        CPU KV buffer size = {11264 - cache / MIB:.2f} MiB")),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    found = answer(text)
    assert found.witness == "the estimate of Ollama 0.13.5"
    assert found.changes[0].option.startswith("num_ctx ")
    assert found.changes[0].used_bytes <= 10 * GIB


def ran_out(text: str) -> Finding:
    return next(one for one in explained(text).findings if one.title == RAN_OUT)


def test_memory_that_ran_out_gets_the_computed_fix_whatever_asked_for_too_much() -> None:
    crashed = PHI4.replace("GGML_ASSERT(hparams.n_swa > 0) failed", "cudaMalloc failed: out of memory")
    found = ran_out(crashed)
    assert found.id == "ollama-runner-crash"
    assert found.fix.startswith("`IQ3_XXS`") and found.fix.endswith("(computed with the planner for this model).")
    forced = ran_out(
        crashed.replace("layers.requested=-1", "layers.requested=41").replace("--n-gpu-layers 29", "--n-gpu-layers 41")
    )
    assert forced.id == "ollama-num-gpu-forced"
    assert "num_gpu" in forced.fix.partition(" Or: ")[0] and "computed with the planner" in forced.fix


def test_llama_cpp_python_is_told_its_own_arguments() -> None:
    python = TOO_LONG + "\nUsing fallback chat format: llama-2\n"
    assert [one.option for one in answer(python).changes][:1] == ["Llama(..., flash_attn=True)"]
    fix = about_memory(explained(python)).fix
    assert re.search(r"`Llama\(\.\.\., n_ctx=\d+\)`", fix) and "`-" not in fix


@pytest.mark.parametrize(
    ("option", "argument"),
    [
        ("-c 4096", "Llama(..., n_ctx=4096)"),
        ("-c", "n_ctx="),
        ("-ngl 99", "Llama(..., n_gpu_layers=-1)"),
        (
            "-fa on -ctk q8_0 -ctv q8_0",
            "Llama(..., flash_attn=True, type_k=llama_cpp.GGML_TYPE_Q8_0, type_v=llama_cpp.GGML_TYPE_Q8_0)",
        ),
        ("--no-kv-offload", "Llama(..., offload_kqv=False)"),
        ("-ngl 99 --n-cpu-moe 12", None),
        ("-np 1 -c 4096", None),
    ],
)
def test_an_option_is_an_argument_where_llama_cpp_python_has_one(option: str, argument: str | None) -> None:
    assert arguments(option) == argument


@pytest.mark.parametrize(
    ("line", "python"),
    [
        ('  File "/venv/lib/python3.11/site-packages/llama_cpp/llama.py", line 374, in __init__', True),
        ("ValueError: Failed to create llama_context", True),
        ('  File "/app/server.py", line 512, in load', False),
        ("main: server is listening on http://127.0.0.1:8080", False),
    ],
)
def test_llama_cpp_python_is_known_by_its_own_lines(line: str, python: bool) -> None:
    assert is_python(explained(f"{TOO_LONG}\n{line}\n").log) is python
