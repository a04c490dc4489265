"""What is wrong (or worth knowing): severity, what, because, fix, and the lines that show it."""

from __future__ import annotations

from dataclasses import dataclass

ERROR, WARNING, INFO = "error", "warning", "info"


@dataclass(frozen=True, slots=True)
class Quote:
    """One line of a log, word for word; `line` counts from 1."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause that the evidence shows. The runner of the checks stamps `id`, `title` and `under`.

    `severity` is error, warning or info. `under` is the id of the finding that this one follows from, empty for a cause.
    """

    severity: str
    what: str
    because: tuple[str, ...]
    fix: str
    lines: tuple[Quote, ...] = ()
    id: str = ""
    title: str = ""
    under: str = ""
