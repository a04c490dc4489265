"""Lines of a log to events, one by one and in constant memory; never raises for what a line holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

from vramctl.logs.dispatch import Claim
from vramctl.logs.examined import (
    FIRST_ENGINE_SLOT,
    FIRST_RULE_SLOT,
    UNRECOGNISED,
    claim,
    fields_of,
    fits,
    slots,
)
from vramctl.logs.line import ENGINE, GO, NOBODY
from vramctl.logs.lines import LONGEST, take_apart, text_of
from vramctl.logs.memo import NO_ENGINE, NO_LINE, Memo
from vramctl.logs.platforms import plain
from vramctl.logs.shapes import Shapes
from vramctl.logs.wrapped import SAMPLE_LINES, Judge, joined, width_of
from vramctl.records.event import Event

_SAMPLES = 200
_SAMPLE_BYTES = 16 << 20


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
    platforms: set[str] = field(default_factory=set)
    """Whose prefixes stand in front of lines: journald, docker, compose, ...; bare lines name none."""
    unrecognised_samples: list[tuple[int, str]] = field(default_factory=list)
    foreign_samples: list[tuple[int, str]] = field(default_factory=list)

    @property
    def engine_lines(self) -> int:
        """Lines that an engine wrote."""
        return self.recognised + self.unrecognised


def decode(lines: Iterable[str | bytes], *, stats: Stats | None = None, live: bool = False) -> Iterator[Event]:
    """The events of a log in order; engine lines that no rule knows come as events of kind `unrecognised`.

    Other programs' lines are only counted, in `stats`, which is filled in when the log ends or is left.  Lines that a
    terminal wrapped are put together, unless the log is `live`: for that, its beginning must be read first.
    """
    stats = Stats() if stats is None else stats
    memo = Memo(Shapes().examined, [0] * len(slots()))
    if live:
        return decoded(lines, stats, memo)
    rest = iter(lines)
    beginning = _beginning(rest)
    whole = chain(beginning, rest)
    width = width_of([_shown(raw) for raw in beginning], _JUDGE)
    return _unwrapped(whole, width, stats, memo) if width else decoded(whole, stats, memo)


def _beginning(lines: Iterator[str | bytes]) -> list[str | bytes]:
    """The first lines, fewer where they are very long: all of them are held."""
    found: list[str | bytes] = []
    size = 0
    for line in islice(lines, SAMPLE_LINES):
        found.append(line)
        size += len(line)
        if size > _SAMPLE_BYTES:
            break
    return found


def _unwrapped(lines: Iterable[str | bytes], width: int, stats: Stats, memo: Memo) -> Iterator[Event]:
    """The events of a log that a terminal of `width` columns wrapped, with the numbers of its lines in the file."""
    firsts, last = [0], 0

    def whole_lines() -> Iterator[str]:
        nonlocal last
        for whole in joined((_shown(raw) for raw in lines), width, _JUDGE):
            firsts.append(whole.line)
            last = whole.last_line
            yield whole.text

    for event in decoded(whole_lines(), stats, memo):
        yield event._replace(line=firsts[-1], last_line=last)
    stats.joined += last - stats.lines
    stats.lines = last
    for samples in (stats.foreign_samples, stats.unrecognised_samples):
        samples[:] = [(firsts[number], text) for number, text in samples]


def decoded(lines: Iterable[str | bytes], stats: Stats, memo: Memo) -> Iterator[Event]:
    """The events of lines as they come."""
    new, last_stamp, number = tuple.__new__, "", 0
    counts = memo.counts
    try:
        # Every line of a log runs through here: the memo is asked by `map`, and what it knows is taken apart in one step.
        for slot, kind, fields, message, text, engine, level, function, stamp, origin in map(memo.__getitem__, lines):
            number += 1
            counts[slot] += 1
            if stamp:
                last_stamp = stamp
            if slot < FIRST_RULE_SLOT:
                _sample(stats, kind, number, text)
                if slot < FIRST_ENGINE_SLOT:
                    continue
            # As Event(...), without its constructor in Python: that would be a third of the time of a line seen before.
            place = (
                kind, fields, number, number, message, text, engine, level, function, last_stamp, not stamp, origin,
            )  # fmt: skip
            yield new(Event, place)
    finally:
        _add(stats, number, counts)
        stats.platforms |= memo.platforms


def _sample(stats: Stats, kind: str | bool | None, number: int, text: str) -> None:
    """Keeps some of the lines that no rule knows."""
    if kind is not NO_LINE:
        samples = stats.foreign_samples if kind is NO_ENGINE else stats.unrecognised_samples
        if len(samples) < _SAMPLES:
            samples.append((number, text))


def _add(stats: Stats, lines: int, counts: list[int]) -> None:
    """Adds what was counted by slot."""
    counted = {kind: counts[slot] for kind, slot in slots().items() if counts[slot]}
    stats.lines += lines
    stats.blank += counted.pop(NO_LINE, 0)
    stats.foreign += counted.pop(NO_ENGINE, 0)
    stats.unrecognised += counted.get(UNRECOGNISED, 0)
    stats.recognised += sum(counted.values()) - counted.get(UNRECOGNISED, 0)
    stats.kinds.update(counted)


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

__all__ = ["UNRECOGNISED", "Claim", "Stats", "claim", "decode", "decoded", "fields_of", "fits"]
