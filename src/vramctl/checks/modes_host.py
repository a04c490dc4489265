"""Failure modes and what to do about them: host."""

from __future__ import annotations

from vramctl.checks.failure_modes import Mode

MODES: tuple[Mode, ...] = ()
