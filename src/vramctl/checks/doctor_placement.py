"""Checks of where a model lies: partly in system memory, and what pushed it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vramctl.checks.config_call import Asked
from vramctl.checks.doctor_config import Call, llama_call
from vramctl.checks.evidence import in_words
from vramctl.checks.failure_modes import BY_ID
from vramctl.checks.modes_config import fix
from vramctl.checks.ollama_settings import server_environment
from vramctl.checks.runner import Check, NotKnown, NotThere, known
from vramctl.records.facts import NvmlGpu, OllamaModel, OllamaServer, Platform
from vramctl.records.finding import Finding
from vramctl.records.unknown import Absent, Unknown
from vramctl.units import GIB

_EXL = frozenset({"exllamav2", "exllamav3"})
_MOST_GIB = 1024
_WHOLE_BYTES = (
    "Give reserve_vram in whole bytes (reserve_vram=[100*1024**2, ...], a number for each GPU), or leave it out; "
    "reserve_per_device of ExLlamaV3 is in GiB."
)


def _split(models: tuple[OllamaModel, ...]) -> Iterator[tuple[OllamaModel, int, int]]:
    """Models that lie partly on the GPU: with their size and what of it is there, in bytes."""
    for model in models:
        if (
            isinstance(model.size_bytes, int)
            and isinstance(model.vram_bytes, int)
            and 0 < model.vram_bytes < model.size_bytes
        ):
            yield model, model.size_bytes, model.vram_bytes


def kv_cache_evicts_layers(ollama: OllamaServer, platform: Platform) -> Iterator[Finding]:
    """
    The weights alone would fit on the GPU; the context's cache and buffers do not.

    Why it matters: the cache is reserved for the whole context when a model is loaded, and layers that no longer fit beside
    it run on the CPU. A shorter context gets them back at no cost.

    How it is seen: `/api/ps` (size, size_vram, context_length) against the model's file size of `/api/tags`; in a log the KV
    and compute buffers against what was free.

    How sure: certain from a log; from the API high - what the model takes beyond its file is cache and buffers.
    """
    for model, size, vram in _split(known(ollama.models)):
        if not isinstance(model.file_bytes, int) or isinstance(model.num_gpu, int):
            continue
        beyond = size - model.file_bytes
        if model.file_bytes <= vram and beyond > size // 5:
            yield Finding(
                "warning",
                f"{model.name}: the context of {_tokens(model)} takes {in_words(beyond)}, so {in_words(size - vram)} of the "
                "model lies in system memory; the weights alone would fit.",
                (f"/api/ps: size {in_words(size)}, size_vram {in_words(vram)}", f"/api/tags: file {in_words(model.file_bytes)}"),
                BY_ID["kv-cache-evicts-layers"].fix(platform.kind),
            )  # fmt: skip


def parallel_multiplies_kv(ollama: OllamaServer, platform: Platform, log: Any = None) -> Iterator[Finding]:
    """
    Parallel slots multiply the context's cache, and the model no longer fits.

    Why it matters: Ollama reserves num_ctx for every slot. Up to v0.9 it chose four slots by itself; since v0.10 one.

    How it is seen: OLLAMA_NUM_PARALLEL of the server and a model that lies partly in system memory (`/api/ps`, `/api/tags`);
    in a log the slots and the buffers.

    How sure: certain that the cache is multiplied; that one slot would fit is worked out from the sizes.
    """
    slots = server_environment(ollama, log).get("OLLAMA_NUM_PARALLEL", "1")
    count = int(slots) if slots.isdigit() else 1
    for model, size, vram in _split(known(ollama.models)):
        if count < 2 or not isinstance(model.file_bytes, int):
            continue
        beyond = size - model.file_bytes
        if beyond > 0 and model.file_bytes + beyond // count <= vram:
            yield Finding(
                "warning",
                f"{count} parallel slots make the cache of {model.name} {in_words(beyond)}; with one slot it would fit.",
                (f"OLLAMA_NUM_PARALLEL={count}", f"/api/ps: size {in_words(size)}, size_vram {in_words(vram)}"),
                BY_ID["parallel-multiplies-kv"].fix(platform.kind),
            )  # fmt: skip


def partial_offload(ollama: OllamaServer, platform: Platform) -> Iterator[Finding]:
    """
    A model lies partly in system memory.

    Why it matters: every layer on the CPU is bound by the speed of system memory, so that a tenth of the layers can take most
    of the time.

    How it is seen: size_vram below size in `/api/ps` (`ollama ps` shows 24%/76% CPU/GPU), or `offloaded 28/33 layers` with the
    sizes of the buffers in a log. The table of input embeddings always stays in system memory and is no finding.

    How sure: certain.
    """
    for model, size, vram in _split(known(ollama.models)):
        share = 100 * (size - vram) // size
        if share >= 1:
            yield Finding(
                "warning", f"{share} % of {model.name} ({in_words(size - vram)}) lies in system memory and runs on the CPU.",
                (f"/api/ps: size {in_words(size)}, size_vram {in_words(vram)}, context {_tokens(model)}",),
                BY_ID["partial-offload"].fix(platform.kind),
            )  # fmt: skip


def _tokens(model: OllamaModel) -> str:
    return f"{model.context} tokens" if isinstance(model.context, int) else "unknown length"


def one_layer_short(call: Call, model_headers: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    """
    n_gpu_layers is the number of the model's blocks, one less than its layers.

    Why it matters: llama.cpp counts the output layer as one more; it, or in newer versions the first block, stays on the CPU
    and slows every token.

    How it is seen: n_gpu_layers of the configuration equals `<architecture>.block_count` of the model file, or `offloaded
    32/33 layers` in a log.

    How sure: certain; it is deliberate only where that one layer does not fit.
    """
    asked = llama_call(call)
    layers, blocks = asked.number("n_gpu_layers"), model_headers.get(str(asked.value("model")), {}).get("layers")
    if layers and blocks and layers == blocks:
        yield Finding(
            "warning",
            f"{asked.who('n_gpu_layers')} leaves one layer on the CPU: {layers} of {blocks + 1} (the output layer counts too).",
            (*asked.at("n_gpu_layers"), f"{asked.value('model')}: block_count {blocks}"), BY_ID["one-layer-short"].fix("any"),
        )  # fmt: skip


def multi_gpu_uneven(call: Call, gpus: tuple[NvmlGpu, ...]) -> Iterator[Finding]:
    """
    A split by hand gives the smaller GPU more than its share, or compute copies overflow one of several GPUs.

    Why it matters: the fuller GPU runs out of memory while another has room. Without tensor_split llama.cpp goes by free memory.

    How it is seen: tensor_split of the configuration against the memory of the GPUs as NVML lists them; in a log the buffers of
    each GPU and the allocation that failed.

    How sure: high - CUDA may count the GPUs in another order than NVML (device-order-mismatch).
    """
    asked = llama_call(call)
    text = asked.value("tensor_split")
    try:
        shares = [float(part) for part in str(text).replace("/", ",").split(",")] if isinstance(text, str) else []
    except ValueError:
        return
    sizes = [gpu.total_bytes for gpu in gpus if isinstance(gpu.total_bytes, int)]
    if len(gpus) < 2 or len(sizes) != len(gpus) or len(shares) != len(gpus) or not sum(shares):
        return
    for gpu, size, share in zip(gpus, sizes, shares, strict=True):
        part, fair = share / sum(shares), size / sum(sizes)
        if part > 1.25 * fair:
            yield Finding(
                "warning",
                f"{asked.who('tensor_split')} puts {part:.0%} of the model on GPU {gpu.index} ({gpu.name}), with {fair:.0%} of "
                "the memory.",
                (*asked.at("tensor_split"),
                 *(f"GPU {one.index} {one.name}: {in_words(each)}" for one, each in zip(gpus, sizes, strict=True))),
                f"Leave tensor_split out, or split by memory: {','.join(f'{each / GIB:.0f}' for each in sizes)}.",
            )  # fmt: skip
            return


def exllama_insufficient_vram(calls: Any = None, log_findings: Any = None) -> Iterator[Finding]:
    """
    ExLlama finds no room for model and cache, or is asked in a way that leaves none.

    Why it matters: ExLlamaV2 keeps no layer in system memory and V3 only experts: weights and the whole cache must fit, or
    loading ends with "Insufficient VRAM". The cache is as long as the model's trained context unless a length is given
    (131072 tokens are 16 GiB for an 8B model).

    How it is seen: that text in a log; in a configuration a cache without max_seq_len, `reserve_per_device` of V3 in bytes
    (it takes GiB), `reserve_vram` of V2 in fractions (it takes whole bytes), max_seq_len -1 of
    TabbyAPI (left open it is 4096 since June 2025).

    How sure: certain for the text and the units; that the whole context is too much depends on model and GPU.
    """
    asked = (
        [one for one in (Asked.of(call) for call in calls) if one.program in (*_EXL, "tabbyapi")]
        if isinstance(calls, tuple)
        else []
    )
    if not asked and not isinstance(log_findings, tuple):
        known(calls if isinstance(calls, Unknown) else Absent("no configuration or log of ExLlama was given"))
    lengths = any(one.value("max_seq_len") is not None for one in asked if one.last_name == "ExLlamaV2Config")
    for one in asked:
        yield from _exllama(one, lengths=lengths)


def _exllama(asked: Asked, *, lengths: bool) -> Iterator[Finding]:
    def say(severity: str, what: str, *names: str) -> Finding:
        how = _WHOLE_BYTES if "reserve_vram" in names else fix("exllama-insufficient-vram")
        return Finding(severity, f"{asked.where}: {what}", asked.at(*names), how)

    cache = asked.last_name.startswith("ExLlamaV2Cache") and asked.complete
    if cache and not lengths and asked.value("max_seq_len") is None:
        yield say("warning", "without max_seq_len the cache is as long as the model's trained context.")
    reserve = asked.value("reserve_per_device")
    sizes = str(reserve).split(",") if isinstance(reserve, str | int | float) else []
    if any(_number(part) > _MOST_GIB for part in sizes):
        yield say(
            "error", "reserve_per_device is in GiB; as bytes it leaves nothing for the model.", "reserve_per_device"
        )
    reserve = asked.value("reserve_vram")
    if isinstance(reserve, float) or (isinstance(reserve, str) and "." in reserve):
        yield say("error", "reserve_vram is in whole bytes; fractions end in a TypeError.", "reserve_vram")
    if asked.program == "tabbyapi" and asked.number("max_seq_len") == -1:
        yield say("warning", "with max_seq_len -1 the cache is as long as the model's trained context.", "max_seq_len")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def cuda_unified_memory_env(
    platform: Platform, environment: Any = None, nvml: Any = None, calls: Any = None
) -> Iterator[Finding]:
    """
    GGML_CUDA_ENABLE_UNIFIED_MEMORY lets GPU memory spill over PCIe.

    Why it matters: a model that is larger than the GPU then loads without an error and runs very slowly: its pages travel at
    every token. Any value switches it on, 0 too.

    How it is seen: the variable in the environment of the process in question, of the Ollama server or in a configuration.

    How sure: certain that it is on; it is right on machines whose GPU shares the system's memory.
    """
    gpus = nvml.gpus if nvml is not None and not isinstance(nvml, Unknown | Absent) else ()
    if any(gpu.integrated is True for gpu in gpus):
        raise NotThere("the GPU shares the system's memory, where it is right")
    name = "GGML_CUDA_ENABLE_UNIFIED_MEMORY"
    found = (
        [f"environment: {name}={environment[name]}"] if isinstance(environment, Mapping) and name in environment else []
    )
    for call in calls if isinstance(calls, tuple) else ():
        found += Asked.of(call).at(name)
    if not found and isinstance(environment, Unknown):
        raise NotKnown(environment.reason)
    if found:
        yield Finding(
            "warning", f"{name} is set: what does not fit on the GPU is paged over PCIe at every token.", tuple(found),
            fix("cuda-unified-memory-env", platform=platform.kind),
        )  # fmt: skip


CHECKS: tuple[Check, ...] = (
    cuda_unified_memory_env,
    exllama_insufficient_vram,
    multi_gpu_uneven,
    parallel_multiplies_kv,
    kv_cache_evicts_layers,
    one_layer_short,
    partial_offload,
)
