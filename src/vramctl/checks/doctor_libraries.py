"""Checks of the layer libraries."""

from __future__ import annotations

from vramctl.checks.runner import Check

CHECKS: tuple[Check, ...] = ()
