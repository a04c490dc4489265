"""Load a model and prove where it is: planned, reported by the engine, observed on the device."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from vramctl.engines.engine import Engine, Running
from vramctl.engines.reported import placement as api_placement
from vramctl.errors import Wrong
from vramctl.plan.overhead import pool_bytes
from vramctl.plan.roofline import decode_bound, decode_reads
from vramctl.planning import Request as PlanRequest
from vramctl.planning import make_plan
from vramctl.planning.ready import Machine, default_engine, look_machine, refuse_misfit
from vramctl.probes.device_watch import NvmlWatcher
from vramctl.probes.learnt import MOST_CONTEXT_BYTES, learnt_key, write_learnt
from vramctl.probes.other_gpus import look_other_gpus
from vramctl.records import Device, Placement, Plan, Settings, Unknown
from vramctl.records.load import Load
from vramctl.records.placement import DeviceUse, HostUse
from vramctl.records.run import Ended, Generation, Loaded
from vramctl.records.stand_in import ModelFile
from vramctl.records.verification import ON_GPU, PARTIAL, DeviceWatch, Evidence, Verification
from vramctl.units import format_bytes
from vramctl.verify.compare import differences, observed
from vramctl.verify.verdict import causes, verdict, words

Say = Callable[[str], None]
HIDING = (
    "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES",
)  # fmt: skip
PROMPT_TOKENS, DECODE_TOKENS = 64, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to verify: the model as written, the settings that were asked for, the build to run."""

    model: str
    settings: Settings
    engine_path: str | None = None
    force: bool = False
    utilization: float = 0.90


def verify_model(
    request: Request,
    *,
    say: Say,
    open_file: Callable[[Plan], ModelFile],
    engine: Engine | None = None,
    machine: Machine | None = None,
) -> tuple[Verification, Plan, str]:
    """The verdict on a model that is loaded for it, with the plan that was made before and the engine's name.

    Wrong where the model does not fit and was not forced; a load that fails, or an engine that ends while it runs, is a Wrong
    too, with what the engine said. `engine` and `machine` default to the best library found here, and to this machine.
    """
    machine = machine or look_machine()
    say("planning")
    asked = PlanRequest(
        model=request.model,
        settings=request.settings,
        utilization=request.utilization,
        engine_path=request.engine_path,
    )
    plan = make_plan(asked, devices=machine.devices)
    refuse_misfit(plan, force=request.force)
    engine = engine or default_engine(request.engine_path)
    file = open_file(plan)
    with ExitStack() as stack:
        watcher = stack.enter_context(machine.watcher())
        watcher.mark("loading")
        say(f"loading {plan.model.reference}")
        run = stack.enter_context(engine.load(file.path, plan.settings))
        if isinstance(run, Ended | Unknown):
            raise _did_not_run(plan, run)
        watcher.mark("loaded", pid=run.loaded.pid if isinstance(run.loaded.pid, int) else None)
        say("reading a prompt and decoding")
        speed = _run(run, watcher)
        if isinstance(speed, Ended):
            raise _did_not_run(plan, speed)
        loaded, watches = run.loaded, watcher.watches()
    found_there = _gpus_in_machine(machine.gpus)
    judged = judge(plan, request.settings, loaded, watches, speed=speed, gpus_in_machine=found_there)
    judged = replace(judged, stand_in=file.invented, notes=tuple(_learn(plan, judged)))
    return judged, plan, loaded.engine


def judge(
    plan: Plan,
    asked: Settings,
    loaded: Loaded,
    watches: Sequence[DeviceWatch],
    *,
    speed: float | Unknown,
    gpus_in_machine: int | Unknown,
) -> Verification:
    """The verdict from what was asked, planned and seen; asks nobody."""
    reported = reported_placement(loaded)
    seen = observed(watches, reported)
    evidence = _evidence(plan, asked, loaded, speed, gpus_in_machine)
    differ = differences(plan.placement, reported, watches)
    found = causes(reported, evidence, watches, differ)
    answer = verdict(reported, evidence, differ)
    return Verification(
        verdict=answer, words=words(answer, evidence, found), planned=plan.placement, reported=reported, observed=seen,
        differences=differ, findings=found, evidence=evidence, watches=tuple(watches),
    )  # fmt: skip


def reported_placement(loaded: Loaded) -> Placement | Unknown:
    """Where the engine says it put things: its API to the byte where it has one, else its log."""
    exact = api_placement(loaded)
    if not isinstance(exact, Unknown) or isinstance(loaded.load, Unknown):
        return exact
    return _logged(loaded.load)


def _logged(load: Load) -> Placement:
    overhead = Unknown("the engine does not count what the driver keeps")
    uses = tuple(
        DeviceUse(use.name, use.weights_bytes, use.kv_bytes, use.compute_bytes, overhead) for use in load.on_gpus
    )
    host = load.on_host
    parts = [_sum([getattr(use, f"{part}_bytes") for use in host]) for part in ("weights", "kv", "compute", "output")]
    return Placement(uses, HostUse(*parts), Unknown("a log does not say where operations run"))


def _sum(values: list[int | Unknown]) -> int | Unknown:
    told = [value for value in values if isinstance(value, int)]
    return sum(told) if told or not values else Unknown("the log does not print it")


def _did_not_run(plan: Plan, ended: Ended | Unknown) -> Wrong:
    """What to say of a load that failed, or of an engine that ended while it ran."""
    what = (ended.what if isinstance(ended, Ended) else ended.reason).rstrip(".")
    because: list[str] = []
    loading = True
    if isinstance(ended, Ended):
        loading = ended.phase in {"start", "load"}
        because = [f"how it ended: {ended.how}, phase: {ended.phase}"]
        because += [line.text for line in ended.log if line.level == "error"][-3:]
    return Wrong(
        "did-not-load" if loading else "did-not-run",
        f"{plan.model.reference} {'was not loaded' if loading else 'was loaded and did not run'}: {what}.",
        because=tuple(dict.fromkeys(because)),
        fix="Run `vramctl doctor`, or `vramctl explain` on the engine's log.",
    )


def _run(run: Running, watcher: NvmlWatcher) -> float | Unknown | Ended:
    """Decode speed in tokens per second, after a first round that pays for kernels and pages; Ended where the engine ended."""
    watcher.mark("prefill")
    for first in (run.prefill(PROMPT_TOKENS), run.generate(4)):
        if isinstance(first, Ended):
            return first
    watcher.mark("decode")
    decode = run.generate(DECODE_TOKENS)
    watcher.mark("decoded")
    return decode.tokens_per_second if isinstance(decode, Generation) else decode


def _gpus_in_machine(found: tuple[Device, ...] | Unknown) -> int | Unknown:
    if not isinstance(found, Unknown):
        return len(found)
    others = [sighting for sighting in look_other_gpus() if sighting.kind in {"amd", "intel", "apple", "jetson"}]
    if "not found" in found.reason or "not loaded" in found.reason or "not installed" in found.reason:
        return len(others)
    return found


def _learn(plan: Plan, judged: Verification) -> Iterator[str]:
    """Keep what each GPU held beside what the engine accounts for, where nothing disturbed the view; say so."""
    if judged.verdict not in {ON_GPU, PARTIAL} or isinstance(judged.reported, Unknown):
        return
    flash = plan.settings.flash_attn != "off"
    learnt: dict[str, int] = {}
    for device, use, watch in zip(plan.devices, judged.reported.devices, judged.watches, strict=False):
        parts = (use.weights_bytes, use.kv_bytes, use.compute_bytes)
        if not isinstance(watch.process_bytes, int) or not all(isinstance(part, int) for part in parts):
            continue
        context = watch.process_bytes - sum(part for part in parts if isinstance(part, int))
        context -= pool_bytes(plan.model, plan.settings, flash_attn=flash)
        if 0 < context < MOST_CONTEXT_BYTES and learnt_key(device):
            learnt[learnt_key(device)] = context
            yield f"learnt: {device.name} keeps {format_bytes(context)} for its driver's context; plans here use that now"
    if learnt:
        write_learnt(learnt)


def _evidence(
    plan: Plan, asked: Settings, loaded: Loaded, speed: float | Unknown, gpus_in_machine: int | Unknown
) -> Evidence:
    log = loaded.load
    listed = loaded.devices
    gpus: int | Unknown = listed if isinstance(listed, Unknown) else sum(d.kind in {"gpu", "igpu"} for d in listed)
    nothing = Unknown("the engine printed no log")
    return Evidence(
        layers_on_gpu=_layers(plan, log, gpus),
        layers_total=log.layers_total
        if isinstance(log, Load) and isinstance(log.layers_total, int)
        else plan.layers_total,
        gpus_listed=gpus,
        asked_layers=asked.n_gpu_layers if asked.n_gpu_layers is not None else Unknown("left to the engine"),
        planned_layers=plan.layers_on_gpu,
        graph_splits=loaded.graph_splits,
        planned_splits=len(plan.devices) + 1 if plan.devices else Unknown("no GPU"),
        asked_kv_offload=asked.offload_kqv if asked.offload_kqv is not None else Unknown("left to the engine"),
        flash_attn=log.settings.flash_attn if isinstance(log, Load) else nothing,
        asked_flash_attn=asked.flash_attn or Unknown("left to the engine"),
        type_k=log.settings.type_k if isinstance(log, Load) else nothing,
        type_v=log.settings.type_v if isinstance(log, Load) else nothing,
        backends=_backends(loaded),
        hidden_by=_hiding(),
        gpus_in_machine=gpus_in_machine,
        decode_share=_share(plan, speed),
    )


def _layers(plan: Plan, log: Load | Unknown, gpus: int | Unknown) -> int | Unknown:
    if isinstance(log, Load) and isinstance(log.layers_on_gpu, int):
        return log.layers_on_gpu
    if gpus == 0:
        return 0
    return Unknown("the engine's log does not count layers")


def _backends(loaded: Loaded) -> frozenset[str] | Unknown:
    """The backends that the engine has, in lower case: those of the devices it lists, and those it names in its system_info.

    A backend whose devices are hidden lists none, so without system_info only a backend that was seen is known.
    """
    listed = loaded.devices if isinstance(loaded.devices, tuple) else ()
    names = {device.name.rstrip("0123456789").lower() for device in listed}
    info = loaded.facts.get("system_info")
    if info is None and not names - {"cpu"}:
        return Unknown("the engine does not name its backends")
    names |= {name.lower() for name in re.findall(r"(?:^|\| )(\w+) : ", info or "")}
    return frozenset({"rocm": "hip", "mtl": "metal"}.get(name, name) for name in names)


def _hiding() -> str:
    """The variable that hides GPUs from a child of this process, with its value; "" where none does."""
    for name in HIDING:
        value = os.environ.get(name)
        if value is not None and (value.strip() in {"", "-1", "none", "void"} or value.strip().startswith("-")):
            return f"{name}={value}"
    return ""


def _share(plan: Plan, speed: float | Unknown) -> float | Unknown:
    """Decode speed over what memory bandwidth allows for what is on the GPUs."""
    if isinstance(speed, Unknown):
        return speed
    reads = decode_reads(plan.model, plan.settings, plan.devices, PROMPT_TOKENS)
    if isinstance(reads, Unknown):
        return reads
    bound = decode_bound(reads, {d.name: d.bandwidth_bytes_per_second for d in plan.devices})
    return bound if isinstance(bound, Unknown) else speed / bound.tokens_per_second
