"""Recorded runs as a JSON file: every load with its log, its measurements in order, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vramctl.engines.endings import witnessed
from vramctl.errors import BadInput
from vramctl.records import Settings, Unknown
from vramctl.records.run import Answer, BufferUse, Ended, EngineDevice, Generation, Loaded, LogLine, Memory, Prefill

SCHEMA = "vramctl.recording/1"
Measured = Prefill | Generation | Answer | Memory | Unknown
_KINDS: dict[str, type[Prefill] | type[Generation] | type[Answer] | type[Memory]] = {
    "prefill": Prefill, "generate": Generation, "answer": Answer, "memory": Memory,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One question of a run and what came: `kind` is prefill, generate, answer or memory; an Unknown was a refusal."""

    kind: str
    asked: tuple[int, ...]
    """(tokens, depth), or (prompt tokens, tokens) of an answer; empty for memory."""
    measured: Measured


@dataclass(frozen=True, slots=True)
class RecordedLoad:
    """One load: what was loaded (None where it never came up), its steps in order, and its end."""

    model: str
    settings: Settings
    loaded: Loaded | None
    steps: tuple[Step, ...]
    ended: Ended | Unknown


@dataclass(frozen=True, slots=True)
class Recording:
    """All loads of one engine, in order."""

    engine: str
    loads: tuple[RecordedLoad, ...]


def write_recording(recording: Recording, path: Path) -> None:
    """Writes the file; Unknown values with their reasons, the parsed log left out (it is parsed again when read)."""
    document = {"schema": SCHEMA, "engine": recording.engine, "loads": [_load_out(load) for load in recording.loads]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_recording(path: Path) -> Recording:
    """The recording in a file; BadInput for a file that is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        return Recording(document["engine"], tuple(_load_in(load) for load in document["loads"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            "recording-unreadable",
            f"{path} is no recorded run.",
            because=(f"{type(error).__name__}: {error}",),
            fix="Record one with the engine's recorder.",
        ) from error


def _load_out(load: RecordedLoad) -> dict[str, Any]:
    return {
        "model": load.model,
        "settings": {key: value for key, value in _plain(load.settings).items() if value is not None},
        "loaded": None if load.loaded is None else _without(_plain(load.loaded), ("load", "settings", "model")),
        "steps": [{"kind": s.kind, "asked": s.asked, "measured": _plain(s.measured)} for s in load.steps],
        "ended": _without(_plain(load.ended), ("load",)),
    }


def _plain(value: Any) -> Any:
    """A record as JSON holds it: `{"unknown": reason}`, log lines as [seconds, level, text]."""
    if isinstance(value, Unknown):
        return {"unknown": value.reason}
    if isinstance(value, LogLine):
        return [_plain(value.at_seconds), value.level, value.text]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        skip = ("load",) if isinstance(value, (Loaded, Ended)) else ()
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.name not in skip}
    return value


def _without(document: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in names}


def _load_in(document: dict[str, Any]) -> RecordedLoad:
    model, settings = str(document["model"]), Settings(**_settings_in(document["settings"]))
    loaded = None
    if document["loaded"] is not None:
        values = {key: _value(value) for key, value in document["loaded"].items()}
        values |= _records_in(document["loaded"])
        loaded = Loaded(model=model, settings=settings, **values)
        loaded = replace(loaded, load=witnessed(loaded.log).load)
    return RecordedLoad(
        model, settings, loaded, tuple(_step_in(s) for s in document["steps"]), _ended_in(document["ended"])
    )


def _settings_in(values: dict[str, Any]) -> dict[str, Any]:
    given = dict(values)
    if given.get("tensor_overrides"):
        given["tensor_overrides"] = tuple((str(a), str(b)) for a, b in given["tensor_overrides"])
    if given.get("tensor_split"):
        given["tensor_split"] = tuple(given["tensor_split"])
    return given


def _records_in(values: dict[str, Any]) -> dict[str, Any]:
    """The fields that hold records."""
    found: dict[str, Any] = {"log": _lines(values["log"])}
    for name, kind in (("buffers", BufferUse), ("devices", EngineDevice)):
        if isinstance(values.get(name), list):
            found[name] = tuple(kind(**{k: _value(v) for k, v in row.items()}) for row in values[name])
    found["facts"] = dict(values.get("facts", {}))
    return found


def _lines(rows: list[Any]) -> tuple[LogLine, ...]:
    return tuple(LogLine(_value(at), text, level) for at, level, text in rows)


def _value(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"unknown"}:
        return Unknown(value["unknown"])
    return tuple(_value(item) for item in value) if isinstance(value, list) else value


def _step_in(document: dict[str, Any]) -> Step:
    values = _value(document["measured"])
    kind, asked = str(document["kind"]), tuple(document["asked"])
    if isinstance(values, Unknown):
        return Step(kind, asked, values)
    given = {key: _value(value) for key, value in values.items()}
    if kind == "memory":
        given["devices"] = tuple(
            EngineDevice(**{k: _value(v) for k, v in row.items()}) for row in document["measured"]["devices"]
        )
    return Step(kind, asked, _KINDS[kind](**given))


def _ended_in(document: dict[str, Any]) -> Ended | Unknown:
    if set(document) == {"unknown"}:
        return Unknown(document["unknown"])
    values = {key: _value(value) for key, value in document.items()} | {"log": _lines(document["log"])}
    return replace(Ended(**values), load=witnessed(_lines(document["log"])).load)
