"""A fix in the words of llama-cpp-python: the arguments of `Llama(...)` for llama.cpp's options."""

from __future__ import annotations

import re
from dataclasses import replace

from vramctl.records.change import WhatFits
from vramctl.records.finding import Finding
from vramctl.records.load import Log

# Options of llama.cpp (common/arg.cpp, build 11434) and what `Llama` of llama-cpp-python 0.3.36 calls them.
_VALUES = {
    "-c": "n_ctx", "--ctx-size": "n_ctx", "-ngl": "n_gpu_layers", "--n-gpu-layers": "n_gpu_layers", "-b": "n_batch",
    "-ub": "n_ubatch", "-t": "n_threads", "-ctk": "type_k", "-ctv": "type_v", "--tensor-split": "tensor_split",
    "-ts": "tensor_split", "--main-gpu": "main_gpu", "-mg": "main_gpu",
}  # fmt: skip
_SWITCHES = {
    "-fa": "flash_attn=True", "--no-mmap": "use_mmap=False", "--mlock": "use_mlock=True", "-nkvo": "offload_kqv=False",
    "--no-kv-offload": "offload_kqv=False", "--swa-full": "swa_full=True",
}  # fmt: skip
_ALL_LAYERS = {"99", "999", "auto", "all"}
_OF_PYTHON = re.compile(r"[/\\]llama_cpp(?:_cuda\w*)?[/\\]")
_QUOTED = re.compile(r"`(-[^`]+)`")


def is_python(log: Log) -> bool:
    """Whether llama-cpp-python ran the engine: its own lines are there, or its files in a traceback."""
    if any(kind.startswith("llama_python.") for kind in log.event_counts):
        return True
    frames = log.seen.get("stack.frame")
    failed = log.seen.get("model.load_failed")
    return any(_OF_PYTHON.search(event.raw) for event in (frames.events if frames else ())) or any(
        "ValueError: Failed to" in event.raw for event in (failed.events if failed else ())
    )


def arguments(option: str) -> str | None:
    """`Llama(..., n_ctx=4096)` for `-c 4096`, `n_ctx=` for `-c` alone; None where one of them has no counterpart."""
    words, given, bare = option.split(), [], False
    while words:
        name = words.pop(0)
        value = words.pop(0) if words and not words[0].startswith("-") else ""
        if name in _SWITCHES:
            given.append(_SWITCHES[name] if value != "off" else "flash_attn=False")
        elif name in _VALUES:
            given.append(f"{_VALUES[name]}={_value(_VALUES[name], value)}")
            bare = bare or not value
        else:
            return None
    text = ", ".join(given)
    return text if bare else f"Llama(..., {text})"


def _value(argument: str, value: str) -> str:
    if argument in {"type_k", "type_v"} and value:
        return f"llama_cpp.GGML_TYPE_{value.upper()}"
    if argument == "tensor_split" and value:
        return f"[{value}]"
    return "-1" if argument == "n_gpu_layers" and value in _ALL_LAYERS else value


def in_python(text: str) -> str:
    """A text with llama.cpp's options between backticks put as arguments; what has no counterpart stays."""
    return _QUOTED.sub(lambda found: f"`{arguments(found[1]) or found[1]}`", text)


def finding_in_python(found: Finding) -> Finding:
    """The finding with its fix in Python's words."""
    return replace(found, fix=in_python(found.fix))


def answer_in_python(answer: WhatFits) -> WhatFits:
    """The changes as arguments; those that `Llama` has no argument for are left out."""
    changes = [(change, _option(change.option)) for change in answer.changes]
    return replace(answer, changes=tuple(replace(change, option=option) for change, option in changes if option))


def _option(option: str) -> str | None:
    """A change's option: an argument for an option, a quantisation as it is."""
    return arguments(option) if option.startswith("-") else option
