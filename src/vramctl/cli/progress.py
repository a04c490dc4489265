"""A bar on stderr that says how far a long step is; nothing where stderr is no terminal, or one that cannot clear a line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from vramctl.cli.output import stream_page
from vramctl.show.bar import bar_text

_EVERY_SECONDS = 0.1
_CLEAR = "\r\x1b[K"


@contextmanager
def progress_bar(stream: TextIO | None = None) -> Iterator[Callable[[int, int], None]]:
    """A function that is told bytes done and bytes in all, as often as one likes; the bar is gone after the block."""
    stream = stream or sys.stderr
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda done, total: None
        return
    page = stream_page(stream)
    started = time.monotonic()
    shown = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < _EVERY_SECONDS and done < total:
            return
        shown = now
        with suppress(OSError):  # a terminal that has gone away is no reason to stop
            stream.write(_CLEAR + bar_text(done, total, now - started, page))
            stream.flush()

    try:
        yield tell
    finally:
        with suppress(OSError):
            stream.write(_CLEAR)
            stream.flush()
