"""Benchmark a model here: plan, get a file to load, load it, measure, judge, set beside the limit."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from vramctl.bench.interrupt import rows_kept
from vramctl.bench.limits import Bandwidths, Rates, decode_limit, look_bandwidths, with_prefill
from vramctl.bench.measure import Samples, Say, measure
from vramctl.bench.request import Case, Request, cases
from vramctl.bench.stats import stat
from vramctl.bench.validity import activity, invalid_because
from vramctl.engines.engine import Engine, Running
from vramctl.engines.llama_server import LlamaServer
from vramctl.engines.reported import not_applied_notes
from vramctl.engines.reported import placement as reported_placement
from vramctl.errors import Wrong
from vramctl.planning import Request as PlanRequest
from vramctl.planning import make_plan
from vramctl.planning.ready import Machine, default_engine, look_machine, machine_facts, refuse_misfit
from vramctl.probes.cpu_watch import CpuWatch, on_battery
from vramctl.probes.host import look_host
from vramctl.records import Plan, Unknown
from vramctl.records.measurement import Bench, Measured, Row
from vramctl.records.run import Ended, Loaded
from vramctl.records.stand_in import ModelFile

OpenFile = Callable[[Plan], ModelFile]


def run_bench(
    request: Request, *, say: Say, open_file: OpenFile, engine: Engine | None = None, machine: Machine | None = None
) -> Bench:
    """Every case of the request measured on `engine` (default: the best llama.cpp library found here).

    `open_file` gives a file to load for a plan's model: itself, or a stand-in.  CouldNotTell where no engine can run, Wrong
    where the model does not fit and was not forced; of several cases, one that does not fit is a row that failed.  Ended by
    Ctrl-C or SIGTERM, the rows that are done come back, where there are some.
    """
    machine = machine or look_machine()
    todo = cases(request, has_gpu=bool(machine.devices))
    engine = engine or default_engine(request.engine_path)
    host = look_host()
    threads = request.settings.n_threads or (host.physical_cores if isinstance(host.physical_cores, int) else 1)
    bandwidths = look_bandwidths(machine.devices, threads, host.available_bytes, say)
    job = _Job(request, engine, machine, bandwidths, say)
    done: list[_Done] = []
    model: str = request.model
    file: ModelFile | None = None
    with rows_kept(done, len(todo)) as interrupt:
        for case in todo:
            plan = job.plan(case)
            model = plan.model.reference
            try:
                refuse_misfit(plan, force=request.force, case=case.name)
            except Wrong as misfit:
                if len(todo) == 1:
                    raise
                done.append(_Done(replace(_empty_row(case, plan), failed=misfit.what)))
                continue
            file = file or open_file(plan)
            done.append(job.measured(case, plan, file.path))
    return interrupt.told(_bench(model, file is not None and file.invented, engine.vehicle, machine, job, done))


def _bench(
    model: str, stand_in: bool, vehicle: str, machine: Machine, job: _Job, done: Sequence[_Done]
) -> Bench:  # fmt: skip
    notes = [f"{one.row.name}: {note}" if one.row.name else note for one in done for note in one.notes]
    if stand_in:
        notes.append("a stand-in ran: its text is noise; speculative acceptance and expert routing are not measured")
    notes.append(
        "through a server: HTTP and sampling are in these figures"
        if vehicle == LlamaServer.vehicle
        else f"prompts are random tokens, nothing is sampled ({vehicle})"
    )
    invalid = [f"{one.row.name}: {why}" if one.row.name else why for one in done for why in one.invalid_because]
    if all(one.row.failed for one in done):
        invalid = ["nothing was measured"]
    return Bench(
        model=model, stand_in=stand_in, engine=next((one.engine for one in done if one.engine), ""),
        machine=machine_facts(machine.devices), rows=tuple(one.row for one in done),
        valid=not invalid, invalid_because=tuple(dict.fromkeys(invalid)), notes=tuple(dict.fromkeys(notes)),
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), bandwidths=job.bandwidths.found,
        rates=tuple(job.rates.found.values()),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Done:
    """A case's row, the engine that ran it, why its figures do not count, and what else to say."""

    row: Row
    engine: str = ""
    invalid_because: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Job:
    request: Request
    engine: Engine
    machine: Machine
    bandwidths: Bandwidths
    say: Say
    rates: Rates = field(default_factory=Rates)

    def plan(self, case: Case) -> Plan:
        """Where the case's bytes go on this machine."""
        request = self.request
        asked = PlanRequest(
            model=request.model,
            settings=case.asked,
            utilization=request.utilization,
            engine_path=request.engine_path,
        )
        return make_plan(asked, devices=self.machine.devices)

    def measured(self, case: Case, plan: Plan, file: str) -> _Done:
        """One case's row, and whether its figures count."""
        self.say(f"loading {plan.model.reference}{': ' + case.name if case.name else ''}")
        row = _empty_row(case, plan)
        with ExitStack() as stack:
            watcher = stack.enter_context(self.machine.watcher())
            watcher.mark("loading")
            began = self.engine.clock.now_seconds()
            run = stack.enter_context(self.engine.load(file, plan.settings))
            if isinstance(run, Ended | Unknown):
                return _Done(replace(row, failed=run.what if isinstance(run, Ended) else run.reason))
            pid = run.loaded.pid if isinstance(run.loaded.pid, int) else None
            watcher.mark("loaded", pid=pid)
            processor = CpuWatch(pid)
            samples = measure(
                run, case.effort, clock=self.engine.clock, watcher=watcher, say=self.say, began_seconds=began
            )
            use, resident = processor.use(), _resident(run)
            row = replace(_row(row, run.loaded, samples), host_resident_bytes=resident)
        watches = watcher.watches()
        decode = row.decode_tokens_per_second
        limit = decode_limit(plan, samples.effort, run.loaded, decode, self.bandwidths)
        if not row.failed:
            limit = with_prefill(
                limit, plan, samples.effort, run.loaded, row.prefill_tokens_per_second, engine=self.engine,
                bandwidths=self.bandwidths, rates=self.rates, say=self.say,
            )  # fmt: skip
        row = replace(row, limit=limit, activity=tuple(activity(watch, decode) for watch in watches))
        why = invalid_because(
            foreign_cpu=use.foreign, cores=use.cores, battery=on_battery(), watches=watches, decode=decode,
            on_cpu=plan.layers_on_gpu != plan.layers_total,
        )  # fmt: skip
        why = (run.loaded.facts["openmp"], *why) if "openmp" in run.loaded.facts else why
        return _Done(row, run.loaded.named, why, (*samples.notes, *not_applied_notes(run.loaded, case.asked)))


def _empty_row(case: Case, plan: Plan) -> Row:
    counted = isinstance(plan.layers_on_gpu, int)
    return Row(
        name=case.name,
        settings=plan.settings,
        prompt_tokens=case.effort.prompt_tokens,
        depth=case.effort.depth,
        placement=plan.placement,
        layers=f"{plan.layers_on_gpu}/{plan.layers_total}" if counted else "",
    )


def _row(row: Row, loaded: Loaded, samples: Samples) -> Row:
    reported = reported_placement(loaded)
    load = loaded.load_seconds
    return replace(
        row,
        prompt_tokens=samples.effort.prompt_tokens,
        placement=row.placement if isinstance(reported, Unknown) else reported,
        prefill_tokens_per_second=_stat(samples.prefill, "tokens/s", samples.unknown.get("prefill")),
        decode_tokens_per_second=_stat(samples.decode, "tokens/s", samples.unknown.get("decode")),
        ttft_seconds=_stat(samples.ttft, "s", samples.unknown.get("ttft")),
        gap_seconds=_stat(samples.gaps, "s", samples.unknown.get("ttft")),
        load_seconds=stat([load], "s") if isinstance(load, float | int) else load,
        first_run_seconds=samples.first_run_seconds,
        failed=samples.ended,
    )


def _stat(samples: Sequence[float], unit: str, why: str | None) -> Measured:
    return Unknown(why) if why and not samples else stat(samples, unit)


def _resident(run: Running) -> int | Unknown:
    found = run.memory()
    if isinstance(found, Ended):
        return Unknown(found.what)
    return found if isinstance(found, Unknown) else found.resident_bytes
