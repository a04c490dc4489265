"""Real logs beside the checkout, where they are there; tests that read them are skipped elsewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from vramctl.logs.assemble import assemble
from vramctl.logs.decode import Stats, decode
from vramctl.records.load import Log

FOLDER = Path(__file__).parents[2] / "shared" / "logs"
needs_corpus = pytest.mark.skipif(not FOLDER.is_dir(), reason="the shared logs are not beside this checkout")


@cache
def read(name: str) -> Log:
    """The record of one shared log."""
    path, stats = FOLDER / name, Stats()
    with path.open("rb") as file:
        return assemble(decode(file, stats=stats), stats=stats, name=name, size_bytes=path.stat().st_size)
