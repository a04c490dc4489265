"""Times as logs print them, in seconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from vramctl.records.unknown import Unknown

_NO_YEAR = re.compile(
    r"(?:(?P<number>\d\d)[-/](?P<date>\d\d)[T ]|(?P<month>\S+) +(?P<day>\d{1,2}) )"
    r"(?P<hours>\d\d):(?P<minutes>\d\d):(?P<seconds>\d\d(?:[.,]\d{1,9})?)"
)
_NUMBERED = re.compile(r"(\d{1,2})[月월]|Th(\d\d)")
# How months begin in the languages that journals are most often in. Those that are one month in one language and another
# in the next (lip, lis, srp) are left out.
_NAMES = (
    "jan янв oca sty led ene gen tam", "feb fév фев şub lut úno hel", "mar mär мар mrt maa már bře",
    "apr abr avr апр nis kwi dub huh", "may mai май maj mei mag máj kvě", "jun juin июн haz cze giu kes čen jún",
    "jul juil июл tem lug hei júl", "aug août ago авг ağu sie elo", "sep set сен eyl wrz zář syy sze",
    "oct okt ott out окт eki paź říj lok",
    "nov ноя kas marras", "dec déc dez dic des дек ara gru pro",
)  # fmt: skip
_MONTHS = {name: number for number, names in enumerate(_NAMES, 1) for name in names.split()}
_LEAP_YEAR = 1972


def stamp_seconds(stamp: str) -> float | Unknown:
    """Seconds since 1970 of a printed time (a stamp without zone is read as UTC), or Unknown.

    `Sep 11 00:42:09`, in any of many languages, and `09-11 00:42:09` have no year: 1972 is taken, which has a 29 February.
    """
    if not stamp:
        return Unknown("no line up to here prints a time")
    text = stamp.replace("/", "-").replace(" - ", " ").replace("+0000 UTC", "+00:00")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _other_stamp(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _other_stamp(text: str) -> float | Unknown:
    """Seconds of a number of seconds, or of a time without a year."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return _without_year(text)
    except ValueError:
        return Unknown(f"{text!r} is not a time this program reads")


def _without_year(text: str) -> float:
    """Seconds of a time without a year; ValueError where it is none, or its month's name is not known."""
    found = _NO_YEAR.fullmatch(text)
    if found is None:
        raise ValueError
    month = int(found["number"]) if found["number"] else _month(found["month"])
    day, hours, minutes = int(found["date"] or found["day"]), int(found["hours"]), int(found["minutes"])
    midnight = datetime(_LEAP_YEAR, month, day, hours, minutes, tzinfo=UTC)
    return midnight.timestamp() + float(found["seconds"].replace(",", "."))


def _month(name: str) -> int:
    """The number of a month; ValueError where its name is not known."""
    numbered = _NUMBERED.fullmatch(name)
    if numbered is not None:
        return int(numbered[1] or numbered[2])
    name = name.rstrip(".").lower()
    known = _MONTHS.get(name) or _MONTHS.get(name[:4]) or _MONTHS.get(name[:3])
    if known is None:
        raise ValueError(name)
    return known
