"""Text from files and drivers, made safe to print."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text on one line, without control characters: a model's name must not steer the terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
