"""Text of a field to a value: sizes with the tolerance of their last digit, durations, lists, flags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vramctl.logs.values import arguments, count, duration, flag, gib, ints, mb, mib, size, sizes, words
from vramctl.records.event import Printed
from vramctl.units import GIB, KIB, MIB, TIB


def test_a_printed_size_is_right_within_half_of_its_last_digit() -> None:
    assert size("11.8 GiB") == Printed(round(11.8 * GIB), -(-GIB // 20))
    assert size("0 B") == Printed(0, 0)
    assert size("457.0 MiB").bytes == 457 * MIB
    assert size("1 KiB") == Printed(KIB, KIB // 2)
    assert size("2.0 TiB").bytes == 2 * TIB
    assert size("3377552306") == Printed(3377552306, 0)
    assert size("12 MB").bytes == 12_000_000
    assert mib("3847.55").bytes == round(3847.55 * MIB)
    assert mb("0.9310") == Printed(931_000, 50)
    assert gib("4").bytes == 4 * GIB


@given(st.integers(0, 1 << 45))
def test_a_size_printed_with_one_digit_agrees_with_itself(number: int) -> None:
    assert size(f"{number / GIB:.1f} GiB").agrees(number)
    assert mib(f"{number / MIB:.2f}").agrees(number)


@pytest.mark.parametrize("text", ["", "lots", "1,5 GiB", "1.8 XiB", "GiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m12s", 72.0), ("2.5s", 2.5), ("46.6µs", 46.6e-6), ("46.6μs", 46.6e-6), ("1h2m3.5s", 3723.5),
     ("5m0s", 300.0), ("1.37ms", 1.37e-3), ("0s", 0.0)],
)  # fmt: skip
def test_a_go_duration_is_seconds(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "12", "1m12", "1x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        duration(text)


def test_lists_flags_counts_and_command_lines() -> None:
    assert sizes("[6.9 GiB 5 GiB]") == (size("6.9 GiB"), size("5 GiB"))
    assert ints("20,21") == (20, 21) and ints("[37]") == (37,) and ints("") == ()
    assert words("[cpu cuda_v12]") == ("cpu", "cuda_v12")
    assert flag("true") and not flag("0")
    assert count("3.21 B") == 3_210_000_000 and count("137.00 M") == 137_000_000
    assert arguments('runner --model "/a b/c" --port 1') == ("runner", "--model", "/a b/c", "--port", "1")
