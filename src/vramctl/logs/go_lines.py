"""Lines that Go programs write: slog, the older Go log, and GIN's requests."""

from __future__ import annotations

import re

from vramctl.logs.attributes import unquote
from vramctl.logs.line import ENGINE, GO, Message

_QUOTED = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_HEAD = re.compile(r"(?:time=(?P<stamp>\S+) )?level=(?P<level>\S+)(?: source=(?P<source>\S+))?$")
_GO_LOG = re.compile(
    r"(?P<stamp>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?) "
    r"(?:(?P<source>[\w./-]{1,80}\.go:\d+): )?(?:(?P<level>DEBUG|INFO|WARN|ERROR) )?"
)
_FIRST_KEY = re.compile(r' (?:[\w.-]{1,60}|"[^"=]{1,60}")=')
_GIN = re.compile(r"\[GIN\] (?P<stamp>\d{4}/\d\d/\d\d - \d\d:\d\d:\d\d) \|")


def slog(payload: str) -> Message | None:
    """A slog line (`time= level= source= msg= key=value`), or None where it is none."""
    head, found, tail = payload.partition(" msg=")
    if not found:
        return None
    match = _HEAD.match(head)
    if match is None:
        return None
    stamp, level, source = match.groups("")
    if tail[:1] == '"':
        end = tail.find('"', 1)
        if end > 0 and tail[end - 1] != "\\":
            return Message(GO, tail[1:end].strip(), source, level, stamp, tail[end + 2 :], ENGINE)
        quoted = _QUOTED.match(tail)
        if quoted is None:
            return Message(GO, unquote(tail[1:]).strip(), source, level, stamp, "", ENGINE)
        return Message(GO, unquote(quoted[1]).strip(), source, level, stamp, tail[quoted.end() + 1 :], ENGINE)
    text, _, attributes = tail.partition(" ")
    return Message(GO, text, source, level, stamp, attributes, ENGINE)


def go_log(payload: str) -> Message | None:
    """A line of Go's log package (`2023/10/11 12:34:56 llama.go:300: message`), or None."""
    match = _GO_LOG.match(payload)
    if match is None:
        return None
    stamp, source, level = match.groups("")
    text, attributes = payload[match.end() :], ""
    if level:
        key = _FIRST_KEY.search(text)
        if key is not None:
            text, attributes = text[: key.start()], text[key.start() + 1 :]
    return Message(GO, text.strip(), source, level, stamp, attributes, ENGINE if source or level else 1)


def gin(payload: str) -> Message | None:
    """A line of the web framework: a finished request or what it says at start."""
    match = _GIN.match(payload)
    if match is not None:
        return Message(GO, payload[match.end() :].strip(), "GIN", "", match[1], "", ENGINE)
    if payload.startswith("[GIN-debug]"):
        return Message(GO, payload[11:].strip(), "GIN-debug", "", "", "", ENGINE)
    return None
