"""Load a model and prove where it is: planned, reported by the engine, observed on the device."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from vramctl.engines.endings import what_to_do
from vramctl.engines.engine import Clock, Engine, Running
from vramctl.engines.reported import not_applied_notes
from vramctl.engines.reported import placement as api_placement
from vramctl.errors import CouldNotTell, Wrong
from vramctl.plan.overhead import pool_bytes
from vramctl.planning import Request as PlanRequest
from vramctl.planning import make_plan
from vramctl.planning.ready import Machine, default_engine, look_machine, refuse_misfit
from vramctl.probes.device_watch import NvmlWatcher
from vramctl.probes.learnt import MOST_CONTEXT_BYTES, learnt_key, write_learnt
from vramctl.probes.other_gpus import look_other_gpus
from vramctl.records import Device, Placement, Plan, Settings, Unknown
from vramctl.records.load import Load
from vramctl.records.placement import DeviceUse, HostUse
from vramctl.records.run import Ended, Generation, Loaded, Prefill
from vramctl.records.stand_in import ModelFile
from vramctl.records.verification import ON_GPU, PARTIAL, DeviceWatch, Verification
from vramctl.units import format_bytes
from vramctl.verify.causes import causes
from vramctl.verify.compare import differences, observed
from vramctl.verify.verdict import verdict, words
from vramctl.verifying.evidence import evidence_of

Say = Callable[[str], None]
PROMPT_TOKENS, DECODE_TOKENS = 64, 32
MOST_DECODES, WATCH_SECONDS, BATCH_SECONDS = 40, 1.2, 3.0


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
        if isinstance(run, Unknown):
            raise CouldNotTell(
                "engine-not-usable", "The engine that was found cannot run a model here.", because=(run.reason,),
                fix=what_to_do(run),
            )  # fmt: skip
        if isinstance(run, Ended):
            raise _did_not_run(plan, run)
        watcher.mark("loaded", pid=run.loaded.pid if isinstance(run.loaded.pid, int) else None)
        say("reading a prompt and decoding")
        speed = _run(run, watcher, engine.clock)
        if isinstance(speed, Ended):
            raise _did_not_run(plan, speed)
        loaded, watches = run.loaded, watcher.watches()
    found_there = _gpus_in_machine(machine.gpus)
    judged = judge(plan, request.settings, loaded, watches, speed=speed, gpus_in_machine=found_there)
    judged = replace(
        judged, stand_in=file.invented, notes=(*not_applied_notes(loaded, request.settings), *_learn(plan, judged))
    )
    return judged, plan, loaded.named


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
    evidence = evidence_of(plan, asked, loaded, speed, gpus_in_machine)
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


def _did_not_run(plan: Plan, ended: Ended) -> Wrong:
    """What to say of a load that failed, or of an engine that ended while it ran."""
    loading = ended.phase in {"start", "load"}
    because = [f"how it ended: {ended.how}, phase: {ended.phase}"]
    because += [line.text for line in ended.log if line.level == "error"][-3:]
    return Wrong(
        "did-not-load" if loading else "did-not-run",
        f"{plan.model.reference} {'was not loaded' if loading else 'was loaded and did not run'}: {ended.what.rstrip('.')}.",
        because=tuple(dict.fromkeys(because)),
        fix=what_to_do(ended),
    )


def _run(run: Running, watcher: NvmlWatcher, clock: Clock) -> float | Unknown | Ended:
    """Decode speed in tokens per second, after a first round that pays for kernels and pages; Ended where the engine ended.

    It decodes for a second at least: a driver's figure of a GPU's load is that of the last quarter to whole second.
    """
    watcher.mark("prefill")
    for first in (run.prefill(PROMPT_TOKENS), run.generate(4), _whole_batch(run)):
        if isinstance(first, Ended):
            return first
    watcher.mark("decode")
    speeds: list[float] = []
    began = clock.now_seconds()
    for _ in range(MOST_DECODES):
        decode = run.generate(DECODE_TOKENS)
        if not isinstance(decode, Generation):
            return decode
        speeds.append(decode.tokens_per_second)
        if clock.now_seconds() - began >= WATCH_SECONDS:
            break
    watcher.mark("decoded")
    return statistics.median(speeds)


def _whole_batch(run: Running) -> Prefill | Unknown | Ended:
    """A prompt of n_ubatch tokens where that takes no time worth saving: only then a GPU's pools have their full size."""
    again = run.prefill(PROMPT_TOKENS)
    batch, room = run.loaded.n_ubatch, run.loaded.n_ctx_seq
    if not isinstance(again, Prefill) or not isinstance(batch, int) or not isinstance(room, int):
        return again
    if batch <= PROMPT_TOKENS or batch > room or again.seconds * batch / PROMPT_TOKENS > BATCH_SECONDS:
        return again
    return run.prefill(batch)


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
    if judged.evidence.flash_attn == "off":  # its pools are planned for a full cache, and were seen with a short one
        return
    learnt: dict[str, int] = {}
    for device, use, watch in zip(plan.devices, judged.reported.devices, judged.watches, strict=False):
        parts = (use.weights_bytes, use.kv_bytes, use.compute_bytes)
        if not isinstance(watch.process_bytes, int) or not all(isinstance(part, int) for part in parts):
            continue
        context = watch.process_bytes - sum(part for part in parts if isinstance(part, int))
        context -= pool_bytes(plan.model, plan.settings, flash_attn=True)
        if 0 < context < MOST_CONTEXT_BYTES and learnt_key(device):
            learnt[learnt_key(device)] = context
            yield f"learnt: {device.name} keeps {format_bytes(context)} for its driver's context; plans here use that now"
    if learnt:
        write_learnt(learnt)
