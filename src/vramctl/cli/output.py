"""Where a command's answer and its talk go: stdout, a file, stderr."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from vramctl.errors import BadInput
from vramctl.show.page import NARROWEST, USUAL, WIDEST, Page


@dataclass(frozen=True, slots=True)
class Output:
    """How one command answers. `json` asks for a document; `file` takes the answer in the place of stdout."""

    json: bool
    page: Page
    progress: Callable[[str], None]
    file: str | None = None
    verbose: bool = False


def stream_page(stream: TextIO, *, colour: bool | None = None) -> Page:
    """What this stream can show. `colour` None asks the terminal and NO_COLOR, FORCE_COLOR and TERM."""
    unicode = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "").startswith("utf")
    terminal = stream.isatty()
    columns = shutil.get_terminal_size((USUAL, 24)).columns if terminal or "COLUMNS" in os.environ else USUAL
    if colour is None:
        forced = os.environ.get("FORCE_COLOR", "") not in ("", "0")
        wanted = terminal and os.environ.get("TERM", "") not in ("dumb", "")
        colour = not os.environ.get("NO_COLOR") and (forced or wanted)
    return Page(width=min(max(columns, NARROWEST), WIDEST), colour=colour, unicode=unicode)


def write(text: str, *, stream: TextIO | None = None) -> None:
    """Write the text at once; a reader that has gone away (`| head`) is not an error, a full disk is BadInput."""
    stream = stream or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _discard(stream)
    except OSError as error:
        _discard(stream)
        raise _cannot_write("The answer", error, fix="Make room where the output goes, or give --output.") from None


def _discard(stream: TextIO) -> None:
    """What is left in the stream goes nowhere: Python flushes again when it ends, which must not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _cannot_write(what: str, error: OSError, *, fix: str) -> BadInput:
    because = (error.strerror or type(error).__name__,)
    return BadInput("cannot-write", f"{what} cannot be written.", because=because, fix=fix)


def answer(text: str, file: str | None) -> None:
    """The command's result: to the file where one was asked for, else to stdout."""
    if file is None or file == "-":
        write(text)
        return
    try:
        Path(file).write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        fix = "Give --output a file in a folder that exists and can be written."
        raise _cannot_write(file, error, fix=fix) from None


def answer_json(document: dict[str, Any], file: str | None = None) -> None:
    """The command's result as one JSON document, in ASCII: valid in every encoding."""
    import json

    answer(json.dumps(document, indent=2) + "\n", file)


def talk(verbose: bool) -> Callable[[str], None]:
    """What tells the user how far a command is: lines with --verbose, nothing without."""

    def tell(step: str) -> None:
        write(f"vramctl: {step}\n", stream=sys.stderr)

    def stay_silent(step: str) -> None:
        """Say nothing."""

    return tell if verbose else stay_silent
