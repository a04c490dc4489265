"""How far a long step is, in one line."""

from __future__ import annotations

from vramctl.show.page import Page
from vramctl.units import format_bytes

_WIDTH = 30


def bar_text(done: int, total: int, seconds: float, page: Page) -> str:
    """A bar with the share done, the speed in bytes a second since the start, and the time left."""
    share = done / total if total else 1.0
    full, empty = ("█", "░") if page.unicode else ("#", ".")
    filled = int(share * _WIDTH)
    text = f"{full * filled}{empty * (_WIDTH - filled)} {share:4.0%} of {format_bytes(total)}"
    if seconds > 0 and done:
        speed = done / seconds
        text += f", {format_bytes(int(speed))}/s, {format_seconds((total - done) / speed)} left"
    return text[: page.width - 1]


def format_seconds(seconds: float) -> str:
    """A time as people say it: `3 s`, `2 min 5 s`, `1 h 2 min`; below ten seconds with one digit."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
