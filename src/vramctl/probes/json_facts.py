"""JSON of an answer, which may be hand-written, old or hostile, as typed values: what has another form is Unknown."""

from __future__ import annotations

from typing import Any

from vramctl.records.facts import Version
from vramctl.records.unknown import Absent, Unknown

Json = Any
_NOT_TOLD = Unknown("not told")
_OTHER_FORM = Unknown("the answer has another form")


def as_dict(told: Json) -> dict[str, Json]:
    """The object, empty for anything else."""
    return told if isinstance(told, dict) else {}


def as_reason(told: Json) -> Unknown:
    """The reason of `{"unknown": reason}` or `{"absent": reason}`."""
    answer = as_dict(told)
    return Unknown(str(answer.get("unknown") or answer.get("absent") or _OTHER_FORM.reason))


def as_text(told: Json) -> str | Unknown:
    """Text."""
    if told is None:
        return _NOT_TOLD
    return told if isinstance(told, str) else as_reason(told)


def as_int(told: Json) -> int | Unknown:
    """A whole number."""
    if told is None:
        return _NOT_TOLD
    return told if isinstance(told, int) and not isinstance(told, bool) else as_reason(told)


def as_flag(told: Json) -> bool | Unknown:
    """True or false."""
    if told is None:
        return _NOT_TOLD
    return told if isinstance(told, bool) else as_reason(told)


def as_names(told: Json) -> tuple[str, ...]:
    """A list's texts."""
    return tuple(one for one in told if isinstance(one, str)) if isinstance(told, list) else ()


def as_texts(told: Json) -> dict[str, str]:
    """An object's texts."""
    return {str(name): value for name, value in as_dict(told).items() if isinstance(value, str)}


def as_version(told: Json) -> Version | Unknown:
    """`12.9`, 12090 (as CUDA writes it) or [12, 9] as numbers."""
    if told is None:
        return _NOT_TOLD
    if isinstance(told, int) and not isinstance(told, bool) and told >= 1000:
        return told // 1000, told % 1000 // 10
    if isinstance(told, list) and told and all(isinstance(part, int) for part in told):
        return tuple(told)
    if isinstance(told, str):
        parts = told.strip().split(".")
        if parts and all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
            return tuple(int(part) for part in parts)
        return Unknown(f"{told!r} is no version")
    return as_reason(told)


def absent_or(told: Json, reason: str) -> Unknown | Absent:
    """Absent with this reason where the answer is null, else Unknown."""
    return Absent(reason) if told is None else as_reason(told)
