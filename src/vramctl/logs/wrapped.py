"""Lines that a terminal wrapped, put together again where the wrapping is certain.

Certain means: many lines are exactly as long as the longest, what follows such a line is no line of its own, and both
together are a line that a rule knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

SAMPLE_LINES = 4096
_NARROWEST, _WIDEST = 60, 400
_FEWEST = 2
_MOST_PARTS = 40

Knows = Callable[[str], bool]
"""Whether a rule claims a line."""


class Joined(NamedTuple):
    """A whole line, and the numbers of its first and last part in the file."""

    text: str
    line: int
    last_line: int


def width_of(texts: Sequence[str], knows: Knows) -> int:
    """Columns of the terminal that wrapped these lines; 0 where it is not certain that one did."""
    width = max((len(text) for text in texts), default=0)
    if not _NARROWEST <= width <= _WIDEST:
        return 0
    wrapped = sum(
        _cut(text, width) and continues(text, after, width, knows)
        for text, after in zip(texts, texts[1:], strict=False)
    )
    return width if wrapped >= _FEWEST else 0


def _cut(text: str, width: int) -> bool:
    """Whether a line ends where the terminal does; one that was cut at a blank has lost it."""
    return width - 1 <= len(text) <= width


def continues(text: str, after: str, width: int, knows: Knows) -> bool:
    """Whether `after` is the rest of `text`: no line of its own, and needed to make one."""
    if not after or after.isspace() or knows(after):
        return False
    return not knows(text) or knows(_glued(text, after, width))


def _glued(text: str, after: str, width: int) -> str:
    """Both parts as one line, with the blank that was lost at the edge."""
    return f"{text}{' ' * (width - len(text))}{after}"


def joined(texts: Iterable[str], width: int, knows: Knows) -> Iterator[Joined]:
    """Whole lines of a log that a terminal of `width` columns wrapped."""
    whole, last_part, first, last = "", "", 0, 0
    for number, text in enumerate(texts, 1):
        fits = first and last - first < _MOST_PARTS and _cut(last_part, width)
        if fits and continues(whole, text, max(width, len(whole)), knows):
            whole = whole + " " * (width - len(last_part)) + text
            last_part, last = text, number
            continue
        if first:
            yield Joined(whole, first, last)
        whole, last_part, first, last = text, text, number, number
    if first:
        yield Joined(whole, first, last)
