"""What --json prints is what the published schemas say."""

from __future__ import annotations

import copy
import json
from dataclasses import fields, replace
from typing import Any

import plans_to_show as plans
import pytest
from jsonschema import Draft202012Validator
from test_plan_text import ALL, OTHER_BUILD

from vramctl.errors import BadInput
from vramctl.records import Settings, Unknown
from vramctl.show.error_text import error_document, error_text
from vramctl.show.page import Page
from vramctl.show.plan_diff import diff_document
from vramctl.show.plan_json import plan_document, table_document
from vramctl.show.schemas import NAMES, schema

ERROR = BadInput("gguf-truncated", "The file ends early.", because=("1 of 2", "a\x1bb"), fix="Download it again.")


def assert_valid(name: str, document: dict[str, Any]) -> None:
    """The document survives JSON and its schema."""
    Draft202012Validator(schema(name)).validate(json.loads(json.dumps(document)))


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_is_a_valid_schema_of_its_own_name(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$id"] == f"urn:vramctl:{name}:1"
    assert schema(name)["properties"]["schema"] == {"const": f"vramctl.{name}/1"}


@pytest.mark.parametrize("name", ALL)
def test_every_plan_is_what_the_schema_says(name: str) -> None:
    assert_valid("plan", plan_document(ALL[name]))


def test_a_table_and_a_difference_are_what_their_schemas_say() -> None:
    assert_valid("plan-table", table_document(tuple(ALL.values())))
    assert_valid("plan-diff", diff_document(plans.ON_ONE_GPU, OTHER_BUILD))
    assert_valid("plan-diff", diff_document(plans.ON_ONE_GPU, plans.PARTLY_UNKNOWN))


@pytest.mark.parametrize("key", plan_document(plans.ON_ONE_GPU))
def test_the_schema_misses_every_key_of_a_plan(key: str) -> None:
    document = plan_document(plans.ON_ONE_GPU)
    del document[key]
    assert not Draft202012Validator(schema("plan")).is_valid(document)


@pytest.mark.parametrize("wrong", [None, -1, "N/A", {}, {"unknown": ""}])
def test_the_schema_refuses_other_ways_to_say_unknown(wrong: object) -> None:
    document = copy.deepcopy(plan_document(plans.ON_ONE_GPU))
    document["devices"][0]["compute_bytes"] = wrong
    assert not Draft202012Validator(schema("plan")).is_valid(document)
    table = {"schema": "vramctl.plan-table/1", "plans": [document]}
    assert not Draft202012Validator(schema("plan-table")).is_valid(table)


def test_every_setting_is_there_with_where_it_came_from() -> None:
    settings = plan_document(plans.ON_ONE_GPU)["settings"]
    assert set(settings) == {field.name for field in fields(Settings)}
    assert settings["n_ctx"] == {"value": 32768, "origin": "asked"}
    assert settings["n_gpu_layers"] == {"value": 33, "origin": "chosen"}
    assert settings["n_batch"] == {"value": 2048, "origin": "engine default"}
    assert settings["mmproj"]["value"] == "none"
    assert settings["n_threads"]["value"] == {"unknown": "left to the engine"}


def test_the_schema_names_every_setting() -> None:
    assert set(schema("plan")["properties"]["settings"]["required"]) == {field.name for field in fields(Settings)}


def test_overrides_and_splits_are_lists() -> None:
    settings = replace(plans.SETTINGS, tensor_overrides=(("exps", "CPU"),), tensor_split=(3.0, 1.0))
    document = plan_document(replace(plans.ON_ONE_GPU, settings=settings))
    assert document["settings"]["tensor_overrides"]["value"] == ["exps=CPU"]
    assert document["settings"]["tensor_split"]["value"] == [3.0, 1.0]
    assert_valid("plan", document)


def test_parts_sum_to_what_is_used() -> None:
    document = plan_document(plans.TWO_GPUS)
    for device in document["devices"]:
        parts = sum(device[f"{part}_bytes"] for part in ("weights", "kv", "compute", "overhead"))
        assert device["used_bytes"] == parts
    host = document["host"]
    assert host["used_bytes"] == sum(host[f"{part}_bytes"] for part in ("weights", "kv", "compute", "output"))


def test_what_is_unknown_says_why() -> None:
    document = plan_document(plans.PARTLY_UNKNOWN)
    reason = {"unknown": "no formula for architecture 'newone'"}
    assert document["devices"][0]["compute_bytes"] == reason
    assert document["devices"][0]["used_bytes"] == reason
    assert document["model"]["name"] == {"unknown": "the header has no general.name"}


def test_changes_name_device_part_and_both_sizes() -> None:
    assert diff_document(plans.ON_ONE_GPU, OTHER_BUILD)["changes"] == [
        {
            "device": "CUDA0",
            "part": "compute",
            "before_bytes": plans.mib(258.5),
            "after_bytes": plans.mib(290.52),
        }
    ]


def test_nothing_is_null_anywhere() -> None:
    for plan in ALL.values():
        assert "null" not in json.dumps(plan_document(plan))


def test_an_error_is_what_its_schema_says() -> None:
    assert_valid("error", error_document(ERROR))


def test_an_error_reads_as_code_what_because_fix() -> None:
    assert error_text(ERROR, Page()) == (
        "error: gguf-truncated\n"
        "  The file ends early.\n"
        "  because  1 of 2\n"
        "           a b\n"
        "  fix      Download it again.\n"
    )


def test_a_long_error_wraps_below_its_label() -> None:
    long = BadInput("too-long", "word " * 40, because=("reason " * 30,), fix="do " * 40)
    lines = error_text(long, Page(width=60)).splitlines()
    assert max(map(len, lines)) <= 60
    assert all(line.startswith("  ") for line in lines[1:])


def test_the_schema_of_a_table_can_be_used_alone() -> None:
    assert schema("plan-table")["$defs"]["plan"] == schema("plan")


def test_unknown_contexts_are_allowed_by_the_schema() -> None:
    assert_valid("plan", plan_document(replace(plans.ON_ONE_GPU, max_ctx=Unknown("not asked"))))
