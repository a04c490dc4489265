"""The dry run of the installed engine: placements, and what becomes of libraries and models that are none."""

from __future__ import annotations

import ctypes.util
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from vramctl.engines.builds import look_build
from vramctl.engines.dry_run import self_test, tiny
from vramctl.engines.dry_run.layouts import LayoutUnknown
from vramctl.engines.llama_cpp import MAX_CRASHES, DryRun
from vramctl.engines.stand_in import stand_in
from vramctl.formats.gguf_write import Entry, TensorSpec, write_header
from vramctl.records import Build, Device, Placement, Settings, Unknown
from vramctl.shapes import shape_model

PINNED = "xllamacpp 2026.10.11549"
PLAIN = Settings(
    n_ctx=8192, n_parallel=1, n_batch=2048, n_ubatch=512, n_gpu_layers=999, type_k="f16", type_v="f16", flash_attn="on",
    offload_kqv=True, op_offload=True, split_mode="layer", swa_full=False, kv_unified=False, n_outputs_max=0,
)  # fmt: skip
SMALL = dataclasses.replace(PLAIN, n_ctx=512, n_batch=64, n_ubatch=64)


@cache
def installed() -> Build | Unknown:
    return look_build()


def build() -> Build:
    found = installed()
    if isinstance(found, Unknown) or not found.libraries:
        pytest.skip("no llama.cpp library is installed")
    return found


def cards(count: int) -> tuple[Device, ...]:
    free = 140 << 30
    return tuple(Device(f"CUDA{i}", "phantom", free, free, "test", compute_capability="9.0") for i in range(count))


@pytest.fixture(scope="module")
def run() -> Iterator[DryRun]:
    with DryRun(build(), max_devices=2) as started:
        assert not isinstance(started.ready, Unknown), started.ready
        yield started


def place(run: DryRun, shape: str, settings: Settings, devices: int = 1) -> Placement:
    with stand_in(shape_model(shape, "Q4_K_M")) as path:
        assert isinstance(path, str)
        answer = run.ask(path, settings, cards(devices))
    assert not isinstance(answer, Unknown), answer
    return answer.placement


def figures(placement: Placement) -> list[list[Any]]:
    host = placement.host
    rows = [[use.weights_bytes, use.kv_bytes, use.compute_bytes] for use in placement.devices]
    return [*rows, [host.weights_bytes, host.kv_bytes, host.compute_bytes]]


GOLDEN: list[tuple[str, int, dict[str, Any], list[list[int]]]] = [
    ("llama3.1-8b", 1, {}, [[4617396480, 1073741824, 304627712], [295501824, 0, 41963520]]),
    ("llama3.1-8b", 1, {"flash_attn": "off"}, [[4617396480, 1073741824, 599797760], [295501824, 0, 54542336]]),
    ("llama3.1-8b", 1, {"n_gpu_layers": 0}, [[0, 0, 727166976], [4912898304, 1073741824, 41963520]]),
    (
        "llama3.1-8b",
        1,
        {"n_gpu_layers": 16, "offload_kqv": False},
        [[2401460480, 0, 296226816], [2511438080, 1073741824, 41963520]],
    ),
    (
        "llama3.1-8b",
        1,
        {"n_ctx": 131072, "type_k": "q8_0", "type_v": "q8_0", "n_parallel": 4, "kv_unified": True, "n_outputs_max": 4},
        [[4617396480, 9126805504, 713128064], [295501824, 0, 167872544]],
    ),
    (
        "llama3.1-8b",
        2,
        {"n_ctx": 16384},
        [[2215936256, 1140850688, 289464320], [2401460480, 1006632960, 371769344], [295501824, 0, 151076864]],
    ),
    (
        "llama3.1-8b",
        2,
        {"n_ctx": 16384, "tensor_split": (3.0, 1.0), "n_ubatch": 2048},
        [[3246326016, 1677721600, 1157857280], [1371070720, 469762048, 1487077376], [295501824, 0, 604307456]],
    ),
    ("qwen3-30b-a3b", 1, {}, [[18375698432, 805306368, 374095872], [175030272, 0, 25186304]]),
    ("qwen3-30b-a3b", 1, {"n_cpu_moe": 8}, [[15346360320, 805306368, 374093824], [3204366336, 0, 25186304]]),
    (
        "qwen3-30b-a3b",
        1,
        {"tensor_overrides": (("ffn_.*_exps\\.weight", "CPU"),)},
        [[822523904, 805306368, 336345088], [17728192512, 0, 25186304]],
    ),
    ("gemma3-4b", 1, {"n_ctx": 32768}, [[2483352832, 853540864, 593127424], [550636800, 0, 56129536]]),
    (
        "deepseek-v2-lite",
        2,
        {"n_gpu_layers": 20},
        [[3809210368, 94371840, 280498432], [3699299712, 84934656, 273035264], [2855464960, 75497472, 25182208]],
    ),
    ("qwen3.5-35b-a3b", 1, {}, [[20869704192, 233635840, 533747840], [286064640, 0, 25192480]]),
]


@pytest.mark.engine
@pytest.mark.parametrize(("shape", "devices", "changes", "bytes_"), GOLDEN)
def test_placements_of_the_pinned_build_stay_as_they_were(
    run: DryRun, shape: str, devices: int, changes: dict[str, Any], bytes_: list[list[int]]
) -> None:
    if run.build.name != PINNED:
        pytest.skip(f"the figures are of {PINNED}")
    assert figures(place(run, shape, dataclasses.replace(PLAIN, **changes), devices)) == bytes_


@pytest.mark.engine
def test_the_child_says_what_it_is(run: DryRun) -> None:
    ready = run.ready
    assert not isinstance(ready, Unknown)
    assert ready["layouts_read"] is True
    assert ready["real_reserve"] is sys.platform.startswith("linux")
    assert 0 < ready["self_test_seconds"] < 2


@pytest.mark.engine
def test_without_layers_on_the_device_only_offloaded_work_takes_memory(run: DryRun) -> None:
    found = place(run, "llama3.1-8b", dataclasses.replace(PLAIN, n_gpu_layers=0))
    assert found.devices[0].weights_bytes == 0
    assert found.devices[0].kv_bytes == 0
    assert found.host.kv_bytes == 1 << 30
    assert found.kv_operations == "cpu"


@pytest.mark.engine
def test_two_cards_hold_what_one_would(run: DryRun) -> None:
    one = place(run, "llama3.1-8b", PLAIN)
    two = place(run, "llama3.1-8b", PLAIN, devices=2)
    assert sum(figures(two)[i][1] for i in range(2)) == figures(one)[0][1]
    rope_factors = 4 * 64  # each card has its own copy
    assert sum(figures(two)[i][0] for i in range(2)) == figures(one)[0][0] + rope_factors


@pytest.mark.engine
def test_experts_kept_on_the_host_leave_the_device(run: DryRun) -> None:
    whole = place(run, "qwen3-30b-a3b", PLAIN)
    kept = place(run, "qwen3-30b-a3b", dataclasses.replace(PLAIN, n_cpu_moe=8))
    off, on = figures(whole)[0][0] - figures(kept)[0][0], figures(kept)[1][0] - figures(whole)[1][0]
    assert on > 2 << 30
    assert 0 <= off - on <= 8 * 3 * 512  # what CUDA pads at the end of a tensor


@pytest.mark.engine
def test_the_engine_says_what_flash_attention_became(run: DryRun) -> None:
    with stand_in(shape_model("llama3.1-8b", "Q4_K_M")) as path:
        assert isinstance(path, str)
        auto = run.ask(path, dataclasses.replace(PLAIN, flash_attn="auto"), cards(1))
    assert not isinstance(auto, Unknown)
    assert auto.flash_attn is True


# ---- libraries that are none


def started(file: str | Path, **limits: float) -> Unknown:
    """Why a child with this library is not ready."""
    path = str(file)
    with DryRun(Build("broken", (path,), None, None, path, Unknown("none")), max_devices=1, **limits) as run:
        assert isinstance(run.ready, Unknown)
        assert run.ask("/nowhere.gguf", SMALL, cards(1)) == run.ready
        return run.ready


def test_a_library_that_is_no_llama_cpp_is_refused_by_name() -> None:
    name = ctypes.util.find_library("c") or pytest.skip("no libc found")
    assert f"{name} is no llama.cpp library" in started(name).reason


def test_a_corrupt_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "libllama.so").write_bytes(b"\x7fELF" + bytes(4096))
    assert "libllama.so" in started(tmp_path / "libllama.so").reason


def test_a_library_that_is_gone_is_refused(tmp_path: Path) -> None:
    assert "cannot open" in started(tmp_path / "libllama.so").reason


def test_a_build_without_libraries_says_so() -> None:
    with DryRun(Build("program", (), None, "/x/llama-fit-params", "/x", Unknown("none")), max_devices=1) as run:
        assert run.ready == Unknown("program has no library to ask")


@pytest.mark.engine
def test_a_child_that_does_not_start_in_time_is_stopped() -> None:
    began = time.monotonic()
    with DryRun(build(), max_devices=1, start_seconds=0.001) as run:
        assert isinstance(run.ready, Unknown)
        assert "gave no answer within 0.001 s" in run.ready.reason
    assert time.monotonic() - began < 5


# ---- models that end the engine, and engines that end


def tiny_file(folder: Path, name: str, **changes: int) -> str:
    """The self-test's model as a sparse file; `changes` replace numbers of its header."""
    numbers = {
        "context_length": 8192, "embedding_length": tiny.WIDTH, "block_count": tiny.LAYERS,
        "feed_forward_length": tiny.FEED_FORWARD, "vocab_size": tiny.VOCABULARY,
        "attention__head_count": tiny.HEADS, "attention__head_count_kv": tiny.KV_HEADS,
    } | changes  # fmt: skip
    header = write_header(
        [
            Entry("general.architecture", "str", "llama"),
            Entry("tokenizer.ggml.model", "str", "none"),
            Entry("llama.attention.layer_norm_rms_epsilon", "f32", 1e-5),
            *(Entry("llama." + key.replace("__", "."), "u32", value) for key, value in numbers.items()),
        ],
        [TensorSpec(key, "F32" if len(shape) == 1 else "Q8_0", shape) for key, shape in tiny.tensors().items()],
    )
    path = folder / name
    path.write_bytes(header.data)
    os.truncate(path, header.file_bytes)
    return str(path)


@pytest.mark.engine
def test_an_assertion_of_the_engine_is_reported_and_the_next_question_answered(tmp_path: Path) -> None:
    good, bad = tiny_file(tmp_path, "good.gguf"), tiny_file(tmp_path, "bad.gguf", block_count=60000)
    with DryRun(build(), max_devices=1) as run:
        before = run.ask(good, SMALL, cards(1))
        crash = run.ask(bad, SMALL, cards(1))
        after = run.ask(good, SMALL, cards(1))
    assert isinstance(crash, Unknown)
    assert "SIGABRT" in crash.reason
    assert "GGML_ASSERT" in crash.reason
    assert not isinstance(before, Unknown)
    assert not isinstance(after, Unknown)
    assert before.placement == after.placement


@pytest.mark.engine
def test_a_build_that_crashes_again_and_again_is_given_up(tmp_path: Path) -> None:
    good, bad = tiny_file(tmp_path, "good.gguf"), tiny_file(tmp_path, "bad.gguf", block_count=60000)
    with DryRun(build(), max_devices=1) as run:
        for _ in range(MAX_CRASHES):
            last = run.ask(bad, SMALL, cards(1))
        assert run.ask(good, SMALL, cards(1)) == last


@pytest.mark.engine
@pytest.mark.parametrize(
    ("changes", "cut", "says"),
    [
        ({}, 100, "not within the file bounds"),
        ({"embedding_length": 320}, 0, "wrong shape"),
        ({"attention__head_count_kv": 0}, 0, "wrong shape"),
    ],
)
def test_a_corrupt_model_is_refused_in_the_engines_words(
    run: DryRun, tmp_path: Path, changes: dict[str, int], cut: int, says: str
) -> None:
    path = Path(tiny_file(tmp_path, "model.gguf", **changes))
    os.truncate(path, path.stat().st_size - cut)
    answer = run.ask(str(path), SMALL, cards(1))
    assert isinstance(answer, Unknown)
    assert says in answer.reason


@pytest.mark.engine
def test_an_unknown_architecture_is_refused_by_name(run: DryRun, tmp_path: Path) -> None:
    path = Path(tiny_file(tmp_path, "model.gguf"))
    path.write_bytes(path.read_bytes().replace(b"llama", b"lemur"))
    answer = run.ask(str(path), SMALL, cards(1))
    assert isinstance(answer, Unknown)
    assert "lemur" in answer.reason


@pytest.mark.engine
def test_quantised_values_without_flash_attention_are_refused(run: DryRun, tmp_path: Path) -> None:
    settings = dataclasses.replace(SMALL, flash_attn="off", type_v="q8_0")
    answer = run.ask(tiny_file(tmp_path, "model.gguf"), settings, cards(1))
    assert isinstance(answer, Unknown)
    assert "V cache" in answer.reason


def child_of(run: DryRun) -> int:
    assert run._process is not None
    return run._process.pid


@pytest.mark.engine
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_child_that_was_killed_is_noticed_and_replaced(tmp_path: Path) -> None:
    good = tiny_file(tmp_path, "good.gguf")
    with DryRun(build(), max_devices=1) as run:
        os.kill(child_of(run), signal.SIGKILL)
        lost = run.ask(good, SMALL, cards(1))
        assert isinstance(lost, Unknown)
        assert "SIGKILL" in lost.reason
        assert not isinstance(run.ask(good, SMALL, cards(1)), Unknown)


@pytest.mark.engine
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_child_that_hangs_is_stopped_at_its_time_limit_and_replaced(tmp_path: Path) -> None:
    good = tiny_file(tmp_path, "good.gguf")
    with DryRun(build(), max_devices=1, ask_seconds=0.5) as run:
        hung = child_of(run)
        os.kill(hung, signal.SIGSTOP)
        began = time.monotonic()
        lost = run.ask(good, SMALL, cards(1))
        assert isinstance(lost, Unknown)
        assert "gave no answer within 0.5 s" in lost.reason
        assert time.monotonic() - began < 5
        with pytest.raises(ProcessLookupError):
            os.kill(hung, 0)
        assert not isinstance(run.ask(good, SMALL, cards(1)), Unknown)


# ---- the self-test itself: an engine that is played, once right and once wrong in one way


def played(job: dict[str, Any]) -> dict[str, Any]:
    """What a right engine answers about the tiny model (compute buffers only roughly)."""
    model, context = job["model_params"], job["context_params"]
    shapes = tiny.tensors()
    layers = min(model["n_gpu_layers"] - 1, tiny.LAYERS)
    first = tiny.LAYERS - layers
    kept_back = "ffn_down" if "overrides" in model else "nothing"
    gpu = {
        name
        for name in shapes
        if kept_back not in name
        and (name.startswith("output") or any(name.startswith(f"blk.{i}.") for i in range(first, 2)))
    }
    sequences = context["n_seq_max"]
    cells = -(-context["n_ctx"] // 256) * 256
    if not context["kv_unified"]:
        cells = -(-(context["n_ctx"] // sequences) // 256) * 256 * sequences
    half = self_test.kv_bytes(cells) // 2
    keys = tiny.LAYERS * tiny.cuda_bytes((tiny.KV_WIDTH, cells)) if context["type_k"] == self_test.Q8_0 else half
    cache, host_cache = (keys + half) * layers // tiny.LAYERS, (keys + half) * first // tiny.LAYERS
    if not context["offload_kqv"]:
        cache, host_cache = 0, cache + host_cache
    rows = context.get("n_outputs_max", 0) or min(context["n_ubatch"], context["n_batch"])
    compute = 4 * tiny.VOCABULARY * rows + (
        0 if context["flash_attn"] else 4 * tiny.HEADS * cells * context["n_ubatch"]
    )
    compute += (1 if rows > 1 else 0) + (4096 if first and context["op_offload"] else 0)
    last = len(job["devices"]) - 1
    return {
        "log": ["load_tensors:          CPU model buffer size =     0.00 MiB"],
        "buffers": {
            f"CUDA{last}": [sum(tiny.cuda_bytes(shapes[name]) for name in gpu), cache, compute],
            "CPU": [sum(tiny.host_bytes(shapes[name]) for name in shapes.keys() - gpu), host_cache, 4096],
        },
    }


def test_the_self_test_passes_an_engine_that_is_right() -> None:
    self_test.check(played, fields=("n_outputs_max",), cards=2)


@pytest.mark.parametrize(
    ("name", "stuck", "says"),
    [
        ("n_ctx", 512, "cache of 2048 cells"),
        ("n_ubatch", 64, "ubatch 128"),
        ("type_k", 1, "q8_0 cache for K"),
        ("flash_attn", 1, "without flash attention"),
        ("offload_kqv", True, "without offload_kqv"),
        ("n_seq_max", 1, "separate sequences"),
        ("kv_unified", False, "unified sequences"),
        ("n_outputs_max", 0, "one output"),
        ("n_batch", 512, "batch of 32"),
        ("op_offload", True, "without op_offload"),
    ],
)
def test_the_self_test_notices_a_context_parameter_without_effect(name: str, stuck: object, says: str) -> None:
    def wrong(job: dict[str, Any]) -> dict[str, Any]:
        return played(job | {"context_params": job["context_params"] | {name: stuck}})

    with pytest.raises(LayoutUnknown, match=says):
        self_test.check(wrong, fields=("n_outputs_max",), cards=1)


@pytest.mark.parametrize(
    ("changes", "cards_", "says"),
    [
        ({"n_gpu_layers": 1}, 1, "weights on the device"),
        ({"overrides": [["x", "CPU"]]}, 1, "weights on the device"),
    ],
)
def test_the_self_test_notices_a_model_parameter_in_the_wrong_place(
    changes: dict[str, Any], cards_: int, says: str
) -> None:
    def wrong(job: dict[str, Any]) -> dict[str, Any]:
        return played(job | {"model_params": job["model_params"] | changes})

    with pytest.raises(LayoutUnknown, match=says):
        self_test.check(wrong, fields=(), cards=cards_)


def test_the_self_test_notices_a_split_that_is_not_heeded() -> None:
    def wrong(job: dict[str, Any]) -> dict[str, Any]:
        return played(job | {"devices": job["devices"][:1]})

    with pytest.raises(LayoutUnknown, match="tensor split"):
        self_test.check(wrong, fields=(), cards=2)


def test_the_self_test_notices_an_empty_breakdown() -> None:
    with pytest.raises(LayoutUnknown, match="names no buffers"):
        self_test.check(lambda _: {"buffers": {}, "log": []}, fields=(), cards=1)


def test_the_self_test_notices_weights_that_are_allocated() -> None:
    def wrong(job: dict[str, Any]) -> dict[str, Any]:
        return played(job) | {"log": ["load_tensors:          CPU model buffer size =     1.06 MiB"]}

    with pytest.raises(LayoutUnknown, match="in spite of no_alloc"):
        self_test.check(wrong, fields=(), cards=1)
