"""Checks of a log: what made the engine end."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vramctl.checks.evidence import crash_words, events, finding, how_often, text_of
from vramctl.checks.failure_modes import BY_ID, environment_step
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import Load, Log

_ERRORS = ("cuda.error", "rocm.error", "gpu.error", "gpu.arch_not_built")
_HANGS = ("gpu.hang", "gpu.fault", "gpu.device_lost", "system.gpu_reset", "system.gpu_fault")
_ENDS = ("crash.assert", "crash.fatal", "crash.signal", "crash.exception", "crash.reason", "crash.abort")


def gpu_arch_not_in_build(log: Log, platform: str) -> Iterator[Finding]:
    """The build holds no code for this GPU's architecture."""
    found = _with(log, "no kernel image is available", "no device code compatible", "was compiled for:")
    if not found:
        return
    gpus = ", ".join(
        sorted(
            {
                f"{gpu.name} (compute capability {gpu.compute_capability})"
                for gpu in log.gpus
                if isinstance(gpu.compute_capability, str)
            }
        )
    )
    yield finding(
        "error",
        f"This build has no code for {gpus or 'the GPU'}: the first kernel it starts fails.",
        (found[0].text, "the model was loaded: memory is not the problem"),
        BY_ID["gpu-arch-not-in-build"].fix(platform),
        found,
    )


def ptx_newer_than_driver(log: Log, platform: str) -> Iterator[Finding]:
    """The build's code was made with a CUDA newer than the driver understands."""
    found = _with(log, "unsupported toolchain")
    if found:
        yield finding(
            "error",
            "The GPU driver is older than the CUDA this build was made with.",
            (found[0].text,),
            BY_ID["ptx-newer-than-driver"].fix(platform),
            found,
        )


def gpu_fell_off_bus(log: Log, platform: str) -> Iterator[Finding]:
    """The GPU vanished from the bus while it worked."""
    found = [
        e
        for e in events(log, "system.xid", "system.gpu_lost")
        if "fallen off the bus" in e.raw or e.fields.get("number") == 79
    ]
    if found:
        yield finding(
            "error",
            "The GPU fell off the PCIe bus: hardware, power or the slot, not the model.",
            (found[0].text,),
            BY_ID["gpu-fell-off-bus"].fix(platform),
            found,
        )


def gpu_hang(log: Log, platform: str) -> Iterator[Finding]:
    """The GPU hung, faulted or was reset by its driver."""
    found = (*events(log, *_HANGS), *_with(log, "unspecified launch failure", "ErrorDeviceLost", "launch timed out"))
    if not found:
        return
    gpu = next((gpu.name for gpu in log.gpus if isinstance(gpu.name, str)), "the GPU")
    first = found[0]
    loaded = any(load.ready or load.devices for load in log.loads)
    yield finding(
        "error",
        f"{gpu} hung or faulted while it computed, and its driver ended the process.",
        (first.text, "the model was loaded: memory was not the problem" if loaded else ""),
        BY_ID["gpu-hang"].fix(platform),
        found,
    )


def xid_errors(log: Log, platform: str) -> Iterator[Finding]:
    """A kernel of the engine read or wrote where it may not."""
    found = (*_with(log, "illegal memory access", "misaligned address"), *events(log, "system.xid"))
    if not found:
        return
    where = events(log, "cuda.error_where")
    place = text_of(where[0], "function") if where else ""
    yield finding(
        "error",
        f"A GPU kernel made an illegal memory access{f' (noticed in {place})' if place else ''}: a bug of the "
        "engine or failing memory.",
        (found[0].text, *(event.text for event in where[:1]), _serving(log)),
        BY_ID["xid-errors"].fix(platform)
        + " To go on now: leave out the newest special options (fused or repacked kernels, overrides) one by one.",
        (*found, *where),
    )


def _serving(log: Log) -> str:
    ready = [load for load in log.loads if load.ready]
    if not ready:
        return "it happened before the server was ready"
    answered = sum(load.totals.count - load.totals.failed for load in ready)
    return (
        f"it happened after {answered} request{'s' if answered != 1 else ''}"
        if answered
        else "it happened while serving"
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
            "The attention code ended itself: it has no kernel for this combination of cache types and "
            f"options{_types(log)}.",
            (found[0].text,),
            BY_ID["quantized-kv-no-kernel"].fix(platform) + " If it worked before an update, go back to that build.",
            found,
        )
    elif slow:
        yield finding(
            "warning",
            f"No attention kernel is compiled for these cache types{_types(log)}: a slow way is taken.",
            (slow[0].text,),
            BY_ID["quantized-kv-no-kernel"].fix(platform),
            slow,
        )


def _types(log: Log) -> str:
    for load in log.loads:
        if isinstance(load.settings.type_k, str):
            other = f", V {load.settings.type_v}" if isinstance(load.settings.type_v, str) else ""
            return f" (K {load.settings.type_k}{other})"
    return ""


def context_full(log: Log, platform: str) -> Iterator[Finding]:
    """The context ran full, the server tried to shift it, and that ended the process."""
    shift = events(log, "ctx.shift")
    for crash in events(log, *_ENDS):
        last = next((event for event in reversed(shift) if event.line < crash.line <= event.line + 3), None)
        if last is None:
            continue
        ctx = last.fields.get("n_ctx") or next(
            (load.settings.ctx for load in log.loads if isinstance(load.settings.ctx, int)), "?"
        )
        yield finding(
            "error",
            f"The context of {ctx} tokens was full; the server shifted it, and that crashed{_types(log)}.",
            (
                f"line {last.line}: the server makes room by shifting the cache",
                crash_words(crash),
                "this model's cache cannot be shifted"
                if "K-shift" in crash.raw
                else "a quantised cache cannot be shifted by this build",
            ),
            BY_ID["context-full"].fix(platform),
            (last, crash),
        )
        return


def cuda_runtime_libs_missing_linux(log: Log, platform: str) -> Iterator[Finding]:
    """A shared library of the engine is not there, so its process cannot start."""
    found = events(log, "crash.library_missing")
    if not found:
        return
    library = text_of(found[0], "library") or "a library"
    yield finding(
        "error",
        f"The engine cannot start: {library} is missing.",
        (found[0].text, *(load.ended for load in log.loads if load.ended)),
        BY_ID["cuda-runtime-libs-missing-linux"].fix(platform),
        (*found, *events(log, "runner.load_failed")),
    )


def cpu_illegal_instruction(log: Log, platform: str) -> Iterator[Finding]:
    """The program uses an instruction that this CPU lacks."""
    found = [
        e
        for e in events(log, "crash.signal", "runner.load_failed", "runner.terminated")
        if re.search(r"illegal instruction|SIGILL|0xc000001d", e.raw, re.IGNORECASE)
    ]
    if found:
        yield finding(
            "error",
            "The program uses CPU instructions that this CPU does not have.",
            (found[0].text,),
            BY_ID["cpu-illegal-instruction"].fix(platform),
            found,
        )


def ollama_load_timeout(log: Log, platform: str) -> Iterator[Finding]:
    """The model was not loaded when Ollama stopped waiting."""
    found = [e for e in events(log, "runner.load_failed") if "timed out waiting for" in e.raw]
    if not found:
        return
    progress = re.search(r"progress (\d\.\d+)", found[0].raw)
    stuck = progress is not None and float(progress[1]) == 0
    yield finding(
        "error",
        "Loading took longer than Ollama waits (5 minutes without progress), so it was given up.",
        (
            text_of(found[0], "error") or found[0].text,
            "progress 0.00: nothing was loaded at all, so the disk or the GPU's start-up is stuck rather than slow"
            if stuck
            else "",
        ),
        f"{BY_ID['model-on-slow-disk'].fix(platform)} To wait longer: "
        f"{environment_step('OLLAMA_LOAD_TIMEOUT=30m', platform)}",
        found,
    )


def ollama_runner_crash(log: Log, platform: str) -> Iterator[Finding]:
    """Ollama's runner died, with what it said last."""
    gone = events(log, "runner.load_failed", "runner.terminated", "runner.stopped")
    gone = tuple(event for event in gone if "timed out waiting" not in event.raw)
    last_words = (*events(log, *_ERRORS), *events(log, *_ENDS))
    if log.source.engine != "ollama" or not (gone or last_words):
        return
    said = crash_words(last_words[0]) if last_words else text_of(gone[0], "error") or gone[0].text
    refused = bool(events(log, "crash.assert"))
    yield finding(
        "error",
        f"The runner died {_phase(log)}: {said}.",
        (
            *(text_of(event, "error") or event.text for event in gone[:1]),
            "an assertion in the engine: this version does not support the model or its options" if refused else "",
        ),
        f"Update Ollama{_now(log)}: newer versions know newer models. If it comes back, report it with this log."
        if refused
        else BY_ID["ollama-runner-crash"].fix(platform),
        (*last_words[:2], *gone[:2]),
    )


def _now(log: Log) -> str:
    return f" (this is {log.source.version})" if isinstance(log.source.version, str) else ""


def engine_crash(log: Log, platform: str) -> Iterator[Finding]:
    """The engine ended by an assertion, an exception or a signal, and no known cause stands before it."""
    found = (*events(log, *_ERRORS), *events(log, *_ENDS))
    if log.source.engine == "ollama" or not found:
        return
    first = found[0]
    where = events(log, "cuda.error_where")
    silent = first.kind == "crash.signal"
    yield finding(
        "error",
        f"The engine ended {_phase(log)}: {crash_words(first)}.",
        (
            *(event.text for event in where[:1]),
            "the log does not say why: a backtrace would (`gdb --args ...`, then `bt`)" if silent else "",
            *_versions(log),
        ),
        BY_ID["engine-crash"].fix(platform)
        + (" Show a backtrace with it." if silent else "")
        + (" On this GPU the Vulkan build may work meanwhile." if "ROCm" in first.raw else ""),
        (*found[:2], *where[:1]),
    )


def _phase(log: Log) -> str:
    computing = how_often(log, "bench.head", "bench.row", "stack.frame") > 0
    if not log.loads:
        return "while it computed" if computing else "before a model was loaded"
    load = log.loads[-1]
    answered = load.totals.count - load.totals.failed
    if load.ready and answered > 0:
        return f"while serving (after {answered} request{'s' if answered > 1 else ''})"
    return "after the model was loaded" if load.ready or _has_context(load) else "while the model was loaded"


def _has_context(load: Load) -> bool:
    return any(isinstance(use.compute_bytes, int) and use.compute_bytes for use in load.devices)


def _versions(log: Log) -> tuple[str, ...]:
    return (f"this is {log.source.version}",) if isinstance(log.source.version, str) else ()


def _with(log: Log, *words: str) -> tuple[Event, ...]:
    """Error lines that hold one of these words."""
    found = events(log, *_ERRORS, *_ENDS, *_HANGS, "runner.load_failed", "runner.terminated")
    return tuple(event for event in found if any(word.lower() in event.raw.lower() for word in words))


def model_load_failed(log: Log, platform: str) -> Iterator[Finding]:
    """The model could not be loaded for a reason that the engine names itself."""
    found = events(log, "model.load_failed")
    if found:
        yield finding(
            "error",
            f"The model could not be loaded: {text_of(found[0], 'error') or found[0].text}.",
            tuple(event.text for event in found[1:3]),
            BY_ID["model-load-failed"].fix(platform),
            found,
        )
