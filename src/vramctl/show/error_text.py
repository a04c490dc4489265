"""An error as text for people and as the document vramctl.error/1: always code, what, because, fix."""

from __future__ import annotations

import textwrap

from vramctl.errors import VramctlError
from vramctl.show.page import Page
from vramctl.show.printable import printable

SCHEMA = "vramctl.error/1"
_MARGIN = 11


def error_document(error: VramctlError) -> dict[str, object]:
    """The error as a JSON value."""
    return {
        "schema": SCHEMA,
        "code": error.code,
        "what": error.what,
        "because": list(error.because),
        "fix": error.fix,
    }


def error_text(error: VramctlError, page: Page) -> str:
    """The error in its four parts, with a line break at the end; wrapped to the page."""
    red, bold, plain = ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") if page.colour else ("", "", "")
    lines = [f"{red}error:{plain} {bold}{printable(error.code)}{plain}"]
    lines += _wrapped("", error.what, width=page.width, margin=2)
    for index, reason in enumerate(error.because):
        lines += _wrapped("because" if index == 0 else "", reason, width=page.width, margin=_MARGIN)
    lines += _wrapped("fix", error.fix, width=page.width, margin=_MARGIN)
    return "\n".join(lines) + "\n"


def _wrapped(label: str, text: str, *, width: int, margin: int) -> list[str]:
    if not text:
        return []
    first = f"  {label}".ljust(margin)
    return textwrap.wrap(
        printable(text), width, initial_indent=first, subsequent_indent=" " * margin, break_on_hyphens=False
    )
