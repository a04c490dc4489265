"""Requests of a server: its log writes the line when one ends, so it started that line's time less its latency."""

from __future__ import annotations

from collections import deque
from typing import Any

from vramctl.logs.draft import LoadDraft
from vramctl.records.event import Event
from vramctl.records.load import NOT_LOGGED, LoggedRequest, RequestTotals
from vramctl.records.unknown import Unknown

KINDS = frozenset({"request.finished", "timing.prompt", "timing.generated", "timing.total", "slot.released"})
# Paths that make the model work; the others (tags, show, ps, health) are left out.
_WORK = ("generate", "chat", "embed", "completion", "infill", "rerank", "responses", "messages")
_KEPT_FAILED = 12


class Requests:
    """Requests of one server, or of the whole log."""

    def __init__(self, whole: Requests | None) -> None:
        self._whole = whole
        self._timing: dict[str, Any] = {}
        self._line: Event | None = None
        self.failed: deque[LoggedRequest] = deque(maxlen=_KEPT_FAILED)
        self._count = self._failures = self._truncated = 0
        self._latency = self._longest = 0.0

    def add(self, event: Event, draft: LoadDraft | None) -> None:
        """Take an event of one of KINDS."""
        if event.kind == "request.finished":
            self._finished(event, draft)
        elif event.kind == "slot.released":
            if event.fields.get("truncated") and draft is not None:
                draft.truncated += 1
        else:
            self._timed(event, draft)

    def flush(self, draft: LoadDraft | None) -> None:
        """Make a request of timings that no request line followed; one that is cut short of its end is none yet."""
        complete = "total" in self._timing or "generated_seconds" in self._timing
        if complete and self._line is not None:
            timing, event = self._timing, self._line
            seconds = timing.pop("total", None)
            if seconds is None:
                parts = [timing.pop(name, None) for name in ("prompt_seconds", "generated_seconds")]
                seconds = sum(part for part in parts if part is not None)
            timing = {key: value for key, value in timing.items() if not key.endswith("_seconds")}
            end = NOT_LOGGED if event.inherited else event.seconds
            self._keep(_request(event, end, float(seconds), timing), draft)
        self._timing, self._line = {}, None

    def totals(self) -> RequestTotals:
        """Counts over all requests."""
        return RequestTotals(
            count=self._count,
            failed=self._failures,
            latency_seconds=self._latency,
            longest_seconds=self._longest,
            truncated=self._truncated,
        )

    def _timed(self, event: Event, draft: LoadDraft | None) -> None:
        part = event.kind.removeprefix("timing.")
        if part == "prompt" and "prompt_tokens" in self._timing:
            self.flush(draft)
        if draft is not None:
            draft.ready = True
        self._line = event
        if part == "total":
            if isinstance(event.fields.get("seconds"), float):
                self._timing["total"] = event.fields["seconds"]
            return
        for name, setting in (
            ("tokens", f"{part}_tokens"),
            ("per_second", f"{part}_per_second"),
            ("seconds", f"{part}_seconds"),
        ):
            value = event.fields.get(name)
            if isinstance(value, int | float):
                self._timing[setting] = value

    def _finished(self, event: Event, draft: LoadDraft | None) -> None:
        if not _works(event):
            return
        timing = {key: value for key, value in self._timing.items() if key != "total" and not key.endswith("_seconds")}
        latency = event.fields.get("seconds", self._timing.get("total"))
        self._timing, self._line = {}, None
        self._keep(_request(event, event.seconds, latency if isinstance(latency, float) else None, timing), draft)

    def _keep(self, request: LoggedRequest, draft: LoadDraft | None) -> None:
        failed = isinstance(request.status, int) and request.status >= 500
        latency = request.latency_seconds if isinstance(request.latency_seconds, float) else 0.0
        for counted in (self, self._whole):
            if counted is not None:
                counted._count += 1
                counted._failures += failed
                counted._latency += latency
                counted._longest = max(counted._longest, latency)
                if failed:
                    counted.failed.append(request)
        if draft is not None:
            draft.requests.append(request)
            draft.count += 1
            draft.failures += failed
            draft.latency += latency
            draft.longest = max(draft.longest, latency)
            draft.last_line = max(draft.last_line, request.line)


def _works(event: Event) -> bool:
    """Whether a request makes the model work: a web page's files (`GET /completion.js`) do not."""
    path, method = str(event.fields.get("path", "")), event.fields.get("method", "POST")
    file = path.rsplit("/", 1)[-1]
    return method != "GET" and "." not in file and any(word in path for word in _WORK)


def _request(event: Event, end: float | Unknown, latency: float | None, timing: dict[str, Any]) -> LoggedRequest:
    """The record of one request."""
    known = isinstance(end, float) and latency is not None
    fields = {name: event.fields[name] for name in ("status", "method", "path", "client") if name in event.fields}
    return LoggedRequest(
        line=event.line,
        end_seconds=end,
        latency_seconds=NOT_LOGGED if latency is None else latency,
        start_seconds=end - latency if known and isinstance(end, float) and latency is not None else NOT_LOGGED,
        **{name: value for name, value in fields.items() if not isinstance(value, Unknown)},
        **timing,
    )
