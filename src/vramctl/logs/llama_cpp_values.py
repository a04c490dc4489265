"""Conversions that only llama.cpp's lines need: numbers of any kind, rates that may be infinite, yes and no."""

from __future__ import annotations

import math
import re

_LIST = re.compile(r"^\[(.*)\]$")


def rate(text: str) -> float:
    """Tokens per second; ValueError for `inf` and `nan`, which llama.cpp prints where nothing was measured."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text!r}: nothing was measured")
    return number


def milliseconds_each(text: str) -> float:
    """Seconds of a number of milliseconds that may be `nan` or `inf` where nothing was measured (ValueError)."""
    return rate(text) / 1000


def hyperparameter(text: str) -> int | float | tuple[int, ...] | str:
    """A value of `print_info`: a whole number, a decimal one, one number a layer (`[8, 8, 4]`), or the text."""
    per_layer = _LIST.match(text)
    if per_layer is not None:
        return tuple(int(part) for part in per_layer[1].split(","))
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def switched(text: str) -> bool | str:
    """On or off, however an era prints it (`1`, `true`, `enabled`, `0`, ...); `auto` stays `auto`."""
    known = {
        "1": True,
        "true": True,
        "enabled": True,
        "yes": True,
        "0": False,
        "false": False,
        "disabled": False,
        "no": False,
    }
    word = text.strip().strip("'").lower()
    return word if word == "auto" else known[word]


def minutes(text: str) -> float:
    """Seconds of a number of minutes."""
    return float(text) * 60
