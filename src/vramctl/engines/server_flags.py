"""Settings as llama-server's arguments, by what its own --help knows; pure.

Names are those of common/arg.cpp, llama.cpp b11434; older spellings are tried where a build does not know the newer ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vramctl.records import Settings

_FLAG = re.compile(r"(?<![\w-])(--?[a-zA-Z][\w-]*)")


def known_flags(help_text: str) -> frozenset[str]:
    """Every option that the help text names."""
    return frozenset(_FLAG.findall(help_text))


def server_arguments(settings: Settings, known: frozenset[str]) -> tuple[list[str], tuple[str, ...]]:
    """(arguments, names of settings that this build has no option for)."""
    arguments: list[str] = []
    missing: list[str] = []
    for name, choices in _wanted(settings):
        fitting = next((words for words in choices if words[0] in known), None)
        if fitting is None:
            missing.append(name)
        else:
            arguments += fitting
    return arguments, tuple(dict.fromkeys(missing))


def _wanted(settings: Settings) -> Iterator[tuple[str, list[list[str]]]]:
    """Each setting that is set, with the arguments that mean it: the first that the build knows is taken."""
    for name, flag in (
        ("n_ctx", "--ctx-size"), ("n_parallel", "--parallel"), ("n_batch", "--batch-size"), ("n_ubatch", "--ubatch-size"),
        ("type_k", "--cache-type-k"), ("type_v", "--cache-type-v"), ("flash_attn", "--flash-attn"),
        ("split_mode", "--split-mode"), ("main_gpu", "--main-gpu"), ("n_threads", "--threads"), ("mmproj", "--mmproj"),
    ):  # fmt: skip
        value = getattr(settings, name)
        if value is not None:
            yield name, [[flag, str(value)]]
    if settings.n_gpu_layers is not None:
        count = settings.n_gpu_layers if settings.n_gpu_layers >= 0 else 999
        yield "n_gpu_layers", [["--gpu-layers", str(count)], ["--n-gpu-layers", str(count)]]
    yield from _switches(settings)
    if settings.tensor_split:
        yield "tensor_split", [["--tensor-split", ",".join(f"{share:g}" for share in settings.tensor_split)]]
    if settings.tensor_overrides:
        pairs = ",".join(f"{pattern}={buffer}" for pattern, buffer in settings.tensor_overrides)
        yield "tensor_overrides", [["--override-tensor", pairs]]
    if settings.n_cpu_moe:
        yield "n_cpu_moe", [["--n-cpu-moe", str(settings.n_cpu_moe)]]
    if settings.draft is not None:
        yield "draft", [["--model-draft", settings.draft]]
    if settings.n_outputs_max is not None and settings.n_outputs_max != (settings.n_parallel or 4):
        yield "n_outputs_max", []  # the server takes one a slot


def _switches(settings: Settings) -> Iterator[tuple[str, list[list[str]]]]:
    if settings.offload_kqv is False:
        yield "offload_kqv", [["--no-kv-offload"]]
    if settings.op_offload is False:
        yield "op_offload", [["--no-op-offload"]]
    if settings.swa_full:
        yield "swa_full", [["--swa-full"]]
    if settings.kv_unified is not None:
        yield "kv_unified", [["--kv-unified"]] if settings.kv_unified else [["--no-kv-unified"]]
    if settings.use_mmap is not None:
        mode = "mmap" if settings.use_mmap else "none"
        yield "use_mmap", [["--load-mode", mode], ["--mmap" if settings.use_mmap else "--no-mmap"]]


def own_arguments(known: frozenset[str], *, port: int) -> list[str]:
    """What we ask of a server that we start: here only, with its whole log, no guessing, nothing kept of earlier prompts."""
    wanted = [
        ["--host", "127.0.0.1"], ["--port", str(port)], ["--fit", "off"], ["--no-warmup"], ["--cache-ram", "0"],
        ["--slots"], ["--log-verbosity", "4"], ["--no-webui"], ["--log-prefix"], ["--log-timestamps"], ["--log-colors", "off"],
    ]  # fmt: skip
    return [word for words in wanted if words[0] in known for word in words]
