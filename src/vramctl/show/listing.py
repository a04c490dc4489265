"""Rows under column heads: how lists of GPUs and shapes are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vramctl.show.page import Page, paint
from vramctl.show.printable import printable


def listing(
    heads: Sequence[str], rows: Iterable[Sequence[str]], page: Page, *, note: str = "", first_wraps: bool = False
) -> str:
    """A table of text, and a note below it; a head that ends in `>` is aligned to the right.

    The last column wraps where space is short, and the first where it may.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, pad_edge=False, header_style="dim")
    for index, head in enumerate(heads):
        table.add_column(
            head.rstrip(">"),
            justify="right" if head.endswith(">") else "left",
            no_wrap=index < len(heads) - 1 and not (index == 0 and first_wraps),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(printable(cell), style="" if index else "bold") for index, cell in enumerate(row)))
    return paint(table, Text(f"\n{note}"), page=page) if note else paint(table, page=page)
