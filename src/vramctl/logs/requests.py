"""Requests of a server: its log writes the line when one ends, so it started that line's time less its latency."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from vramctl.logs.draft import LoadDraft
from vramctl.logs.tally import Ended, Tally
from vramctl.records.event import Event

ENDED = "request.finished"
KINDS = frozenset({ENDED, "timing.prompt", "timing.generated", "timing.total", "slot.released"})
# Paths that make the model work; the others (tags, show, ps, health) are left out.
_WORK = ("generate", "chat", "embed", "completion", "infill", "rerank", "responses", "messages")
_NO_TIMING: Mapping[str, Any] = {}


class Requests:
    """Requests of one server: puts together what its lines say of each; `whole` counts those of the whole log."""

    def __init__(self, whole: Tally) -> None:
        self._whole = whole
        self._timing: dict[str, Any] = {}
        self._line: Event | None = None

    def add(self, event: Event, draft: LoadDraft | None) -> None:
        """Take an event of one of KINDS."""
        if event.kind == ENDED:
            self.ended(event, draft)
        elif event.kind == "slot.released":
            if event.fields.get("truncated") and draft is not None:
                draft.tally.truncated += 1
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
            stamp = None if event.inherited else event.stamp
            self._keep(Ended(event.line, stamp, event.fields, float(seconds), _of_request(timing)), draft)
        self._timing, self._line = {}, None

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

    def ended(self, event: Event, draft: LoadDraft | None) -> None:
        """Take the line that a request has ended: many logs are little else."""
        fields = event[1]
        if not _works(fields.get("method", "POST"), fields.get("path", "")):
            return
        latency, timing = fields.get("seconds"), _NO_TIMING
        if self._timing:
            if "seconds" not in fields:
                latency = self._timing.get("total")
            timing = _of_request(self._timing)
            self._timing, self._line = {}, None
        elif self._line is not None:
            self._line = None
        seconds = latency if latency.__class__ is float else None
        self._keep(Ended(event[2], event[9], fields, seconds, timing), draft)

    def _keep(self, request: Ended, draft: LoadDraft | None) -> None:
        self._whole.add(request)
        if draft is not None:
            draft.tally.add(request)
            if request.line > draft.last_line:
                draft.last_line = request.line


def _of_request(timing: Mapping[str, Any]) -> dict[str, Any]:
    """The timings that a request's record holds: tokens and their rates."""
    return {key: value for key, value in timing.items() if key != "total" and not key.endswith("_seconds")}


@lru_cache(1024)
def _works(method: Any, path: Any) -> bool:
    """Whether a request makes the model work: a web page's files (`GET /completion.js`) do not."""
    path = str(path)
    file = path.rsplit("/", 1)[-1]
    return method != "GET" and "." not in file and any(word in path for word in _WORK)
