"""A plan: the placement to expect, the settings that lead to it, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vramctl.records.device import Device, Host
from vramctl.records.model import Model
from vramctl.records.placement import Placement
from vramctl.records.settings import Settings
from vramctl.records.unknown import Unknown

Origin = Literal["asked", "chosen", "engine default"]


@dataclass(frozen=True, slots=True)
class Witness:
    """Who says the numbers. `kind` is dry-run, fit-params or formula; `engine` names the build and its version.

    `exact` is True only where this kind of witness was found equal to the engine's own figures on a real
    device for this kind of configuration; `because` says why or why not.
    """

    kind: str
    engine: str
    exact: bool
    because: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to change, what it would buy, and how."""

    what: str
    because: tuple[str, ...]
    fix: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What will go where.

    `devices` and `placement.devices` are in the same order. `budgets` are the bytes per device that the plan may
    use (`utilization` of what is free). `fits` is about every device's budget and the host's available memory.
    `max_ctx` is the largest n_ctx that keeps all layers on the devices, 0 where even the smallest does not.
    """

    model: Model
    devices: tuple[Device, ...]
    host: Host
    settings: Settings
    origins: Mapping[str, Origin]
    placement: Placement
    witness: Witness
    budgets: tuple[int, ...]
    layers_on_gpu: int | Unknown
    layers_total: int
    fits: bool
    max_ctx: int | Unknown
    advice: tuple[Advice, ...]
    overhead_source: str
