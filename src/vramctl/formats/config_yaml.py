"""The few lines of YAML that configurations need: keys with their values, block texts and lists joined. No YAML library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_KEY = re.compile(r"^(?P<indent>\s*)(?:-\s+)?(?P<key>[\w.\"'/:+-]+?)\s*:(?:\s+(?P<value>.*))?$")
_ITEM = re.compile(r"^(?P<indent>\s*)-\s+(?P<value>.*)$")
_BLOCK = re.compile(r"^[|>][+-]?\d*$")
MOST_KEYS = 20_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One key: `path` are the keys above it and itself, `value` its text (items of a list joined by spaces)."""

    path: tuple[str, ...]
    value: str
    line: int

    @property
    def key(self) -> str:
        """The key itself."""
        return self.path[-1]


def entries(text: str) -> Iterator[Entry]:
    """Every key of a YAML text in order, also those that only hold other keys; what is not understood is passed over."""
    lines = text.splitlines()[:MOST_KEYS]
    above: list[tuple[int, str]] = []
    at = 0
    while at < len(lines):
        match = _KEY.match(lines[at])
        number = at + 1
        at += 1
        if not match or lines[at - 1].lstrip().startswith("#"):
            continue
        indent = len(match["indent"])
        above = [(depth, key) for depth, key in above if depth < indent]
        key = match["key"].strip("\"'")
        value = _bare(match["value"] or "")
        if _BLOCK.match(value) or not value:
            parts, after = _gathered(lines, at, indent, block=bool(value))
            if parts:
                value, at = " ".join(parts), after
        path = (*(name for _, name in above), key)
        above.append((indent, key))
        yield Entry(path, value, number)


def _gathered(lines: list[str], at: int, indent: int, *, block: bool) -> tuple[list[str], int]:
    """The lines that belong to a key: of a block text all deeper ones, else the items of a list."""
    parts: list[str] = []
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        depth = len(line) - len(line.lstrip())
        item = _ITEM.match(line)
        if block and depth > indent:
            parts.append(line.strip())
        elif not block and item and depth >= indent and not _KEY.match(item["value"]):
            parts.append(_bare(item["value"]))
        elif not block and line.lstrip().startswith("#"):
            pass
        else:
            break
        at += 1
    return parts, at


def _bare(value: str) -> str:
    """A value without its comment and outer quotes."""
    text = value.strip()
    if text[:1] in {'"', "'"}:
        end = text.find(text[0], 1)
        return text[1:end] if end > 0 else text[1:]
    return re.split(r"\s+#", text)[0].strip() if not text.startswith("#") else ""
