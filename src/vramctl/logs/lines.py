"""Raw lines of any platform to messages: prefixes off, form recognised; pure text work, no rules."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from vramctl.logs.attributes import texts
from vramctl.logs.go_lines import gin, go_log, slog
from vramctl.logs.line import ENGINE, GO, NOBODY, TEXT, UNSURE, Message
from vramctl.logs.platforms import plain, readers_for
from vramctl.logs.text_lines import text_line
from vramctl.records.event import Origin

LONGEST = 1 << 14
"""Characters of a line that are looked at: no engine prints a longer one but to dump a prompt."""
_WIDEST = " " * 64
_WIDE = re.compile(" {65,}")
"""No engine pads wider than this; patterns such as `(.*?) +model` cost the square of a run of blanks."""
_DEEPEST = 4
"""Prefixes on one line: kubectl's before docker's before journald's, quoted in Markdown."""


class Line(NamedTuple):
    """A line taken apart: the message, who wrote it, and the time of its prefix."""

    message: Message
    origin: Origin
    stamp: str


def text_of(raw: str | bytes) -> str:
    """The text of a raw line, without its end; bytes that are no UTF-8 are replaced, UTF-16 is recognised."""
    if isinstance(raw, str):
        return raw.rstrip("\r\n")
    if b"\0" in raw and raw.count(b"\0") * 3 > len(raw):
        raw = raw.strip(b"\0").replace(b"\xff\xfe", b"")
        return (raw + b"\0" * (len(raw) % 2)).decode("utf-16-le", "replace").rstrip("\r\n\0")
    return raw.decode("utf-8", "replace").rstrip("\r\n")


def take_apart(text: str) -> Line:
    """The message of a line behind all its prefixes."""
    if len(text) > LONGEST:
        text = text[:LONGEST]
    if _WIDEST in text:
        text = _WIDE.sub(_WIDEST, text)
    if not text.isprintable():
        text = plain(text)
    if text[:1] in " \t":
        text = text.lstrip(" \t")
    origin, stamp = NOBODY, ""
    for _ in range(_DEEPEST):
        if text[:2] == ".." and text[2:3] not in ("/", "\\"):
            # The dots of llama.cpp's progress end no line: what the process says next stands behind them.
            text = text.lstrip(".").lstrip() or text
        message = own_form(text)
        if message is not None:
            return Line(message, origin, stamp)
        written = None
        for reader in readers_for(text[:1]):
            written = reader(text)
            if written is not None:
                break
        if written is None:
            break
        text = written.payload.lstrip(" \t")
        origin = written.origin if origin is NOBODY or origin.platform == "quoted" else origin
        stamp = stamp or written.stamp
    return Line(text_line(text.strip()), origin, stamp)


def own_form(text: str) -> Message | None:
    """The message of a line that begins with an engine's own, unmistakable head; None otherwise."""
    first = text[:1]
    if first == "t" or first == "l":
        if text.startswith(("time=", "level=")):
            return slog(text)
        if text.startswith(("llama_", "llm_load_", "load_tensors: ")):
            return text_line(text)
    elif first == "p" and text.startswith("print_info: "):
        return text_line(text)
    elif first == "[":
        if text.startswith("[GIN"):
            return gin(text)
    elif text[4:5] == "/" and first.isdigit():
        return go_log(text)
    elif first == "{":
        return json_record(text)
    return None


def json_record(text: str) -> Message | None:
    """A record that an engine writes as JSON: the C++ server of early 2024, `--log-jsonl` of 2026; else None."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or "MESSAGE" in record or "log" in record:
        return None
    message = record.get("msg", record.get("message"))
    kind = record.get("type")
    if (
        isinstance(kind, str)
        and not isinstance(message, str)
        and set(record) <= {"type", "time", "data", "level", kind}
    ):
        data = record.get("data")
        return Message(TEXT, kind, "jsonl", "", "", texts(data if isinstance(data, dict) else record), ENGINE)
    if not isinstance(message, str):
        return None
    level, function = record.get("level", ""), record.get("function", record.get("source", ""))
    stamp = record.get("timestamp", record.get("time", ""))
    if kind == "log":
        inner = text_line(message.strip())
        return inner._replace(level=str(level), surely=ENGINE)
    form = GO if isinstance(function, str) and ".go:" in function else TEXT
    return Message(
        form,
        message.strip(),
        function if isinstance(function, str) else "",
        level if isinstance(level, str) else "",
        str(stamp) if isinstance(stamp, str | int | float) else "",
        texts(record),
        ENGINE if function or level else UNSURE,
    )
