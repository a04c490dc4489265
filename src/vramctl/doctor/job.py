"""Look, check, conclude: one verdict, one root cause."""

from __future__ import annotations

from vramctl.checks.chain import ALWAYS, EXPLAINED_BY, LAYERS
from vramctl.checks.modes import TITLES
from vramctl.checks.runner import run_checks
from vramctl.doctor.facts import Asked, MachineFacts
from vramctl.doctor.looks import LOOKS
from vramctl.doctor.verdict import machine_lines, verdict
from vramctl.records.diagnosis import FINE, PROBLEM, UNCLEAR, Diagnosis
from vramctl.records.finding import ERROR, WARNING, Finding
from vramctl.records.unknown import Unknown
from vramctl.world.machine import World

__all__ = ["Asked", "MachineFacts", "diagnose", "look_at_all"]

# Without these nothing can be said of the machine.
_ESSENTIAL = ("platform", "nvml", "engines")


def diagnose(world: World, asked: Asked) -> Diagnosis:
    """What is wrong with this machine (or recording), root cause first."""
    facts = MachineFacts(world, asked, LOOKS)
    checks = run_checks(LAYERS, facts, titles=TITLES, explained_by=EXPLAINED_BY, always=ALWAYS, only=asked.only)
    found = [finding for checked in checks for finding in checked.findings]
    root = _first(found, ERROR) or _first(found, WARNING)
    status = PROBLEM if root else FINE
    needed = (*_ESSENTIAL, "log") if asked.log else _ESSENTIAL
    blind = [name for name in needed if not asked.only and isinstance(facts.fact(name), Unknown)]
    if root is None and blind:
        status = UNCLEAR
    words = verdict(facts, root, [facts.fact(name).reason for name in blind])
    return Diagnosis(status, words, checks, root, machine_lines(facts))


def look_at_all(world: World, asked: Asked) -> None:
    """Look at every fact, also behind blockers: for a recording that can be replayed when checks have changed."""
    facts = MachineFacts(world, asked, LOOKS)
    for name in LOOKS:
        facts.fact(name)


def _first(found: list[Finding], severity: str) -> Finding | None:
    return next((finding for finding in found if finding.severity == severity), None)
