"""What one line says by itself: taken apart, claimed by a rule, its fields typed; no line before it matters."""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import Any

from vramctl.logs.dispatch import Index, indexes
from vramctl.logs.line import ENGINE, FOREIGN, GO, NOBODY, Message
from vramctl.logs.lines import Line, take_apart, text_of
from vramctl.logs.memo import NO_ENGINE, NO_LINE, Known
from vramctl.logs.rule import Rule
from vramctl.logs.tables import TABLES
from vramctl.logs.text_lines import attributes_of
from vramctl.records.unknown import Unknown

Claimed = tuple[str, Rule, re.Match[str]]
"""The engine whose table it is, the rule, and what of the line its pattern matched."""
UNRECOGNISED = "unrecognised"
FIRST_ENGINE_SLOT = 2
"""Slots below it are of lines that give no event."""
FIRST_RULE_SLOT = 3
_BLANK_LINE: Known = (0, NO_LINE, {}, "", "", "", "", "", "", NOBODY)
_ENGINE_PROGRAMS = re.compile(r"ollama|llama|tabby|exllama", re.IGNORECASE)
UNREADABLE = (ValueError, LookupError, ArithmeticError)
"""What a converter raises for a text that is not of its type."""


@cache
def known_indexes() -> dict[str, Index]:
    """The indexes of all tables, built once and on use."""
    return indexes(TABLES)


@cache
def slots() -> dict[Any, int]:
    """A small number for each kind that a line can be of: counting by it costs half of counting by name."""
    kinds = [NO_LINE, NO_ENGINE, UNRECOGNISED, *(rule.kind for _, rules in TABLES for rule in rules)]
    return {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}


def examined(raw: str | bytes) -> Known:
    """What one line says by itself."""
    text = text_of(raw)
    if not text or text.isspace():
        return _BLANK_LINE
    line = take_apart(text)
    return known_of(text, line, claim(line.message))


def known_of(text: str, line: Line, claimed: Claimed | None) -> Known:
    """What a line says that was taken apart and that a rule claims, or none."""
    message = line.message
    if claimed is None:
        kind: Any = NO_ENGINE if is_foreign(line) else UNRECOGNISED
        engine, fields = "", {}
    else:
        engine, rule, match = claimed
        kind, fields = rule.kind, fields_of(rule, match, message)
    # Few names and levels, on many lines: one object each keeps what the memo holds near together.
    level, function = sys.intern(message.level), sys.intern(message.function)
    return (slots()[kind], kind, fields, message.text, text, engine, level, function, stamp_of(line), line.origin)


def stamp_of(line: Line) -> str:
    """The time that a line prints: Go's own before that of the platform's prefix."""
    return (line.message.stamp if line.message.form == GO else "") or line.stamp


def claim(message: Message, known: dict[str, Index] | None = None) -> Claimed | None:
    """The engine and the rule that claim a message, with the match; None where no rule knows it."""
    for engine, rule in (known or known_indexes())[message.form].candidates(message):
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
            fields[name] = converted(text, convert)
    if rule.attributes and message.attributes:
        attributes = attributes_of(message)
        for name, key, convert in rule.attributes:
            text = attributes.get(key)
            if text is not None:
                fields[name] = converted(text, convert)
    return fields


def converted(text: str, convert: Any) -> Any:
    """A field's value, or Unknown where the text is not of its type."""
    try:
        return convert(text)
    except UNREADABLE:
        return Unknown(f"{text[:80]!r} cannot be read")


def is_foreign(line: Line) -> bool:
    """Whether a line that no rule claims is another program's, or nobody's."""
    if line.message.surely == ENGINE:
        return False
    return line.message.surely == FOREIGN or not _ENGINE_PROGRAMS.search(line.origin.program)
