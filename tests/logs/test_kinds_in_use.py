"""What assembling and the checks wait for is what some rule gives: a kind that was renamed shows here."""

from __future__ import annotations

import re
from pathlib import Path

import vramctl.checks
from vramctl.logs.folds import FOLDS
from vramctl.logs.gpus import BACKENDS
from vramctl.logs.requests import KINDS
from vramctl.logs.stages import BULK, NOTED, STAGES
from vramctl.logs.tables import TABLES

GIVEN = {rule.kind for _, rules in TABLES for rule in rules}
# Literals with a dot in the checks that are no kinds.
_KIND = re.compile(
    r'"((?:memory|fit|runner|server|gpu|backend|crash|cuda|rocm|ctx|kv|flash|bench|build|'
    r'layers|weights|model|context|compute|graph|timing|request|system|library|vulkan|metal|device)\.[a-z_]+)"'
)


def asked_by_checks() -> set[str]:
    """Every kind that a check asks for."""
    folder = Path(vramctl.checks.__path__[0])
    return {kind for path in folder.glob("log_*.py") for kind in _KIND.findall(path.read_text(encoding="utf-8"))}


def test_every_kind_that_makes_a_load_is_given_by_a_rule() -> None:
    wanted = {*FOLDS, *STAGES, *NOTED, *BULK, *BACKENDS, *KINDS}
    assert wanted - GIVEN == set()


def test_every_kind_that_a_check_asks_for_is_given_by_a_rule() -> None:
    assert asked_by_checks() - GIVEN == set()
