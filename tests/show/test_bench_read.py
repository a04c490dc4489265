"""Saved benchmarks: read again as they were, and refused where they cannot have been measured."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_bench_picture import LAYERS, LOADED, bench

from vramctl.errors import BadInput
from vramctl.records import Unknown
from vramctl.show.bench_json import bench_document
from vramctl.show.bench_read import read_bench


def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(bench_document(bench(*LAYERS))))
    return found


def refused(text: str) -> str:
    with pytest.raises(BadInput) as found:
        read_bench(text, "old.json")
    assert found.value.code == "not-a-bench" and "old.json" in found.value.what
    return found.value.because[0]


@pytest.mark.parametrize("rows", [LAYERS, LOADED])
def test_a_saved_run_comes_back_with_its_figures(rows: Any) -> None:
    before = bench(*rows)
    after = read_bench(json.dumps(bench_document(before)), "old.json")
    for old, new in zip(before.rows, after.rows, strict=True):
        assert (new.name, new.prompt_tokens, new.depth, new.parallel) == (old.name, 512, 0, old.parallel)
        assert new.decode_tokens_per_second == old.decode_tokens_per_second
        assert new.throughput_tokens_per_second == old.throughput_tokens_per_second
        assert new.limit.share == old.limit.share


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is no JSON"),
        ("{", "it is no JSON"),
        ("5", "it is no JSON object"),
        ("[1]", "it is no JSON object"),
        ("null", "it is no JSON object"),
        ("{}", "it has no schema"),
        ('{"schema": "vramctl.plan/1"}', "its schema is 'vramctl.plan/1', not 'vramctl.bench/1'"),
        ('{"schema": "vramctl.bench/1"}', "it has no rows"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_what_is_no_saved_run_is_refused_in_words(text: str, why: str) -> None:
    assert refused(text) == why


@pytest.mark.parametrize("figure", ["decode_tokens_per_second", "prefill_tokens_per_second"])
@pytest.mark.parametrize("median", [float("nan"), float("inf"), 0, -1.0, True, "8", None, 10**400])
def test_a_rate_that_cannot_be_measured_is_refused(figure: str, median: object) -> None:
    found = document()
    found["rows"][1][figure]["median"] = median
    assert refused(json.dumps(found)).startswith(f"rows[1].{figure}.median is ")


@pytest.mark.parametrize(
    "ends", [[9, 7], [7, float("nan")], [float("-inf"), 9], [0, 9], [True, 9], [8], [8, 9, 10], "8-9", 8, None, [9, 10]]
)
def test_an_interval_that_cannot_be_one_is_refused(ends: object) -> None:
    found = document()
    found["rows"][0]["decode_tokens_per_second"]["ci95"] = ends
    assert refused(json.dumps(found)).startswith("rows[0].decode_tokens_per_second.")


@pytest.mark.parametrize("name", ["prompt_tokens", "depth", "parallel"])
@pytest.mark.parametrize("count", [-1, 1.5, True, "512", None])
def test_counts_are_whole_numbers(name: str, count: object) -> None:
    found = document()
    found["rows"][0][name] = count
    assert refused(json.dumps(found)).startswith(f"rows[0].{name} is no whole number")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("valid",), "yes"), (("rows",), {}), (("rows", 0), 5), (("rows", 0, "limit"), None), (("machine",), []),
        (("rows", 0, "limit", "share"), float("nan")), (("rows", 0, "ttft_seconds", "median"), -0.5), (("model",), 5),
        (("rows", 0, "ttft_seconds", "samples"), [float("nan")]), (("rows", 0, "ttft_seconds"), 0.5),
    ],
)  # fmt: skip
def test_every_part_is_of_its_kind(path: tuple[Any, ...], value: object) -> None:
    found = document()
    at: Any = found
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert refused(json.dumps(found))


def test_a_figure_that_was_unknown_stays_unknown() -> None:
    found = document()
    found["rows"][0]["decode_tokens_per_second"] = {"unknown": "the engine ended"}
    assert read_bench(json.dumps(found), "old.json").rows[0].decode_tokens_per_second == Unknown("the engine ended")
