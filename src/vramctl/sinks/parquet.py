"""Events to Parquet or Arrow files, by pyarrow (the extra `arrow`), in groups of rows."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from vramctl.errors import BadInput
from vramctl.records.event import Event
from vramctl.sinks.event_rows import base, by_type

GROUP_ROWS = 20_000
"""Rows that are kept in memory before they are written."""
SCHEMA_VERSION = b"vramctl.events/1"


def _pyarrow(module: str = "pyarrow") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BadInput(
            "pyarrow-missing",
            "Parquet and Arrow files need pyarrow.",
            because=(str(error),),
            fix="Install it (pip install 'vramctl[arrow]'), or write .jsonl or .csv.",
        ) from error


def schema() -> Any:
    """The Arrow schema of events: the common columns, and the fields as one map for each type."""
    arrow = _pyarrow()
    text, integer, flag = arrow.string(), arrow.int64(), arrow.bool_()
    word = arrow.dictionary(arrow.int32(), text)
    types = {
        "kind": word, "line": integer, "last_line": integer, "engine": word, "level": word, "function": word,
        "stamp": text, "inherited": flag, "unix_seconds": arrow.float64(), "platform": word, "host": word,
        "program": word, "pid": word, "text": text,
        "integers": arrow.map_(text, integer), "floats": arrow.map_(text, arrow.float64()),
        "flags": arrow.map_(text, flag), "texts": arrow.map_(text, text), "unknown": arrow.map_(text, text),
    }  # fmt: skip
    return arrow.schema(list(types.items()), metadata={b"schema": SCHEMA_VERSION})


def encode(events: Sequence[Event]) -> Any:
    """The events as one Arrow record batch of `schema()`."""
    rows = []
    for event in events:
        row = base(event) | {name: list(found.items()) for name, found in by_type(event.fields).items()}
        row["text"] = event.text.encode("utf-8", "replace").decode()
        rows.append(row)
    return _pyarrow().RecordBatch.from_pylist(rows, schema=schema())


@contextmanager
def arrow_writer(file: IO[bytes], *, parquet: bool) -> Iterator[Callable[[Event], None]]:
    """A function that adds one event to an open Parquet (or Arrow IPC) file; the file's footer comes at the end."""
    if parquet:
        writer = _pyarrow("pyarrow.parquet").ParquetWriter(file, schema(), compression="zstd")
    else:
        writer = _pyarrow("pyarrow.ipc").new_file(file, _plain_schema())
    waiting: list[Event] = []

    def flush() -> None:
        if waiting:
            batch = encode(waiting)
            writer.write_batch(batch if parquet else batch.cast(_plain_schema()))
            waiting.clear()

    def add(event: Event) -> None:
        waiting.append(event)
        if len(waiting) >= GROUP_ROWS:
            flush()

    with writer:
        yield add
        flush()


def _plain_schema() -> Any:
    """The schema without dictionaries: an Arrow file may hold each dictionary only once, before all rows."""
    arrow = _pyarrow()
    found = schema()
    plain = [(f.name, arrow.string() if arrow.types.is_dictionary(f.type) else f.type) for f in found]
    return arrow.schema(plain, metadata=found.metadata)
