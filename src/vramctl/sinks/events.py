"""Events to a file, as they come and in constant memory: .jsonl, .csv, .parquet, .arrow."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vramctl.errors import BadInput
from vramctl.records.event import Event
from vramctl.sinks.event_rows import COLUMNS, base, document, flat, json_text
from vramctl.sinks.parquet import arrow_writer

Write = Callable[[Event], None]
FORMATS = (".jsonl", ".csv", ".parquet", ".arrow")


@contextmanager
def events_to(path: str) -> Iterator[Write]:
    """A function that adds one event to the file `path`, whose ending names the format; complete when the block ends.

    A block that ends in an error leaves no file: it is written beside its place first.
    """
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise BadInput(
            "unknown-table-format",
            f"{path} does not end in a format that events can be written in.",
            because=("the formats are " + ", ".join(FORMATS),),
            fix="Name the file for example events.parquet or events.jsonl.",
        )
    beside = Path(f"{path}.part")
    try:
        with beside.open("wb") as file, _writer(file, ending) as write:
            yield write
        beside.replace(path)
    except OSError as error:
        raise BadInput(
            "cannot-write",
            f"{path} could not be written.",
            because=(str(error),),
            fix="Check the folder, its permissions and the free space.",
        ) from error
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _writer(file: IO[bytes], ending: str) -> Iterator[Write]:
    if ending == ".jsonl":
        yield lambda event: _add(file, json_line(event))
    elif ending == ".csv":
        file.write(csv_row((*COLUMNS, "fields")))
        yield lambda event: _add(file, csv_line(event))
    else:
        with arrow_writer(file, parquet=ending == ".parquet") as write:
            yield write


def _add(file: IO[bytes], data: bytes) -> None:
    file.write(data)


def json_line(event: Event) -> bytes:
    """The event as one line of JSON Lines."""
    return json_text(document(event)).encode() + b"\n"


def csv_line(event: Event) -> bytes:
    """The event as one row of CSV; its own fields are JSON text in the last column."""
    values = ["" if value is None else value for value in base(event).values()]
    return csv_row((*values, json_text(flat(event.fields))))


def csv_row(values: tuple[object, ...]) -> bytes:
    """A row as RFC 4180 writes it."""
    out = io.StringIO(newline="")
    csv.writer(out).writerow(values)
    return out.getvalue().encode("utf-8", "replace")
