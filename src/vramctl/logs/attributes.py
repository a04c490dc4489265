"""Keys and values behind a message: slog's `key=value key="quoted value"`."""

from __future__ import annotations

import json
import re
from typing import Any

# A key begins a word: tried at every character of a long word without `=`, it would cost its length times eighty.
_PAIR = re.compile(r'(?<!\S)(?:"([^"=]{1,80})"|([^\s="]{1,80}))=(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|(\S*))', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


def unquote(text: str) -> str:
    """The text inside Go's quotes, its escapes resolved."""
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), text)


def pairs(text: str) -> dict[str, str]:
    """The attributes of a slog line by key; of two with one key the last."""
    found = {}
    for quoted_key, key, quoted, bare in _PAIR.findall(text):
        found[quoted_key or key] = (unquote(quoted) if "\\" in quoted else quoted) or bare
    return found


def texts(record: dict[str, Any]) -> dict[str, str]:
    """A JSON object's values as the text that converters read."""
    return {key: _text(value) for key, value in record.items()}


def _text(value: Any) -> str:
    """A JSON value as text: `true`, `12`, `[1, 2]`, or the string itself."""
    return value if isinstance(value, str) else json.dumps(value)
