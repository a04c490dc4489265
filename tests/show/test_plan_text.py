"""Plans as people see them; VRAMCTL_GOLDEN=write makes the golden files anew."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import plans_to_show as plans
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramctl.records import Device, DeviceUse, Plan, Unknown
from vramctl.show.page import Page
from vramctl.show.plan_bar import PARTS, bar, segments, widths
from vramctl.show.plan_diff import changes, diff_text
from vramctl.show.plan_table import table_text
from vramctl.show.plan_text import plan_text
from vramctl.show.settings_text import ALL_EXPERTS
from vramctl.show.verdict import devices_title, model_title, verdict
from vramctl.units import GIB

GOLDEN = Path(__file__).parent / "golden"
PLAIN = Page()
ALL = {
    "one-gpu": plans.ON_ONE_GPU,
    "does-not-fit": plans.DOES_NOT_FIT,
    "two-gpus": plans.TWO_GPUS,
    "four-gpus": plans.MANY_GPUS,
    "cpu-only": plans.CPU_ONLY,
    "experts-on-cpu": plans.EXPERTS,
    "partly-unknown": plans.PARTLY_UNKNOWN,
}
SMALLER = replace(plans.ON_ONE_GPU, settings=replace(plans.SETTINGS, n_ctx=8192))
OTHER_BUILD = replace(
    plans.ON_ONE_GPU,
    witness=replace(plans.DRY_RUN, engine="llama-cpp-python 0.3.36"),
    placement=replace(
        plans.ON_ONE_GPU.placement,
        devices=(replace(plans.ON_ONE_GPU.placement.devices[0], compute_bytes=plans.mib(290.52)),),
    ),
)


def assert_golden(name: str, text: str) -> None:
    """The text is what the file holds, to the character."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("VRAMCTL_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ALL)
def test_a_plan_looks_as_its_golden_file(name: str) -> None:
    assert_golden(f"plan-{name}", plan_text(ALL[name], PLAIN))


def test_ascii_pages_draw_parts_as_letters() -> None:
    text = plan_text(plans.DOES_NOT_FIT, Page(unicode=False))
    assert text.isascii()
    assert_golden("plan-ascii", text)


def test_a_table_of_contexts_looks_as_its_golden_file() -> None:
    assert_golden("table-contexts", table_text([SMALLER, plans.ON_ONE_GPU, plans.DOES_NOT_FIT], PLAIN))


def test_a_table_of_gpus_looks_as_its_golden_file() -> None:
    unknown = replace(plans.PARTLY_UNKNOWN, model=plans.LLAMA_8B)
    assert_golden("table-gpus", table_text([plans.ON_ONE_GPU, plans.TWO_GPUS, plans.CPU_ONLY, unknown], PLAIN))


def test_two_builds_look_as_their_golden_file() -> None:
    assert_golden("diff", diff_text(plans.ON_ONE_GPU, OTHER_BUILD, PLAIN))


def test_equal_builds_are_said_to_be_equal() -> None:
    assert "same memory in both builds, to the byte" in diff_text(OTHER_BUILD, OTHER_BUILD, PLAIN).replace("\n", " ")


def test_a_part_that_became_unknown_is_a_change() -> None:
    after = replace(plans.ON_ONE_GPU, placement=plans.PARTLY_UNKNOWN.placement)
    found = {(change.device, change.part) for change in changes(plans.ON_ONE_GPU, after)}
    assert found == {("CUDA0", "compute"), ("host", "compute")}
    assert "is unknown: no formula" in diff_text(plans.ON_ONE_GPU, after, PLAIN)


def test_a_device_that_only_one_build_uses_is_a_change() -> None:
    found = changes(plans.ON_ONE_GPU, plans.TWO_GPUS)
    assert any(change.device == "CUDA1" and isinstance(change.before_bytes, Unknown) for change in found)


@pytest.mark.parametrize("width", [60, 72, 80, 100, 120])
@pytest.mark.parametrize("name", ALL)
def test_no_line_is_wider_than_the_page(name: str, width: int) -> None:
    page = Page(width=width)
    for text in (plan_text(ALL[name], page), table_text([ALL[name], SMALLER], page)):
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text


@pytest.mark.parametrize("name", ALL)
def test_colours_change_no_words(name: str) -> None:
    import re

    coloured = plan_text(ALL[name], Page(colour=True))
    assert "\x1b[" in coloured
    shades = str.maketrans(dict.fromkeys("▓▒░", "█"))
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    plain = plan_text(ALL[name], PLAIN).translate(shades)
    assert [line.rstrip() for line in stripped.splitlines()] == plain.splitlines()


def test_names_from_a_file_cannot_steer_the_terminal() -> None:
    hostile = replace(plans.LLAMA_8B, name="\x1b[2J\x1b]0;owned\x07evil\r\nname", quantization="Q4\x9b31m")
    plan = replace(plans.ON_ONE_GPU, model=hostile, devices=(replace(plans.rtx_3060(), description="GPU\x1b[31m"),))
    for text in (plan_text(plan, PLAIN), table_text([plan, plan], PLAIN), diff_text(plan, OTHER_BUILD, PLAIN)):
        assert all(c.isprintable() or c == "\n" for c in text)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (plans.ON_ONE_GPU, "fits on RTX 3060: all 33 layers, 32768 tokens of context, 9.1 of 10.5 GiB budget."),
        (
            plans.DOES_NOT_FIT,
            "does not fit on RTX 3060: it needs 21.1 GiB, the budget is 10.5 GiB (10.7 GiB too much).",
        ),
        (plans.CPU_ONLY, "fits on the CPU: 8192 tokens of context, 5.9 of 24.0 GiB system memory."),
        (plans.EXPERTS, "all 49 layers (experts of the first 26 in system memory)"),
        (plans.PARTLY_UNKNOWN, "may fit on RTX 3060: 20 of 33 layers on the GPU"),
        (plans.TWO_GPUS, "fits on RTX 3090 + RTX 3060: all 33 layers, 65536 tokens"),
    ],
)
def test_the_verdict_says_what_matters(plan: Plan, words: str) -> None:
    assert words in verdict(plan).plain


def test_a_plan_that_does_not_fit_says_what_to_change_first() -> None:
    assert "To change first: Ask for --ctx 44032 or less." in verdict(plans.DOES_NOT_FIT).plain


def test_a_host_that_is_too_small_is_named() -> None:
    small = replace(plans.CPU_ONLY, fits=False, host=replace(plans.HOST, available_bytes=4 * GIB))
    assert "it needs 5.9 GiB, system memory is 4.0 GiB (1.9 GiB too much)." in verdict(small).plain


def test_all_experts_in_system_memory_are_said_in_short() -> None:
    settings = replace(plans.SETTINGS, tensor_overrides=(ALL_EXPERTS, ("blk.1", "CPU")))
    plan = replace(plans.EXPERTS, settings=settings, origins={"tensor_overrides": "asked"})
    text = plan_text(plan, PLAIN)
    assert "all 49 layers (all experts in system memory)" in " ".join(text.split())
    assert "asked      --cpu-moe  --override-tensor blk.1=CPU" in text


def test_equal_gpus_are_counted() -> None:
    assert devices_title(plans.MANY_GPUS.devices) == "4x RTX 3060"


def test_a_quantization_in_the_name_is_not_said_twice() -> None:
    named = replace(plans.ON_ONE_GPU, model=replace(plans.LLAMA_8B, name="llama-8b.q4_k_m"))
    assert model_title(named) == "llama-8b.q4_k_m"


@given(st.lists(st.integers(0, 1 << 45), min_size=1, max_size=6), st.integers(1, 200))
def test_a_bar_is_as_wide_as_it_should_be_and_off_by_less_than_one_column(sizes: list[int], columns: int) -> None:
    found = widths(sizes, columns)
    assert sum(found) == (columns if sum(sizes) else 0)
    for size, width in zip(sizes, found, strict=True):
        assert sum(sizes) == 0 or abs(width - size * columns / sum(sizes)) < 1


@given(
    st.tuples(*[st.integers(0, 100 * GIB)] * 4),
    st.integers(1, 200 * GIB),
    st.integers(0, 200 * GIB),
)
def test_segments_hold_every_part_and_sum_to_the_device(
    sizes: tuple[int, int, int, int], total: int, budget: int
) -> None:
    found = segments(DeviceUse("CUDA0", *sizes), total_bytes=total, budget_bytes=min(budget, total))
    assert tuple(size for _, size in found[:4]) == sizes
    assert sum(size for _, size in found) == max(total, sum(sizes))


def test_what_is_not_known_is_drawn_as_not_known() -> None:
    use = DeviceUse("CUDA0", GIB, GIB, Unknown("no formula"), GIB)
    drawn = bar(use, total_bytes=12 * GIB, budget_bytes=10 * GIB, columns=12, page=PLAIN).plain
    assert drawn == "█▓░?????????"


def test_every_part_has_its_own_colour_shade_and_letter() -> None:
    for look in ("colour", "shade", "letter"):
        assert len({getattr(ink, look) for ink in PARTS}) == len(PARTS)


def test_a_device_without_a_vendors_name_keeps_its_own() -> None:
    device = Device("CUDA0", "12 GiB GPU", 12 * GIB, 12 * GIB, "asked")
    assert devices_title((device,)) == "12 GiB GPU"
