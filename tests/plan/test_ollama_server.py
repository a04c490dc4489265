"""What Ollama asks of llama-server, and the rules of its own layouts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plan.test_ollama_logs import dense, gpu, llama
from vramctl.plan.ollama import OllamaEstimate, default_num_ctx, ollama_era, ollama_estimate, parse_version
from vramctl.plan.ollama_server import automatic_batch, fit_target_bytes, ollama_server_settings, predict_server_vram
from vramctl.records import Settings, Unknown
from vramctl.units import GIB, MIB


def asked(version: str = "0.33.0", free: float = 24, num_ctx: int | None = None, parallel: int | None = None,
          other: Settings | None = None, arch: str = "llama") -> Settings:  # fmt: skip
    model = llama("8b") if arch == "llama" else dense(arch, 32, 128256, 4096, 14336, 32, 8)
    answer = ollama_server_settings(model, (gpu(free),) if free else (), version, num_ctx, parallel, other)
    assert isinstance(answer, Settings), answer
    return answer


@pytest.mark.parametrize(
    ("version", "era"),
    [
        ("v0.3.7", "estimate"), ("0.12.10", "estimate"), ("0.12.11", "layout"), ("v0.24.0", "layout"),
        ("0.30.0", "llama-server"), ("0.33.0-rc2", "llama-server"),
    ],
)  # fmt: skip
def test_a_release_belongs_to_one_era(version: str, era: str) -> None:
    assert ollama_era(version) == era


def test_a_text_that_is_no_version_is_refused() -> None:
    with pytest.raises(ValueError, match="not an Ollama version"):
        parse_version("latest")


def test_the_default_context_follows_release_and_memory() -> None:
    assert default_num_ctx("0.5.4", 80 * GIB) == 2048
    assert default_num_ctx("0.13.5", 80 * GIB) == 4096
    assert [default_num_ctx("0.33.0", size * GIB) for size in (12, 24, 48)] == [4096, 32768, 262144]


def test_the_context_is_cut_to_the_trained_one_and_multiplied_by_parallel() -> None:
    said = asked(free=48, parallel=4)
    assert said.n_ctx == 4 * 131072 and said.n_parallel == 4 and said.kv_unified is False


def test_architectures_that_cannot_run_in_parallel_get_one_sequence() -> None:
    said = asked(num_ctx=8192, parallel=4, arch="qwen35")
    assert said.n_parallel == 1 and said.n_ctx == 8192


def test_batch_and_ubatch_are_the_same_and_grow_with_context_while_memory_lasts() -> None:
    assert (asked(num_ctx=4096).n_batch, asked(num_ctx=4096).n_ubatch) == (512, 512)
    assert asked(num_ctx=8192).n_batch == 1024
    assert asked(num_ctx=65536, free=80).n_batch == 2048
    assert asked(num_ctx=65536, free=20).n_batch == 1024
    assert asked(num_ctx=8192, free=6).n_batch == 512
    assert asked(num_ctx=65536, free=80, other=Settings(n_batch=256)).n_ubatch == 256


def test_cuda_without_flash_attention_keeps_a_small_batch() -> None:
    assert automatic_batch(65536, GIB, (24 * GIB,), flash_attn=False, cuda=True) == 512
    assert automatic_batch(8192, GIB, (8 * GIB,), flash_attn=False, cuda=True) == 256
    assert automatic_batch(4096, GIB, (8 * GIB,), flash_attn=False, cuda=True) == 512


def test_what_was_asked_of_ollama_reaches_llama_server() -> None:
    said = asked(num_ctx=4096, other=Settings(type_k="q8_0", flash_attn="on", n_gpu_layers=20, main_gpu=0, n_threads=6))
    assert (said.type_k, said.type_v, said.flash_attn, said.n_gpu_layers) == ("q8_0", "q8_0", "on", 20)
    assert (said.split_mode, said.main_gpu, said.n_threads, said.use_mmap) == ("none", 0, 6, True)


def test_mmap_is_off_where_everything_runs_on_the_cpu() -> None:
    assert asked(free=0, num_ctx=4096).use_mmap is False
    assert asked(num_ctx=4096, other=Settings(n_gpu_layers=0)).use_mmap is False


def test_before_0_30_there_is_no_llama_server() -> None:
    assert isinstance(ollama_server_settings(llama("8b"), (gpu(24),), "0.13.5"), Unknown)
    late = ollama_estimate(llama("8b"), Settings(n_ctx=4096), (gpu(24),), version="0.30.0")
    assert isinstance(late, Unknown) and "llama-server" in late.reason


def test_the_prediction_is_the_file_and_an_f16_cache() -> None:
    model = llama("8b")
    assert predict_server_vram(model, 8192) == model.file_bytes + 1024 * MIB


def test_a_projector_on_the_gpu_raises_the_fit_target() -> None:
    size = 851 * MIB - 5
    assert fit_target_bytes((gpu(24),), "0.33.0", size) == (851 + 1024) * MIB
    assert fit_target_bytes((gpu(24),), "0.31.0", size) == 1024 * MIB
    assert fit_target_bytes((gpu(1.5),), "0.33.0", size) == 1024 * MIB
    assert fit_target_bytes((gpu(24),), "0.33.0", size, n_gpu_layers=10, layers=32) == 1024 * MIB
    assert fit_target_bytes((gpu(24),), "0.33.0", 0) == 1024 * MIB


def test_num_gpu_is_kept_by_both_estimators() -> None:
    for version in ("0.5.4", "0.12.10", "0.13.5"):
        said = ollama_estimate(llama("8b"), Settings(n_ctx=4096, n_gpu_layers=10), (gpu(24),), version=version)
        assert isinstance(said, OllamaEstimate) and said.layers_on_gpu == 10


def test_a_card_too_small_for_two_layers_gets_none() -> None:
    said = ollama_estimate(llama("70b"), Settings(n_ctx=131072), (gpu(4),), version="0.12.10")
    assert isinstance(said, OllamaEstimate)
    assert said.layers_on_gpu == 0 and said.allocations == (0,)


def test_several_gpus_are_charged_the_partial_graph_in_the_estimate_era() -> None:
    said = ollama_estimate(llama("70b"), Settings(n_ctx=4096), (gpu(24), gpu(24, name="CUDA1")), version="0.12.10")
    assert isinstance(said, OllamaEstimate)
    assert said.graph_full_bytes == said.graph_partial_bytes
    assert sum(1 for use in said.placement.devices if use.compute_bytes) == 2


@settings(max_examples=60, deadline=None)
@given(
    version=st.sampled_from(["0.3.7", "0.5.4", "0.9.6", "0.12.10", "0.13.5"]),
    free=st.lists(st.floats(0.5, 60), min_size=1, max_size=4),
    ctx=st.integers(1, 64),
    ngl=st.none() | st.integers(0, 40),
)
def test_a_placement_sums_to_its_allocations_and_stays_within_the_gpus(
    version: str, free: list[float], ctx: int, ngl: int | None
) -> None:
    devices = tuple(gpu(size, name=f"CUDA{index}") for index, size in enumerate(free))
    model = llama("8b")
    said = ollama_estimate(model, Settings(n_ctx=2048 * ctx, n_gpu_layers=ngl), devices, version=version)
    assert isinstance(said, OllamaEstimate)
    assert said.layers_on_gpu <= 33
    for use, allocated, device in zip(said.placement.devices, said.allocations, devices, strict=True):
        assert use.used_bytes == allocated
        if said.era == "estimate":
            assert allocated <= device.free_bytes
    everything = said.weights_repeating_bytes + said.weights_nonrepeating_bytes
    on_gpus = sum(use.weights_bytes for use in said.placement.devices if isinstance(use.weights_bytes, int))
    assert isinstance(said.placement.host.weights_bytes, int)
    assert on_gpus + said.placement.host.weights_bytes == everything
