"""Runs checks in causal order over what was seen: a check's parameters are its needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from vramctl.records.diagnosis import CRASHED, FAIL, OK, SKIPPED, UNKNOWN, WARN, Checked
from vramctl.records.finding import ERROR, WARNING, Finding
from vramctl.records.unknown import Absent, Unknown

Check = Callable[..., Iterator[Finding]]
T = TypeVar("T")
LOG_LAYER = "log"
"""Where stands what only a log shows: crashes and requests, which no other check looks for."""

# A check that asks for one of these runs once for each of them.
EACH = {"engine": "engines", "gpu": "gpus", "call": "calls"}


class Facts(Protocol):
    """What was seen, by name; looked at when it is first asked for."""

    def fact(self, name: str) -> Any | Unknown | Absent:
        """The fact of this name, Unknown with the reason, or Absent where it is not there."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Checks of one place in the causal chain. After a blocker, later layers are not checked unless they `always`
    are."""

    name: str
    checks: tuple[Check, ...]
    always: bool = False


class NotKnown(Exception):
    """A check met something unknown: raised by `known`, turned into the state `unknown` by the runner."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotThere(Exception):
    """A check met something that is not there: it does not apply."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def known(value: T | Unknown | Absent) -> T:
    """The value; where it is Unknown the check ends as `unknown`, where it is Absent as `skipped`, unless it found
    something before."""
    if isinstance(value, Unknown):
        raise NotKnown(value.reason)
    if isinstance(value, Absent):
        raise NotThere(value.reason)
    return value


def check_id(check: Check) -> str:
    """The id of a check: its function's name with hyphens."""
    return check.__name__.replace("_", "-")


def run_checks(
    layers: tuple[Layer, ...],
    facts: Facts,
    *,
    titles: Mapping[str, str],
    explained_by: Mapping[str, Collection[str]],
    always: Collection[str] = (),
    only: Collection[str] = (),
) -> tuple[Checked, ...]:
    """The state of every check, in causal order.

    After an error, checks of later layers are skipped (those of `always` layers and ids are not). A check whose cause
    (`explained_by`) has spoken already stays out. Where a log was read, what it shows under a check's id is that check's
    finding; a log that was given counts behind a blocker too, as it may be of another machine.
    """
    done: list[Checked] = []
    log = _logged(facts)
    log_given = facts.fact("log_given") is True
    blocker: tuple[str, str] | None = None
    spoken: set[str] = set()
    for layer in layers:
        for check in layer.checks:
            name = check_id(check)
            if only and name not in only:
                continue
            title = titles.get(name, "")
            causes = sorted(spoken & set(explained_by.get(name, ())))
            blocked = blocker and blocker[1] != layer.name and not layer.always and name not in always
            if blocker and blocked and not (log_given and name in log and not causes):
                done.append(Checked(name, layer.name, SKIPPED, title, f"not checked: {blocker[0]} comes first"))
                continue
            if causes:
                done.append(Checked(name, layer.name, SKIPPED, title, f"explained by {causes[0]}"))
                continue
            checked = Checked(name, "", OK) if blocked else _run(check, name, facts)
            checked = replace(_with_log(checked, log.get(name, ())), layer=layer.name, title=title)
            checked = replace(checked, findings=tuple(replace(f, id=name, title=title) for f in checked.findings))
            done.append(checked)
            if checked.findings and checked.state in {WARN, FAIL}:
                spoken.add(name)
            if checked.state == FAIL and blocker is None and not layer.always:
                blocker = (name, layer.name)
    named = {checked.id for checked in done}
    if not only and (log_given or not blocker):
        done += [_with_log(Checked(name, LOG_LAYER, OK, f[0].title), f) for name, f in log.items() if name not in named]
    return tuple(done)


def _logged(facts: Facts) -> dict[str, tuple[Finding, ...]]:
    """What a log shows, by the id of its failure mode; empty where there is none. Remarks are left out."""
    found = facts.fact("log_findings")
    by_id: dict[str, tuple[Finding, ...]] = {}
    for finding in found if isinstance(found, tuple) else ():
        if finding.severity in {ERROR, WARNING}:
            by_id[finding.id] = (*by_id.get(finding.id, ()), finding)
    return by_id


def _with_log(checked: Checked, shown: tuple[Finding, ...]) -> Checked:
    """The check with what the log shows of it, unless the machine showed it already."""
    if not shown or checked.state in {WARN, FAIL, CRASHED}:
        return checked
    state = FAIL if any(finding.severity == ERROR for finding in shown) else WARN
    return replace(checked, state=state, why="", findings=(*shown, *checked.findings))


def _run(check: Check, name: str, facts: Facts) -> Checked:
    """One check over all of what it asks for."""
    given: dict[str, Any] = {}
    each: tuple[str, tuple[Any, ...]] | None = None
    for parameter, spec in inspect.signature(check).parameters.items():
        value = facts.fact(EACH.get(parameter, parameter))
        if spec.default is not spec.empty:  # it may be Unknown or Absent: the check knows what to do without it
            given[parameter] = value
            continue
        if isinstance(value, Unknown):
            return Checked(name, "", UNKNOWN, why=value.reason)
        if isinstance(value, Absent):
            return Checked(name, "", SKIPPED, why=value.reason)
        if parameter in EACH:
            each = (parameter, tuple(value))
        else:
            given[parameter] = value
    if each is None:
        return _called(check, name, given)
    parameter, values = each
    if not values:
        return Checked(name, "", SKIPPED, why=f"there are no {EACH[parameter]} to check")
    return _worst(name, [_called(check, name, {**given, parameter: value}) for value in values])


def _called(check: Check, name: str, given: Mapping[str, Any]) -> Checked:
    found: list[Finding] = []
    try:
        for finding in check(**given):
            found.append(finding)  # noqa: PERF402 - what was found before it met something unknown counts
    except NotKnown as no:
        if not found:
            return Checked(name, "", UNKNOWN, why=no.reason)
    except NotThere as no:
        if not found:
            return Checked(name, "", SKIPPED, why=no.reason)
    except Exception as error:  # a check that fails must not end the others
        return Checked(name, "", CRASHED, why=f"{type(error).__name__}: {error}", findings=tuple(found))
    severities = {finding.severity for finding in found}
    state = FAIL if ERROR in severities else WARN if WARNING in severities else OK
    return Checked(name, "", state, findings=tuple(found))


_RANK = {FAIL: 0, WARN: 1, CRASHED: 2, UNKNOWN: 3, OK: 4, SKIPPED: 5}


def _worst(name: str, each: list[Checked]) -> Checked:
    """One state for all: the worst; unknown for one of them is not hidden by ok of another."""
    worst = min(each, key=lambda checked: _RANK[checked.state])
    return replace(worst, findings=tuple(_equal_once(f for checked in each for f in checked.findings)))


def _equal_once(findings: Iterator[Finding]) -> Iterator[Finding]:
    seen: set[Finding] = set()
    for finding in findings:
        if finding not in seen:
            seen.add(finding)
            yield finding
