"""Checks of the layer state."""

from __future__ import annotations

from vramctl.checks.runner import Check

CHECKS: tuple[Check, ...] = ()
