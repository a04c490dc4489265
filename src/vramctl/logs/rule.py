"""A rule: which line says what.  One entry in a table; its example is its documentation and its test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Convert = Callable[[str], Any]


class At(NamedTuple):
    """Where a field stands when its name differs from the key on the line."""

    key: str
    convert: Convert


def at(key: str, convert: Convert = str) -> At:
    """The attribute `key` (`memory.required.full`), converted."""
    return At(key, convert)


@dataclass(frozen=True, slots=True)
class Rule:
    """A line's wording, its typed fields, the engines that print it, and a real line as example.

    `pattern` is matched on the message: what is left of a line without the prefixes of platform and engine and, in
    slog lines, without the attributes.  A field is a group of the pattern, or else the attribute of that name.
    """

    kind: str
    pattern: re.Pattern[str]
    groups: tuple[tuple[str, Convert], ...]
    attributes: tuple[tuple[str, str, Convert], ...]
    """Each: name of the field, key on the line, conversion."""
    needs: tuple[str, ...]
    lacks: tuple[str, ...]
    function: tuple[str, ...]
    seen: str
    example: str
    gives: Mapping[str, Any]
    says: str


def rule(
    kind: str,
    pattern: str,
    *,
    seen: str,
    example: str,
    fields: Mapping[str, Convert | At] | None = None,
    gives: Mapping[str, Any] | None = None,
    needs: Iterable[str] = (),
    lacks: Iterable[str] = (),
    function: str | Iterable[str] = (),
    says: str = "",
) -> Rule:
    """A rule of a table.

    `needs` and `lacks` are attribute keys that must be there or must not be; `function` are the only names of
    functions in front of the message (`build`, `main`), where the message alone would not tell.  `says` is a word to
    the reader of the events' page where the kind does not speak for itself.
    """
    compiled = re.compile(pattern)
    groups, attributes = [], []
    for name, how in (fields or {}).items():
        if isinstance(how, At):
            attributes.append((name, how.key, how.convert))
        elif name in compiled.groupindex:
            groups.append((name, how))
        else:
            attributes.append((name, name, how))
    return Rule(
        kind=kind,
        pattern=compiled,
        groups=tuple(groups),
        attributes=tuple(attributes),
        needs=tuple(needs),
        lacks=tuple(lacks),
        function=(function,) if isinstance(function, str) else tuple(function),
        seen=seen,
        example=example,
        gives=dict(gives or {}),
        says=says,
    )
