"""Real logs: source, GPUs, loads, requests and errors, each number of which was read by hand in the log's lines."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from golden_fields import fields_of_log
from log_corpus import FOLDER, needs_corpus, read
from vramctl.explaining import explain
from vramctl.logs.assemble import assemble
from vramctl.logs.decode import Stats, decode

HERE = Path(__file__).parent
GOLDEN = sorted((HERE / "golden").glob("*.json"))
EXCERPTS = sorted((HERE / "excerpts").glob("*.log"))
BUFFER = re.compile(
    r"(?:^|: +)(\S[^:]*?) +(model |KV |compute |output |input )?buffer size += +(\d+\.\d+) MiB *(?:#.*)?\r?$"
)
HOST = re.compile(r"^(CPU|AMX|\w+_Host)")


def golden(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_at_least_twenty_logs_have_golden_loads() -> None:
    assert len(GOLDEN) >= 20


@needs_corpus
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_real_log_is_read_as_checked_by_hand(path: Path) -> None:
    log = read(f"{path.stem}.log")
    assert fields_of_log(log, explain(log).findings) == golden(path)


def counted(lines: list[str]) -> dict[str, Counter[str]]:
    """MiB per part and device, added up without any rule of the program: every buffer line of llama.cpp counts."""
    found: dict[str, Counter[str]] = {part: Counter() for part in ("weights", "kv", "compute", "output", "input")}
    for line in lines:
        match = BUFFER.search(line)
        if match is None:
            continue
        device = "CPU" if HOST.match(match[1]) else match[1]
        part = (match[2] or "model ").strip().lower().replace("model", "weights")
        found[part][device] += float(match[3])  # type: ignore[assignment]
    return found


@needs_corpus
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_bytes_are_the_sums_of_the_printed_buffers(path: Path) -> None:
    text = (FOLDER / f"{path.stem}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    for load in golden(path)["loads"]:
        sums = counted(text[load["lines"][0] - 1 : load["lines"][1]])
        for device, parts in load["devices"].items():
            for part, size in parts.items():
                if sums["weights"] and part in sums and (sums[part] or size):
                    assert size == pytest.approx(sums[part][device] * 2**20, abs=16), (device, part)


def test_at_least_three_excerpts_are_in_the_project() -> None:
    assert len(EXCERPTS) >= 3


@pytest.mark.parametrize("path", EXCERPTS, ids=lambda path: path.stem)
def test_an_excerpt_of_a_real_log_gives_what_the_whole_log_gives(path: Path) -> None:
    stats = Stats()
    with path.open("rb") as file:
        log = assemble(decode(file, stats=stats), stats=stats, name=path.name, size_bytes=path.stat().st_size)
    found, expected = fields_of_log(log, explain(log).findings), golden(HERE / "golden" / f"{path.stem}.json")
    for document in (found, expected):
        for load in document["loads"]:
            del load["lines"]
    assert found == expected
