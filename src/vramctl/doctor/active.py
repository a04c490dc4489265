"""`--active`: a small model is loaded with all layers asked for on the GPU, and where it landed is looked at."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from vramctl.doctor.facts import Asked, MachineFacts
from vramctl.errors import VramctlError
from vramctl.records import Placement, Settings, Unknown
from vramctl.records.facts import Landing
from vramctl.records.run import Ended, Generation
from vramctl.records.unknown import Absent
from vramctl.world.machine import World

MODEL = "shape:qwen2.5-0.5b@Q4_K_M"
LOAD_SECONDS, RUN_SECONDS = 120.0, 60.0


def look_landing(world: World, asked: Asked, facts: MachineFacts) -> Landing | Unknown | Absent:
    """Where a small model landed; Absent unless it was asked for."""
    del facts
    if not asked.active and world.live:
        return Absent("only with --active")
    found = world.ask("active load", lambda: _load(asked.python))
    if not world.live and not asked.active and isinstance(found, Unknown):
        return Absent("only with --active")
    if not isinstance(found, dict):
        return found if isinstance(found, Unknown | Absent) else Unknown("the recording's load has another form")
    if found.get("model") is None:
        return Absent("only with --active")
    weights = found.get("gpu_weights_bytes")
    return Landing(
        engine=str(found.get("engine", "")),
        model=str(found["model"]),
        gpus_listed=_count(found.get("gpus_listed"), "the engine did not list its devices"),
        gpu_weights_bytes=_count(weights, "the engine did not say"),
        gpu_kv_bytes=_count(found.get("gpu_kv_bytes"), "the engine did not say"),
        decode_tokens_per_second=_rate(found.get("decode_tokens_per_second")),
        failed=str(found.get("failed", "")),
    )


def _load(python: str | None) -> dict[str, Any]:
    """The answer as JSON; a load that fails is an answer too."""
    from vramctl.engines.binding import Binding  # these take a while to import, and most runs load nothing
    from vramctl.engines.builds import look_build
    from vramctl.engines.reported import placement
    from vramctl.engines.stand_in_cache import stand_in_file
    from vramctl.probes.models import look_model

    build = look_build(python)
    if isinstance(build, Unknown):
        return {"unknown": build.reason}
    answer: dict[str, Any] = {"model": MODEL, "engine": build.name}
    settings = Settings(n_ctx=512, n_gpu_layers=999, n_parallel=1)
    try:
        with ExitStack() as stack:
            file = stack.enter_context(stand_in_file(look_model(MODEL)))
            run = stack.enter_context(Binding(build).load(file.path, settings, timeout_seconds=LOAD_SECONDS))
            if isinstance(run, Ended | Unknown):
                return answer | {"failed": run.what if isinstance(run, Ended) else run.reason}
            decode = run.generate(16, timeout_seconds=RUN_SECONDS)
            where = placement(run.loaded)
            devices = run.loaded.devices
    except VramctlError as error:
        return {"unknown": f"{error.what} {'; '.join(error.because)}"}
    if isinstance(where, Placement):
        answer |= {f"gpu_{part}_bytes": _sum(where, part) for part in ("weights", "kv")}
    if isinstance(devices, tuple):
        answer["gpus_listed"] = sum(device.kind in {"gpu", "igpu"} for device in devices)
    if isinstance(decode, Generation):
        answer["decode_tokens_per_second"] = decode.tokens_per_second
    return answer


def _sum(where: Placement, part: str) -> int | None:
    sizes = [getattr(use, f"{part}_bytes") for use in where.devices]
    return None if any(isinstance(size, Unknown) for size in sizes) else sum(sizes)


def _count(value: object, why: str) -> int | Unknown:
    return value if type(value) is int else Unknown(why)


def _rate(value: object) -> float | Unknown:
    return (
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else Unknown("nothing was decoded")
    )
