"""Where the parts of a line stand, found by experiment: the line is examined with other digits in it.

They are chosen so that each tells its place: so no code here knows how lines are built.  A shape for which that does not come
out right (a number in JSON that must not begin with 0, a quoted quote) is not read by its shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from vramctl.logs.blind import blind_to_digits, names_are_blind, whatever_digits
from vramctl.logs.dispatch import without_digits
from vramctl.logs.examined import Claimed, claim, known_indexes, known_of, stamp_of
from vramctl.logs.line import Message
from vramctl.logs.lines import Line, take_apart, text_of
from vramctl.logs.memo import Known
from vramctl.logs.rule import Convert, Rule
from vramctl.logs.shape_reader import Place, Read, Reader
from vramctl.logs.text_lines import attributes_of

_MOST_DIGITS = 1000
_MOST_RIVALS = 8
_COMMON = 5
"""Of what is the same for all lines of a shape, so many come before the fields."""
_DIGIT = re.compile("[0-9]")
_DIGIT_BYTE = re.compile(b"[0-9]")


class Experiment(NamedTuple):
    """A line of a shape, examined and dissected."""

    raw: str | bytes
    text: str
    known: Known
    same: tuple[Any, ...]
    """What must be the same for all lines of the shape."""
    parts: tuple[str, ...]
    """What may hold digits: message, function, stamp, host, program, pid, and the texts of the fields."""


def learned(raw: str | bytes) -> Read | None:
    """How to read the lines of this one's shape; None where each must be examined."""
    text = text_of(raw)
    digits = [found.start() for found in _DIGIT.finditer(text)]
    if not digits or len(digits) > _MOST_DIGITS or "\0" in text:
        return None
    line = take_apart(text)
    claimed = claim(line.message)
    rule = None if claimed is None else claimed[1]
    rivals = _rivals(line.message, rule)
    if rivals is None:
        return None
    own = None if rule is None or blind_to_digits(rule) else rule
    first = _experiment(raw, text, line, claimed, own)
    made = [_made(each, own) for each in _variants(raw, len(digits), json="{" in text)]
    if any(each.same != first.same for each in made):
        return None
    places = _places(first, made, digits)
    if places is None:
        return None
    read = Reader(raw, first.known, places, first.same[_COMMON:], rivals, own).read
    return read if all(read(each.raw) == each.known for each in (first, *made)) else None


def _made(raw: str | bytes, own: Rule | None) -> Experiment:
    """An experiment with a line that nobody wrote."""
    text = text_of(raw)
    line = take_apart(text)
    return _experiment(raw, text, line, claim(line.message), own)


def _experiment(raw: str | bytes, text: str, line: Line, claimed: Claimed | None, own: Rule | None) -> Experiment:
    """Dissects a line; `own` is the rule of the shape where its pattern must be asked for each line."""
    message, origin = line.message, line.origin
    fields: list[tuple[str, Convert]] = []
    parts = [message.text, message.function, stamp_of(line), origin.host, origin.program, origin.pid]
    rule = own or (None if claimed is None else claimed[1])
    if rule is not None:
        if own is None and claimed is not None:
            match = claimed[2]
            groups = [(name, convert) for name, convert in rule.groups if match[name] is not None]
            fields += groups
            parts += [match[name] for name, _ in groups]
        if rule.attributes and message.attributes:
            attributes = attributes_of(message)
            there = [found for found in rule.attributes if attributes.get(found[1]) is not None]
            fields += [(name, convert) for name, _, convert in there]
            parts += [attributes[key] for _, key, _ in there]
    same = (id(rule), message.form, message.level, message.surely, origin.platform, *fields)
    return Experiment(raw, text, known_of(text, line, claimed), same, tuple(parts))


def _rivals(message: Message, rule: Rule | None) -> tuple[re.Pattern[str], ...] | None:
    """The patterns that might claim another line of the shape, by certain digits; None where that cannot be told."""
    if rule is not None and not names_are_blind(rule):
        return None
    found = []
    for _, other in known_indexes()[message.form].whatever_digits().candidates(without_digits(message)):
        if other is rule and blind_to_digits(rule):
            break
        if other is not rule and not blind_to_digits(other) and _could_match(other.pattern, message.text):
            found.append(other.pattern)
    return tuple(found) if len(found) <= _MOST_RIVALS else None


def _could_match(pattern: re.Pattern[str], text: str) -> bool:
    """Whether the pattern might match the text if it had other digits."""
    wide = whatever_digits(pattern.pattern)
    return wide is None or wide.match(text) is not None


def _variants(raw: str | bytes, digits: int, *, json: bool) -> Iterator[str | bytes]:
    """Lines of the same shape: the n-th digit is the last of the number n, then its last but one, ...

    Where there may be JSON, two more: no number there begins with a zero.
    """
    power = 1
    while power == 1 or power < digits:
        yield _with_digits(raw, [number // power % 10 for number in range(digits)])
        power *= 10
    if json:
        yield _with_digits(raw, [0] * digits)
        yield _with_digits(raw, [1] * digits)


def _with_digits(raw: str | bytes, digits: list[int]) -> str | bytes:
    """A line of the same shape, with these digits."""
    if isinstance(raw, bytes):
        codes = bytearray(raw)
        places = [found.start() for found in _DIGIT_BYTE.finditer(raw)]
        for place, digit in zip(places, digits, strict=True):
            codes[place] = 48 + digit
        return bytes(codes)
    new = iter(digits)
    return _DIGIT.sub(lambda _: str(next(new)), raw)


def _places(first: Experiment, made: list[Experiment], digits: list[int]) -> tuple[Place, ...] | None:
    """Where each part stands in the line; None where one is not a stretch of it."""
    found: list[Place] = []
    for number, part in enumerate(first.parts):
        others = [each.parts[number] for each in made]
        digit = _DIGIT.search(part)
        if digit is None:
            if any(other != part for other in others):
                return None
            found.append(part)
            continue
        at = digit.start()
        if any(len(other) != len(part) or not "0" <= other[at] <= "9" for other in others):
            return None
        told = sum(
            int(other[at]) * 10**power for power, other in enumerate(others) if 10**power < len(digits) or not power
        )
        start = digits[told] - at if told < len(digits) else -1
        place = slice(start, start + len(part))
        if start < 0 or first.text[place] != part:
            return None
        if any(each.text[place] != other for each, other in zip(made, others, strict=True)):
            return None
        found.append(place)
    return tuple(found)
