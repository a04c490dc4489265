"""Events to one record of the log: its source, GPUs, loads with their requests; memory stays constant."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from vramctl.logs import folds, stages
from vramctl.logs.decode import Stats
from vramctl.logs.draft import KEPT_EVENTS, LoadDraft, SeenDraft
from vramctl.logs.gpus import GPU_KINDS, GpuList
from vramctl.logs.requests import KINDS as REQUEST_KINDS
from vramctl.logs.requests import Requests
from vramctl.logs.source import SourceFacts, build_words
from vramctl.records.event import Event, Origin
from vramctl.records.load import Load, Log

KEPT_LOADS, KEPT_FIRST_LOADS, KEPT_SERVERS = 400, 40, 64
_STARTS = frozenset({"build.info", "cuda.found"})


def assemble(events: Iterable[Event], *, stats: Stats | None = None, name: str = "", size_bytes: int = 0) -> Log:
    """The log that these events tell: loads in the order of their first line. `stats` is what `decode` counted."""
    assembler = Assembler()
    for event in events:
        assembler.add(event)
    return assembler.finished(stats=stats, name=name, size_bytes=size_bytes)


class Assembler:
    """Folds one event after the other; `finished` can be asked at any time (when a log is followed)."""

    def __init__(self) -> None:
        self._open: dict[str, LoadDraft] = {}
        self._builds: dict[str, str] = {}
        self._keys: dict[Origin, str] = {}
        self._requests: dict[str, Requests] = {}
        self._loads: deque[Load] = deque()
        self._dropped = 0
        self._counts: Counter[str] = Counter()
        self._seen: dict[str, SeenDraft] = {}
        self._gpus = GpuList()
        self._source = SourceFacts()
        self._all_requests = Requests(None)

    def add(self, event: Event) -> None:
        """Fold one event into what is known."""
        kind = event.kind
        self._counts[kind] += 1
        if kind == "unrecognised":
            return
        if kind not in stages.BULK:
            seen = self._seen.get(kind)
            if seen is None:
                seen = self._seen[kind] = SeenDraft(stages.COMPARED.get(kind, KEPT_EVENTS))
            seen.add(event)
        self._source.add(event)
        if kind in GPU_KINDS:
            self._gpus.add(event)
        if kind in _STARTS:
            self._program_started(event)
        if kind in folds.LOAD_KINDS:
            self._fold(event)

    def finished(self, *, stats: Stats | None = None, name: str = "", size_bytes: int = 0, at_end: bool = True) -> Log:
        """The record of everything up to here. Without `at_end` more lines follow: a request half told is left open."""
        for key, requests in self._requests.items() if at_end else ():
            requests.flush(self._open.get(key))
        loads = [*self._loads, *(draft.finished() for draft in self._open.values() if draft.stage)]
        loads.sort(key=lambda load: load.lines[0])
        return Log(
            source=self._source.finished(stats, name=name, size_bytes=size_bytes),
            gpus=self._gpus.finished(),
            loads=tuple(loads),
            dropped_loads=self._dropped,
            environment=dict(self._source.environment),
            event_counts=dict(self._counts),
            unrecognised_lines=stats.unrecognised if stats else self._counts["unrecognised"],
            unrecognised_samples=tuple(stats.unrecognised_samples) if stats else (),
            seen={kind: seen.finished() for kind, seen in self._seen.items()},
            totals=self._all_requests.totals(),
            failed_requests=tuple(self._all_requests.failed),
        )

    def _fold(self, event: Event) -> None:
        """Find the load that this event belongs to, open one where it starts one, and fold it in."""
        key = self._key(event)
        draft = self._open.get(key)
        kind = event.kind
        if kind in stages.STAGES and stages.starts_load(event, draft):
            if draft is not None:
                self._close(key, draft)
            draft = LoadDraft(event.line, event.last_line, origin=key, build=self._builds.get(key, ""))
            self._open[key] = draft
        if kind in REQUEST_KINDS:
            self._requests[key].add(event, draft)
        elif draft is not None:
            folds.fold(event, draft)

    def _program_started(self, event: Event) -> None:
        """A program that prints its build starts anew: what it loads next is another load."""
        key = self._key(event)
        draft = self._open.get(key)
        if draft is not None and draft.printed.passes:
            self._close(key, self._open.pop(key))
            draft = None
        if event.kind == "build.info":
            self._builds[key] = build_words(event)
            if draft is not None:
                draft.build = self._builds[key]

    def _key(self, event: Event) -> str:
        """Which process wrote it, as far as the prefix says: two servers in one log do not mix."""
        origin = event.origin
        key = self._keys.get(origin)
        if key is None or key not in self._requests:
            key = " ".join(part for part in (origin.host, origin.program, origin.pid) if part)
            if key not in self._requests:
                self._make_room()
                self._requests[key] = Requests(self._all_requests)
            if len(self._keys) >= KEPT_SERVERS:
                self._keys.clear()
            self._keys[origin] = key
        return key

    def _make_room(self) -> None:
        """Let go of the process that was seen first, where there are very many."""
        if len(self._requests) < KEPT_SERVERS:
            return
        oldest = next(iter(self._requests))
        draft = self._open.pop(oldest, None)
        if draft is not None:
            self._close(oldest, draft)
        self._requests.pop(oldest)
        self._builds.pop(oldest, None)

    def _close(self, key: str, draft: LoadDraft) -> None:
        """Make a record of a load that is over; of very many the middle ones are counted only."""
        if key in self._requests:
            self._requests[key].flush(draft)
        if not draft.stage:
            return
        self._loads.append(draft.finished())
        if len(self._loads) > KEPT_LOADS:
            del self._loads[KEPT_FIRST_LOADS]
            self._dropped += 1
