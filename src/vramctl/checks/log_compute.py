"""Checks of a log: what the computation lacks: code for the GPU, a kernel for the cache's types, room in the context."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vramctl.checks.evidence import ENDS, crash_words, events, finding, how_often, saying, text_of
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import Log

# Oldest CUDA toolkit that compiles for a compute capability (NVIDIA's release notes), newest first.
_TOOLKITS = ((12.1, "12.9"), (10.0, "12.8"), (8.9, "11.8"))
_CUDA_13_FROM = 7.5


def gpu_arch_not_in_build(log: Log, platform: str) -> Iterator[Finding]:
    """The build holds no code for this GPU's architecture."""
    failed = saying(log, "no kernel image is available", "no device code compatible", "was compiled for:")
    failed = tuple(event for event in failed if event.engine != "exllama" or "no kernel image" in event.raw)
    refused = () if log.gpus else events(log, "gpu.too_old")
    found = (*failed, *events(log, "gpu.fa_arch"), *refused)
    if not found:
        return
    known = {(gpu.name, gpu.compute_capability) for gpu in log.gpus if isinstance(gpu.compute_capability, str)}
    gpus = ", ".join(sorted(f"{name} (compute capability {capability})" for name, capability in known))
    yield finding(
        "error",
        f"This build has no code for {gpus or 'the GPU'}: "
        + ("the first kernel it starts fails." if failed else "the GPU is left out."),
        (
            found[0].text,
            "the model was loaded: memory is not the problem"
            if failed and any(load.devices for load in log.loads)
            else "",
            _toolkit([capability for _, capability in known]),
        ),
        BY_ID["gpu-arch-not-in-build"].fix(platform),
        found,
    )


def _toolkit(capabilities: list[object]) -> str:
    """Which CUDA toolkit compiles for these GPUs, where it is not any."""
    numbers = [float(text) for text in capabilities if isinstance(text, str) and re.fullmatch(r"\d+\.\d", text)]
    if numbers and min(numbers) < _CUDA_13_FROM:
        return f"CUDA 13 does not compile for compute capability {min(numbers):g} any more: take a CUDA 12 build"
    for least, toolkit in _TOOLKITS:
        if numbers and max(numbers) >= least:
            return f"compute capability {max(numbers):g} needs CUDA {toolkit} or newer when the engine is built"
    return ""


def ptx_newer_than_driver(log: Log, platform: str) -> Iterator[Finding]:
    """The build's code was made with a CUDA newer than the driver understands."""
    found = saying(log, "unsupported toolchain")
    if found:
        yield finding(
            "error",
            "The GPU driver is older than the CUDA this build was made with.",
            (found[0].text,),
            BY_ID["ptx-newer-than-driver"].fix(platform),
            found,
        )


def quantized_v_needs_flash_attn(log: Log, platform: str) -> Iterator[Finding]:
    """A quantised V cache was asked for with flash attention off."""
    found = events(log, "kv.needs_flash_attn")
    if found:
        yield finding(
            "error",
            "A quantised V cache was asked for while flash attention is off: the context cannot be made.",
            (found[0].text,),
            BY_ID["quantized-v-needs-flash-attn"].fix(platform),
            found,
        )


def quantized_kv_no_kernel(log: Log, platform: str) -> Iterator[Finding]:
    """Attention has no kernel for these cache types: it ends at once or takes a slow way."""
    found = [
        e for e in events(log, "crash.assert", "crash.fatal", "cuda.error") if re.search(r"fattn[\w.-]*:\d+", e.raw)
    ]
    slow = events(log, "kv.no_kernel")
    if found:
        yield finding(
            "error",
            "The engine aborted in its attention code: this build has no GPU kernel for this combination of cache types "
            f"and options{_types(log)}.",
            (crash_words(found[0]),),
            BY_ID["quantized-kv-no-kernel"].fix(platform) + " If it worked before an update, go back to that build.",
            found,
        )
    elif slow:
        yield finding(
            "warning",
            f"No attention kernel is compiled for these cache types{_types(log)}: a slow way is taken.",
            (slow[0].text, _kernels(log)),
            _with_kernel(slow[0]) or BY_ID["quantized-kv-no-kernel"].fix(platform),
            slow,
        )


def _with_kernel(slow: Event) -> str:
    """What to do where the build takes a list of pairs; empty for older ones, which only know all or the default."""
    pair = text_of(slow, "types")
    if not pair:
        return ""
    return (
        "Use `-ctk q8_0 -ctv q8_0` (or q4_0 for both, or f16), or build with `-DGGML_CUDA_FA_QUANTS=all` (longer to compile; or "
        f"add `{pair}` to that option's list)."
    )


def _kernels(log: Log) -> str:
    """The pairs that this build says it has kernels for (system_info, llama.cpp from September 2026 on)."""
    for event in events(log, "cpu.info"):
        named = re.search(r"\bFA_QUANTS = ([\w,;-]+)", text_of(event, "features") or event.raw)
        if named:
            return f"this build has kernels for {', '.join(re.split('[,;]', named[1]))}"
    return ""


def _types(log: Log) -> str:
    for load in log.loads:
        if isinstance(load.settings.type_k, str):
            other = f", V {load.settings.type_v}" if isinstance(load.settings.type_v, str) else ""
            return f" (cache types K {load.settings.type_k}{other})"
    return ""


def context_full(log: Log, platform: str) -> Iterator[Finding]:
    """The context ran full, and what the server did then ended the process or refused the request."""
    shift = events(log, "ctx.shift")
    for crash in events(log, *ENDS):
        last = next((event for event in reversed(shift) if event.line < crash.line <= event.line + 3), None)
        if last is not None:
            yield _shift_crashed(log, last, crash, platform)
            return
    cut = events(log, "ctx.exceeded") or (events(log, "ctx.truncated") if log.source.engine != "ollama" else ())
    if not cut:
        return
    often = how_often(log, cut[0].kind)
    refused = cut[0].kind == "ctx.exceeded"
    yield finding(
        "warning",
        f"{often} prompt{'s' if often > 1 else ''} did not fit into the context{_ctx_words(log, cut[0])} and "
        f"{'were' if often > 1 else 'was'} {'refused' if refused else 'cut: the model never saw the rest'}.",
        (cut[0].text,),
        "Start with a larger context (`-c`; with several slots each gets its share), or send shorter prompts.",
        cut,
        most=2,
    )


def _shift_crashed(log: Log, last: Event, crash: Event, platform: str) -> Finding:
    impossible = "K-shift" in crash.raw
    return finding(
        "error",
        f"The context{_ctx_words(log, last)} was full; the server dropped its oldest part to go on (context shift), "
        "and that crashed"
        f"{'' if impossible else _types(log)}.",
        (
            f"line {last.line}: the server makes room by shifting the cache",
            crash_words(crash),
            "this model's cache cannot be shifted"
            if impossible
            else "a quantised cache cannot be shifted by this build",
        ),
        "Start with a larger context (`-c`), and end answers before it is full (`-n`, or the client's token limit)."
        if impossible
        else BY_ID["context-full"].fix(platform),
        (last, crash),
    )


def _ctx_words(log: Log, event: Event) -> str:
    ctx = event.fields.get("n_ctx") or next(
        (load.settings.ctx for load in log.loads if isinstance(load.settings.ctx, int)), None
    )
    return f" of {ctx} tokens" if isinstance(ctx, int) else ""


def results_not_numbers(log: Log, platform: str) -> Iterator[Finding]:
    """The perplexity of every part is nan: something in the computation went wrong without an error."""
    found = events(log, "perplexity.bad")
    if found:
        yield finding(
            "error",
            f"The results are not numbers (nan): the computation went wrong without an error{_types(log)}.",
            (found[0].text, *_options(log)),
            BY_ID["results-not-numbers"].fix(platform),
            found,
        )


def _options(log: Log) -> tuple[str, ...]:
    """The settings that such a fault hangs on."""
    for load in log.loads:
        if isinstance(load.settings.flash_attn, str):
            return (f"flash attention {load.settings.flash_attn}",)
    return ()
