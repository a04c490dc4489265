"""What a plan is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.records import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to `make_plan`: references are as the user wrote them (see the MODEL and DEVICE forms).

    `settings` holds only what the user asked for; its `n_gpu_layers` is None for auto and -1 for all. `gpus` is None for
    this machine's own. `ram` is a size such as `32GiB`, None where it is not said. `utilization` is the share of each
    device that all programs together may hold. `witness` is auto, dry-run, fit-params or formula. `engine_path` names the
    build to ask, None for the best one found. `reserve` is extra bytes kept free per device.
    """

    model: str
    settings: Settings
    gpus: tuple[str, ...] | None = None
    ram: str | None = None
    utilization: float = 0.90
    witness: str = "auto"
    engine_path: str | None = None
    engine_version: str | None = None
