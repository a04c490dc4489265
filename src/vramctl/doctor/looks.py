"""Which function looks at which fact. Adding a fact is one entry here."""

from __future__ import annotations

from vramctl.doctor.facts import Look

LOOKS: dict[str, Look] = {}
