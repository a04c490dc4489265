"""Rules for lines that only need to be known, written one a row: version, level, file, message, keys."""

from __future__ import annotations

import re

from vramctl.logs.rule import Rule, at, rule

_VERB = re.compile(r"%[-+# 0]*\d*(?:\.\d+)?[a-zA-Z]|%%")
_ANYTHING = ".{0,300}"
"""What a verb prints: bounded, so that a long line costs no more than a short one."""
_NUMBER = re.compile(r"%[-+# 0]*\d*(?:\.\d+)?[dfx]")


def notes(area: str, table: str) -> tuple[Rule, ...]:
    """A rule of kind `note.<area>` for each row of a table."""
    return tuple(_note(area, row) for row in table.strip().splitlines())


def _note(area: str, row: str) -> Rule:
    """The rule of one row; what Go's verbs print is not kept, what stands behind a key is kept as text."""
    versions, level, file, message, *keys = row.split(" | ")
    names = keys[0].split(",") if keys else []
    shown = _VERB.sub(lambda verb: "%" if verb[0] == "%%" else "7" if _NUMBER.match(verb[0]) else "something", message)
    quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
    return rule(
        f"note.{area}",
        pattern_of(message),
        fields={name.replace(" ", "_").replace(".", "_"): at(name) for name in names},
        seen=f"ollama {versions} {level} (its source)",
        example=f'time=2026-01-01T00:00:00.000Z level={level} source={file}:1 msg="{quoted}"',
    )


def pattern_of(message: str) -> str:
    """The anchored pattern of a message written with Go's verbs."""
    parts, start = [], 0
    for verb in _VERB.finditer(message):
        parts.append(_plain(message[start : verb.start()]))
        parts.append("%" if verb[0] == "%%" else _ANYTHING)
        start = verb.end()
    parts.append(_plain(message[start:]))
    return f"^{''.join(parts)}$"


def _plain(text: str) -> str:
    """The pattern of text without verbs; behind a sentence some versions print one blank and some two."""
    return re.escape(text).replace(r"\ ", " ").replace(r"\. ", r"\. +")
