"""What stands between a plan and a loaded model: the engine that runs it, the file to load, and a no where it does not fit."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vramctl.engines.builds import look_build
from vramctl.engines.engine import Engine
from vramctl.engines.table import engine_of_build
from vramctl.errors import BadInput, CouldNotTell, Wrong
from vramctl.probes.device_watch import NvmlWatcher
from vramctl.probes.gpus import look_gpus
from vramctl.probes.host import look_host
from vramctl.records import Device, Model, Plan, Settings, Unknown
from vramctl.units import format_bytes

_CAREFUL, _CTX_STEP = 0.95, 256  # of the longest context: what is free changes from one minute to the next


@dataclass(frozen=True, slots=True)
class Machine:
    """The GPUs of the machine that a model is to run on, and what answers for them like pynvml (None: pynvml itself)."""

    gpus: tuple[Device, ...] | Unknown
    nvml: Any = None

    @property
    def devices(self) -> tuple[Device, ...]:
        """The GPUs that were found; none where that is not known."""
        return () if isinstance(self.gpus, Unknown) else self.gpus

    def watcher(self, *, pid: int | None = None) -> NvmlWatcher:
        """A watcher of these GPUs, to be entered before the load; `pid` is an engine that runs already."""
        return NvmlWatcher(self.devices, nvml=self.nvml, pid=pid)


def look_machine() -> Machine:
    """This machine."""
    return Machine(look_gpus())


def default_engine(path: str | None) -> Engine:
    """The llama.cpp library at `path`, or the best one found here; llama-server where there is no library.

    CouldNotTell where there is neither.
    """
    build = look_build(path)
    found = build if isinstance(build, Unknown) else engine_of_build(build)
    if isinstance(found, Unknown):
        raise CouldNotTell(
            "no-engine",
            "No engine was found that could run a model.",
            because=(found.reason,),
            fix="pip install 'vramctl[engine]', or name one with --engine-path.",
        )
    return found


def refuse_not_run(settings: Settings, *, through_server: bool = False) -> None:
    """BadInput for settings that mean another program, or a second model that is not loaded: they would change the plan alone."""
    if settings.engine not in (None, "llama.cpp"):
        ollama = settings.engine == "ollama"
        fix = "Give a running Ollama's address, such as http://127.0.0.1:11434, or --for ollama for its defaults."
        raise BadInput(
            "engine-not-run-here", f"{settings.engine} is not started by this command.",
            because=("what it starts is llama.cpp",),
            fix=fix if ollama else f"Leave it out. `vramctl plan` knows what a model takes in {settings.engine}.",
        )  # fmt: skip
    second = [option for option, given in (("--draft", settings.draft), ("--mmproj", settings.mmproj)) if given]
    if second and not through_server:
        raise BadInput(
            "second-model-not-run", f"{' and '.join(second)}: one model is loaded here, without a second one.",
            because=("the library is driven directly, where drafts and images are the program's business",),
            fix="Leave it out. `vramctl plan` counts both, `vramctl bench --parallel` hands them to llama-server.",
        )  # fmt: skip


def refuse_misfit(plan: Plan, *, force: bool, case: str = "") -> None:
    """Wrong for a model that does not fit: it is not loaded, unless that was insisted on; BadInput for one that only encodes."""
    _refuse_encoder(plan.model)
    if plan.fits or force:
        return
    raise Wrong(
        "model-does-not-fit",
        f"{plan.model.reference} does not fit{' with ' + case if case else ''}: nothing was loaded.",
        because=tuple(_over(plan)),
        fix=f"{_instead(plan)} --force loads it all the same.",
    )


def _refuse_encoder(model: Model) -> None:
    """BadInput for a model of embeddings: it has no cache, and gives no token after another."""
    if model.metadata.get(f"{model.architecture}.attention.causal") is False:
        raise BadInput(
            "model-does-not-generate",
            f"{model.reference} does not generate token by token: there is no decoding to run.",
            because=(f"{model.architecture}.attention.causal is false, as in models of embeddings",),
            fix="`vramctl plan` says what it takes.",
        )


def _over(plan: Plan) -> Iterator[str]:
    """What each place would have to hold, with what it has, for those that have too little."""
    rooms: list[tuple[str, int | Unknown, int | Unknown]] = [
        (use.name, use.used_bytes, budget) for use, budget in zip(plan.placement.devices, plan.budgets, strict=False)
    ]
    rooms.append(("system memory", plan.placement.host.used_bytes, plan.host.available_bytes))
    for name, used, room in rooms:
        if isinstance(used, int) and isinstance(room, int) and used > room:
            yield f"{name} would need {format_bytes(used)}, and {format_bytes(room)} can be used"


def _instead(plan: Plan) -> str:
    """What would fit: a shorter context where that is all, else the plan's own advice."""
    asked, longest = plan.settings.n_ctx, plan.max_ctx
    if isinstance(longest, int) and asked is not None and 0 < longest < asked:
        careful = max(_CTX_STEP, int(longest * _CAREFUL) // _CTX_STEP * _CTX_STEP)
        return f"--ctx {min(careful, longest)} fits."
    words = "Let the layers be chosen (--ngl auto), or shorten the context."
    return next((one.fix for one in plan.advice if "training" not in one.what), words)


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
