"""Checks of the layer host."""

from __future__ import annotations

from vramctl.checks.runner import Check

CHECKS: tuple[Check, ...] = ()
