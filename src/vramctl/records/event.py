"""One thing an engine said in its log: what kind, its values, and where it stood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from vramctl.records.stamps import stamp_seconds
from vramctl.records.unknown import Unknown

NOT_PRINTED = Unknown("the line does not print it")


class Printed(NamedTuple):
    """A size as a log prints it, in bytes: the writer rounded it, so it is right within `tolerance_bytes`."""

    bytes: int
    tolerance_bytes: int

    def agrees(self, other: Printed | int) -> bool:
        """Whether both can be the same number of bytes before rounding."""
        size, tolerance = (other, 0) if isinstance(other, int) else other
        return abs(self.bytes - size) <= self.tolerance_bytes + tolerance


class Origin(NamedTuple):
    """Who wrote a line, as far as its prefix says: every part is empty where no prefix names it."""

    platform: str = ""
    """journald, docker, compose, kubectl, windows, ... or empty for a bare line."""
    host: str = ""
    program: str = ""
    """Program, systemd unit, service or container that the prefix names."""
    pid: str = ""


class Event(NamedTuple):
    """One recognised line of a log (or, of kind `unrecognised`, one that no rule knows)."""

    kind: str
    fields: Mapping[str, Any]
    line: int
    """Number of its first line in the file, from 1."""
    last_line: int
    """Number of its last line: more than `line` where a terminal wrapped it."""
    text: str
    """The message, without the prefixes of the platform and of the engine."""
    raw: str
    """The line as read; wrapped parts are joined."""
    engine: str
    """ollama, llama.cpp, exllama, system: whose rule claims it."""
    level: str
    """DEBUG, INFO, WARN, ERROR as printed; empty where the line has none."""
    function: str
    """The C++ function or the Go source file that the line names; empty where it has none."""
    stamp: str
    """The time as printed on the line, or the last one printed before it; empty where there was none."""
    inherited: bool
    """Whether `stamp` stood on an earlier line: llama.cpp's own lines have none."""
    origin: Origin

    def value(self, name: str) -> Any:
        """The field `name`, or Unknown where the line does not print it."""
        return self.fields.get(name, NOT_PRINTED)

    @property
    def seconds(self) -> float | Unknown:
        """The time of `stamp` in seconds since 1970; a stamp without zone is read as UTC; Unknown without a stamp."""
        return stamp_seconds(self.stamp)
