"""The runner of checks: causal order, unknown is never ok, a crash ends one check only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from vramctl.checks.runner import Layer, known, run_checks
from vramctl.records.diagnosis import CRASHED, FAIL, OK, SKIPPED, UNKNOWN, WARN, Checked
from vramctl.records.finding import Finding
from vramctl.records.unknown import Absent, Unknown


class Seen:
    """Facts from a dict."""

    def __init__(self, **facts: Any) -> None:
        self._facts = facts

    def fact(self, name: str) -> Any:
        return self._facts.get(name, Unknown(f"nothing looks at {name}"))


def problem(severity: str = "error") -> Finding:
    return Finding(severity, "it is broken", ("seen",), "mend it")


def sick(driver: str) -> Iterator[Finding]:
    if driver == "old":
        yield problem()


def consequence(driver: str) -> Iterator[Finding]:
    if driver == "old":
        yield problem("warning")


def tired(gpu: str) -> Iterator[Finding]:
    if known({"a": "cold", "b": "hot", "c": Unknown("no sensor")}[gpu]) == "hot":
        yield problem("warning")


def broken(driver: str) -> Iterator[Finding]:
    raise RuntimeError(f"bug {driver}")
    yield problem()


def states(
    *layers: Layer, only: tuple[str, ...] = (), explained: dict[str, tuple[str, ...]] | None = None, **facts: Any
) -> dict[str, Checked]:
    found = run_checks(layers, Seen(**facts), titles={}, explained_by=explained or {}, only=only)
    return {checked.id: checked for checked in found}


def layer(name: str, *checks: Callable[..., Iterator[Finding]], always: bool = False) -> Layer:
    return Layer(name, checks, always)


def test_after_a_blocker_later_layers_are_not_checked_but_the_host_is() -> None:
    found = states(
        layer("a", sick), layer("b", tired), layer("host", consequence, always=True), driver="old", gpus=("a",)
    )
    assert found["sick"].state == FAIL
    assert (found["tired"].state, found["tired"].why) == (SKIPPED, "not checked: sick comes first")
    assert found["consequence"].state == WARN


def test_a_consequence_stays_out_when_its_cause_spoke() -> None:
    found = states(layer("a", sick, consequence), driver="old", explained={"consequence": ("sick",)})
    assert (found["consequence"].state, found["consequence"].why) == (SKIPPED, "explained by sick")


def test_unknown_is_never_ok() -> None:
    assert states(layer("a", sick), driver=Unknown("no permission"))["sick"] == Checked(
        "sick", "a", UNKNOWN, why="no permission"
    )
    assert states(layer("a", tired), gpus=("a", "c"))["tired"].state == UNKNOWN
    assert states(layer("a", tired), gpus=("b", "c"))["tired"].state == WARN
    assert states(layer("a", tired), gpus=("a", "a"))["tired"].state == OK


def test_what_is_not_there_is_not_checked() -> None:
    assert states(layer("a", sick), driver=Absent("no driver"))["sick"].state == SKIPPED
    assert states(layer("a", tired), gpus=())["tired"].state == SKIPPED


def test_a_check_that_crashes_ends_alone() -> None:
    found = states(layer("a", broken, sick), driver="old")
    assert (found["broken"].state, found["broken"].why) == (CRASHED, "RuntimeError: bug old")
    assert found["sick"].state == FAIL


def test_one_check_can_be_asked_alone() -> None:
    assert list(states(layer("a", sick, consequence), driver="old", only=("consequence",))) == ["consequence"]
