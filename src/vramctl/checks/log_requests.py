"""Checks of a log: what the clients of a server met: cut prompts, full queues, errors without a reason."""

from __future__ import annotations

from collections.abc import Iterator

from vramctl.checks.evidence import events, finding, how_often
from vramctl.checks.failure_modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding, Quote
from vramctl.records.load import Log


def ollama_wrong_instance(log: Log, platform: str) -> Iterator[Finding]:
    """The port is taken: another server answers the clients."""
    found = events(log, "server.port_taken")
    if found:
        yield finding(
            "error",
            "The server could not start: another one already listens on its port.",
            (found[0].text,),
            BY_ID["ollama-wrong-instance"].fix(platform),
            found,
        )


def ollama_context_default(log: Log, platform: str) -> Iterator[Finding]:
    """Prompts longer than the context lose their middle without an error for the client."""
    found = events(log, "ctx.truncated")
    if not found:
        return
    often = how_often(log, "ctx.truncated")
    longest = max((value for event in found if isinstance(value := event.fields.get("prompt"), int)), default=0)
    limit = next((value for event in found if isinstance(value := event.fields.get("limit"), int)), None)
    yield finding(
        "warning",
        f"{often} prompt{'s were' if often > 1 else ' was'} cut to the context of {limit or '?'} tokens"
        f"{f' (the longest had {longest})' if longest else ''}: the model never saw the rest, and the client got "
        "no error.",
        ("the line is a warning of the server only; the request is answered with status 200",),
        _larger(longest, log) or BY_ID["ollama-context-default"].fix(platform),
        found,
        most=2,
    )


def _larger(tokens: int, log: Log) -> str:
    """A context that would have been enough, or that there is none; empty where no length is printed."""
    if not tokens:
        return ""
    enough = 1 << (tokens + tokens // 4).bit_length()
    trained = max((load.model.train_ctx for load in log.loads if isinstance(load.model.train_ctx, int)), default=0)
    if trained and tokens > trained:
        return f"The longest exceeds what the model was trained for ({trained} tokens): split the input, or do it in parts."
    enough = min(enough, trained) if trained else enough
    return (
        f"Ask for a context of {enough}: num_ctx in the client's options, `/set parameter num_ctx {enough}`, PARAMETER in the "
        f"Modelfile, or OLLAMA_CONTEXT_LENGTH={enough} for the server (it takes more GPU memory: check with `vramctl plan`)."
    )


def requests_queue(log: Log, platform: str) -> Iterator[Finding]:
    """The server refuses or delays requests because too many wait."""
    found = events(log, "server.busy")
    if found:
        yield finding(
            "warning",
            "Requests are refused because too many are waiting.",
            (found[0].text, f"{how_often(log, 'server.busy')} times"),
            BY_ID["requests-queue"].fix(platform),
            found,
            most=2,
        )


def client_gave_up(log: Log, platform: str) -> Iterator[Finding]:
    """Clients closed the connection before the answer was there."""
    found = events(log, "request.aborted")
    often = how_often(log, "request.aborted")
    if often >= 3:
        yield finding(
            "info",
            f"Clients closed {often} requests before the answer was complete.",
            ("their time limit, or a user who stopped it",),
            BY_ID["client-gave-up"].fix(platform),
            found,
            most=2,
        )


def requests_failed(log: Log, platform: str) -> Iterator[Finding]:
    """Requests end with 500, and this log does not hold the reason."""
    failed = log.failed_requests
    if not failed or any(isinstance(event, Event) for event in _reasons(log)):
        return
    first = failed[0]
    yield Finding(
        "warning",
        f"{log.totals.failed} request{'s' if log.totals.failed > 1 else ''} failed with status {first.status}, "
        "and this log does not say why: "
        "could not tell.",
        (
            "only the request lines are here, not what the server and its runner printed",
            f"{first.method} {first.path} failed after {first.latency_seconds} s"
            if isinstance(first.latency_seconds, float)
            else "",
        ),
        BY_ID["requests-failed"].fix(platform),
        tuple(
            Quote(request.line, f"{request.method} {request.path} status {request.status}") for request in failed[:3]
        ),
    )


def _reasons(log: Log) -> tuple[Event, ...]:
    return events(
        log,
        "runner.load_failed",
        "runner.terminated",
        "runner.stopped",
        "cuda.error",
        "crash.assert",
        "memory.alloc_failed",
    )
