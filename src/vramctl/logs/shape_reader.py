"""Lines of one known shape, read by cutting out what stands at known places."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from vramctl.logs.examined import UNREADABLE, converted, examined
from vramctl.logs.memo import Known
from vramctl.logs.platforms import origin_of
from vramctl.logs.rule import Convert, Rule
from vramctl.records.event import Origin

Read = Callable[[Any], Known]
Place = slice | str
"""Where a text stands in the line, or the text itself where it has no digits."""


class Reader:
    """Reads the lines of one shape."""

    __slots__ = (
        "as_bytes", "constant", "ended", "engine", "function", "function_at", "kind", "level", "message", "message_at",
        "origin", "origin_places", "own", "rivals", "slot", "stamp", "stamp_at", "varying",
    )  # fmt: skip

    def __init__(
        self,
        raw: str | bytes,
        known: Known,
        places: Sequence[Place],
        fields: Sequence[tuple[str, Convert]],
        rivals: tuple[re.Pattern[str], ...],
        own: Rule | None,
    ) -> None:
        """`places` of message, function, stamp, host, program, pid and `fields`; see `read` for `rivals` and `own`."""
        self.as_bytes = isinstance(raw, bytes)
        self.ended = raw[-1:] in ("\n", "\r", b"\n", b"\r")
        self.slot, self.kind, _, _, _, self.engine, self.level, _, _, self.origin = known
        self.message_at, self.message = _place(places[0])
        self.function_at, self.function = _place(places[1])
        self.stamp_at, self.stamp = _place(places[2])
        self.origin_places = places[3:6] if any(isinstance(place, slice) for place in places[3:6]) else ()
        self.rivals = rivals
        self.own = own
        self.constant: dict[str, Any] = {}
        varying = []
        for (name, convert), place in zip(fields, places[6:], strict=True):
            self.constant[name] = converted(place, convert) if isinstance(place, str) else None
            if isinstance(place, slice):
                varying.append((name, convert, place))
        self.varying = tuple(varying)

    def read(self, raw: Any) -> Known:
        """What a line of the shape says by itself.

        Where one of the `rivals` matches, or the pattern of `own` does not, the digits of this line make it another one.
        """
        text = raw.decode("utf-8", "replace") if self.as_bytes else raw
        if self.ended:
            text = text.rstrip("\r\n")
        message = self.message if self.message_at is None else text[self.message_at]
        for pattern in self.rivals:
            if pattern.match(message) is not None:
                return examined(raw)
        fields = self.constant
        if self.varying:
            fields = fields.copy()
            for name, convert, place in self.varying:
                try:
                    fields[name] = convert(text[place])
                except UNREADABLE:
                    fields[name] = converted(text[place], convert)
        if self.own is not None:
            match = self.own.pattern.match(message)
            if match is None:
                return examined(raw)
            groups = [(name, match[name], convert) for name, convert in self.own.groups]
            fields = {name: converted(part, convert) for name, part, convert in groups if part is not None} | fields
        function = self.function if self.function_at is None else text[self.function_at]
        stamp = self.stamp if self.stamp_at is None else text[self.stamp_at]
        origin = self._origin(text) if self.origin_places else self.origin
        return (self.slot, self.kind, fields, message, text, self.engine, self.level, function, stamp, origin)

    def _origin(self, text: str) -> Origin:
        """Who wrote the line, where names or process hold digits."""
        host, program, pid = [text[place] if isinstance(place, slice) else place for place in self.origin_places]
        return origin_of(self.origin.platform, host, program, pid)


def _place(place: Place) -> tuple[slice | None, str]:
    """A place as what to cut out and, where nothing is, the text."""
    return (place, "") if isinstance(place, slice) else (None, place)
