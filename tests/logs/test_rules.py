"""One walk over every rule of every table: the example is what the rule says it is, and nobody else claims it."""

from __future__ import annotations

import re

import pytest

from vramctl.logs.decode import claim, decode, fields_of, fits
from vramctl.logs.lines import take_apart
from vramctl.logs.rule import Rule
from vramctl.logs.tables import TABLES

ALL = [(engine, rule) for engine, rules in TABLES for rule in rules]
NAMES = [f"{engine}:{rule.kind}:{number}" for number, (engine, rule) in enumerate(ALL)]
MESSAGES = [(take_apart(rule.example).message, rule) for _, rule in ALL]


@pytest.mark.parametrize(("engine", "rule"), ALL, ids=NAMES)
def test_a_rule_says_what_its_example_gives_and_no_other_rule_claims_it(engine: str, rule: Rule) -> None:
    pattern = rule.pattern.pattern
    assert pattern.startswith("^") and pattern.endswith("$"), "the pattern is anchored"
    assert rule.seen and re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", rule.kind)
    message = take_apart(rule.example).message
    match = fits(rule, message)
    assert match is not None, f"the pattern does not match its own example: {message}"
    assert fields_of(rule, match, message) == rule.gives
    others = [other for _, other in ALL if other is not rule and fits(other, message) is not None]
    same_form = [other for other in others if take_apart(other.example).message.form == message.form]
    assert not same_form, f"also claimed by {[(other.kind, other.pattern.pattern) for other in same_form]}"
    found = claim(message)
    assert found is not None and found[:2] == (engine, rule), "the dispatch does not lead to the rule"


@pytest.mark.parametrize(("engine", "rule"), ALL, ids=NAMES)
def test_an_example_behind_a_journal_prefix_and_in_colour_is_the_same_event(engine: str, rule: Rule) -> None:
    bare = next(iter(decode([rule.example])))
    dressed = f"Sep 11 00:42:09 ai ollama[3110]: \x1b[32m{rule.example}\x1b[0m\r\n"
    event = next(iter(decode([dressed.encode()])))
    assert (event.kind, event.fields, event.engine) == (bare.kind, bare.fields, engine)
    assert event.origin[1:] == ("ai", "ollama", "3110")
