"""The answer to a log as JSON: valid by its published schema, unknown never null."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from log_cases import CASES, HEALTHY
from vramctl.checks.log_findings import findings
from vramctl.logs.assemble import assemble
from vramctl.logs.decode import Stats, decode
from vramctl.show.explain_json import explain_document, list_document
from vramctl.show.explain_verdict import verdict
from vramctl.show.schemas import schema

EXPLAIN = Draft202012Validator(schema("explain"))


def document(text: str, *, events: bool = False) -> dict[str, Any]:
    stats = Stats()
    seen = list(decode(text.splitlines(), stats=stats))
    log = assemble(seen, stats=stats, name="a.log", size_bytes=len(text))
    found = findings(log)
    return explain_document(log, found, verdict(log, found).words, seen if events else None)


@pytest.mark.parametrize("name", ["healthy", *sorted(CASES)])
def test_the_document_is_valid_by_its_schema(name: str) -> None:
    assert list(EXPLAIN.iter_errors(document(CASES.get(name, HEALTHY), events=True))) == []


def test_what_is_not_printed_is_unknown_with_a_reason() -> None:
    load = document("llm_load_tensors: offloaded 10/33 layers to GPU\n")["loads"][0]
    assert set(load["load_seconds"]) == {"unknown"}
    assert set(load["model"]["name"]) == {"unknown"}


def _leaves(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [leaf for value in node.values() for leaf in _leaves(value)]
    if isinstance(node, list):
        return [leaf for value in node for leaf in _leaves(value)]
    return [node]


def test_nothing_is_null() -> None:
    for text in (HEALTHY, *CASES.values()):
        assert None not in _leaves(document(text, events=True))


def test_the_first_finding_is_the_root_cause_and_names_its_lines() -> None:
    found = document(CASES["xid-errors"])["findings"][0]
    assert (found["id"], found["severity"]) == ("xid-errors", "error")
    assert found["lines"] == [18]
    assert found["quotes"][0]["text"].startswith("CUDA error")


def test_bytes_are_of_the_device_that_the_log_names() -> None:
    devices = document(HEALTHY)["loads"][0]["devices"]
    assert [device["name"] for device in devices] == ["CUDA0", "CPU"]
    assert devices[0]["kv_bytes"] == 1 << 30


def test_several_logs_are_one_document() -> None:
    both = list_document([document(HEALTHY), document(CASES["xid-errors"])])
    assert list(Draft202012Validator(schema("explain-list")).iter_errors(both)) == []
    assert [[found["id"] for found in one["findings"]][:1] for one in both["logs"]] == [[], ["xid-errors"]]
