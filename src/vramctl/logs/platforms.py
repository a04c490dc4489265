"""Prefixes that a platform puts in front of a line: journald, docker, compose, kubectl, wrappers, Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from vramctl.records.event import Origin


class Written(NamedTuple):
    """A line's payload, who wrote it, and the platform's time."""

    payload: str
    origin: Origin
    stamp: str


_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
# A month's short name in any language, as `%b` gives it: Sep, févr., Mär, янв., Şub, 3月, 12월, ม.ค., Th02.
_DAY = r"[^\W_][^\s\[\](){}<>=:,;|/\"'\\-]{1,9}+ +\d{1,2} " + _CLOCK
_NO_YEAR = rf"\d\d[-/]\d\d[T ]{_CLOCK}"
_JOURNAL = re.compile(
    rf"(?P<stamp>{_DAY}|{_ISO}|\[ *\d+\.\d{{6}}\]) "
    r"(?:(?P<host>[\w.-]{1,64}+) |(?=[\w@.()+/-]{1,64}\[\d+\]: ))"
    r"(?P<program>[\w@.():+/-]{1,64}?)(?:\[(?P<pid>\d+)\])?: ?"
)
_COMPOSE = re.compile(
    rf"(?:(?P<first>{_ISO}) )?(?P<name>[A-Za-z][\w.-]{{0,63}}+) *+\| ?(?:(?P<stamp>{_ISO})(?: \| ?| ))?"
)
_KUBECTL = re.compile(rf"\[(?P<pod>(?:pod/)?[\w.-]{{1,120}}+/[\w.-]{{1,64}}+)\] (?:(?P<stamp>{_ISO}) )?")
_STAMPED = re.compile(rf"(?P<stamp>{_ISO}|{_NO_YEAR}|{_CLOCK}) (?:std(?:err|out) [FP] )?(?=\S| )")
_DATED = re.compile(rf"(?P<stamp>{_DAY}) (?=\S)")
_WRAPPER = re.compile(
    rf"\[(?P<stamp>{_ISO}|{_NO_YEAR}|{_CLOCK})\] (?:\[(?P<stream>stdout|stderr|INFO|WARN|ERROR)\] ?)?"
)
_QUOTE = re.compile(r"(?:> ?)+")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def plain(text: str) -> str:
    """The text without ANSI colours, without what a carriage return overwrote, without control characters in front."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    if "\r" in text:
        text = text.rstrip("\r").rpartition("\r")[2]
    return text.lstrip("\0\x01\x02\ufeff")


@lru_cache(1024)
def origin_of(platform: str, host: str, program: str, pid: str) -> Origin:
    """One origin for all lines of one writer."""
    return Origin(platform, host, program, pid)


def journal(text: str) -> Written | None:
    """A line of `journalctl` (short, short-iso, with its date in any language) or of syslog."""
    match = _JOURNAL.match(text)
    if match is None:
        return None
    stamp, host, program, pid = match.groups("")
    return Written(text[match.end() :], origin_of("journald", host, program, pid), stamp)


def compose(text: str) -> Written | None:
    """A line of `docker compose logs`: `ollama-1  | ...`, with a time before or behind the bar or without."""
    match = _COMPOSE.match(text)
    if match is None:
        return None
    first, name, second = match.groups("")
    return Written(text[match.end() :], origin_of("compose", "", name, ""), second or first)


def kubectl(text: str) -> Written | None:
    """A line of `kubectl logs --prefix`."""
    match = _KUBECTL.match(text)
    return (
        None if match is None else Written(text[match.end() :], origin_of("kubectl", "", match[1], ""), match[2] or "")
    )


def stamped(text: str) -> Written | None:
    """A line behind a bare time: `docker logs -t`, `kubectl logs --timestamps`, containerd's files, `ts`."""
    match = _STAMPED.match(text) or _DATED.match(text)
    return None if match is None else Written(text[match.end() :], origin_of("timestamped", "", "", ""), match[1])


def wrapper(text: str) -> Written | None:
    """A line behind `[2024-12-05 01:56:09] [stderr] `."""
    match = _WRAPPER.match(text)
    return (
        None if match is None else Written(text[match.end() :], origin_of("wrapper", "", match[2] or "", ""), match[1])
    )


def quote(text: str) -> Written | None:
    """A line quoted in Markdown or behind a prompt: `> ...`, `>>> ...`."""
    match = _QUOTE.match(text)
    return None if match is None else Written(text[match.end() :], origin_of("quoted", "", "", ""), "")


def container_json(text: str) -> Written | None:
    """A line of docker's json-file or of `journalctl -o json`; None where the object is neither."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    if isinstance(record.get("log"), str):
        return Written(
            record["log"].rstrip("\r\n"), origin_of("docker", "", _str(record, "stream"), ""), _str(record, "time")
        )
    if "MESSAGE" in record:
        program = _str(record, "SYSLOG_IDENTIFIER") or _str(record, "_SYSTEMD_UNIT")
        origin = origin_of("journald", _str(record, "_HOSTNAME"), program, _str(record, "_PID"))
        micros = _str(record, "__REALTIME_TIMESTAMP")
        return Written(_message(record["MESSAGE"]), origin, f"{micros[:-6]}.{micros[-6:]}" if len(micros) > 6 else "")
    return None


def _str(record: dict[str, Any], key: str) -> str:
    """The text at `key`, empty where there is none."""
    value = record.get(key, "")
    return value if isinstance(value, str) else ""


def _message(value: Any) -> str:
    """journald's MESSAGE: text, or a list of bytes where it is not UTF-8 or holds control characters."""
    if isinstance(value, list):
        try:
            return plain(bytes(value).decode("utf-8", "replace")).rstrip("\r\n")
        except (ValueError, TypeError):
            return ""
    return plain(value).rstrip("\r\n") if isinstance(value, str) else ""


Reader = Callable[[str], Written | None]
_BY_LETTER: tuple[Reader, ...] = (journal, compose, stamped)
_BY_DIGIT: tuple[Reader, ...] = (journal, compose, stamped)
_BY_MARK: dict[str, tuple[Reader, ...]] = {"[": (wrapper, kubectl, journal), "{": (container_json,), ">": (quote,)}


def readers_for(first: str) -> tuple[Reader, ...]:
    """The prefixes that can begin with this character."""
    if first.isalpha():
        return _BY_LETTER
    return _BY_DIGIT if first.isdigit() else _BY_MARK.get(first, ())
