"""Mutated lines: decode never raises, and no line takes long, however it is broken.

VRAMCTL_FUZZ_LINES sets how many lines are tried (default 20000).
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from vramctl.logs import Stats, decode
from vramctl.logs.examined import examined
from vramctl.logs.shapes import FEWEST_SIGHTS, Shapes
from vramctl.logs.tables import TABLES
from vramctl.records.event import Event
from vramctl.sinks.events import json_line

COUNT = int(os.environ.get("VRAMCTL_FUZZ_LINES", "20000"))
LIMIT_SECONDS = 0.010
CORPUS = Path(__file__).parents[3] / "shared" / "logs"
PREFIXES = (
    b"", b"Jul 30 10:53:50 host ollama[7]: ", b"ollama-1  | ", b"[pod/ollama-0/ollama] ", b"2025-07-30T10:53:50.023456789Z ",
    b"[2024-12-05 01:56:09] [stderr] ", b"> > ", b"\x1b[33m", b"0.00.239.475 I ", b'{"MESSAGE":"', b'{"log":"', b'{"msg":"',
    b"INFO [  main] ", b"slot update_slots: id  3 | task 0 | ",
    b"time=2025-07-30T10:53:50.023+10:00 level=INFO source=a.go:1 msg=",
)  # fmt: skip
PIECES = (
    b"=", b'"', b"\\", b" ", b"\t", b"|", b":", b"[", b"]", b"{", b"(", b")", b",", b".", b"0", b"9", b"-", b"a=", b'b="',
    b"\x00", b"\x1b[", b"\xff", b"\r", "µ".encode(), "\u2028".encode(), "\u0660".encode(), b"MiB", b"/", b"'", b"a", b"a ", b"1 ",
    b"- kv 0: a b = ", b'\\"', b"--x ", b"GPU-", b"1.", b": ", b"...", b"\xed\xa0\x80", b"1e999", b"NaN", b"time=",
)  # fmt: skip


@cache
def seeds() -> tuple[bytes, ...]:
    """Every rule's example, and real lines where the corpus is at hand."""
    found = [rule.example.encode() for _, rules in TABLES for rule in rules]
    for path in sorted(CORPUS.glob("**/*.log")):
        lines = path.read_bytes().split(b"\n")
        found += lines[:: max(1, len(lines) // 60)]
    return tuple(found)


def _flip(line: bytes, dice: random.Random) -> bytes:
    broken = bytearray(line or b" ")
    for _ in range(dice.randrange(1, 6)):
        broken[dice.randrange(len(broken))] = dice.randrange(256)
    return bytes(broken)


def _cut(line: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(line) + 1)
    return line[start:] if dice.random() < 0.5 else line[:start]


def _insert(line: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(line) + 1)
    return line[:at] + dice.choice(PIECES) * dice.choice((1, 2, 3, 50)) + line[at:]


def _repeat(line: bytes, dice: random.Random) -> bytes:
    """A stretch of the line many times over: what makes patterns backtrack."""
    start = dice.randrange(len(line) + 1)
    stretch = line[start : start + dice.randrange(1, 9)] or b" "
    return line[:start] + stretch * dice.choice((10, 100, 1000, 3000)) + line[start:]


def _splice(line: bytes, dice: random.Random) -> bytes:
    other = dice.choice(seeds())
    return line[: dice.randrange(len(line) + 1)] + other[dice.randrange(len(other) + 1) :]


def _prefix(line: bytes, dice: random.Random) -> bytes:
    return dice.choice(PREFIXES) + dice.choice(PREFIXES) + line


def _digits(line: bytes, dice: random.Random) -> bytes:
    digit = dice.choice((b"9" * 30, b"-1", b"0", b"", b"1.5", b"1e400", "٣".encode()))
    return line.replace(dice.choice((b"0", b"1", b"2", b"5")), digit)


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip,
    _cut,
    _insert,
    _repeat,
    _splice,
    _prefix,
    _digits,
)


def mutated(number: int) -> bytes:
    """The mutated line of that number: the same in every run."""
    dice = random.Random(number)
    line = dice.choice(seeds())
    for _ in range(dice.randrange(1, 5)):
        line = dice.choice(CHANGES)(line, dice)[:20_000]
    return line


def took(line: bytes) -> float:
    """CPU seconds that decoding a line takes: the least of three."""
    best = 1.0
    for _ in range(3):
        before = time.thread_time()
        for _event in decode([line]):
            pass
        best = min(best, time.thread_time() - before)
    return best


def test_mutated_lines_are_decoded_without_an_exception_and_quickly() -> None:
    slow: list[tuple[float, bytes]] = []
    for number in range(COUNT):
        line = mutated(number)
        before = time.thread_time()
        for event in decode([line]):
            assert isinstance(event, Event)
            if number % 16 == 0:
                json_line(event)
        if time.thread_time() - before > LIMIT_SECONDS and (least := took(line)) > LIMIT_SECONDS:
            slow.append((least, line[:200]))
    assert not slow


def test_a_whole_mutated_log_is_decoded_and_every_line_is_counted() -> None:
    stats = Stats()
    lines = [line for number in range(2000) for line in mutated(number).split(b"\n")]
    for event in decode(lines, stats=stats):
        assert 1 <= event.line <= event.last_line <= len(lines)
    assert stats.lines == len(lines)
    assert stats.blank + stats.foreign + stats.recognised + stats.unrecognised + stats.joined == stats.lines


def test_what_the_shape_of_a_mutated_line_taught_changes_nothing() -> None:
    """Mutated lines, each with many other digits, read one behind the other and each by itself."""
    known = Shapes()
    for number in range(COUNT // 20):
        line, dice = mutated(number), random.Random(number)
        for _ in range(FEWEST_SIGHTS + 3):
            assert known.examined(line) == examined(line), line
            line = re.sub(rb"[0-9]", lambda _, dice=dice: b"%d" % dice.randrange(10), line)


@pytest.mark.parametrize("head", [b"", *(rules[0].example.encode()[:60] for _, rules in TABLES if rules)])
@pytest.mark.parametrize("piece", PIECES)
def test_a_line_of_a_megabyte_takes_less_than_ten_milliseconds(head: bytes, piece: bytes) -> None:
    line = head + piece * ((1 << 20) // len(piece))
    assert took(line) < LIMIT_SECONDS


@pytest.mark.parametrize("index", range(15))
def test_no_prefix_makes_a_line_of_a_megabyte_slow(index: int) -> None:
    for piece in (b" ", b"a", b'"', b"1", PREFIXES[index] or b"x"):
        assert took(PREFIXES[index] + piece * ((1 << 20) // len(piece))) < LIMIT_SECONDS


@pytest.mark.parametrize(
    "line",
    [
        b"print_info: rope" + b" " * 16_000 + b"x",
        b"llm_load_print_meta: U" + b"N" * 16_000,
        b"llama_kv_cache:  CUDA0" + b" x " * 5000 + b"KV buffer size = 1.00",
        b'INFO [ main] new slot | tid="1" ' + b"timestamp" * 1800,
        b"| " + b" " * 16_000 + b"| 1.00 GiB |",
        b"Adding override blk" + b"=CPU" * 4000 + b" x",
    ],
    ids=["blanks", "one word", "many blanks", "a key without end", "a row without end", "devices without end"],
)
def test_lines_that_were_slow_once_stay_fast(line: bytes) -> None:
    assert took(line) < LIMIT_SECONDS
