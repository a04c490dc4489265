"""An event as a row of a table or as a JSON document; pure, the same columns for every format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vramctl.records.event import Event, Printed
from vramctl.records.unknown import Unknown

COLUMNS = (
    "kind", "line", "last_line", "engine", "level", "function", "stamp", "inherited", "unix_seconds",
    "platform", "host", "program", "pid", "text",
)  # fmt: skip
"""The columns that every event has; its own fields come behind them."""


def base(event: Event) -> dict[str, Any]:
    """The values of COLUMNS; what is not known is None: tables have a sign of their own for that."""
    seconds = event.seconds
    return {
        "kind": event.kind,
        "line": event.line,
        "last_line": event.last_line,
        "engine": event.engine or None,
        "level": event.level or None,
        "function": event.function or None,
        "stamp": event.stamp or None,
        "inherited": event.inherited,
        "unix_seconds": None if isinstance(seconds, Unknown) else seconds,
        "platform": event.origin.platform or None,
        "host": event.origin.host or None,
        "program": event.origin.program or None,
        "pid": event.origin.pid or None,
        "text": event.text,
    }


def flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with units in their names: a printed size becomes `<name>_bytes` and `<name>_tolerance_bytes`."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Printed):
            found[_in_bytes(name)] = value.bytes
            found[_in_bytes(f"{name}_tolerance")] = value.tolerance_bytes
        elif isinstance(value, tuple) and value and all(isinstance(part, Printed) for part in value):
            found[_in_bytes(name)] = [part.bytes for part in value]
            found[_in_bytes(f"{name}_tolerance")] = [part.tolerance_bytes for part in value]
        else:
            found[name] = value
    return found


def _in_bytes(name: str) -> str:
    return name if name.endswith("_bytes") else f"{name}_bytes"


def document(event: Event) -> dict[str, Any]:
    """The event as JSON: as in `--json`, what is not known is `{"unknown": reason}`, and what is not printed is absent."""
    row = {key: value for key, value in base(event).items() if value is not None}
    return row | {"fields": flat(event.fields)}


def json_text(value: Any) -> str:
    """Compact JSON of fields or documents; bytes that are no text are replaced."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_json)
    return text.encode("utf-8", "replace").decode()


def _json(value: Any) -> Any:
    if isinstance(value, Unknown):
        return {"unknown": value.reason}
    return list(value) if isinstance(value, set | frozenset) else str(value)


def by_type(fields: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields as columns of maps: `integers`, `floats`, `flags`, `texts`, `unknown` (its reasons); lists are JSON text.

    Fields differ from kind to kind, so each type is one map: `integers['size_bytes']`.
    """
    maps: dict[str, dict[str, Any]] = {"integers": {}, "floats": {}, "flags": {}, "texts": {}, "unknown": {}}
    for name, value in flat(fields).items():
        if isinstance(value, Unknown):
            maps["unknown"][name] = value.reason
        elif isinstance(value, bool):
            maps["flags"][name] = value
        elif isinstance(value, int) and -(2**63) <= value < 2**63:
            maps["integers"][name] = value
        elif isinstance(value, float):
            maps["floats"][name] = value
        else:
            maps["texts"][name] = _clean(value) if isinstance(value, str) else json_text(value)
    return maps


def _clean(text: str) -> str:
    """Text that UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()
