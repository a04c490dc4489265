"""What to change and what it would buy: each sentence's numbers are differences of two measured placements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vramctl.ggml_types import BY_NAME
from vramctl.plan.fit import CannotMeasure, Choice, Judge
from vramctl.plan.programs import has_experts
from vramctl.records import Advice, Model, Placement, Settings
from vramctl.units import MIB, format_bytes, format_count

WORTH_BYTES = 64 * MIB
MAX_ADVICE = 4


def advise(model: Model, choice: Choice, judge: Judge, *, program: str) -> tuple[Advice, ...]:
    """Up to four changes worth at least 64 MiB on the devices, or that would make it fit; best first."""
    if not judge.budgets:
        return ()
    settings = choice.settings
    tight = not choice.fits or (settings.n_gpu_layers or 0) <= model.layers or bool(settings.n_cpu_moe)
    found: list[tuple[int, Advice]] = []
    for change in (_flash_on, _small_windows, _quantised_kv, _shorter, _one_slot, _smaller_ubatch):
        if len(found) >= MAX_ADVICE:
            break
        try:
            made = change(model, settings, judge, program, tight)
        except CannotMeasure:
            continue
        if made is not None:
            found.append(made)
    found.sort(key=lambda pair: -pair[0])
    return tuple(advice for _, advice in found[:MAX_ADVICE])


Change = Callable[[Model, Settings, Judge, str, bool], "tuple[int, Advice] | None"]


def _device_bytes(placement: Placement, part: str) -> int:
    values = (getattr(use, part) for use in placement.devices)
    return sum(value for value in values if isinstance(value, int))


def _bought(judge: Judge, now: Settings, then: Settings) -> tuple[int, int, int]:
    """(bytes freed on the devices, of these KV, extra compute) of one change."""
    a, b = judge.placement(now), judge.placement(then)
    return (
        _device_bytes(a, "used_bytes") - _device_bytes(b, "used_bytes"),
        _device_bytes(a, "kv_bytes") - _device_bytes(b, "kv_bytes"),
        _device_bytes(b, "compute_bytes") - _device_bytes(a, "compute_bytes"),
    )


def _outcome(model: Model, settings: Settings, judge: Judge) -> str:
    """What the plan would be with all layers on the devices and these settings: fits, or by how much not."""
    everything = replace(settings, n_gpu_layers=model.layers + 1, n_cpu_moe=0, tensor_split=None)
    excess = max(judge.excess(everything))
    if excess <= 0 and judge.host_fits(everything):
        return "then all layers fit"
    return f"all layers would still need {format_bytes(excess)} more"


def _flash_on(model: Model, now: Settings, judge: Judge, program: str, tight: bool) -> tuple[int, Advice] | None:
    if now.flash_attn != "off":
        return None
    then = replace(now, flash_attn="on")
    freed, _, _ = _bought(judge, now, then)
    if freed < WORTH_BYTES:
        return None
    how = {
        "llama-cpp-python": "Llama(..., flash_attn=True): its default turns flash attention off",
        "ollama": "OLLAMA_FLASH_ATTENTION=1",
    }.get(program, "--flash-attn on")
    return freed, Advice(
        f"Turn flash attention on: frees {format_bytes(freed)}.",
        ("without it the scores of all heads are kept for a whole ubatch",), how,
    )  # fmt: skip


def _small_windows(model: Model, now: Settings, judge: Judge, program: str, tight: bool) -> tuple[int, Advice] | None:
    if not now.swa_full or model.meta("attention.sliding_window") in (None, 0):
        return None
    then = replace(now, swa_full=False)
    freed, _, _ = _bought(judge, now, then)
    if freed < WORTH_BYTES:
        return None
    how = "Llama(..., swa_full=False)" if program == "llama-cpp-python" else "leave out --swa-full"
    return freed, Advice(
        f"Keep only the window of sliding-window layers: frees {format_bytes(freed)} of KV cache.",
        ("full-size caches are kept for layers that look back over a window only",
         "a prompt that changes before its end is then computed again"), how,
    )  # fmt: skip


def _quantised_kv(model: Model, now: Settings, judge: Judge, program: str, tight: bool) -> tuple[int, Advice] | None:
    if now.type_k != "f16" or now.type_v != "f16" or now.flash_attn == "off":
        return None
    widths = (model.meta("attention.key_length"), model.meta("attention.value_length"))
    if any(isinstance(width, int) and width % BY_NAME["Q8_0"].block for width in widths):
        return None
    then = replace(now, type_k="q8_0", type_v="q8_0")
    freed, kv, scratch = _bought(judge, now, then)
    if freed < WORTH_BYTES:
        return None
    cost = f", but adds {format_bytes(scratch)} of scratch" if scratch > MIB else ""
    because = ["q8_0 stores 34 bytes where f16 stores 64"]
    if tight:
        because.append(_outcome(model, then, judge))
    how = {
        "llama-cpp-python": "Llama(..., type_k=8, type_v=8, flash_attn=True)",
        "ollama": "OLLAMA_KV_CACHE_TYPE=q8_0",
    }.get(program, "--kv-type q8_0")
    return freed, Advice(f"Use a q8_0 KV cache: frees {format_bytes(kv)}{cost}.", tuple(because), how)


def _shorter(model: Model, now: Settings, judge: Judge, program: str, tight: bool) -> tuple[int, Advice] | None:
    if not tight or now.n_ctx is None or now.n_ctx <= 4096:
        return None
    then = replace(now, n_ctx=max(4096, now.n_ctx // 2 // 256 * 256))
    freed, _, _ = _bought(judge, now, then)
    if freed < WORTH_BYTES:
        return None
    return freed, Advice(
        f"Halve the context to {format_count(then.n_ctx or 0)}: frees {format_bytes(freed)}.",
        (_outcome(model, then, judge),), f"--ctx {then.n_ctx}",
    )  # fmt: skip


def _one_slot(model: Model, now: Settings, judge: Judge, program: str, tight: bool) -> tuple[int, Advice] | None:
    if (now.n_parallel or 1) == 1 or not tight or program == "ollama":
        return None
    then = replace(now, n_parallel=1, n_outputs_max=1 if now.n_outputs_max else now.n_outputs_max)
    freed, _, _ = _bought(judge, now, then)
    if freed < WORTH_BYTES:
        return None
    return freed, Advice(
        f"Serve one request at a time: frees {format_bytes(freed)}.",
        (f"{now.n_parallel} slots keep their own state",), "--parallel 1",
    )  # fmt: skip


def _smaller_ubatch(model: Model, now: Settings, judge: Judge, program: str, tight: bool) -> tuple[int, Advice] | None:
    ubatch = now.n_ubatch or 512
    if ubatch <= 128 or not tight:
        return None
    then = replace(now, n_ubatch=ubatch // 2)
    freed, _, _ = _bought(judge, now, then)
    if freed < WORTH_BYTES:
        return None
    because = ["the compute buffer holds one ubatch's activations; prompts are read more slowly"]
    if has_experts(model) and now.n_cpu_moe:
        because.append("with experts on the host a small ubatch costs much prompt speed")
    return freed, Advice(
        f"Halve the ubatch to {ubatch // 2}: frees {format_bytes(freed)}.", tuple(because), f"--ubatch {ubatch // 2}"
    )
