"""A device's memory as a bar: weights, KV, compute, overhead, free, and what must stay free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vramctl.records import DeviceUse, Unknown
from vramctl.show.page import Page

if TYPE_CHECKING:
    from rich.text import Text


@dataclass(frozen=True, slots=True)
class Ink:
    """How one part is drawn: its colour, its shade where there are no colours, its letter where there is only ASCII."""

    part: str
    colour: str
    shade: str
    letter: str


PARTS = (
    Ink("weights", "blue", "█", "W"),
    Ink("KV", "green", "▓", "K"),
    Ink("compute", "yellow", "▒", "C"),
    Ink("overhead", "magenta", "░", "O"),
)
FREE = Ink("free", "default", "·", ".")
KEPT = Ink("kept free", "bright_black", "─", "-")
UNKNOWN = Ink("unknown", "red", "?", "?")


def glyph(ink: Ink, page: Page) -> str:
    """The character that draws this part on this page."""
    if not page.unicode:
        return ink.letter
    return "█" if page.colour and ink in PARTS else ink.shade


def widths(sizes: Sequence[int], columns: int) -> tuple[int, ...]:
    """Columns per size, summing to `columns` exactly: whole parts first, the rest to the largest remainders."""
    whole = sum(sizes)
    if whole <= 0:
        return (0,) * len(sizes)
    exact = [divmod(size * columns, whole) for size in sizes]
    given = [columns_ for columns_, _ in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda index: -exact[index][1])
    for index in by_remainder[: columns - sum(given)]:
        given[index] += 1
    return tuple(given)


def segments(use: DeviceUse, *, total_bytes: int, budget_bytes: int) -> tuple[tuple[Ink, int], ...]:
    """The parts in the order they are drawn, in bytes, summing to the device's total or to what is used if that is more.

    Where a part is unknown, so is what is free: all that is not known to be used is drawn as unknown.
    """
    sizes = (use.weights_bytes, use.kv_bytes, use.compute_bytes, use.overhead_bytes)
    drawn = [(ink, size) for ink, size in zip(PARTS, sizes, strict=True) if isinstance(size, int)]
    used = sum(size for _, size in drawn)
    if any(isinstance(size, Unknown) for size in sizes):
        return (*drawn, (UNKNOWN, max(0, total_bytes - used)))
    free = max(0, budget_bytes - used)
    return (*drawn, (FREE, free), (KEPT, max(0, total_bytes - used - free)))


def bar(use: DeviceUse, *, total_bytes: int, budget_bytes: int, columns: int, page: Page) -> Text:
    """One bar of `columns` characters, the device's whole memory wide."""
    from rich.text import Text

    parts = segments(use, total_bytes=total_bytes, budget_bytes=budget_bytes)
    text = Text(no_wrap=True, end="")
    for (ink, _), width in zip(parts, widths([size for _, size in parts], columns), strict=True):
        text.append(glyph(ink, page) * width, style=ink.colour)
    return text


def budget_mark(used_bytes: int, *, budget_bytes: int, columns: int, page: Page) -> Text:
    """A line for below a bar that is too long: a mark where the budget ends, in the bar's own scale."""
    from rich.text import Text

    within, _ = widths((budget_bytes, max(0, used_bytes - budget_bytes)), columns)
    sign = "▲" if page.unicode else "^"
    words = "the budget ends here"
    room = columns - within > len(words)
    line = f"{'':{max(0, within - 1)}}{sign} {words}" if room else f"{words} {sign}".rjust(max(within, len(words) + 2))
    return Text(line, style="bold red", no_wrap=True)
