"""A fix in the words of the program that wrote the log, where the catalogue's text names the options of several."""

from __future__ import annotations

from dataclasses import replace

from vramctl.checks.modes import BY_ID
from vramctl.records.finding import Finding
from vramctl.records.load import Log

PYTHON, SERVER, OLLAMA = "llama-cpp-python", "llama-server", "ollama"

# Instead of the text for any program. `Llama` of llama-cpp-python 0.3.36; options of llama.cpp b11434 (common/arg.cpp).
_OWN: dict[str, dict[str, str]] = {
    "n-gpu-layers-zero": {
        PYTHON: "Ask for them: `Llama(..., n_gpu_layers=-1)`; without it none is.",
        SERVER: "Ask for them: `-ngl 99`, or leave `-ngl` out (llama.cpp b6325 and later then places what fits).",
    },
    "one-layer-short": {
        PYTHON: "Ask for one layer more: `Llama(..., n_gpu_layers=-1)` for all.",
        SERVER: "Ask for one layer more: `-ngl 99` for all.",
    },
    "offload-kqv-false": {
        PYTHON: "Leave out `offload_kqv=False`; save memory with a smaller context (`n_ctx=`) or a q8_0 cache: "
        "`type_k=llama_cpp.GGML_TYPE_Q8_0, type_v=llama_cpp.GGML_TYPE_Q8_0, flash_attn=True`.",
        SERVER: "Leave out `--no-kv-offload`; save memory with a smaller context (`-c`) or a q8_0 cache: `-ctk q8_0 -ctv q8_0`.",
        OLLAMA: "Leave the KV cache on the GPU; save memory with a smaller num_ctx or OLLAMA_KV_CACHE_TYPE=q8_0.",
    },
    "quantized-v-needs-flash-attn": {
        PYTHON: "Switch flash attention on (`flash_attn=True`), or keep the V cache at f16.",
        SERVER: "Switch flash attention on (`-fa on`), or keep the V cache at f16.",
        OLLAMA: "Switch flash attention on (OLLAMA_FLASH_ATTENTION=1 in the server's environment), or keep the V cache at f16.",
    },
    "flash-attn-disabled": {
        PYTHON: "Switch it on: `Llama(..., flash_attn=True)`.",
        SERVER: "Switch it on: `-fa on`.",
        OLLAMA: "Switch it on: OLLAMA_FLASH_ATTENTION=1 in the server's environment.",
    },
    "kv-cache-evicts-layers": {
        PYTHON: "Lower the context (`n_ctx=`), or quantise the cache (`type_k=llama_cpp.GGML_TYPE_Q8_0, "
        "type_v=llama_cpp.GGML_TYPE_Q8_0, flash_attn=True`).",
        SERVER: "Lower the context (`-c`), or quantise the cache (`-ctk q8_0 -ctv q8_0 -fa on`).",
        OLLAMA: "Lower the context (num_ctx), or quantise the cache (OLLAMA_FLASH_ATTENTION=1 OLLAMA_KV_CACHE_TYPE=q8_0).",
    },
    "parallel-multiplies-kv": {
        SERVER: "Use one slot (`-np 1`), or one cache for all (`--kv-unified`).",
        OLLAMA: "Set OLLAMA_NUM_PARALLEL=1 in the server's environment.",
    },
    "visible-devices-hides-gpu": {
        PYTHON: "Unset CUDA_VISIBLE_DEVICES (AMD: HIP_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES) before the program starts: an "
        "empty value hides every GPU.",
        SERVER: "Unset CUDA_VISIBLE_DEVICES (AMD: HIP_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES) for the server and restart it: an "
        "empty value hides every GPU.",
    },
}  # fmt: skip
# What a check says itself.
_ELSEWHERE: dict[str, dict[str, str]] = {
    "Ask for all layers: `-ngl 99` or `-ngl auto` (llama-server), `n_gpu_layers=-1` (Python).": {
        PYTHON: "Ask for all layers: `Llama(..., n_gpu_layers=-1)`.",
        SERVER: "Ask for all layers: `-ngl 99`.",
    },
}


def program_of(log: Log, *, python: bool) -> str:
    """The program whose options a fix must name; empty where the lines could be of several."""
    if log.source.engine == "ollama":
        return OLLAMA
    if python:
        return PYTHON
    kinds = ("server.starting", "server.listening", "server.model", "server.model_loaded", "server.slots")
    return SERVER if log.source.engine == "llama.cpp" and any(kind in log.event_counts for kind in kinds) else ""


def in_own_words(found: Finding, program: str, platform: str) -> Finding:
    """The finding with its fix in the program's words, where there are any."""
    own = _OWN.get(found.id, {}).get(program)
    fix = found.fix
    if own:
        fix = fix.replace(BY_ID[found.id].fix(platform), own)
    for text, words in _ELSEWHERE.items():
        fix = fix.replace(text, words.get(program, text))
    return found if fix == found.fix else replace(found, fix=fix)
