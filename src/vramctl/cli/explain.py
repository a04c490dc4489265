"""`vramctl explain LOG...`: what happened, as a maintainer who reads the log would say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import click

from vramctl.cli.options import output_options
from vramctl.cli.output import Output, answer, answer_json, write
from vramctl.errors import BadInput
from vramctl.explaining import Explained, explain
from vramctl.logs.assemble import Assembler
from vramctl.logs.decode import Stats, decode
from vramctl.probes.log_sources import expand_sources, open_source
from vramctl.records.event import Event
from vramctl.records.finding import ERROR, Finding
from vramctl.records.load import Log
from vramctl.show.explain_json import event_document, explain_document, list_document
from vramctl.show.explain_text import explain_text
from vramctl.show.explain_verdict import COULD_NOT_TELL, verdict
from vramctl.sinks.events import events_to

EPILOG = """\b
Examples:
  vramctl explain server.log
  ollama serve 2>&1 | vramctl explain -
  vramctl explain journald:ollama --follow
  vramctl explain 'logs/*.log' --json
  vramctl explain server.log --events --to events.parquet

\b
Exit codes: 0 healthy, 1 a finding of severity error, 2 unreadable input,
3 could not tell.
"""
_FOLLOW_EVERY = 200


@click.command("explain", epilog=EPILOG)
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@click.option("--events", "with_events", is_flag=True, help="Print every event too (with --json: in the document).")
@click.option("--follow", "-f", is_flag=True, help="Keep reading, and tell what is new.")
@click.option("--to", "target", metavar="FILE", help="Write the events to FILE: .jsonl, .csv, .parquet or .arrow.")
@output_options
def command(*, logs: tuple[str, ...], with_events: bool, follow: bool, target: str | None, out: Output) -> int:
    """Explain engine logs: files, globs, `-`, journald:UNIT, docker:NAME, influx1:URL/DB."""
    sources = expand_sources(logs)
    if follow:
        if (len(sources) > 1 and len(logs) > 1) or target:
            raise BadInput(
                "usage",
                "--follow reads one source and writes to the screen.",
                because=(),
                fix="Name one log, without --to.",
            )
        return _follow(logs[0], out)
    codes, documents = [], []
    with events_to(target) if target else nullcontext(_ignore) as write_event:
        for source in sources:
            kept: list[Event] = []
            show = kept.append if out.json else _print_event
            log = _read(source, out, taken_by=(write_event, show) if with_events else (write_event,))
            told = explain(log)
            if out.json:
                documents.append(_document(told, kept if with_events else None))
            else:
                title = f"== {source}\n" if len(sources) > 1 else ""
                answer(title + explain_text(log, told.findings, out.page) + ("\n" if len(sources) > 1 else ""), None)
            codes.append(_code(log, told.findings))
    if out.json:
        answer_json(documents[0] if len(documents) == 1 else list_document(documents))
    return max(codes, key=lambda code: (code == 1, code))


def _read(source: str, out: Output, *, taken_by: tuple[Callable[[Event], None], ...]) -> Log:
    """One log; every event is handed on as it comes."""
    assembler, stats, counted = Assembler(), Stats(), _Counted(open_source(source, note=out.progress))
    for event in decode(counted, stats=stats):
        assembler.add(event)
        for take in taken_by:
            take(event)
    return assembler.finished(stats=stats, name=source, size_bytes=counted.size_bytes)


def _document(told: Explained, events: list[Event] | None = None) -> dict[str, Any]:
    """One log as JSON."""
    words = verdict(told.log, told.findings).words
    return explain_document(told.log, told.findings, words, events, told.what_fits)


def _ignore(event: Event) -> None:
    """Take an event that nobody asked for."""


def _print_event(event: Event) -> None:
    fields = json.dumps(event_document(event)["fields"], ensure_ascii=False)
    write(f"{event.line}\t{event.kind}\t{fields}\n")


class _Counted:
    """Lines as they come; counts their bytes."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.size_bytes += len(line) + 1
            yield line


def _code(log: Log, found: Iterable[Finding]) -> int:
    """The exit code of the contract."""
    found = tuple(found)
    if any(one.severity == ERROR for one in found):
        return 1
    return 3 if verdict(log, found).state == COULD_NOT_TELL else 0


def _follow(source: str, out: Output) -> int:
    """Tell what is new as it is written: findings at once, the whole answer at the end."""
    assembler, stats = Assembler(), Stats()
    told: set[tuple[str, str]] = set()
    tell = _tell_json if out.json else _tell_text
    counted = _Counted(open_source(source, follow=True, note=out.progress))
    try:
        for number, event in enumerate(decode(counted, stats=stats, live=True)):
            assembler.add(event)
            if event.level in {"WARN", "ERROR"} or event.kind in _WORTH_A_LOOK or number % _FOLLOW_EVERY == 0:
                _news(assembler, stats, source, told, tell)
    except KeyboardInterrupt:
        pass
    log = assembler.finished(stats=stats, name=source, size_bytes=counted.size_bytes)
    explained = explain(log)
    if out.json:
        write(json.dumps(_document(explained)) + "\n")
    else:
        write("\n" + explain_text(log, explained.findings, out.page))
    return _code(log, explained.findings)


_WORTH_A_LOOK = frozenset({
    "runner.started", "server.model_loaded", "layers.offloaded", "memory.alloc_failed", "model.load_failed", "cuda.error",
    "crash.signal", "crash.assert", "crash.fatal", "runner.load_failed",
})  # fmt: skip


def _news(
    assembler: Assembler, stats: Stats, source: str, told: set[tuple[str, str]], tell: Callable[[Finding], None]
) -> None:
    """Tell the findings that were not told yet."""
    log = assembler.finished(stats=stats, name=source, at_end=False)
    if not any(_is_news(one, log, told) for one in explain(log, compute=False).findings):
        return
    for one in explain(log).findings:
        if _is_news(one, log, told):
            told.add((one.id, one.severity))
            tell(one)


def _is_news(one: Finding, log: Log, told: set[tuple[str, str]]) -> bool:
    """Whether a finding was not told yet, and is not about a load of which more lines are still to come."""
    if (one.id, one.severity) in told:
        return False
    coming = [load.lines for load in log.loads if not load.ready and not load.ended]
    return not any(first <= quote.line <= last for quote in one.lines for first, last in coming)


def _tell_text(one: Finding) -> None:
    line = f"line {one.lines[0].line}: " if one.lines else ""
    write(f"{one.severity}: {line}{one.what}\n  fix  {one.fix}\n", stream=sys.stdout)


def _tell_json(one: Finding) -> None:
    document: dict[str, Any] = {
        "severity": one.severity,
        "id": one.id,
        "what": one.what,
        "because": list(one.because),
        "fix": one.fix,
    }
    write(json.dumps(document) + "\n")
