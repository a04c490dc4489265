"""The failure mode that only a load shows."""

from __future__ import annotations

from vramctl.checks.failure_modes import Mode

_FIX = (
    "Compare `vramctl doctor -v` line by line: a check that could not tell is where to look; then reinstall the engine with a "
    "build for this driver."
)
MODES: tuple[Mode, ...] = (
    Mode("small-model-not-on-gpu", "A small model does not land on the GPU", (("any", _FIX),)),
)  # fmt: skip
