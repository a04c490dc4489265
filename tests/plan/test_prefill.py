"""The most that arithmetic allows for a prompt: operations counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vramctl.plan.prefill import ATTENTION, PromptWork, Work, prefill_bound, prompt_work
from vramctl.records import Device, Settings, Unknown
from vramctl.shapes import shape_model
from vramctl.units import GIB

CUDA0 = Device("CUDA0", "H200", 140 * GIB, 140 * GIB, "test")
CUDA1 = replace(CUDA0, name="CUDA1")
ALL = Settings(n_ctx=8192, n_gpu_layers=99, n_batch=2048, n_ubatch=512)


def work_of(name: str, quantization: str = "Q4_K_M", settings: Settings = ALL, *, devices: tuple[Device, ...] = (CUDA0,),
            tokens: int = 512, depth: int = 0) -> PromptWork:  # fmt: skip
    found = prompt_work(shape_model(name, quantization), settings, devices, tokens=tokens, depth=depth)
    assert not isinstance(found, Unknown), found
    return found


def products(work: Work) -> float:
    """Operations without attention's."""
    return sum(count for kind, count in work.flops.items() if kind != ATTENTION)


def test_an_8b_by_hand() -> None:
    work = work_of("llama3.1-8b").by_device["CUDA0"]
    attention_part = 2 * 4096 * 4096 + 2 * 4096 * 1024  # q and output, k and v
    feed_forward = 3 * 4096 * 14336
    output = 4096 * 128256
    # of the last layer and the output, only the last token is computed
    by_hand = 2 * 512 * (32 * attention_part + 31 * feed_forward) + 2 * (feed_forward + output)
    assert products(work) == by_hand
    assert products(work) / 512 == pytest.approx(13.61e9, rel=1e-3)  # about 2 x 6.98e9, less one feed-forward part
    assert work.flops[ATTENTION] == 32 * 4 * 32 * 128 * 512 * 513 / 2
    model = shape_model("llama3.1-8b", "Q4_K_M")
    matrices = [t for t in model.tensors if len(t.shape) == 2 and t.name != "token_embd.weight"]
    assert work.read_bytes == sum(tensor.data_bytes for tensor in matrices)


def test_a_long_prompt_reads_the_weights_once_a_ubatch_and_the_output_once_a_batch() -> None:
    once, often = (work_of("llama3.1-8b", tokens=tokens).by_device["CUDA0"] for tokens in (512, 4096))
    tensors = shape_model("llama3.1-8b", "Q4_K_M").tensors
    late = sum(t.data_bytes for t in tensors if t.name == "output.weight" or (t.name.startswith("blk.31.ffn_")
               and len(t.shape) == 2))  # fmt: skip
    assert often.read_bytes == 8 * (once.read_bytes - late) + 2 * late


def test_of_experts_only_those_in_use_are_computed() -> None:
    work = work_of("qwen3-30b-a3b").by_device["CUDA0"]
    attention_part = 2 * 2048 * 4096 + 2 * 2048 * 512
    router, experts = 2048 * 128, 8 * 3 * 2048 * 768
    by_hand = 2 * 512 * (48 * attention_part + 47 * (router + experts)) + 2 * (router + experts + 2048 * 151936)
    assert products(work) == pytest.approx(by_hand, rel=1e-9)


def test_windows_bound_what_a_token_looks_at() -> None:
    work = work_of("gemma3-4b", tokens=2048).by_device["CUDA0"]
    whole, windowed = 2048 * 2049 // 2, 1024 * 1025 // 2 + 1024 * 1024
    assert work.flops[ATTENTION] == 4 * 8 * 256 * (5 * whole + 29 * windowed)


def test_what_is_before_the_prompt_is_looked_at_too() -> None:
    work = work_of("llama3.1-8b", depth=1000).by_device["CUDA0"]
    assert work.flops[ATTENTION] == 32 * 4 * 32 * 128 * (512 * 1000 + 512 * 513 / 2)


def test_compressed_keys_are_left_out_and_it_says_so() -> None:
    found = work_of("deepseek-v2-lite", devices=(CUDA0,))
    assert ATTENTION not in found.by_device["CUDA0"].flops
    assert found.left_out == ("attention over compressed keys",)


def test_layers_in_system_memory_go_to_the_gpu_unless_that_is_off() -> None:
    some = replace(ALL, n_gpu_layers=16)
    sent, off = work_of("llama3.1-8b", settings=some), work_of("llama3.1-8b", settings=replace(some, op_offload=False))
    # the last layer's feed-forward part and the output, for one token, are on the GPU
    assert sent.by_device["CUDA0"].copied_bytes == off.by_device["host"].read_bytes > 2e9
    assert off.by_device["CUDA0"].copied_bytes == 0
    assert products(sent.by_device["CUDA0"]) == products(work_of("llama3.1-8b").by_device["CUDA0"])
    assert set(sent.by_device["host"].flops) == {ATTENTION}  # of the layers whose cache is there
    assert sent.types(4)[-2:] == (("host", "F16"), ("host", "Q4_K"))  # nothing else computes there
    few = work_of("llama3.1-8b", settings=some, tokens=16)  # fewer than 32 tokens are not sent
    assert few.by_device["CUDA0"].copied_bytes == 0 < few.by_device["host"].read_bytes
    sizes = [work_of("llama3.1-8b", settings=some, tokens=n).by_device["CUDA0"].copied_bytes for n in (512, 520, 560)]
    assert sizes == [sizes[0], sizes[0], 2 * sizes[0]]  # nor is a short rest
    assert set(work_of("llama3.1-8b", settings=some, devices=()).by_device) == {"host"}


def test_without_offload_kqv_attention_is_the_processors() -> None:
    found = work_of("llama3.1-8b", settings=replace(ALL, offload_kqv=False))
    assert set(found.by_device["host"].flops) == {ATTENTION}


def test_gpus_that_share_each_product_have_no_bound() -> None:
    model = shape_model("llama3.1-8b", "Q4_K_M")
    found = prompt_work(model, replace(ALL, split_mode="row"), (CUDA0, CUDA1), tokens=512, depth=0)
    assert isinstance(found, Unknown) and "split mode row" in found.reason


def test_the_types_to_measure_are_those_that_matter() -> None:
    assert work_of("llama3.1-8b").types(4) == (("CUDA0", "Q4_K"), ("CUDA0", "Q6_K"), ("CUDA0", "F16"))
    assert work_of("qwen3-30b-a3b", devices=()).types(4) == (("host", "Q4_K"), ("host", "Q6_K"))  # not the routers' F32


WORK = PromptWork(100, 100, {"CUDA0": Work({"Q4_K": 6e12, "F32": 1e12, ATTENTION: 1e12}, 2e12)}, at_once=False)


def test_the_bound_is_the_longer_of_computing_and_reading() -> None:
    rates = {("CUDA0", "Q4_K"): 2e12, ("CUDA0", "F16"): 4e12}
    bound = prefill_bound(WORK, rates, {"CUDA0": 1e12})
    assert not isinstance(bound, Unknown)
    # 3 s for Q4_K; F32 and attention are taken as fast as the fastest: 0.5 s
    assert (bound.tokens_per_second, bound.bound_by) == (pytest.approx(100 / 3.5), "compute of CUDA0")
    slow = prefill_bound(WORK, rates, {"CUDA0": 0.25e12})
    assert not isinstance(slow, Unknown)
    assert (slow.tokens_per_second, slow.bound_by) == (pytest.approx(100 / 8), "memory bandwidth of CUDA0")
    assert prefill_bound(WORK, rates, {}) == bound


def test_weights_that_are_copied_bound_it_too() -> None:
    work = replace(WORK, by_device={"CUDA0": Work({"Q4_K": 2e12}, 1e12, copied_bytes=100e9)})
    rates = {("CUDA0", "Q4_K"): 2e12}
    bound = prefill_bound(work, rates, {"CUDA0": 2e12, "host to CUDA0": 50e9})
    assert not isinstance(bound, Unknown)
    assert (bound.tokens_per_second, bound.bound_by) == (pytest.approx(50), "copying weights to CUDA0")
    unknown = prefill_bound(work, rates, {"CUDA0": 2e12})
    assert isinstance(unknown, Unknown) and "op_offload" in unknown.reason


def test_devices_add_up_unless_they_can_work_at_once() -> None:
    two = replace(WORK, by_device={"CUDA0": Work({"Q4_K": 6e12}), "CUDA1": Work({"Q4_K": 2e12})})
    rates = {("CUDA0", "Q4_K"): 2e12, ("CUDA1", "Q4_K"): 2e12}
    added, at_once = prefill_bound(two, rates, {}), prefill_bound(replace(two, at_once=True), rates, {})
    assert not isinstance(added, Unknown) and not isinstance(at_once, Unknown)
    assert (added.tokens_per_second, at_once.tokens_per_second) == (pytest.approx(25), pytest.approx(100 / 3))
    assert work_of("llama3.1-8b", devices=(CUDA0, CUDA1), tokens=2048).at_once
    assert not work_of("llama3.1-8b", devices=(CUDA0, CUDA1), tokens=512).at_once


def test_without_a_rate_there_is_no_bound() -> None:
    crashed = Unknown("measuring matrix products ended the process: SIGSEGV")
    assert prefill_bound(WORK, {("CUDA0", "Q4_K"): crashed}, {}) == crashed
    assert isinstance(prefill_bound(WORK, {("host", "Q4_K"): 1e12}, {}), Unknown)


def test_an_8b_on_an_h200_reaches_about_half_of_its_int8_peak() -> None:
    """Measured there: 9.7k tokens/s at ubatch 512, which is 133 TFLOP/s."""
    work = work_of("llama3.1-8b").by_device["CUDA0"]
    assert 9700 * sum(work.flops.values()) / 512 == pytest.approx(133e12, rel=0.02)
