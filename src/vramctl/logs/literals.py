"""The literal text of a pattern: what a line must hold before the pattern is worth trying."""

from __future__ import annotations

import re

_CLASSES = set("dDwWsSbBAZ")
_BLANK = "\0"  # where a pattern asks for blanks: `\s+`, ` +`


_MOST_VARIANTS = 64
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")
"""The head of a group that holds text; what looks ahead or behind holds none."""


def variants(pattern: str) -> list[str]:
    """The pattern with each of its groups' alternatives written out: `^a (?:b|c)$` gives `^a b$` and `^a c$`.

    Groups that may be missing or repeat stay as they are, and so do all where there would be too many.
    """
    found, done = [pattern], False
    while not done and len(found) < _MOST_VARIANTS:
        done, spread = True, []
        for each in found:
            inlined = _first_group_inlined(each)
            done = done and inlined is None
            spread.extend([each] if inlined is None else inlined)
        if len(spread) > _MOST_VARIANTS:
            return found
        found = spread
    return found


def _first_group_inlined(pattern: str) -> list[str] | None:
    """One pattern for each alternative of the first group that stands there exactly once; None without such a group."""
    at = 0
    while at < len(pattern):
        if pattern[at] == "(":
            end = _closing(pattern, at)
            head = _GROUP.match(pattern, at)
            if head is not None and _quantifier(pattern, end + 1)[0] == "":
                inside = pattern[head.end() : end]
                return [pattern[:at] + part + pattern[end + 1 :] for part in _alternatives(inside)]
            at = end + 1
        else:
            at = _token(pattern, at)[1]
    return None


def _alternatives(pattern: str) -> list[str]:
    """The parts between the bars of the top level."""
    parts, start, at = [], 0, 0
    while at < len(pattern):
        if pattern[at] == "|":
            parts.append(pattern[start:at])
            start = at + 1
        at = _token(pattern, at)[1]
    return [*parts, pattern[start:]]


def literal_runs(pattern: str) -> list[str]:
    """The stretches of plain text that every match of `pattern` must hold, in order; `\\0` stands for a break.

    Only the top level is read: groups, classes and optional characters end a stretch.  Blanks asked for with
    ` +` or `\\s+` are kept as one blank, for they end a word.
    """
    runs, run, at, end = [], "", 0, len(pattern)
    while at < end:
        token, at, plain = _token(pattern, at)
        quantifier, at = _quantifier(pattern, at)
        if plain and quantifier == "":
            run += token
        elif token in (" ", r"\s") and quantifier[:1] == "+":
            run += " "
        else:
            runs.append(run)
            run = ""
    runs.append(run)
    return runs


def _token(pattern: str, at: int) -> tuple[str, int, bool]:
    """One token of the pattern, where the next begins, and whether it is plain text."""
    char = pattern[at]
    if char == "\\":
        following = pattern[at + 1]
        if following in _CLASSES:
            return "\\" + following, at + 2, False
        return following, at + 2, True
    if char == "[":
        return "", pattern.index("]", at + 2) + 1, False
    if char == "(":
        return "", _closing(pattern, at) + 1, False
    if char in "^$":
        return _BLANK, at + 1, True
    return char, at + 1, char not in ".|"


def _closing(pattern: str, at: int) -> int:
    """Where the group that opens at `at` ends."""
    depth = 0
    while True:
        char = pattern[at]
        if char == "\\":
            at += 1
        elif char == "[":
            at = pattern.index("]", at + 2)
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return at
        at += 1


def _quantifier(pattern: str, at: int) -> tuple[str, int]:
    """The quantifier that stands at `at`, empty where there is none, and where the next token begins."""
    match = re.compile(r"(?:[*+?]|\{\d*,?\d*\})[+?]?").match(pattern, at)
    return (match[0], match.end()) if match else ("", at)


def whole_words(pattern: str) -> list[tuple[str, bool]]:
    """The whole words that a match must hold, each with whether the message begins with it."""
    found = []
    for number, run in enumerate(literal_runs(pattern)):
        parts = run.replace(_BLANK, f" {_BLANK} ").split(" ")
        for place, part in enumerate(parts):
            bounded_left = place > 0 or (number == 0 and run.startswith(_BLANK))
            bounded_right = place < len(parts) - 1
            if part and part != _BLANK and bounded_left and bounded_right:
                found.append((part, number == 0 and parts[:place] == ["", _BLANK]))
    return found


def leading_words(pattern: str) -> tuple[str, ...]:
    """The words that every match begins with, two at most."""
    parts = literal_runs(pattern)[0].replace(_BLANK, f" {_BLANK} ").split(" ")
    if parts[:2] != ["", _BLANK]:
        return ()
    found = [part for part in parts[2:-1] if part != _BLANK]
    return tuple(found[: found.index("")] if "" in found else found)[:2]


def whole_text(pattern: str) -> str | None:
    """The message itself, where the pattern is plain text from `^` to `$`."""
    runs = literal_runs(pattern)
    if len(runs) == 1 and runs[0].startswith(_BLANK) and runs[0].endswith(_BLANK) and len(runs[0]) >= 2:
        text = runs[0][1:-1]
        return text if _BLANK not in text and " +" not in pattern and r"\s+" not in pattern else None
    return None
