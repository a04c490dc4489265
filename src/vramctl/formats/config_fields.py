"""Settings of `Llama()` in an application's own YAML, JSON, TOML or INI file, and the code of notebooks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vramctl.formats.config_options import FIELDS, Value, read_value
from vramctl.formats.config_yaml import entries
from vramctl.records.unknown import Unknown

SUFFIXES = (".yml", ".yaml", ".json", ".toml", ".ini", ".cfg")
# Names that other programs have for them (LocalAI, text-generation-webui).
_OTHERS = {"gpu_layers": "n_gpu_layers", "ctx_size": "n_ctx", "model_path": "model"}
# One of these alone says that llama.cpp is meant; others have to come together.
_TELLING = frozenset({"n_gpu_layers", "offload_kqv"})
_COMMON = frozenset({"verbose", "model", "use_mmap", "use_mlock"})
_SECTION = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+\s*$")
_PAIR = re.compile(r"^\s*([A-Za-z][\w-]*)\s*=\s*(\"[^\"]*\"|'[^']*'|[^#;\n]*)")
_MOST_LINES, _DEEPEST = 20_000, 30


@dataclass(frozen=True, slots=True)
class Field:
    """One setting: its name as `Llama()` has it, its value, what is written, and the line."""

    name: str
    value: Value
    written: str
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    """Settings that stand together; `server` where it is a model of llama-cpp-python's server, which has all that counts."""

    fields: tuple[Field, ...]
    server: bool = False


def groups(path: str, text: str) -> Iterator[Group]:
    """The groups of settings in a file, in order."""
    if path.endswith(".json"):
        yield from _of_json(text)
        return
    yaml = path.endswith((".yml", ".yaml"))
    rows, sign = (_of_yaml(text), ": ") if yaml else (_of_lines(text), " = ")
    together: dict[str, list[Field]] = {}
    for above, key, value, line in rows:
        name = _name(key)
        if name and value:
            together.setdefault(above, []).append(Field(name, read_value(value), f"{key}{sign}{value}", line))
    yield from (Group(tuple(fields)) for fields in together.values() if _meant(fields))


def code_of_notebook(text: str) -> str | Unknown:
    """The code cells of a notebook as one source; lines for the shell are commented out."""
    try:
        document = json.loads(text)
        cells = [cell["source"] for cell in document["cells"] if cell.get("cell_type") == "code"]
        sources = ["".join(source) if isinstance(source, list) else str(source) for source in cells]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Unknown(f"it cannot be read as a notebook: {type(error).__name__}")
    lines = "\n".join(sources).splitlines()
    return "\n".join(f"# {line}" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def _name(key: str) -> str:
    name = key.lower().replace("-", "_")
    name = _OTHERS.get(name, name)
    return name if name in FIELDS or name == "model" else ""


def _meant(fields: list[Field]) -> bool:
    names = {field.name for field in fields}
    return bool(names & _TELLING) or len(names - _COMMON) >= 2


def _of_yaml(text: str) -> Iterator[tuple[str, str, str, int]]:
    for entry in entries(text):
        yield ".".join(entry.path[:-1]), entry.key, entry.value, entry.line


def _of_lines(text: str) -> Iterator[tuple[str, str, str, int]]:
    section = ""
    for number, line in enumerate(text.splitlines()[:_MOST_LINES], 1):
        head, pair = _SECTION.match(line), _PAIR.match(line)
        if head:
            section = head[1]
        elif pair:
            yield section, pair[1], pair[2].strip().strip("\"'"), number


def _of_json(text: str) -> Iterator[Group]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    lines = text.splitlines()
    yield from _walked(document, "", lines, _DEEPEST)


def _walked(value: Any, key: str, lines: list[str], left: int) -> Iterator[Group]:
    if left == 0:
        return
    if isinstance(value, list):
        for one in value[:200]:
            yield from _walked(one, key, lines, left - 1)
    elif isinstance(value, dict):
        fields = list(_fields(value, lines))
        server = key == "models" and isinstance(value.get("model"), str)
        if fields and (server or _meant(fields)):
            yield Group(tuple(fields), server)
        for name, one in list(value.items())[:500]:
            yield from _walked(one, str(name), lines, left - 1)


def _fields(value: Mapping[str, Any], lines: list[str]) -> Iterator[Field]:
    for key, one in value.items():
        name = _name(str(key))
        if name and isinstance(one, str | int | float | bool):
            written = f"{json.dumps(key)}: {json.dumps(one)}"
            at = next((number for number, line in enumerate(lines, 1) if json.dumps(key) in line), 1)
            yield Field(name, read_value(one) if isinstance(one, str) else one, written, at)
