"""Checks of what configurations ask for: sizes that do not fit together, settings that do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vramctl.checks.config_call import place
from vramctl.checks.doctor_config import Call, llama_call
from vramctl.checks.modes_config import fix
from vramctl.checks.runner import Check, NotThere
from vramctl.records.facts import HostFacts, Nvml
from vramctl.records.finding import WARNING, Finding
from vramctl.records.unknown import Unknown

_SMALL_BATCH = 64
_LANGCHAIN = frozenset({"LlamaCpp", "ChatLlamaCpp", "LlamaCppEmbeddings"})
_LEAST_SLOT = 2048
# What n_batch is where it is left out (`Llama()` of llama-cpp-python 0.3.36, common/common.h of llama.cpp b11434).
_BATCH = {"llama-cpp-python": 512, "llama-server": 2048, "llama-cli": 2048}


def context_beyond_training(call: Call, model_headers: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    """
    The context asked for is longer than the one the model was trained with.

    Why it matters: its KV cache takes GPU memory for positions that the model cannot use: answers get worse beyond the
    trained length unless RoPE scaling is set up for it.

    How it is seen: n_ctx of the configuration against `<architecture>.context_length` of the model file that it names.

    How sure: certain where the file can be read; silent where RoPE or YaRN settings are given too.
    """
    asked = llama_call(call)
    header = model_headers.get(str(asked.value("model")), {})
    trained, n_ctx = header.get("train_ctx"), asked.number("n_ctx")
    slots = 1 if asked.truth("kv_unified") else max(asked.number("n_parallel") or 1, 1)
    if any("rope" in name or "yarn" in name for name in asked.settings):
        return
    if trained and n_ctx and n_ctx // slots > trained:
        yield Finding(
            WARNING, f"{asked.who('n_ctx')} asks for a context of {n_ctx} tokens; the model was trained with {trained}.",
            (*asked.at("n_ctx"), f"{asked.value('model')}: context_length {trained}"),
            fix("context-beyond-training", asked.program),
        )  # fmt: skip


def swa_full_cache(call: Call) -> Iterator[Finding]:
    """
    A full-size cache is asked for layers that attend to a short window only.

    Why it matters: for models with sliding windows (Gemma 2 and 3, gpt-oss, Cohere 2, some Phi and Mistral) it makes the KV
    cache several times larger than needed; it helps only where earlier prompts must be taken up again in the middle.

    How it is seen: `--swa-full`, LLAMA_ARG_SWA_FULL or `swa_full=True`. In llama-cpp-python full is the default already
    (the parameter left at None keeps the library's own True), so there swa_full=False is what saves memory.

    How sure: medium - it is certain that the cache is full-size, not whether the model has windows.
    """
    asked = llama_call(call)
    if asked.truth("swa_full") is not True:
        return
    if asked.program == "llama-cpp-python":
        yield Finding(
            "info", f"{asked.where}: swa_full=True is the default of llama-cpp-python already.", asked.at("swa_full"),
            "For a model with sliding windows try swa_full=False: its cache gets several times smaller.",
        )  # fmt: skip
        return
    yield Finding(
        WARNING, f"{asked.who('swa_full')} asks for full-size caches of sliding-window layers.", asked.at("swa_full"),
        fix("swa-full-cache", asked.program),
    )  # fmt: skip


def batch_too_small(call: Call) -> Iterator[Finding]:
    """
    Prompts are read in very small batches.

    Why it matters: the GPU reads the whole model once for each batch of prompt tokens. With 8 at a time a long prompt takes
    many times longer than with 512, while generation is as fast as ever.

    How it is seen: n_batch or n_ubatch below 64 in the configuration, or LangChain's LlamaCpp without n_batch: its own default
    is 8 (langchain-community), not llama.cpp's 512.

    How sure: certain for the setting; the loss grows with the prompt.
    """
    asked = llama_call(call)
    for name in ("n_batch", "n_ubatch"):
        size = asked.number(name)
        if size is not None and 0 < size < _SMALL_BATCH:
            yield Finding(
                WARNING,
                f"{asked.who(name)} reads prompts {size} tokens at a time.",
                asked.at(name),
                fix("batch-too-small", asked.program),
            )
            return
    if asked.last_name in _LANGCHAIN and asked.complete and asked.value("n_batch") is None:
        yield Finding(
            WARNING, f"{asked.where} reads prompts 8 tokens at a time: LangChain's own default of n_batch.",
            (f"{place(asked.marker)}: no n_batch",), fix("batch-too-small", asked.program),
        )  # fmt: skip


def parallel_splits_context(call: Call) -> Iterator[Finding]:
    """
    The context is shared out among so many slots that each has little.

    Why it matters: llama-server's -c counts the tokens of all slots together. With -np 8 -c 8192 a request has 1024 tokens
    and longer prompts are refused or cut, although the memory for 8192 is taken.

    How it is seen: -np and -c of the command line; not with --kv-unified, where slots share one cache.

    How sure: certain for the numbers; whether the requests are short is for the user to know.
    """
    asked = llama_call(call)
    slots, n_ctx = asked.number("n_parallel"), asked.number("n_ctx")
    if asked.program != "llama-server" or not slots or slots < 2 or not n_ctx or asked.truth("kv_unified"):
        return
    if n_ctx // slots < _LEAST_SLOT:
        yield Finding(
            WARNING, f"{asked.who('n_parallel', 'n_ctx')} leaves each of its {slots} slots {n_ctx // slots} tokens of context.",
            asked.at("n_parallel", "n_ctx"), fix("parallel-splits-context", asked.program),
        )  # fmt: skip


def threads_above_cores(call: Call, host: HostFacts) -> Iterator[Finding]:
    """
    More threads are asked for than the processor has cores.

    Why it matters: for layers on the CPU more threads than physical cores make each token slower, not faster: they wait for
    each other at every layer. `os.cpu_count()` counts hyper-threads.

    How it is seen: n_threads or -t of the configuration against the physical cores, or the CPU quota of the container.

    How sure: high - on processors with hyper-threading the best number is at most that of the cores.
    """
    asked = llama_call(call)
    threads = asked.number("n_threads")
    cores = host.physical_cores
    quota = host.cpu_quota_cores
    most = min(cores, max(int(quota), 1)) if isinstance(cores, int) and isinstance(quota, int | float) else cores
    if threads is None or not isinstance(most, int):
        if threads is not None and isinstance(cores, Unknown):
            raise NotThere(cores.reason)
        return
    if threads > most:
        limit = f"{most} physical cores" if most == cores else f"a CPU quota of {most} cores"
        yield Finding(
            WARNING, f"{asked.who('n_threads')} asks for {threads} threads; there are {limit}.", asked.at("n_threads"),
            fix("threads-above-cores", asked.program),
        )  # fmt: skip


def settings_without_effect(call: Call, nvml: Any = None, engines: Any = None) -> Iterator[Finding]:
    """
    Settings that contradict each other or do nothing.

    Why it matters: they make a configuration look tuned while it is not, and hide what would help.

    How it is seen: n_ubatch above n_batch (cut to n_batch), tensor_split or main_gpu for GPUs that are not there, and, as
    remarks only, what is the default anyway: type_k=1 and type_v=1 (f16), offload_kqv=True since 0.2.30.

    How sure: certain.
    """
    asked = llama_call(call)
    batch, ubatch = asked.number("n_batch"), asked.number("n_ubatch")
    if batch is None and asked.complete and asked.value("n_batch") is None and asked.last_name not in _LANGCHAIN:
        batch = _BATCH.get(asked.program)
    if ubatch and (batch or 0) and ubatch > (batch or 0):
        yield Finding(
            WARNING, f"{asked.where}: n_ubatch {ubatch} is cut to n_batch {batch}.", asked.at("n_ubatch", "n_batch"),
            f"Set n_batch to {ubatch} too, or n_ubatch to {batch}.",
        )  # fmt: skip
    gpus = len(nvml.gpus) if isinstance(nvml, Nvml) and not nvml.error else 0
    split = asked.value("tensor_split")
    shares = (
        [part for part in str(split or "").replace("/", ",").split(",") if part]
        if isinstance(split, str | int | float)
        else []
    )
    if gpus == 1 and shares:
        yield Finding(
            "info", f"{asked.where}: tensor_split does nothing with one GPU.", asked.at("tensor_split"), "Leave it out."
        )
    elif gpus > 1 and len(shares) > gpus:
        yield Finding(WARNING, f"{asked.where}: tensor_split has {len(shares)} shares for {gpus} GPUs.", asked.at("tensor_split"),
                      "Give one share for each GPU that the engine lists.")  # fmt: skip
    main = asked.number("main_gpu")
    if gpus and main is not None and main >= gpus:
        there = f"there are {gpus} GPUs, counted from 0" if gpus > 1 else "there is 1 GPU, number 0"
        yield Finding(WARNING, f"{asked.where}: main_gpu {main} does not exist; {there}.", asked.at("main_gpu"),
                      f"Use 0 to {gpus - 1}." if gpus > 1 else "Use 0.")  # fmt: skip
    plain = [name for name in ("type_k", "type_v") if asked.value(name) is not None and asked.kv_type(name) == "f16"]
    if plain:
        yield Finding("info", f"{asked.where}: {' and '.join(plain)} f16 is the default and saves nothing.", asked.at(*plain),
                      "To save memory use q8_0 for both (type_k=8, type_v=8) with flash attention.")  # fmt: skip


CHECKS: tuple[Check, ...] = (
    context_beyond_training,
    swa_full_cache,
    batch_too_small,
    parallel_splits_context,
    threads_above_cores,
    settings_without_effect,
)
