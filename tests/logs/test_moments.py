"""The three sequences of the requirement document: load, extended load, memory watch."""

from __future__ import annotations

import pytest

from vramctl.logs.assemble import Assembler, assemble
from vramctl.logs.decode import decode
from vramctl.logs.folds import LOAD_KINDS
from vramctl.logs.moments import STEPS
from vramctl.logs.tables import TABLES
from vramctl.records.load import EXTENDED_LOAD, LOAD, MEMORY_WATCH, Load
from vramctl.show.explain_load import load_parts
from vramctl.show.page import Page, paint

# The requirement document's own twelve steps, with the lines of its examples (Ollama 0.9.6), in the order of a real load.
BLOB = "/root/.ollama/models/blobs/sha256-7cd4618c1faf8b7233c6c906dac1694b6a47684b37b8895d470ac688520b9c01"
STEPS_OF_THE_DOCUMENT = f"""\
time=2025-07-30T10:49:13.672+10:00 level=INFO source=sched.go:788 msg="new model will fit in available VRAM in single GPU, loading" model={BLOB} gpu=GPU-72c48c23-32a4-2e54-95c9-99bb82483caa parallel=2 available=3377552306 required="1.8 GiB"
time=2025-07-30T10:49:13.715+10:00 level=INFO source=server.go:135 msg="system memory" total="31.2 GiB" free="24.0 GiB" free_swap="16.0 GiB"
time=2025-07-30T10:49:13.720+10:00 level=INFO source=server.go:175 msg=offload library=cuda layers.requested=-1 layers.model=29 layers.offload=29 layers.split="" memory.available="[3.1 GiB]" memory.gpu_overhead="0 B" memory.required.full="1.9 GiB" memory.required.partial="1.9 GiB" memory.required.kv="224.0 MiB" memory.required.allocations="[1.9 GiB]" memory.weights.total="934.7 MiB" memory.weights.repeating="752.1 MiB" memory.weights.nonrepeating="182.6 MiB" memory.graph.full="299.8 MiB" memory.graph.partial="482.3 MiB"
time=2025-07-30T10:49:13.730+10:00 level=INFO source=server.go:438 msg="starting llama server" cmd="/usr/local/bin/ollama runner --model {BLOB} --ctx-size 8192 --batch-size 512 --n-gpu-layers 29 --threads 6 --parallel 2 --port 39609"
time=2025-07-30T10:49:13.740+10:00 level=INFO source=runner.go:815 msg="starting go runner"
time=2025-07-30T10:49:13.750+10:00 level=INFO source=runner.go:874 msg="Server listening on 127.0.0.1:36891"
load_tensors: loading model tensors, this can take a while... (mmap = true)
load_tensors: offloading 28 repeating layers to GPU
load_tensors: offloaded 29/29 layers to GPU
load_tensors:        CUDA0 model buffer size =   934.70 MiB
llama_kv_cache_unified:      CUDA0 KV buffer size =   224.00 MiB
llama_context:      CUDA0 compute buffer size =   299.75 MiB
time=2025-07-30T10:49:22.450+10:00 level=INFO source=server.go:637 msg="llama runner started in 8.78 seconds"
time=2025-07-30T10:53:49.905+10:00 level=WARN source=sched.go:687 msg="gpu VRAM usage didn't recover within timeout" seconds=5.044882538 runner.size="1.8 GiB" runner.vram="1.8 GiB" runner.parallel=2 runner.pid=14006 runner.model={BLOB}
time=2025-07-30T10:53:50.023+10:00 level=INFO source=sched.go:548 msg="updated VRAM based on existing loaded models" gpu=GPU-72c48c23-32a4-2e54-95c9-99bb82483caa library=cuda total="11.8 GiB" available="3.1 GiB"
"""  # noqa: E501


def load_of(text: str) -> Load:
    return assemble(decode(text.splitlines())).loads[0]


def steps(load: Load, *sequences: str) -> list[str]:
    return [moment.what for moment in load.moments if moment.sequence in sequences]


def test_the_load_has_the_documents_seven_steps() -> None:
    assert steps(load_of(STEPS_OF_THE_DOCUMENT), LOAD) == [
        "found to fit: 1.8 GiB needed, 3.1 GiB free", "29/29 layers planned", "server started", "weights", "KV cache",
        "compute graph", "ready",
    ]  # fmt: skip


def test_the_extended_load_adds_the_steps_between() -> None:
    assert steps(load_of(STEPS_OF_THE_DOCUMENT), EXTENDED_LOAD) == [
        "go runner starts", "runner listening", "tensors loading", "29/29 layers on GPU",
    ]  # fmt: skip


def test_the_memory_watch_tells_what_was_free_when() -> None:
    assert steps(load_of(STEPS_OF_THE_DOCUMENT), MEMORY_WATCH) == [
        "system 24.0 GiB of 31.2 GiB free, swap 16.0 GiB", "GPU memory has not come back in time",
        "GPU GPU-72c48c23 3.1 GiB of 11.8 GiB free",
    ]  # fmt: skip


def test_the_text_shows_all_three_with_seconds_from_the_first_step() -> None:
    page = Page(width=200, unicode=True, colour=False)
    text = paint(*load_parts(load_of(STEPS_OF_THE_DOCUMENT), page, gpus=()), page=page)
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "weights > KV cache > compute graph > +8.8 s ready" in rows["load"]
    assert "go runner starts" in rows["extended"] and "29/29 layers on GPU" in rows["extended"]
    assert "+276.4 s GPU GPU-72c48c23 3.1 GiB of 11.8 GiB free" in " ".join(text.split())


def test_an_estimate_that_llama_cpp_then_made_true_is_one_step() -> None:
    slog = 'time=2026-01-20T10:16:39.442-05:00 level=INFO source=device.go:240 msg="model weights" device=CUDA0 size="39.0 GiB"\n'
    text = (
        slog
        + "load_tensors: offloaded 81/81 layers to GPU\nload_tensors:        CUDA0 model buffer size = 39979.48 MiB\n"
    )
    load = load_of(text)
    assert steps(load, EXTENDED_LOAD)[0] == "sizes estimated"
    assert steps(load, LOAD) == ["weights"]


def test_a_prefix_without_a_year_does_not_move_the_start() -> None:
    page = Page(width=200, unicode=True, colour=False)
    kernel = "Jul 30 10:54:00 ai kernel: amdgpu 0000:c4:00.0: amdgpu: GPU reset begin!\n"
    text = paint(*load_parts(load_of(STEPS_OF_THE_DOCUMENT + kernel), page, gpus=()), page=page)
    assert "+8.8 s ready" in text and "e+09" not in text


@pytest.mark.parametrize("kind", sorted(STEPS))
def test_every_step_is_a_kind_that_some_rule_gives(kind: str) -> None:
    assert kind in {rule.kind for _, rules in TABLES for rule in rules}
    assert kind in LOAD_KINDS


WEB = 'INFO [      log_server_request] request | tid="1" timestamp=1743550253 remote_addr="127.0.0.1" remote_port=5 status=200 '
TIMES = """\
slot print_timing: id  0 | task 0 | prompt eval time =     130.26 ms /    94 tokens (    1.39 ms per token,   721.64 tokens per second)
"""  # noqa: E501
WHOLE = """\
slot print_timing: id  0 | task 0 |        eval time =     980.24 ms /    67 tokens (   14.63 ms per token,    68.35 tokens per second)
slot print_timing: id  0 | task 0 |       total time =    1110.50 ms /   161 tokens
"""  # noqa: E501
LOADED = "load_tensors: offloaded 33/33 layers to GPU\n"


def test_the_files_of_a_web_page_are_no_requests() -> None:
    page = f'{WEB}method="GET" path="/completion.js" params={{}}\n{WEB}method="POST" path="/v1/chat/completions" params={{}}\n'
    assert load_of(LOADED + page).totals.count == 1


def test_a_request_that_the_log_cuts_short_is_not_answered() -> None:
    assert load_of(LOADED + TIMES).totals.count == 0
    assert load_of(LOADED + TIMES + WHOLE).totals.count == 1


def test_looking_while_a_log_is_followed_does_not_count_a_request_twice() -> None:
    assembler = Assembler()
    for event in decode((LOADED + TIMES + WHOLE).splitlines()):
        assembler.add(event)
        assembler.finished(at_end=False)
    assert assembler.finished().totals.count == 1
    assert assembler.finished().totals.count == 1


def test_ollamas_own_engine_names_architecture_and_quantisation() -> None:
    line = (
        'time=2025-07-24T18:29:07.610+09:00 level=INFO source=ggml.go:92 msg="" architecture=gemma3 file_type=Q4_K_M '
        'name="" description="" num_tensors=1247 num_key_values=37\n'
    )
    model = load_of(STEPS_OF_THE_DOCUMENT.split("load_tensors", 1)[0] + line).model
    assert (model.architecture, model.quantization) == ("gemma3", "Q4_K_M")


def test_the_header_is_kept_as_numbers() -> None:
    text = (
        "llama_model_loader: loaded meta data with 26 key-value pairs and 291 tensors from a.gguf (version GGUF V3 (latest))\n"
        "llama_model_loader: - kv   2:                          llama.block_count u32              = 32\n"
        'llama_model_loader: - kv  16:                  tokenizer.ggml.tokens arr[str,128256]  = ["!", "\\"", ...\n'
        "llama_model_loader: - type q4_K:  168 tensors\n"
    )
    load = load_of(text)
    assert load.header == {"llama.block_count": 32, "tokenizer.ggml.tokens": 128256}
    assert load.tensor_types == {"q4_K": 168}
