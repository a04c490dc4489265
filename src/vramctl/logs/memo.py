"""What was found out about a raw line, kept: engines print most of their lines many times, letter for letter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vramctl.records.event import Origin

NO_LINE, NO_ENGINE = None, False
"""What stands for the kind of a line that gives no event: it is blank, or another program's."""
FEWEST_LINES, FIRST_LINES, MOST_LINES = 1 << 11, 1 << 14, 1 << 16
"""How many lines are kept: few of a log that does not repeat itself, for what is kept and never asked for costs as much as
finding it out; more and more of one that does; at first, when that is not known, some."""
MOST_BYTES = 16 << 20
LONGEST_BYTES = 1 << 11
_MARKS = 1 << 20
_MOST_MARKED = 1 << 18

Known = tuple[int, Any, Mapping[str, Any], str, str, str, str, str, str, Origin]
"""All that a line says by itself: slot (examined.slots), kind (or NO_LINE, NO_ENGINE), fields, text, raw, engine, level,
function, stamp, origin.

A plain tuple, not a named one: CPython takes only those apart in one step, and that is done for every line.
"""


class Memo(dict[str | bytes, Known]):
    """Raw lines to what is known of them, found out once; of bounded size, so that memory stays constant.

    It is a dict that fills itself: a line seen before costs one look-up.
    """

    def __init__(self, find_out: Callable[[str | bytes], Known], counts: list[int]) -> None:
        super().__init__()
        self.find_out = find_out
        self.counts = counts
        """How many lines there were, by slot; whoever asks for them counts them here."""
        self.platforms: set[str] = set()
        """The platforms whose prefixes were found."""
        self.held_bytes = 0
        self.room = FIRST_LINES
        self.marks = bytearray()
        """A mark for each line that was found out, at the place that its hash gives: it may have been another line's."""
        self.marked = self.again = self.lines_before = self.held_before = 0

    def __missing__(self, raw: str | bytes) -> Known:
        """Finds out what a new line says; starts anew where too much is held."""
        known = self.find_out(raw)
        platform = known[9].platform
        if platform and platform not in self.platforms:
            self.platforms.add(platform)
        size = len(raw)
        if size <= LONGEST_BYTES:
            if self.marks:
                place = hash(raw) % _MARKS
                self.again += self.marks[place]
                self.marks[place] = 1
            self.held_bytes += size
            if self.held_bytes > MOST_BYTES or len(self) >= self.room:
                self._make_room(size)
            self[raw] = known
        return known

    def _make_room(self, size: int) -> None:
        """Grows where many of the lines that were not there had been there before; starts anew otherwise."""
        lines, new, again = sum(self.counts), len(self) - self.held_before, self.again
        if again * 4 >= new and self.room < MOST_LINES and self.held_bytes <= MOST_BYTES:
            self.room *= 2
        else:
            if (lines - self.lines_before) < 2 * new:
                self.room = FEWEST_LINES
            self.clear()
            self.held_bytes = size
        self.marked += new - again
        if not self.marks or self.marked > _MOST_MARKED:
            self.marks = bytearray(_MARKS)
            self.marked = 0
        self.again, self.lines_before, self.held_before = 0, lines, len(self)
