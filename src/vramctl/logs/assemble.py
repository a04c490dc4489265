"""Events to one record of the log: its source, GPUs, loads with their requests; memory stays constant."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from vramctl.logs import folds, stages
from vramctl.logs.decode import UNRECOGNISED, Stats
from vramctl.logs.draft import KEPT_EVENTS, LoadDraft, SeenDraft
from vramctl.logs.fold_model import Fold
from vramctl.logs.gpus import GPU_KINDS, GpuList
from vramctl.logs.requests import ENDED, Requests
from vramctl.logs.requests import KINDS as REQUEST_KINDS
from vramctl.logs.source import FACT_KINDS, SourceFacts, build_words
from vramctl.logs.tally import Tally
from vramctl.records.event import Event, Origin
from vramctl.records.load import Load, Log

KEPT_LOADS, KEPT_FIRST_LOADS, KEPT_SERVERS = 400, 40, 64
_STARTS = frozenset({"build.info", "cuda.found"})
Take = Callable[[Event], None]


def assemble(events: Iterable[Event], *, stats: Stats | None = None, name: str = "", size_bytes: int = 0) -> Log:
    """The log that these events tell: loads in the order of their first line. `stats` is what `decode` counted."""
    assembler = Assembler()
    for event in events:
        assembler.add(event)
    return assembler.finished(stats=stats, name=name, size_bytes=size_bytes)


class _Kind(SeenDraft):
    """What is kept of one kind of event, and the functions that take such an event; None for one that nobody takes."""

    __slots__ = ("takes",)

    def __init__(self, kept: int, takes: tuple[Take, ...] | None) -> None:
        super().__init__(kept)
        self.takes = takes


class _Process:
    """One program that writes to the log: its load, its requests, its build."""

    __slots__ = ("build", "draft", "key", "requests")

    def __init__(self, key: str, requests: Requests) -> None:
        self.key = key
        self.requests = requests
        self.draft: LoadDraft | None = None
        self.build = ""


class Assembler:
    """Folds one event after the other; `finished` can be asked at any time (when a log is followed)."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}
        self._processes: dict[str, _Process] = {}
        self._by_origin: dict[Origin, _Process] = {}
        self._origin: Origin | None = None
        self._current = _Process("", Requests(Tally()))
        """The process of the last line that was asked for, whose prefix was `_origin`."""
        self._loads: deque[Load | LoadDraft] = deque()
        """Loads that are over; a record is made of a draft when it is asked for, for most may be dropped by then."""
        self._dropped = 0
        self._gpus = GpuList()
        self._source = SourceFacts()
        self._tally = Tally()

    def add(self, event: Event) -> None:
        """Fold one event into what is known."""
        # Every event of a log runs through here: what its kind needs was looked up when the kind was first seen.
        name = event[0]
        kind = self._kinds.get(name) or self._first_of(name)
        kind.count += 1
        takes = kind.takes
        if takes is None:
            return
        if kind.count <= kind.kept:
            kind.first.append(event)
        kind.last = event
        source = self._source
        if event[11] is not source.origin or event[6] not in source.engines or event[8] not in source.functions:
            source.new_writer(event)
        for take in takes:
            take(event)

    def finished(self, *, stats: Stats | None = None, name: str = "", size_bytes: int = 0, at_end: bool = True) -> Log:
        """The record of everything up to here. Without `at_end` more lines follow: a request half told is left open."""
        processes = self._processes.values()
        for process in processes if at_end else ():
            process.requests.flush(process.draft)
        over = [load.finished() if isinstance(load, LoadDraft) else load for load in self._loads]
        self._loads = deque(over)
        drafts = [process.draft for process in processes]
        still_open = [draft.finished() for draft in drafts if draft is not None and draft.stage]
        loads = sorted((*over, *still_open), key=lambda load: load.lines[0])
        counts = {kind: seen.count for kind, seen in self._kinds.items()}
        return Log(
            source=self._source.finished(stats, name=name, size_bytes=size_bytes),
            gpus=self._gpus.finished(),
            loads=tuple(loads),
            dropped_loads=self._dropped,
            environment=dict(self._source.environment),
            event_counts=counts,
            unrecognised_lines=stats.unrecognised if stats else counts.get(UNRECOGNISED, 0),
            unrecognised_samples=tuple(stats.unrecognised_samples) if stats else (),
            seen={kind: seen.finished() for kind, seen in self._kinds.items() if seen.kept},
            totals=self._tally.totals(),
            failed_requests=self._tally.failed_requests(),
        )

    def _first_of(self, name: str) -> _Kind:
        """What becomes of a kind of event, found out when the first one comes."""
        if name == UNRECOGNISED:
            kind = _Kind(0, None)
        else:
            kept = 0 if name in stages.BULK else stages.COMPARED.get(name, KEPT_EVENTS)
            kind = _Kind(kept, tuple(self._takes(name)))
        self._kinds[name] = kind
        return kind

    def _takes(self, name: str) -> Iterable[Take]:
        """The functions that take a kind of event, in order."""
        if name in FACT_KINDS:
            yield self._source.facts
        if name in GPU_KINDS:
            yield self._gpus.add
        if name in _STARTS:
            yield self._program_started
        if name == ENDED:
            yield self._request_ended
        elif name in REQUEST_KINDS:
            yield self._request
        elif name in folds.LOAD_KINDS:
            yield self._staged(folds.folding(name)) if name in stages.STAGES else self._folded(folds.folding(name))

    def _request(self, event: Event) -> None:
        process = self._current if event[11] is self._origin else self._process_of(event[11])
        process.requests.add(event, process.draft)

    def _request_ended(self, event: Event) -> None:
        process = self._current if event[11] is self._origin else self._process_of(event[11])
        process.requests.ended(event, process.draft)

    def _folded(self, fold: Fold) -> Take:
        """Folds a kind of event into the load that is open."""

        def take(event: Event) -> None:
            process = self._current if event[11] is self._origin else self._process_of(event[11])
            if process.draft is not None:
                fold(process.draft, event)

        return take

    def _staged(self, fold: Fold) -> Take:
        """Folds a kind of event into the load that it belongs to, and opens one where it starts one."""

        def take(event: Event) -> None:
            process = self._current if event[11] is self._origin else self._process_of(event[11])
            draft = process.draft
            if stages.starts_load(event, draft):
                self._close(process)
                draft = LoadDraft(event.line, event.last_line, origin=process.key, build=process.build)
                process.draft = draft
            if draft is not None:
                fold(draft, event)

        return take

    def _program_started(self, event: Event) -> None:
        """A program that prints its build starts anew: what it loads next is another load."""
        process = self._process_of(event.origin)
        if process.draft is not None and process.draft.printed.passes:
            self._close(process)
        if event.kind == "build.info":
            process.build = build_words(event)
            if process.draft is not None:
                process.draft.build = process.build

    def _process_of(self, origin: Origin) -> _Process:
        """Which process wrote it, as far as the prefix says: two servers in one log do not mix."""
        process = self._by_origin.get(origin)
        if process is None:
            key = " ".join(part for part in (origin.host, origin.program, origin.pid) if part)
            process = self._processes.get(key)
            if process is None:
                self._make_room()
                process = self._processes[key] = _Process(key, Requests(self._tally))
            if len(self._by_origin) >= KEPT_SERVERS:
                self._by_origin.clear()
            self._by_origin[origin] = process
        self._origin, self._current = origin, process
        return process

    def _make_room(self) -> None:
        """Let go of the process that was seen first, where there are very many."""
        if len(self._processes) >= KEPT_SERVERS:
            self._close(self._processes.pop(next(iter(self._processes))))
            self._by_origin.clear()

    def _close(self, process: _Process) -> None:
        """Keep a load that is over; of very many the middle ones are counted only."""
        draft, process.draft = process.draft, None
        if draft is None:
            return
        process.requests.flush(draft)
        if not draft.stage:
            return
        self._loads.append(draft)
        if len(self._loads) > KEPT_LOADS:
            del self._loads[KEPT_FIRST_LOADS]
            self._dropped += 1
