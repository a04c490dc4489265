"""Lines that a terminal wrapped, put together again where the wrapping is certain.

Certain means: several lines end in the same column and hardly one is longer, what follows such a line is no line of
its own, and both together are a line that a rule knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

SAMPLE_LINES = 4096
_NARROWEST, _WIDEST = 60, 400
_FEWEST = 3
_MOST_LONGER = 0.02
"""The share of lines that may be longer than the terminal: what was pasted beside the copy."""
_MOST_PARTS = 40


class Judge(NamedTuple):
    """What is asked about a piece of text."""

    knows: Callable[[str], bool]
    """Whether a rule claims it as a line."""
    begins: Callable[[str], bool]
    """Whether it begins like a line of its own: with a prefix of the platform or of an engine."""


class Joined(NamedTuple):
    """A whole line, and the numbers of its first and last part in the file."""

    text: str
    line: int
    last_line: int


def width_of(texts: Sequence[str], judge: Judge) -> int:
    """Columns of the terminal that wrapped these lines; 0 where it is not certain that one did."""
    lengths = [len(text) for text in texts]
    possible = _possible_widths(lengths)
    if not possible:
        return 0
    ends = dict.fromkeys(possible, 0)
    for length, (text, after) in zip(lengths, pairwise(texts), strict=False):
        if length in ends and continues(text, after, length, judge):
            ends[length] += 1
    if max(ends.values()) < _FEWEST:
        return 0
    # Now that one may be: it must be the most frequent of all widths, too.
    widths = Counter(ends)
    for length, (text, after) in zip(lengths, pairwise(texts), strict=False):
        if length not in ends and _NARROWEST <= length <= _WIDEST and continues(text, after, length, judge):
            widths[length] += 1
    width = max(widths.items(), key=lambda found: (found[1], found[0]))[0]
    return width if width in possible else 0


def _possible_widths(lengths: Sequence[int]) -> set[int]:
    """Lengths that several lines have, and hardly a line more: what the terminal's width is among, if one wrapped these."""
    counted = Counter(lengths)
    longer, found = 0, set()
    for length in sorted(counted, reverse=True):
        if longer > len(lengths) * _MOST_LONGER:
            break
        if _NARROWEST <= length <= _WIDEST and counted[length] >= _FEWEST:
            found.add(length)
        longer += counted[length]
    return found


def _cut(text: str, width: int) -> bool:
    """Whether a line ends where the terminal does; one that was cut at a blank has lost it."""
    return width - 1 <= len(text) <= width


def continues(text: str, after: str, width: int, judge: Judge) -> bool:
    """Whether `after` is the rest of `text`: no line of its own, and needed to make one."""
    if not after or after.isspace() or judge.begins(after) or judge.knows(after):
        return False
    return not judge.knows(text) or judge.knows(_glued(text, after, width))


def _glued(text: str, after: str, width: int) -> str:
    """Both parts as one line, with the blank that was lost at the edge."""
    return f"{text}{' ' * (width - len(text))}{after}"


def joined(texts: Iterable[str], width: int, judge: Judge) -> Iterator[Joined]:
    """Whole lines of a log that a terminal of `width` columns wrapped."""
    whole, last_part, first, last = "", "", 0, 0
    for number, text in enumerate(texts, 1):
        fits = first and last - first < _MOST_PARTS and _cut(last_part, width)
        if fits and continues(whole, text, max(width, len(whole)), judge):
            whole = whole + " " * (width - len(last_part)) + text
            last_part, last = text, number
            continue
        if first:
            yield Joined(whole, first, last)
        whole, last_part, first, last = text, text, number, number
    if first:
        yield Joined(whole, first, last)
