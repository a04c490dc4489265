"""How fast a real engine multiplies matrices here, and what is said where that cannot be measured."""

from __future__ import annotations

import dataclasses
import os
import signal
import time

import psutil
import pytest
from run_builds import builds

from vramctl.engines.binding import Binding
from vramctl.engines.child import Child
from vramctl.engines.multiply import look_rates
from vramctl.records import Build, Unknown

BUILDS = builds()
QUIET = {"OMP_WAIT_POLICY": "passive"}
pytestmark = [pytest.mark.engine, pytest.mark.skipif(not BUILDS, reason="no llama.cpp library is installed")]


@pytest.mark.parametrize("build", BUILDS, ids=[build.name for build in BUILDS])
def test_the_processor_multiplies_every_common_type(build: Build) -> None:
    kinds = ("Q4_K", "Q6_K", "Q8_0", "Q4_0", "IQ4_XS", "MXFP4", "F16", "BF16", "F32")
    began = time.monotonic()
    found = look_rates(
        Binding(build, environ=QUIET), [("host", kind) for kind in kinds], columns=64, threads=1, seconds_each=0.05
    )
    assert time.monotonic() - began < 20
    assert [(rate.device, rate.type, rate.columns) for rate in found] == [("host", kind, 64) for kind in kinds]
    for rate in found:
        assert isinstance(rate.flops_per_second, float), rate
        assert 1e8 < rate.flops_per_second < 1e13
        assert "weights in CPU" in rate.how and "1 threads" in rate.how


def test_what_cannot_be_measured_is_unknown_and_the_others_are() -> None:
    wanted = [("CUDA7", "Q4_K"), ("host", "I64"), ("host", "Q9_9"), ("host", "Q4_0")]
    *no, last = look_rates(Binding(BUILDS[0], environ=QUIET), wanted, columns=32, threads=1, seconds_each=0.02)
    assert [rate.flops_per_second for rate in no] == [
        Unknown("the engine has no device CUDA7"),
        Unknown("weights of the type I64 cannot be invented"),
        Unknown("weights of the type Q9_9 cannot be invented"),
    ]
    assert isinstance(last.flops_per_second, float)


def test_nothing_wanted_starts_no_process() -> None:
    before = len(psutil.Process().children())
    assert look_rates(Binding(BUILDS[0]), [], columns=32, threads=1) == ()
    assert len(psutil.Process().children()) == before


def test_a_build_without_a_library_and_one_that_does_not_load_are_unknown() -> None:
    for libraries in ((), ("/nowhere/libllama.so",)):
        (rate,) = look_rates(
            Binding(dataclasses.replace(BUILDS[0], libraries=libraries)), [("host", "F16")], columns=32, threads=1
        )
        assert isinstance(rate.flops_per_second, Unknown)


class Disturbed(Binding):
    """A binding whose child gets a signal."""

    number = signal.SIGKILL

    def start_child(self) -> Child:
        child = super().start_child()
        os.kill(child.pid, self.number)
        return child


def test_a_child_that_is_killed_leaves_everything_unknown() -> None:
    found = look_rates(Disturbed(BUILDS[0]), [("host", "F16"), ("host", "F32")], columns=32, threads=1)
    for rate in found:
        assert isinstance(rate.flops_per_second, Unknown)
        assert "ended the process" in rate.flops_per_second.reason


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vramctl.engines.multiply.START_SECONDS", 0.3)
    monkeypatch.setattr(Disturbed, "number", signal.SIGSTOP)
    before = {child.pid for child in psutil.Process().children()}
    (rate,) = look_rates(Disturbed(BUILDS[0]), [("host", "F16")], columns=32, threads=1)
    assert rate.flops_per_second == Unknown("measuring matrix products took more than 0.3 s")
    assert {child.pid for child in psutil.Process().children()} == before
