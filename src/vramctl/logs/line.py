"""One line taken apart: who wrote it, when, in which form, and the message that the rules match."""

from __future__ import annotations

from typing import NamedTuple

from vramctl.records.event import Origin

NOBODY = Origin()
GO, TEXT = "go", "text"
ENGINE, UNSURE, FOREIGN = 2, 1, 0


class Message(NamedTuple):
    """What an engine wrote, without the prefixes."""

    form: str
    """`go` for what Go programs log (slog, the older Go log, GIN), `text` for everything else."""
    text: str
    function: str = ""
    level: str = ""
    stamp: str = ""
    attributes: str | dict[str, str] = ""
    """Keys and values behind the message: as text until somebody asks, or already taken apart."""
    surely: int = UNSURE
    """2: only an engine writes such a line; 1: it may be any program's; 0: surely not an engine's."""
