"""The first line of an explained log: what a maintainer would answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vramctl.records.finding import ERROR, INFO, Finding
from vramctl.records.load import CPU_ONLY, FAILED, ON_GPU, PARTIAL, UNCLEAR, Load, Log
from vramctl.show.printable import printable
from vramctl.units import GIB

HEALTHY, PROBLEM, WARNED, COULD_NOT_TELL = "healthy", "problem", "warning", "could not tell"
_ADDRESS = re.compile(r"https?://[\w.\[\]:-]+/?")
"""What is offered as part of a command to copy: nothing from a log that a shell would take for more than an address."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`state` is healthy, problem, warning or could not tell; `words` the sentence."""

    state: str
    words: str


def verdict(log: Log, findings: Sequence[Finding]) -> Verdict:
    """What is the matter, in one or two sentences; a healthy log says why it is."""
    serious = [one for one in findings if one.severity != INFO]
    if serious:
        first = serious[0]
        more = len([one for one in serious[1:] if not one.under])
        also = f" ({more} more below.)" if more else ""
        return Verdict(PROBLEM if first.severity == ERROR else WARNED, printable(first.what) + also)
    if not any(count for kind, count in log.event_counts.items() if kind != "unrecognised"):
        return Verdict(
            COULD_NOT_TELL, "Could not tell: no line of this log is one of an engine that this program knows."
        )
    why = _healthy(log)
    if why is None:
        return Verdict(COULD_NOT_TELL, f"Could not tell: {_what_is_missing(log)}")
    return Verdict(HEALTHY, f"Healthy: {why}")


def _healthy(log: Log) -> str | None:
    """Why a log without findings is healthy; None where it shows too little to say so."""
    loads = [load for load in log.loads if load.outcome != UNCLEAR or load.ready]
    if loads:
        return f"{_loads(loads)}{_served(log)}; no error in the log.{_where_to_look(log, loads)}{_harmless(log)}"
    if log.totals.count and not log.totals.failed:
        return f"{log.totals.count} requests were answered; no error in the log."
    if log.gpus and log.event_counts.get("server.listening"):
        names = ", ".join(sorted({printable(str(gpu.name)) for gpu in log.gpus}))
        return f"the server started and found {names}; no model was loaded yet."
    if "bench.row" in log.event_counts:
        count = log.event_counts["bench.row"]
        return f"{count} measurements and no error (whether another build is faster only that build can show)."
    if "perplexity.pace" in log.event_counts or "perplexity.chunks" in log.event_counts:
        return f"the program computes and prints its results.{_harmless(log)}"
    if log.loads and any(load.devices for load in log.loads):
        return f"{_loads(list(log.loads))}; no error in the log."
    return None


def _where_to_look(log: Log, loads: Sequence[Load]) -> str:
    """How to learn where the layers are, where llama-server's level of messages hides it."""
    if log.source.engine != "llama.cpp" or not is_server(log) or any(load.outcome != UNCLEAR for load in loads):
        return ""
    level = log.seen.get("build.verbosity")
    hidden = f" at level {level.last.fields.get('level')}" if level else ""
    listening = log.seen.get("server.listening")
    address = listening.last.fields.get("address") if listening else None
    url = address if isinstance(address, str) and _ADDRESS.fullmatch(address) else "URL"
    return f" llama-server{hidden} does not print it: start it with `-lv 4`, or ask it while it runs with `vramctl verify {url}`."


def _harmless(log: Log) -> str:
    """What looks like an error and is none."""
    if "memory.pinned_failed" not in log.event_counts:
        return ""
    return " (Pinned memory that could not be had is harmless: copies to the GPU are a little slower.)"


def _loads(loads: Sequence[Load]) -> str:
    """What the loads came to, in words."""
    if len(loads) == 1:
        return _one(loads[0])
    outcomes = {
        outcome: sum(load.outcome == outcome for load in loads) for outcome in (ON_GPU, PARTIAL, CPU_ONLY, UNCLEAR)
    }
    words = {
        ON_GPU: "wholly on the GPU",
        PARTIAL: "partly on the GPU",
        CPU_ONLY: "on the CPU",
        UNCLEAR: "with the layers not printed",
    }
    parts = [f"{count} {words[outcome]}" for outcome, count in outcomes.items() if count]
    if len(parts) == 1:
        return f"all {len(loads)} loads are {parts[0].partition(' ')[2]}"
    return f"{len(loads)} loads, {', '.join(parts)}"


def _one(load: Load) -> str:
    if load.outcome == ON_GPU:
        layers = f"all {load.layers_total} layers are" if isinstance(load.layers_total, int) else "the model is"
        where = f"{len(load.on_gpus)} GPUs" if len(load.on_gpus) > 1 else "the GPU"
        return f"{layers} on {where}{_embedding(load)}"
    if load.outcome == PARTIAL:
        return _moved(load) or "the model is placed as its options ask, partly on the GPU"
    if load.outcome == CPU_ONLY:
        return "the model runs on the CPU, as this build or these options intend"
    placed = ", ".join(printable(use.name) for use in load.on_gpus[:4] if use.known_bytes)
    moved = ", but tensor overrides keep some weights in system memory" if "tensors.override_hint" in load.seen else ""
    return f"the model works{f' with its buffers on {placed}' if placed else ''}; where its layers are is not printed{moved}"


def _moved(load: Load) -> str:
    """Every layer counts as on the GPU, tensors of them are not: how much that is, for the count hides it."""
    host, gpu = (
        sum(use.weights_bytes for use in uses if isinstance(use.weights_bytes, int))
        for uses in (load.on_host, load.on_gpus)
    )
    if not host or not isinstance(load.layers_total, int) or load.layers_on_gpu != load.layers_total:
        return ""
    if isinstance(load.model.file_bytes, int):
        host = min(host, max(load.model.file_bytes - gpu, 0))
    return (
        f"the model is placed as its options ask: {load.layers_on_gpu}/{load.layers_total} layers count as on the GPU, but "
        f"{host / GIB:.1f} GiB of their weights are in system memory, which sets the speed"
    )


def _embedding(load: Load) -> str:
    host = sum(use.weights_bytes for use in load.on_host if isinstance(use.weights_bytes, int))
    return " (the token embedding stays in system memory, as it should)" if host else ""


def _served(log: Log) -> str:
    count = log.totals.count
    if not count:
        return ""
    several = "s" if count > 1 else ""
    return f", {count} request{several} answered" if is_server(log) else f", {count} run{several} timed"


def is_server(log: Log) -> bool:
    """Whether a server wrote the log: llama-cli and the benchmarks time runs, they answer no requests."""
    return any(kind in log.event_counts for kind in _SERVES)


_SERVES = (
    "request.finished",
    "server.listening",
    "server.model_loaded",
    "server.idle",
    "slot.processing",
    "slot.released",
)


def _what_is_missing(log: Log) -> str:
    """What would have to be in the log for an answer."""
    if any(load.outcome == FAILED for load in log.loads):
        return "a load failed and the reason is not among these lines; show the whole log from the start of the server."
    if log.loads:
        return (
            "the log does not print where the layers went; show it from the start of the load "
            "(llama-server: with `-lv 4`, Ollama: OLLAMA_DEBUG=1)."
        )
    return "no model load is in this log; show it from the start of the server up to the problem."
