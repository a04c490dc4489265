"""What a text is printed on, and how rich's objects become text for it."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

NARROWEST, WIDEST, USUAL = 60, 120, 80
LABEL_WIDTH = 10
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """A place for text: its width in columns, whether it shows colours, and whether it shows more than ASCII."""

    width: int = USUAL
    colour: bool = False
    unicode: bool = True


def paint(*parts: RenderableType, page: Page) -> str:
    """The parts below each other as text, at most `page.width` columns wide; ends with a line break."""
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=page.width,
        height=25,
        color_system="standard" if page.colour else None,
        force_terminal=page.colour,
        no_color=not page.colour,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    for part in parts:
        console.print(part)
    return _TRAILING.sub("", buffer.getvalue())


def labelled(rows: list[tuple[str, Text]], *, width: int = LABEL_WIDTH) -> RenderableType:
    """Rows of a label and a text that wraps beside it."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=width, no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rows:
        table.add_row(Text(label, style="bold"), text)
    return table
