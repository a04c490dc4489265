"""Checks of a log: what the clients of a server met: cut prompts, full queues, errors without a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vramctl.checks.evidence import events, finding, how_often
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding, Quote
from vramctl.records.load import Log, LoggedRequest

_BUSY = 503


def ollama_wrong_instance(log: Log, platform: str) -> Iterator[Finding]:
    """The port is taken: another server answers the clients."""
    if log.source.engine in {"ollama"} or not isinstance(log.source.engine, str):
        yield from _port_taken(log, BY_ID["ollama-wrong-instance"].fix(platform))


def port_in_use(log: Log, platform: str) -> Iterator[Finding]:
    """Another process listens on the port that llama-server or TabbyAPI wants."""
    if log.source.engine != "ollama" and isinstance(log.source.engine, str):
        yield from _port_taken(log, BY_ID["port-in-use"].fix(platform))


def _port_taken(log: Log, fix: str) -> Iterator[Finding]:
    found = events(log, "server.port_taken")
    if found:
        what = "The server could not start: another one already listens on its port."
        yield finding("error", what, (found[0].text,), fix, found)


def ollama_context_default(log: Log, platform: str) -> Iterator[Finding]:
    """Prompts longer than the context lose their middle without an error for the client."""
    found = events(log, "ctx.truncated")
    if not found or log.source.engine != "ollama":
        return
    often = how_often(log, "ctx.truncated")
    longest = max((value for event in found if isinstance(value := event.fields.get("prompt"), int)), default=0)
    limit = next((value for event in found if isinstance(value := event.fields.get("limit"), int)), None)
    yield finding(
        "warning",
        f"{often} prompt{'s were' if often > 1 else ' was'} cut to the context of {limit or '?'} tokens"
        f"{f' (the longest had {longest})' if longest else ''}: the model never saw the rest, and the client got "
        "no error.",
        (
            "the line is a warning of the server only; the request is answered with status 200",
            f"{often} of {log.totals.count} requests" if log.totals.count >= often else "",
        ),
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
    """The server refuses requests because too many wait: Ollama answers 503 and logs nothing else."""
    found = events(log, "server.busy")
    refused = (
        [request for request in log.failed_requests if request.status == _BUSY] if log.source.engine == "ollama" else []
    )
    if found:
        often = how_often(log, "server.busy")
        what = f"Requests are refused because too many are waiting ({often} times)."
        yield finding("warning", what, (found[0].text,), BY_ID["requests-queue"].fix(platform), found, most=2)
    elif refused:
        yield Finding(
            "warning",
            "Requests are refused with status 503: more are waiting than OLLAMA_MAX_QUEUE lets in.",
            (f"at least {len(refused)} of {log.totals.count} requests",),
            BY_ID["requests-queue"].fix(platform),
            _request_lines(refused),
        )


def _request_lines(requests: Sequence[LoggedRequest]) -> tuple[Quote, ...]:
    return tuple(Quote(one.line, f"{one.method} {one.path} status {one.status}") for one in requests[:3])


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
    failed = [request for request in log.failed_requests if request.status != _BUSY]
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
        _request_lines(failed),
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
