"""The published JSON Schemas (draft 2020-12) of every document that `--json` prints: one file a schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
_PREFIX, _SUFFIX = "urn:vramctl:", ":1"
# The names that `vramctl schema NAME` takes, in the order it lists them.
NAMES = (
    "plan", "plan-table", "plan-diff", "doctor", "doctor-checks", "explain", "explain-list", "make", "make-list", "verify",
    "bench", "bench-compare", "gpus", "shapes", "error",
)  # fmt: skip


def schema(name: str) -> dict[str, Any]:
    """The schema of that name; the schemas it refers to stand inside it, so it can be used alone."""
    document: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    others = sorted(_references(document) - {name})
    if others:
        document["$defs"] = {**document.get("$defs", {}), **{other: schema(other) for other in others}}
    return document


def _references(node: object) -> set[str]:
    """The names of other schemas that a schema's `$ref`s point to."""
    if isinstance(node, list):
        return {name for item in node for name in _references(item)}
    if not isinstance(node, dict):
        return set()
    found = {name for value in node.values() for name in _references(value)}
    target = node.get("$ref")
    if isinstance(target, str) and target.startswith(_PREFIX):
        found.add(target.removeprefix(_PREFIX).removesuffix(_SUFFIX))
    return found
