"""Lines of a log to events, one by one and in constant memory; never raises for what a line holds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice
from typing import Any

from vramctl.logs.dispatch import Claim, Index, indexes
from vramctl.logs.line import ENGINE, FOREIGN, GO, NOBODY, Message
from vramctl.logs.lines import LONGEST, Line, take_apart, text_of
from vramctl.logs.memo import NO_ENGINE, NO_LINE, Known, Memo
from vramctl.logs.platforms import plain
from vramctl.logs.rule import Rule
from vramctl.logs.tables import TABLES
from vramctl.logs.text_lines import attributes_of
from vramctl.logs.wrapped import SAMPLE_LINES, Judge, joined, width_of
from vramctl.records.event import Event
from vramctl.records.unknown import Unknown

UNRECOGNISED = "unrecognised"
_SAMPLES = 200
_BLANK_LINE: Known = (NO_LINE, {}, "", "", "", "", "", "", NOBODY)
_ENGINE_PROGRAMS = re.compile(r"ollama|llama|tabby|exllama", re.IGNORECASE)


@dataclass(slots=True)
class Stats:
    """How many lines of a log were what: `lines` = blank + foreign + recognised + unrecognised + wrapped parts."""

    lines: int = 0
    blank: int = 0
    foreign: int = 0
    """Not an engine's: shell, Markdown, other programs of a journal."""
    recognised: int = 0
    unrecognised: int = 0
    """An engine's, but no rule knows them."""
    joined: int = 0
    """Further parts of lines that a terminal wrapped."""
    kinds: Counter[str] = field(default_factory=Counter)
    platforms: Counter[str] = field(default_factory=Counter)
    unrecognised_samples: list[tuple[int, str]] = field(default_factory=list)
    foreign_samples: list[tuple[int, str]] = field(default_factory=list)

    @property
    def engine_lines(self) -> int:
        """Lines that an engine wrote."""
        return self.recognised + self.unrecognised


@cache
def _known() -> dict[str, Index]:
    """The indexes of all tables, built once and on use."""
    return indexes(TABLES)


def decode(lines: Iterable[str | bytes], *, stats: Stats | None = None, live: bool = False) -> Iterator[Event]:
    """The events of a log in order; engine lines that no rule knows come as events of kind `unrecognised`.

    Other programs' lines are only counted, in `stats`, which is filled in when the log ends or is left.  Lines that a
    terminal wrapped are put together, unless the log is `live`: for that, its beginning must be read first.
    """
    stats = Stats() if stats is None else stats
    if live:
        return _decoded(lines, stats)
    rest = iter(lines)
    beginning = list(islice(rest, SAMPLE_LINES))
    whole = chain(beginning, rest)
    width = width_of([_shown(raw) for raw in beginning], _JUDGE)
    return _unwrapped(whole, width, stats) if width else _decoded(whole, stats)


def _unwrapped(lines: Iterable[str | bytes], width: int, stats: Stats) -> Iterator[Event]:
    """The events of a log that a terminal of `width` columns wrapped, with the numbers of its lines in the file."""
    firsts, last = [0], 0

    def whole_lines() -> Iterator[str]:
        nonlocal last
        for whole in joined((_shown(raw) for raw in lines), width, _JUDGE):
            firsts.append(whole.line)
            last = whole.last_line
            yield whole.text

    for event in _decoded(whole_lines(), stats):
        yield event._replace(line=firsts[-1], last_line=last)
    stats.joined += last - stats.lines
    stats.lines = last
    for samples in (stats.foreign_samples, stats.unrecognised_samples):
        samples[:] = [(firsts[number], text) for number, text in samples]


def _decoded(lines: Iterable[str | bytes], stats: Stats) -> Iterator[Event]:
    """The events of lines as they come."""
    memo = Memo(_examined)
    new, last_stamp, number = tuple.__new__, "", 0
    foreign, unrecognised = stats.foreign_samples, stats.unrecognised_samples
    counts: dict[Any, int] = {}
    try:
        for number, raw in enumerate(lines, 1):
            kind, fields, message, text, engine, level, function, stamp, origin = memo[raw]
            try:
                counts[kind] += 1
            except KeyError:
                counts[kind] = 1
            if stamp:
                last_stamp = stamp
            if not kind:
                if kind is NO_ENGINE and len(foreign) < _SAMPLES:
                    foreign.append((number, text))
                continue
            if not engine and len(unrecognised) < _SAMPLES:
                unrecognised.append((number, text))
            # As Event(...), without its constructor in Python: that would be a third of the time of a line seen before.
            place = (
                kind, fields, number, number, message, text, engine, level, function, last_stamp, not stamp, origin,
            )  # fmt: skip
            yield new(Event, place)
    finally:
        _add(stats, number, counts)


def _add(stats: Stats, lines: int, counts: dict[Any, int]) -> None:
    """Adds what was counted by kind."""
    stats.lines += lines
    stats.blank += counts.pop(NO_LINE, 0)
    stats.foreign += counts.pop(NO_ENGINE, 0)
    stats.unrecognised += counts.get(UNRECOGNISED, 0)
    stats.recognised += sum(counts.values()) - counts.get(UNRECOGNISED, 0)
    stats.kinds.update(counts)


def _examined(raw: str | bytes) -> Known:
    """What one line says by itself."""
    text = text_of(raw)
    if not text or text.isspace():
        return _BLANK_LINE
    line = take_apart(text)
    message = line.message
    stamp = (message.stamp if message.form == "go" else "") or line.stamp
    claimed = claim(message)
    if claimed is None:
        kind = NO_ENGINE if _is_foreign(line) else UNRECOGNISED
        return (kind, {}, message.text, text, "", message.level, message.function, stamp, line.origin)
    engine, rule, match = claimed
    fields = fields_of(rule, match, message)
    return (rule.kind, fields, message.text, text, engine, message.level, message.function, stamp, line.origin)


def _shown(raw: str | bytes) -> str:
    """A line as a terminal shows it; a very long one is cut, no terminal wrapped that."""
    return plain(text_of(raw[:LONGEST]))


def _knows(text: str) -> bool:
    """Whether a rule claims a line."""
    return claim(take_apart(text).message) is not None


def _begins(text: str) -> bool:
    """Whether a text has the head of a line: a platform's prefix, or one that only engines write."""
    line = take_apart(text)
    return line.origin is not NOBODY or (line.message.surely == ENGINE and line.message.form == GO)


_JUDGE = Judge(_knows, _begins)


def claim(message: Message, known: dict[str, Index] | None = None) -> tuple[str, Rule, re.Match[str]] | None:
    """The engine and the rule that claim a message, with the match; None where no rule knows it."""
    index = (known or _known())[message.form]
    for engine, rule in index.candidates(message):
        match = fits(rule, message)
        if match is not None:
            return engine, rule, match
    return None


def fits(rule: Rule, message: Message) -> re.Match[str] | None:
    """The match of a rule's pattern, where its conditions hold too."""
    match = rule.pattern.match(message.text)
    if match is None or (rule.function and message.function not in rule.function):
        return None
    if rule.needs or rule.lacks:
        attributes = attributes_of(message)
        if any(key not in attributes for key in rule.needs) or any(key in attributes for key in rule.lacks):
            return None
    return match


def fields_of(rule: Rule, match: re.Match[str], message: Message) -> dict[str, Any]:
    """The typed fields of a claimed line; what is not printed is left out, what cannot be read is Unknown."""
    fields: dict[str, Any] = {}
    for name, convert in rule.groups:
        text = match[name]
        if text is not None:
            fields[name] = _converted(text, convert)
    if rule.attributes and message.attributes:
        attributes = attributes_of(message)
        for name, key, convert in rule.attributes:
            text = attributes.get(key)
            if text is not None:
                fields[name] = _converted(text, convert)
    return fields


def _converted(text: str, convert: Any) -> Any:
    """A field's value, or Unknown where the text is not of its type."""
    try:
        return convert(text)
    except (ValueError, KeyError, OverflowError, ArithmeticError):
        return Unknown(f"{text[:80]!r} cannot be read")


def _is_foreign(line: Line) -> bool:
    """Whether a line that no rule claims is another program's, or nobody's."""
    if line.message.surely == ENGINE:
        return False
    return line.message.surely == FOREIGN or not _ENGINE_PROGRAMS.search(line.origin.program)


__all__ = ["UNRECOGNISED", "Claim", "Stats", "claim", "decode", "fields_of", "fits"]
