"""Options of llama.cpp's programs and of llama-cpp-python's server: which setting each one is, and how its value reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vramctl.records.unknown import Unknown

Value = str | int | float | bool | Unknown
Found = tuple[str, Value, str]
"""Name of the setting, its value, and what was written."""

# `common/arg.cpp` of llama.cpp b11434 (2026) and older spellings of 2023-2025.
_VALUED: dict[str, str] = {
    "-m": "model", "--model": "model", "-hf": "model", "--hf-repo": "model", "-ngl": "n_gpu_layers",
    "--gpu-layers": "n_gpu_layers", "--n-gpu-layers": "n_gpu_layers", "-c": "n_ctx", "--ctx-size": "n_ctx",
    "-b": "n_batch", "--batch-size": "n_batch", "-ub": "n_ubatch", "--ubatch-size": "n_ubatch", "-t": "n_threads",
    "--threads": "n_threads", "-tb": "n_threads_batch", "--threads-batch": "n_threads_batch", "-np": "n_parallel",
    "--parallel": "n_parallel", "-ctk": "type_k", "--cache-type-k": "type_k", "-ctv": "type_v",
    "--cache-type-v": "type_v", "-ts": "tensor_split", "--tensor-split": "tensor_split", "-mg": "main_gpu",
    "--main-gpu": "main_gpu", "-sm": "split_mode", "--split-mode": "split_mode", "-dev": "device",
    "--device": "device", "-ot": "override_tensor", "--override-tensor": "override_tensor",
    "-ncmoe": "n_cpu_moe", "--n-cpu-moe": "n_cpu_moe", "-fit": "fit", "--fit": "fit", "-lm": "load_mode",
    "--load-mode": "load_mode", "--numa": "numa",
}  # fmt: skip
_SWITCHES: dict[str, tuple[str, bool]] = {
    "-nkvo": ("offload_kqv", False), "--no-kv-offload": ("offload_kqv", False), "-kvo": ("offload_kqv", True),
    "--kv-offload": ("offload_kqv", True), "--swa-full": ("swa_full", True), "--mlock": ("use_mlock", True),
    "--no-mmap": ("use_mmap", False), "--mmap": ("use_mmap", True), "-kvu": ("kv_unified", True),
    "--kv-unified": ("kv_unified", True), "-no-kvu": ("kv_unified", False), "--no-kv-unified": ("kv_unified", False),
    "--no_offload_kqv": ("offload_kqv", False),
    "-cmoe": ("cpu_moe", True), "--cpu-moe": ("cpu_moe", True), "--no-op-offload": ("op_offload", False),
}  # fmt: skip
_FLASH = frozenset({"-fa", "--flash-attn"})
_FLASH_WORDS = frozenset({"on", "off", "auto", "1", "0", "true", "false", "enabled", "disabled"})
# LLAMA_ARG_* variables whose setting is not the name in lower case.
_VARIABLES: dict[str, str] = {
    "N_GPU_LAYERS": "n_gpu_layers", "CTX_SIZE": "n_ctx", "BATCH": "n_batch", "UBATCH": "n_ubatch",
    "THREADS": "n_threads", "N_PARALLEL": "n_parallel", "CACHE_TYPE_K": "type_k", "CACHE_TYPE_V": "type_v",
    "FLASH_ATTN": "flash_attn", "KV_OFFLOAD": "offload_kqv", "NO_KV_OFFLOAD": "no_kv_offload", "SWA_FULL": "swa_full",
    "KV_UNIFIED": "kv_unified", "TENSOR_SPLIT": "tensor_split", "MAIN_GPU": "main_gpu", "SPLIT_MODE": "split_mode",
    "DEVICE": "device", "MODEL": "model", "HF_REPO": "model", "FIT": "fit", "LOAD_MODE": "load_mode",
    "MLOCK": "use_mlock", "CPU_MOE": "cpu_moe", "N_CPU_MOE": "n_cpu_moe", "OVERRIDE_TENSOR": "override_tensor",
}  # fmt: skip
# Fields of `Llama()` and of llama-cpp-python's server, which reads them as variables too.
FIELDS = frozenset({
    "n_gpu_layers", "n_ctx", "n_batch", "n_ubatch", "n_threads", "n_threads_batch", "offload_kqv", "flash_attn", "type_k",
    "type_v", "swa_full", "use_mlock", "use_mmap", "tensor_split", "main_gpu", "split_mode", "n_parallel", "verbose",
    "kv_unified", "op_offload", "f16_kv", "n_seq_max",
})  # fmt: skip


def read_value(text: str) -> Value:
    """What a word means: a whole number, a fraction, a truth value, else the word itself."""
    word = text.strip().strip("\"'")
    lowered = word.lower()
    if lowered in {"true", "yes"}:
        return True
    if lowered in {"false", "no"}:
        return False
    if word.startswith(("${", "$", "%", "{{")):
        return Unknown(f"{word} is a variable")
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def read_options(words: Sequence[str]) -> Iterator[Found]:
    """The settings of a llama.cpp command line after the program's name, in order; other options are left out."""
    at = 0
    while at < len(words):
        word, _, joined = words[at].partition("=") if words[at].startswith("--") else (words[at], "", "")
        after = words[at + 1] if at + 1 < len(words) else ""
        at += 1
        if word in _FLASH:
            given = joined or (after if after.lower() in _FLASH_WORDS else "")
            at += bool(given) and not joined
            yield "flash_attn", _flash(given), f"{word} {given}".strip()
        elif word in _SWITCHES:
            name, state = _SWITCHES[word]
            yield name, state, word
        elif word in _VALUED:
            given = joined or after
            at += not joined
            yield _VALUED[word], read_value(given), f"{word} {given}".strip()


def read_fields(words: Sequence[str]) -> Iterator[Found]:
    """The settings of `python -m llama_cpp.server`: options are named as the fields (`--n_gpu_layers 35`)."""
    for at, word in enumerate(words):
        name, _, joined = word.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if word.startswith("--") and (name in FIELDS or name == "model"):
            given = joined or (words[at + 1] if at + 1 < len(words) else "")
            yield name, read_value(given), f"{word} {'' if joined else given}".strip()


def read_variable(name: str, text: str) -> Found:
    """The setting that a variable is: LLAMA_ARG_* as llama.cpp's option, others under their own name."""
    written = f"{name}={text}"
    if name.startswith("LLAMA_ARG_"):
        setting = _VARIABLES.get(name.removeprefix("LLAMA_ARG_"), name)
        value = read_value(text)
        if setting == "no_kv_offload":  # the older spelling: its presence switches
            return "offload_kqv", value in {0}, written
        if setting in {"offload_kqv", "swa_full", "kv_unified", "use_mlock", "cpu_moe"}:
            value = _truth(value)
        return setting, _flash(text) if setting == "flash_attn" else value, written
    bare = field_of(name)
    return (bare or name), (read_value(text) if bare else text), written


def field_of(name: str) -> str:
    """The field of `Llama()` that a variable of an application stands for (LLAMACPP_N_CTX: n_ctx), else ""."""
    lowered = name.lower()
    for prefix in ("llamacpp_", "llama_cpp_", "llama_"):
        lowered = lowered.removeprefix(prefix)
    if lowered in {"model", "model_path"} and lowered != name.lower():
        return "model"
    return lowered if lowered in FIELDS else ""


def by_name(found: Sequence[Found]) -> Mapping[str, Value]:
    """The settings by name, the last one winning as it does for the programs."""
    return {name: value for name, value, _ in found}


def _flash(word: str) -> Value:
    lowered = word.lower().strip("\"'")
    if lowered in {"off", "0", "false", "disabled", "no"}:
        return "off"
    return "auto" if lowered == "auto" else "on"


def _truth(value: Value) -> Value:
    if isinstance(value, str):
        return value.lower() in {"on", "enabled"} if value.lower() in {"on", "off", "enabled", "disabled"} else value
    return bool(value) if isinstance(value, int | float) else value
