"""What would make a load fit: one changed setting, what it then takes, and who worked that out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """One change with which the model fits: `option` as the engine takes it, bytes used and there on all GPUs together."""

    option: str
    what: str
    used_bytes: int
    budget_bytes: int
    layers_on_gpu: int


@dataclass(frozen=True, slots=True)
class WhatFits:
    """Changes that make a load fit, most welcome first; `witness` computed them and `because` says why to believe it."""

    witness: str
    because: tuple[str, ...]
    changes: tuple[Change, ...]
