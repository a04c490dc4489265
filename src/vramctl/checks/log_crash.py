"""Checks of a log: what ended the engine or its load: a time limit, a runner that died, a crash, a file it cannot read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vramctl.checks.evidence import (
    ENDS,
    ERRORS,
    answered,
    crash_words,
    events,
    finding,
    how_often,
    runners_gone,
    text_of,
)
from vramctl.checks.failure_modes import environment_step
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import Load, Log


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
    gone = tuple(event for event in runners_gone(log) if "timed out waiting" not in event.raw)
    last_words = (*events(log, *ERRORS), *events(log, *ENDS))
    if log.source.engine != "ollama":
        return
    if not (gone or last_words):
        yield from _ran_out_and_went_on(log)
        return
    said = crash_words(last_words[0]) if last_words else text_of(gone[0], "error") or gone[0].text
    refused = bool(events(log, "crash.assert"))
    unknown = re.search(
        r"unknown model architecture:? '?\"?([\w.-]+)",
        " ".join(event.raw for event in (*gone, *events(log, "model.load_failed"))),
    )
    yield finding(
        "error",
        f"This version of Ollama does not know the model's architecture ({unknown[1]})."
        if unknown
        else f"Ollama's runner, the process that computes, died {_phase(log)}: {said}.",
        (
            *(text_of(event, "error") or event.text for event in gone[:1]),
            "an assertion in the engine: this version does not support the model or its options" if refused else "",
            _exit_code(" ".join(event.raw for event in gone)),
        ),
        f"Update Ollama{_now(log)}: newer versions know newer models. If it comes back, report it with this log."
        if refused or unknown
        else BY_ID["ollama-runner-crash"].fix(platform),
        (*last_words[:2], *gone[:2]),
    )


def _ran_out_and_went_on(log: Log) -> Iterator[Finding]:
    """A runner that ran out of memory while it answered, and was loaded anew (0.30 on)."""
    found = events(log, "memory.runtime_oom")
    if found:
        yield finding(
            "warning",
            "GPU memory ran out while a request was answered: Ollama ends the runner and loads the model anew.",
            (text_of(found[0], "error") or found[0].text, f"{how_often(log, 'memory.runtime_oom')} times in this log"),
            "Lower the context (num_ctx, OLLAMA_CONTEXT_LENGTH) or OLLAMA_NUM_PARALLEL, quantise the cache, or leave memory "
            "free with OLLAMA_GPU_OVERHEAD.",
            found,
        )


# What the exit codes of Windows and the signals of Linux mean, where nothing else says why.
_EXITS = (
    ("0xc0000005", "0xc0000005 is an access violation: most often the GPU driver or a library of another version"),
    ("0xc0000409", "0xc0000409 is what an assertion or an abort of the engine looks like on Windows"),
    ("0xc0000135", "0xc0000135: a DLL that the runner needs was not found"),
    ("signal: segmentation fault", "a segmentation fault: a bug of the engine, or a driver library of another version"),
    ("signal: aborted", "the runner aborted itself: the lines before say why, if they are in the log"),
)  # fmt: skip


def _exit_code(said: str) -> str:
    """What the runner's exit code means, empty where it tells nothing."""
    return next((words for code, words in _EXITS if code in said.lower()), "")


def _now(log: Log) -> str:
    return f" (this is {log.source.version})" if isinstance(log.source.version, str) else ""


def engine_crash(log: Log, platform: str) -> Iterator[Finding]:
    """The engine ended by an assertion, an exception or a signal, and no known cause stands before it."""
    found = (*events(log, *ERRORS), *(event for event in events(log, *ENDS) if not _traceback(event)))
    if log.source.engine == "ollama":
        return
    if not found:
        yield from _python_exception(log, platform)
        return
    first = found[0]
    where = events(log, "cuda.error_where")
    silent = first.kind == "crash.signal"
    nameless = first.text.endswith(("CUDA error", "ROCm error")) and not events(log, *ERRORS)
    words = crash_words(first)
    yield finding(
        "error",
        f"The engine crashed {_phase(log)} ({words}), and this log does not say why."
        if silent
        else f"The engine aborted {_phase(log)}: {words}.",
        (
            *(event.text for event in where[:1]),
            f"in {_frame(log)}, as the stack says" if _frame(log) else "",
            "the lines that name the error (`CUDA error: ...`, `in function ...`) are not in this log: they stand on stderr"
            if nameless
            else "",
            "a backtrace would show the place: `gdb --args ...`, then `bt`" if silent else "",
            f"this is {log.source.version}" if isinstance(log.source.version, str) else "",
        ),
        BY_ID["engine-crash"].fix(platform)
        + (" Show a backtrace with it." if silent else "")
        + (" On this GPU the Vulkan build may work meanwhile." if "ROCm" in first.raw else ""),
        (*found[:2], *where[:1]),
    )


def _python_exception(log: Log, platform: str) -> Iterator[Finding]:
    """A traceback that ends with an exception which no rule knows."""
    found = [event for event in events(log, "crash.exception") if _traceback(event)]
    if found and not events(log, "model.load_failed"):
        yield finding(
            "error",
            f"A Python exception ended it {_phase(log)}: the last line of the traceback says which.",
            ("no rule knows that exception: it is not one of memory, placement or devices",),
            BY_ID["engine-crash"].fix(platform),
            found[:1],
        )


def _traceback(event: Event) -> bool:
    return event.text.startswith("Traceback")


_NOT_THE_PLACE = re.compile(
    r"abort|raise|wait4?|syscall|print_backtrace|ggml_cuda_error|std::terminate|^__|^\?\?$|clone|start_thread"
)


def _frame(log: Log) -> str:
    """The first function on the stack that is the engine's own, empty without a stack."""
    for event in events(log, "stack.frame"):
        symbol = text_of(event, "symbol", "function")
        name = symbol.partition("(")[0].strip()
        if name and event.engine == "llama.cpp" and not _NOT_THE_PLACE.search(name):
            return name
    return ""


def _phase(log: Log) -> str:
    if not log.loads:
        computing = how_often(log, "bench.head", "bench.row", "stack.frame") > 0
        return "while it computed" if computing else "before a model was loaded"
    load = log.loads[-1]
    count = answered(log)
    if load.ready and count > 0:
        return f"while serving (after {count} request{'s' if count > 1 else ''})"
    return "after the model was loaded" if load.ready or _has_context(load) else "while the model was being loaded"


def _has_context(load: Load) -> bool:
    return any(isinstance(use.compute_bytes, int) and use.compute_bytes for use in load.devices)


def load_error_hidden(log: Log, platform: str) -> Iterator[Finding]:
    """llama-cpp-python raised its general exception, and the engine's own lines were switched off."""
    found = [
        e
        for e in events(log, "model.load_failed")
        if re.search(r"Failed to (?:create llama_context|load model from file)", e.raw)
    ]
    others = [
        e for e in events(log, "model.load_failed", "context.failed", "memory.alloc_failed", *ERRORS) if e not in found
    ]
    if found and not others:
        yield finding(
            "error",
            "The model could not be loaded, and the engine's own lines, which say why, were switched off.",
            (
                found[0].text,
                "this exception looks the same for lack of memory, an unknown architecture and a broken file",
            ),
            BY_ID["load-error-hidden"].fix(platform),
            found,
        )


def model_load_failed(log: Log, platform: str) -> Iterator[Finding]:
    """The model could not be loaded for a reason that the engine names itself."""
    found = events(log, "model.load_failed", "model.blob_missing")
    if not found:
        return
    telling = next((event for event in found if text_of(event, "error")), found[0])
    unknown = re.search(r"unknown (?:model )?architecture:? '?([\w.-]+)", " ".join(event.raw for event in found))
    yield finding(
        "error",
        f"This build does not know the model's architecture ({unknown[1]})."
        if unknown
        else f"The model could not be loaded: {text_of(telling, 'error') or telling.text}.",
        tuple(event.text for event in found if event is not telling)[:2],
        f"Update the engine{_now(log)}: newer versions know newer models."
        if unknown
        else BY_ID["model-load-failed"].fix(platform),
        found,
    )
