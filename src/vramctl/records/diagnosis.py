"""What the doctor says: one state per check, the root cause first, one sentence above all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vramctl.records.finding import Finding

OK, WARN, FAIL, SKIPPED, UNKNOWN, CRASHED = "ok", "warn", "fail", "skipped", "unknown", "crashed"
FINE, PROBLEM, UNCLEAR = "ok", "problem", "unknown"


@dataclass(frozen=True, slots=True)
class Checked:
    """One check and how it went. `why` says why it was skipped, is unknown or crashed; `findings` what it found."""

    id: str
    layer: str
    state: str
    title: str = ""
    why: str = ""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All checks in causal order. `status` is ok, problem or unknown; `verdict` one sentence a person can act on.

    `root` is the finding that explains the others, None where nothing is wrong. `machine` holds what to show of the machine,
    a line each, by heading.
    """

    status: str
    verdict: str
    checks: tuple[Checked, ...]
    root: Finding | None = None
    machine: Mapping[str, str] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, the root cause first, then errors, warnings and remarks in causal order."""
        ranks = {"error": 0, "warning": 1, "info": 2}
        found = [finding for check in self.checks for finding in check.findings]
        return tuple(sorted(found, key=lambda one: (one is not self.root, ranks.get(one.severity, 3))))
