"""The plan for what a running process was asked for: what should be where, if its command line is what it runs with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vramctl.errors import BadInput, VramctlError
from vramctl.planning import Request as PlanRequest
from vramctl.planning import make_plan
from vramctl.records import Device, Plan, Settings, Unknown
from vramctl.verifying.attached_settings import settings_of


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan for a process's command line, and the settings that the command line names."""

    plan: Plan
    asked: Settings


def plan_of(
    command: Sequence[str], environ: Mapping[str, str], here: Callable[[str], Path], devices: tuple[Device, ...]
) -> Planned | Unknown:
    """The plan for a llama.cpp command line; Unknown with the reason where there is none. `here` finds the process's files."""
    try:
        given = settings_of(command, environ)
        if isinstance(given, Unknown):
            return given
        mmproj, draft = given.settings.mmproj, given.settings.draft
        asked = replace(
            given.settings, mmproj=str(here(mmproj)) if mmproj else None, draft=str(here(draft)) if draft else None
        )
        usable = devices if given.devices is None else tuple(one for one in devices if one.name in given.devices)
        return _planned(str(here(given.model)), asked, usable or devices)
    except (VramctlError, ValueError, TypeError, KeyError) as error:
        return Unknown(f"no plan for its command line: {error}")


def _planned(model: str, asked: Settings, devices: tuple[Device, ...]) -> Planned:
    """The plan for these settings; more layers than the model has (`-ngl 99`) are all of them, as for llama.cpp."""
    try:
        return Planned(make_plan(PlanRequest(model=model, settings=asked, utilization=1.0), devices=devices), asked)
    except BadInput as error:
        if error.code != "more-layers-than-the-model-has":
            raise
        return _planned(model, replace(asked, n_gpu_layers=-1), devices)
