"""What stands between a plan and a loaded model: the engine that runs it, the file to load, and a no where it does not fit."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vramctl.engines.binding import Binding
from vramctl.engines.builds import look_build
from vramctl.engines.engine import Engine
from vramctl.errors import CouldNotTell, Wrong
from vramctl.probes.device_watch import NvmlWatcher
from vramctl.probes.gpus import look_gpus
from vramctl.probes.host import look_host
from vramctl.records import Device, Plan, Unknown
from vramctl.units import format_bytes


@dataclass(frozen=True, slots=True)
class Machine:
    """The GPUs of the machine that a model is to run on, and what answers for them like pynvml (None: pynvml itself)."""

    gpus: tuple[Device, ...] | Unknown
    nvml: Any = None

    @property
    def devices(self) -> tuple[Device, ...]:
        """The GPUs that were found; none where that is not known."""
        return () if isinstance(self.gpus, Unknown) else self.gpus

    def watcher(self) -> NvmlWatcher:
        """A watcher of these GPUs, to be entered before the load."""
        return NvmlWatcher(self.devices, nvml=self.nvml)


def look_machine() -> Machine:
    """This machine."""
    return Machine(look_gpus())


def default_engine(path: str | None) -> Engine:
    """The llama.cpp library at `path`, or the best one found here; CouldNotTell where there is none."""
    build = look_build(path)
    if isinstance(build, Unknown) or not build.libraries:
        reason = build.reason if isinstance(build, Unknown) else f"{build.name} has programs only, no library"
        raise CouldNotTell(
            "no-engine",
            "No engine was found that could run a model.",
            because=(reason,),
            fix="pip install 'vramctl[engine]', or name one with --engine-path.",
        )
    return Binding(build)


def refuse_misfit(plan: Plan, *, force: bool, case: str = "") -> None:
    """Wrong for a model that does not fit: it is not loaded, unless that was insisted on."""
    if plan.fits or force:
        return
    uses = [(use.name, use.used_bytes) for use in plan.placement.devices]
    uses.append(("system memory", plan.placement.host.used_bytes))
    needs = [f"{name} would need {format_bytes(size)}" for name, size in uses if isinstance(size, int)]
    advice = plan.advice[0].fix if plan.advice else "Let the layers be chosen (--ngl auto), or shorten the context."
    raise Wrong(
        "model-does-not-fit",
        f"{plan.model.reference} does not fit{' with ' + case if case else ''}: nothing was loaded.",
        because=tuple(needs),
        fix=f"{advice} --force loads it all the same.",
    )


def machine_facts(devices: Sequence[Device]) -> dict[str, object]:
    """The machine in a few facts, for a report that others compare theirs with."""
    host = look_host()
    return {
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_name(),
        "physical_cores": host.physical_cores,
        "memory_bytes": host.total_bytes,
        "gpus": [
            {"name": d.name, "description": d.description, "total_bytes": d.total_bytes, "driver": _text(d.driver)}
            for d in devices
        ],
    }


def _text(value: str | Unknown) -> object:
    return {"unknown": value.reason} if isinstance(value, Unknown) else value


def _cpu_name() -> str | Unknown:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file.read(1 << 20).splitlines():
                if line.lower().startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or Unknown("this system does not name its processor")
