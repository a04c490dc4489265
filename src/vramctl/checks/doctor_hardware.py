"""Checks of the layer hardware."""

from __future__ import annotations

from vramctl.checks.runner import Check

CHECKS: tuple[Check, ...] = ()
