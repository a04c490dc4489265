"""Lines read by the shape of earlier ones say what they say when they are examined each by itself."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from vramctl.logs import decode, memo, shapes
from vramctl.logs.blind import pattern_is_blind, whatever_digits
from vramctl.logs.examined import examined
from vramctl.logs.lines import take_apart
from vramctl.logs.memo import Known, Memo
from vramctl.logs.shape_experiments import learned
from vramctl.logs.shapes import Shapes
from vramctl.logs.tables import TABLES
from vramctl.records.unknown import Unknown

RULES = [rule for _, rules in TABLES for rule in rules]
CORPUS = Path(__file__).parents[3] / "shared" / "logs"
PREFIXES = (
    "",
    "Sep 11 00:42:09 gpu01 ollama[3110]: ",
    "ollama-1  | ",
    "\x1b[32m2025-10-15T14:49:48.720123456Z stderr F ",
)
REQUEST = '[GIN] 2025/07/30 - 00:19:25 | 200 | 1.234567s | 127.0.0.1 | POST     "/api/chat"'


def other_digits(line: str, dice: random.Random) -> str:
    """The line with every digit chosen anew."""
    return re.sub("[0-9]", lambda _: str(dice.randrange(10)), line)


@cache
def real_lines() -> tuple[str, ...]:
    """Real lines, where the corpus is at hand."""
    texts = [path.read_text("utf-8", "replace") for path in sorted(CORPUS.rglob("*.log"))]
    return tuple(dict.fromkeys(line for text in texts for line in text.split("\n")))


@pytest.mark.parametrize("prefix", PREFIXES, ids=["bare", "journald", "compose", "stamped, in colour"])
def test_every_rules_example_with_other_digits_is_read_as_it_is_examined(prefix: str) -> None:
    known = Shapes()
    for number, rule in enumerate(RULES):
        dice = random.Random(number)
        for _ in range(shapes.FEWEST_SIGHTS + 6):
            raw = (prefix + other_digits(rule.example, dice)).encode()
            assert known.examined(raw) == examined(raw), raw
        assert known.examined((prefix + rule.example).encode()) == examined((prefix + rule.example).encode())


def test_real_lines_and_the_same_with_other_digits_are_read_as_they_are_examined() -> None:
    known, dice = Shapes(), random.Random(1)
    lines = real_lines()[::3]
    for _ in range(shapes.FEWEST_SIGHTS + 2):
        for line in lines:
            raw: str | bytes = other_digits(line, dice)
            raw = raw.encode("utf-8", "surrogateescape") if dice.random() < 0.9 else raw
            assert known.examined(raw) == examined(raw), raw


def test_most_shapes_are_learned() -> None:
    asked = [rule.example for rule in RULES if re.search("[0-9]", rule.example) and "{" not in rule.example]
    refused = [example for example in asked if learned(example.encode()) is None]
    assert len(refused) < len(asked) / 20, refused


def test_a_rule_that_asks_for_certain_digits_is_asked_for_each_line() -> None:
    read = learned(b"slot release: id  3 | task 12 | stop processing: n_tokens = 456, truncated = 0")
    assert read is not None
    for number, kind in ((1, "slot.released"), (0, "slot.released"), (7, "unrecognised")):
        line = b"slot release: id  4 | task 99 | stop processing: n_tokens = 888, truncated = %d" % number
        assert read(line) == examined(line)
        assert read(line)[1] == kind


def test_another_rule_that_certain_digits_call_is_not_overlooked() -> None:
    line = b"load_model: loaded meta data with 52 key-value pairs"
    assert take_apart(line.decode()).message.text
    known = Shapes()
    for number in range(40):
        raw = b"llama_model_loader: - kv  %2d:  general.size u%02d = 5" % (number, number)
        assert known.examined(raw) == examined(raw)
    assert known.examined(b"llama_model_loader: - kv   1:  general.size u32 = 5")[1] == "model.kv"


def test_a_value_that_cannot_be_read_is_unknown_by_its_shape_too() -> None:
    line = 'time=2025-01-01T00:00:00Z level=INFO source=x.go:1 msg="system memory" total="31.{} GiB"'
    events = list(decode([line.format("0" * n) for n in (1, 2, 20, 20, 20, 20, 20, 20, 20, 21)]))
    assert [isinstance(event.value("total"), Unknown) for event in events] == [False] * 2 + [True] * 8


def test_lines_with_their_ends_and_as_text_are_read_by_shape() -> None:
    for end in ("", "\n", "\r\n"):
        for raw in (REQUEST + end, (REQUEST + end).encode()):
            read = learned(raw)
            assert read is not None
            assert read(raw) == examined(raw)


def test_numbers_in_json_are_not_taken_for_text() -> None:
    line = '{{"function":"main","level":"INFO","line":12,"msg":"slot released","n_past":{},"slot_id":0}}'
    known = Shapes()
    for number in range(10, 40):
        raw = line.format(number).encode()
        assert known.examined(raw) == examined(raw)
    assert known.examined(line.format("07").encode()) == examined(line.format("07").encode())


def test_shapes_are_forgotten_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "MOST_SHAPES", 64)
    known = Shapes()
    for number in range(1000):
        raw = b"x" * (number % 200) + b" %d" % number
        assert known.examined(raw) == examined(raw)
        assert max(len(known.sights), len(known.readers)) <= 64


@pytest.mark.parametrize(
    ("pattern", "blind"),
    [
        (r"^n = (?P<n>\d+)$", True), (r"^n = (?P<n1>[0-9.]+) x{2,3}$", True), (r"^[^0-9]+\d$", True), (r"^[!-~]+$", True),
        (r"^[\d.-]+ [+-]?\d\]$", True), (r"^a\.b\[x\]$", True), (r"^is = (?P<is>[01])$", False), (r"^u32 = \d+$", False),
        (r"^[1-9]\d*$", False), (r"^[^0]$", False), (r"^[5-z]$", False), (r"^(\d)\1$", False), (r"^(?P<a>\d)(?P=a)$", False),
        (r"^\x31$", False), (r"^[\x30]$", False), (r"^[]0]$", False),
    ],
)  # fmt: skip
def test_a_pattern_is_blind_to_digits_where_it_asks_for_all_ten_or_none(pattern: str, *, blind: bool) -> None:
    assert pattern_is_blind(pattern) is blind


@pytest.mark.parametrize(
    ("pattern", "text", "could"),
    [
        (r"^u32 = [01]$", "u97 = 5", True), (r"^u32 = [01]$", "u9 = 5", False), (r"^x[^0]$", "x0", True),
        (r"^a[]0]$", "a7", True), (r"^0x[0-9a-f]+$", "9xff", True), (r"^v1 +\w+$", "v1", False),
    ],
)  # fmt: skip
def test_what_no_other_digits_make_a_pattern_match_is_told(pattern: str, text: str, *, could: bool) -> None:
    wide = whatever_digits(pattern)
    assert wide is not None
    assert (wide.match(text) is not None) is could


@pytest.mark.parametrize("pattern", [r"^(?!0)\d$", r"^0*+1$", r"^(\d)\1$", r"^(?>01?)1$", r"^(?<!0)1$"])
def test_a_pattern_that_could_match_less_when_widened_is_not_widened(pattern: str) -> None:
    assert whatever_digits(pattern) is None


def test_every_pattern_matches_its_example_when_widened() -> None:
    for rule in RULES:
        wide = whatever_digits(rule.pattern.pattern)
        assert wide is None or wide.match(take_apart(rule.example).message.text)


def a_memo(counts: list[int]) -> Memo:
    """A memo of lines that are all blank."""
    blank: Known = examined(b"")
    return Memo(lambda _: blank, counts)


def test_a_memo_of_lines_that_never_recur_stays_small_and_grows_when_they_do() -> None:
    counts = [0]
    kept = a_memo(counts)

    def ask(line: bytes) -> int:
        counts[0] += 1
        kept[line]
        return len(kept)

    sizes = [ask(b"%d" % number) for number in range(memo.FIRST_LINES * 3)]
    assert max(sizes) == memo.FIRST_LINES
    assert max(sizes[memo.FIRST_LINES :]) <= memo.FEWEST_LINES + 1
    period = memo.FEWEST_LINES * 5
    for _ in range(6):
        for number in range(period):
            ask(b"again %d" % number)
    assert len(kept) >= period
    assert max(ask(b"new %d" % number) for number in range(memo.MOST_LINES * 2)) <= memo.MOST_LINES


def test_a_memo_holds_no_more_bytes_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "MOST_BYTES", 10_000)
    kept = a_memo([0])
    for number in range(1000):
        kept[b"%900d" % (number % 500)]
        assert sum(map(len, kept)) <= 10_900
    assert not kept[b"y" * (memo.LONGEST_BYTES + 1)][1]
    assert b"y" * (memo.LONGEST_BYTES + 1) not in kept


def test_the_beginning_that_is_read_first_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["vramctl.logs.decode"], "_SAMPLE_BYTES", 1000)
    given = []

    def lines() -> Iterator[bytes]:
        for number in range(100):
            given.append(number)
            yield b"llama_context: n_ctx = 4096" + b" " * 100

    assert next(decode(lines())).kind == "context.param"
    assert len(given) < 12
