"""Checks of AMD's, Intel's and Vulkan's own stacks."""

from __future__ import annotations

from vramctl.checks.runner import Check

AMD_CHECKS: tuple[Check, ...] = ()
INTEL_CHECKS: tuple[Check, ...] = ()
VULKAN_CHECKS: tuple[Check, ...] = ()
