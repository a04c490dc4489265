"""A diagnosis as the document of the contract."""

from __future__ import annotations

from typing import Any

from vramctl.records.diagnosis import Checked, Diagnosis
from vramctl.records.finding import Finding


def doctor_document(diagnosis: Diagnosis) -> dict[str, Any]:
    """The document `vramctl.doctor/1`."""
    root = diagnosis.root
    return {
        "schema": "vramctl.doctor/1",
        "status": diagnosis.status,
        "verdict": diagnosis.verdict,
        "root": root.id if root is not None else {"unknown": "nothing was found"},
        "findings": [_finding(one) for one in diagnosis.findings],
        "checks": [_check(checked) for checked in diagnosis.checks],
        "machine": dict(diagnosis.machine),
    }


def _check(checked: Checked) -> dict[str, Any]:
    first = checked.findings[0] if checked.findings else None
    return {
        "id": checked.id,
        "layer": checked.layer,
        "state": checked.state,
        "what": first.what if first else checked.why or checked.title,
        "because": list(first.because) if first else [checked.why] if checked.why else [],
        "fix": first.fix if first else "",
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {"id": one.id, "severity": one.severity, "what": one.what, "because": list(one.because), "fix": one.fix}
