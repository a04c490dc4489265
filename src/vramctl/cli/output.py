"""Where a command's answer and its talk go: stdout, a file, stderr."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from vramctl.errors import BadInput
from vramctl.show.page import NARROWEST, USUAL, WIDEST, Page


class AnswerLost(BadInput):
    """The stream that takes the answer takes nothing more: no document either."""


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
        because = (error.strerror or type(error).__name__,)
        fix = "Make room where the output goes, or give --output."
        raise AnswerLost("cannot-write", "The answer cannot be written.", because=because, fix=fix) from None


def _discard(stream: TextIO) -> None:
    """What is left in the stream goes nowhere: Python flushes again when it ends, which must not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_file(file: str, content: bytes) -> None:
    """The file holds the content, all of it, or is as it was before: it is written as FILE.part and renamed; OSError else.

    What is no plain file (/dev/stdout, a pipe) is written to as it is, and so is a file in a folder that takes no new ones.
    """
    path = Path(file)
    if path.is_symlink():
        path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        opened = open(part, "wb")  # noqa: SIM115 - closed below
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG) or not path.exists():
            raise
        path.write_bytes(content)
        return
    try:
        with opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def answer(text: str, file: str | None) -> None:
    """The command's result: to the file where one was asked for, else to stdout."""
    if file is None or file == "-":
        write(text)
        return
    try:
        Path(file).write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        fix = "Give --output a file in a folder that exists and can be written."
        because = (error.strerror or type(error).__name__,)
        raise BadInput("cannot-write", f"{file} cannot be written.", because=because, fix=fix) from None


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
