"""Whether a rule cares which digits a line holds, or only where digits stand: `\\d+` does not care, `(?P<flag>[01])` does."""

from __future__ import annotations

import re
from functools import cache

from vramctl.logs.rule import Rule

_PIECE = re.compile(r"\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]|\(\?P<\w+>|\{\d*,?\d*\}|.", re.DOTALL)
_RANGE = re.compile(r"(\\?.)-(\\?.)", re.DOTALL)
_NARROWING = re.compile(r"\(\?<?!|\(\?>|\(\?\(|\(\?P=|\\[1-9]|[+*?}]\+")
"""What can match less where a part of it matches more; and references to groups."""
_DIGITS = frozenset("0123456789")


def blind_to_digits(rule: Rule) -> bool:
    """Whether the rule says the same of two lines that differ in nothing but their digits; in doubt it does not."""
    return pattern_is_blind(rule.pattern.pattern) and names_are_blind(rule)


def names_are_blind(rule: Rule) -> bool:
    """Whether no digit stands in the names of functions and of attributes that the rule asks for."""
    if not (rule.function or rule.needs or rule.lacks or rule.attributes):
        return True
    names = (*rule.function, *rule.needs, *rule.lacks, *(key for _, key, _ in rule.attributes))
    return _DIGITS.isdisjoint("".join(names))


@cache
def pattern_is_blind(pattern: str) -> bool:
    """Whether a pattern matches the same stretches of two texts that differ in nothing but their digits.

    It does where it asks for digits by `\\d` or by classes with all ten, and refers to no group.
    """
    if "(?P=" in pattern or "(?(" in pattern:
        return False
    return not any(_is_choosy(piece) for piece in _PIECE.findall(pattern))


@cache
def whatever_digits(pattern: str) -> re.Pattern[str] | None:
    """The pattern with `\\d` for each digit it asks for: what it does not match, no other digits make the first one match.

    None where that cannot be said.
    """
    if _NARROWING.search(pattern):
        return None
    return re.compile("".join(_widened(piece) if _is_choosy(piece) else piece for piece in _PIECE.findall(pattern)))


def _is_choosy(piece: str) -> bool:
    """Whether a piece of a pattern matches some digits and not others."""
    if len(piece) == 1:
        return piece in _DIGITS
    if piece[0] == "\\":
        return piece[1] in _DIGITS or piece[1] in "xuUN"
    return piece[0] == "[" and _class_is_choosy(piece[2:-1] if piece[1] == "^" else piece[1:-1])


def _class_is_choosy(inside: str) -> bool:
    """Whether a class of characters holds some digits, but not all."""
    if any(escape in inside for escape in (r"\x", r"\u", r"\U", r"\N")):
        return True
    for first, last in _RANGE.findall(inside):
        if len(first) == len(last) == 1 and ("0" < first <= "9" or "0" <= last < "9"):
            return True
    return not _DIGITS.isdisjoint(_RANGE.sub("", inside))


def _widened(piece: str) -> str:
    """A piece that matches whatever the given one does, and all digits where it matches some."""
    if piece[0] != "[":
        return r"\d"
    return r"[\s\S]" if piece[1] in "^]" else rf"[\d{piece[1:]}"
