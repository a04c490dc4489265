"""A plan as a Python snippet with llama-cpp-python's `Llama`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vramctl.records import Plan, Settings
from vramctl.show.emit.llama_options import kv_type, tensor_split
from vramctl.show.emit.notes import comment, inexpressible, require_engine, summary, visible_note
from vramctl.show.emit.quote import number
from vramctl.show.emit.source import fetch_note, local_name, locate

FORM = "llama-cpp-python"
# `enum ggml_type` in ggml.h, ggml 0.25.3; the numbers have not changed since each type came.
_GGML_TYPES = {
    "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "iq4_nl": 20, "bf16": 30,
}  # fmt: skip
_SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}  # `enum llama_split_mode` in llama.h


def emit_llama_cpp_python(plan: Plan) -> str:
    """Python source that loads the model as planned (`Llama.__init__` of llama-cpp-python 0.3.36)."""
    require_engine(plan, FORM)
    _refuse_what_llama_lacks(plan.settings)
    arguments = [("model_path", repr(local_name(locate(plan.model))))]
    for part in (_context, _cache, _devices):
        arguments.extend(part(plan))
    body = "".join(f"    {name}={value},\n" for name, value in arguments)
    visible = visible_note(plan) if len(plan.devices) > 1 else ()  # one GPU is chosen by main_gpu
    notes = comment((*summary(plan, program=FORM), *fetch_note(locate(plan.model)), *visible))
    return f"{notes}from llama_cpp import Llama\n\nllm = Llama(\n{body})\n"


def _refuse_what_llama_lacks(settings: Settings) -> None:
    if (settings.n_parallel or 1) > 1:
        raise inexpressible(
            FORM,
            f"{settings.n_parallel} parallel sequences",
            because="Llama() makes a context of one sequence",
            fix="Plan with --parallel 1, or use --emit llama-server.",
        )
    if settings.tensor_overrides or settings.n_cpu_moe:
        raise inexpressible(
            FORM,
            "tensor overrides (--override-tensor, --n-cpu-moe)",
            because="Llama() has no argument for tensor_buft_overrides",
            fix="Plan with fewer --ngl instead, or use --emit llama-server.",
        )
    if settings.flash_attn == "auto":
        raise inexpressible(
            FORM,
            "flash attention auto",
            because="Llama(flash_attn=...) is on or off",
            fix="Plan with --flash-attn on, or off.",
        )
    if settings.mmproj is not None or settings.draft is not None:
        raise inexpressible(
            FORM,
            "a projector" if settings.mmproj is not None else "a draft model file",
            because="they are objects that are passed to Llama(), and which one depends on the model",
            fix="Plan without it and add it by hand, or use --emit llama-server.",
        )
    if settings.split_mode not in (None, *_SPLIT_MODES):
        raise inexpressible(
            FORM,
            f"split mode {settings.split_mode}",
            because=f"llama-cpp-python 0.3.36 names {', '.join(_SPLIT_MODES)}",
            fix="Plan with --split layer.",
        )


def _context(plan: Plan) -> Iterator[tuple[str, str]]:
    settings = plan.settings
    for name, value in (
        ("n_gpu_layers", settings.n_gpu_layers),
        ("n_ctx", settings.n_ctx),
        ("n_batch", settings.n_batch),
        ("n_ubatch", settings.n_ubatch),
        ("n_threads", settings.n_threads),
        ("use_mmap", settings.use_mmap),
    ):
        if value is not None:
            yield name, repr(value)


def _cache(plan: Plan) -> Iterator[tuple[str, str]]:
    settings = plan.settings
    if settings.flash_attn is not None:
        yield "flash_attn", repr(settings.flash_attn == "on")
    for name, kind in (("type_k", settings.type_k), ("type_v", settings.type_v)):
        if kind is not None and kv_type(kind, FORM):
            yield name, f"{_GGML_TYPES[kind]}"
    for name, value in (
        ("swa_full", settings.swa_full),
        ("offload_kqv", settings.offload_kqv),
        ("op_offload", settings.op_offload),
    ):
        if value is not None:
            yield name, repr(value)


def _devices(plan: Plan) -> Iterator[tuple[str, str]]:
    """Which GPUs: `Llama` cannot name devices, so one alone, and none, are chosen by split mode and main GPU.

    With split mode none, a negative main GPU leaves no device (`src/llama.cpp`, b11434).
    """
    settings = plan.settings
    if len(plan.devices) < 2:
        yield "split_mode", str(_SPLIT_MODES["none"])
        yield "main_gpu", str(_index(plan.devices[0].name) if plan.devices else -1)
        return
    if settings.split_mode is not None:
        yield "split_mode", str(_SPLIT_MODES[settings.split_mode])
    if settings.main_gpu is not None:
        yield "main_gpu", str(settings.main_gpu)
    if settings.split_mode != "none":
        yield "tensor_split", "[" + ", ".join(map(number, tensor_split(plan))) + "]"


def _index(name: str) -> int:
    """The number at the end of the engine's device name: 1 for `CUDA1`, 0 where there is none."""
    match = re.search(r"(\d+)$", name)
    return int(match[1]) if match else 0
