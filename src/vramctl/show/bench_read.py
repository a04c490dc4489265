"""A benchmark that was saved, read again: nothing is taken for a measurement that cannot be one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vramctl.errors import BadInput
from vramctl.records import Settings, Unknown
from vramctl.records.measurement import Bench, Limit, Measured, Row, Stat
from vramctl.show.bench_json import SCHEMA, STATS

Json = Any
_KINDS: Mapping[type, str] = {dict: "object", list: "list", str: "text", bool: "true or false"}
_NOT_IN_FILE = Unknown("not in the file")


class _Bad(ValueError):
    """What is wrong with the document, in words for its user."""


def read_bench(text: str, where: str) -> Bench:
    """A run that was saved with --save or --json: names, figures and samples; BadInput for anything else."""
    try:
        return _bench(_parsed(text))
    except (_Bad, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadInput(
            "not-a-bench", f"{where} is no saved benchmark.", because=(why,),
            fix="Give a file that `vramctl bench --save FILE` wrote.",
        ) from None  # fmt: skip


def _parsed(text: str) -> Mapping[str, Json]:
    try:
        document = json.loads(text)
    except ValueError:
        raise _Bad("it is no JSON") from None
    if not isinstance(document, dict):
        raise _Bad("it is no JSON object")
    if "schema" not in document:
        raise _Bad("it has no schema")
    if document["schema"] != SCHEMA:
        raise _Bad(f"its schema is {str(document['schema'])[:80]!r}, not {SCHEMA!r}")
    return document


def _bench(document: Mapping[str, Json]) -> Bench:
    rows = tuple(_row(row, f"rows[{number}]") for number, row in enumerate(_part(document, "rows", list)))
    return Bench(
        model=_part(document, "model", str), stand_in=_part(document, "stand_in", bool), engine=_part(document, "engine", str),
        machine=_part(document, "machine", dict), rows=rows, valid=_part(document, "valid", bool),
        invalid_because=tuple(map(str, _part(document, "invalid_because", list))), started=str(document.get("started", "")),
    )  # fmt: skip


def _row(row: Json, at: str) -> Row:
    if not isinstance(row, dict):
        raise _Bad(f"{at} is no object")
    empty = Row(
        name=_part(row, "name", str, at), settings=Settings(), prompt_tokens=_count(row, "prompt_tokens", at),
        depth=_count(row, "depth", at), layers=str(row.get("layers", "")),
        parallel=_count(row, "parallel", at, least=1) if "parallel" in row else 1,
        limit=_limit(_part(row, "limit", dict, at), at),
    )  # fmt: skip
    figures: dict[str, Any] = {name: _stat(_part(row, name, dict, at), f"{at}.{name}") for name in STATS}
    return replace(empty, **figures)


def _limit(limit: Mapping[str, Json], at: str) -> Limit:
    """The shares and what bounds them; files from before there was a bound for prefill have none."""

    def share(name: str) -> float | Unknown:
        value = limit.get(name, {"unknown": _NOT_IN_FILE.reason})
        unknown = _unknown(value)
        return _number(value, f"{at}.limit.{name}", least=0.0) if unknown is None else unknown

    return Limit(
        Unknown("not read"), share("share"), str(limit.get("bound_by", "")), prefill_share=share("prefill_share"),
        prefill_bound_by=str(limit.get("prefill_bound_by", "")),
    )  # fmt: skip


def _stat(value: Mapping[str, Json], at: str) -> Measured:
    """Samples whose median lies in its interval; a rate is above zero, a time is not below."""
    unknown = _unknown(value)
    if unknown is not None:
        return unknown
    unit = _part(value, "unit", str, at)
    is_rate = "/s" in unit
    median = _number(value.get("median"), f"{at}.median", least=0.0, above=is_rate)
    samples = [
        _number(one, f"{at}.samples[{number}]", least=0.0)
        for number, one in enumerate(_part(value, "samples", list, at))
    ]
    return Stat(median, _interval(value.get("ci95"), median, at, is_rate=is_rate), tuple(samples), unit)


def _interval(ends: Json, median: float, at: str, *, is_rate: bool) -> tuple[float, float] | Unknown:
    unknown = _unknown(ends)
    if unknown is not None:
        return unknown
    if not isinstance(ends, list) or len(ends) != 2:
        raise _Bad(f"{at}.ci95 is no pair of numbers")
    low, high = (_number(end, f"{at}.ci95[{n}]", least=0.0, above=is_rate) for n, end in enumerate(ends))
    if low > high:
        raise _Bad(f"{at}.ci95 ends at {high:g} and begins at {low:g}")
    if not low <= median <= high:
        raise _Bad(f"{at}.median is {median:g}, outside its interval from {low:g} to {high:g}")
    return low, high


def _unknown(value: Json) -> Unknown | None:
    return Unknown(str(value["unknown"])) if isinstance(value, dict) and "unknown" in value else None


def _number(value: Json, at: str, *, least: float, above: bool = False) -> float:
    """A finite number that is `least` or more (`above`: more); true is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _Bad(f"{at} is no number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found) or found < least or (above and found == least):
        raise _Bad(f"{at} is {found:g}, which cannot be measured")
    return found


def _count(row: Mapping[str, Json], name: str, at: str, *, least: int = 0) -> int:
    value = row.get(name)
    if type(value) is not int or value < least:
        raise _Bad(f"{at}.{name} is no whole number from {least} on")
    return value


def _part(of: Mapping[str, Json], name: str, kind: type, at: str = "") -> Json:
    """What stands under a name, where it is of this kind."""
    place = f"{at}.{name}" if at else name
    if name not in of:
        raise _Bad(f"it has no {place}")
    value = of[name]
    if type(value) is not kind:
        raise _Bad(f"{place} is no {_KINDS[kind]}")
    return value
