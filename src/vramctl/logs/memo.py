"""What was found out about a raw line, kept: engines print most of their lines many times, letter for letter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vramctl.records.event import Origin

NO_LINE, NO_ENGINE = None, False
"""What stands for the kind of a line that gives no event: it is blank, or another program's."""
MOST_LINES = 1 << 15
MOST_BYTES = 8 << 20
LONGEST_BYTES = 1 << 10

Known = tuple[Any, Mapping[str, Any], str, str, str, str, str, str, Origin]
"""All that a line says by itself: kind (or NO_LINE, NO_ENGINE), fields, text, raw, engine, level, function, stamp, origin.

A plain tuple, not a named one: CPython takes only those apart in one step, and that is done for every line.
"""


class Memo(dict[str | bytes, Known]):
    """Raw lines to what is known of them, found out once; of bounded size, so that memory stays constant.

    It is a dict that fills itself: a line seen before costs one look-up.
    """

    def __init__(self, find_out: Callable[[str | bytes], Known]) -> None:
        super().__init__()
        self.find_out = find_out
        self.held_bytes = 0

    def __missing__(self, raw: str | bytes) -> Known:
        """Finds out what a new line says; starts anew where too much is held."""
        known = self.find_out(raw)
        size = len(raw)
        if size <= LONGEST_BYTES:
            self.held_bytes += size
            if self.held_bytes > MOST_BYTES or len(self) >= MOST_LINES:
                self.clear()
                self.held_bytes = size
            self[raw] = known
        return known
