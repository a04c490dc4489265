"""Benchmark a model here: plan, get a file to load, load it, measure, judge, set beside the limit."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from vramctl.bench.measure import Samples, Say, measure
from vramctl.bench.request import Case, Effort, Request, cases
from vramctl.bench.stats import stat
from vramctl.bench.validity import activity, invalid_because
from vramctl.engines.engine import Engine, Running
from vramctl.engines.reported import placement as reported_placement
from vramctl.errors import Wrong
from vramctl.plan.roofline import decode_bound, decode_reads
from vramctl.planning import Request as PlanRequest
from vramctl.planning import make_plan
from vramctl.planning.ready import Machine, default_engine, look_machine, machine_facts, refuse_misfit
from vramctl.probes.bandwidth import look_host_bandwidth
from vramctl.probes.cpu_watch import CpuWatch, on_battery
from vramctl.probes.host import look_host
from vramctl.records import Device, Plan, Unknown
from vramctl.records.measurement import Bench, Limit, Measured, Row, Stat
from vramctl.records.run import Ended, Loaded
from vramctl.records.stand_in import ModelFile
from vramctl.units import MIB, format_bytes

OpenFile = Callable[[Plan], ModelFile]
_IN_CACHES = 256 * MIB  # large servers' last caches; below that memory bandwidth is no bound


def run_bench(
    request: Request, *, say: Say, open_file: OpenFile, engine: Engine | None = None, machine: Machine | None = None
) -> Bench:
    """Every case of the request measured on `engine` (default: the best llama.cpp library found here).

    `open_file` gives a file to load for a plan's model: itself, or a stand-in.  CouldNotTell where no engine can run, Wrong
    where the model does not fit and was not forced; of several cases, one that does not fit is a row that failed.
    """
    machine = machine or look_machine()
    todo = cases(request, has_gpu=bool(machine.devices))
    engine = engine or default_engine(request.engine_path)
    host = look_host()
    threads = request.settings.n_threads or (host.physical_cores if isinstance(host.physical_cores, int) else 1)
    job = _Job(request, engine, machine, *_bandwidths(machine.devices, threads, host.available_bytes, say), say)
    done: list[_Done] = []
    model: str = request.model
    file: ModelFile | None = None
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
    return _bench(model, file is not None and file.invented, engine.vehicle, machine, job, done)


def _bench(
    model: str, stand_in: bool, vehicle: str, machine: Machine, job: _Job, done: Sequence[_Done]
) -> Bench:  # fmt: skip
    notes = [f"{one.row.name}: {note}" if one.row.name else note for one in done for note in one.notes]
    if stand_in:
        notes.append("a stand-in ran: its text is noise; speculative acceptance and expert routing are not measured")
    notes.append(f"prompts are random tokens, nothing is sampled ({vehicle})")
    invalid = [f"{one.row.name}: {why}" if one.row.name else why for one in done for why in one.invalid_because]
    if all(one.row.failed for one in done):
        invalid = ["nothing was measured"]
    return Bench(
        model=model, stand_in=stand_in, engine=next((one.engine for one in done if one.engine), ""),
        machine=machine_facts(machine.devices), rows=tuple(one.row for one in done),
        valid=not invalid, invalid_because=tuple(dict.fromkeys(invalid)), notes=tuple(dict.fromkeys(notes)),
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), bandwidths=job.bandwidths,
    )  # fmt: skip


def _bandwidths(
    devices: Sequence[Device], threads: int, available: int | Unknown, say: Say
) -> tuple[dict[str, float | Unknown], tuple[str, ...]]:
    """Bytes per second of each device's memory and of the host's, and where each figure is from."""
    say(f"measuring the bandwidth of system memory with {threads} threads")
    host = look_host_bandwidth(threads, available_bytes=available)
    found: dict[str, float | Unknown] = {"host": host if isinstance(host, Unknown) else host.bytes_per_second}
    sources = [f"host: {host.reason if isinstance(host, Unknown) else host.how}"]
    for device in devices:
        found[device.name] = device.bandwidth_bytes_per_second
        sources.append(f"{device.name}: its data sheet or clock and width ({device.source}), not measured")
    return found, tuple(sources)


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
    bandwidths: Mapping[str, float | Unknown]
    sources: tuple[str, ...]
    say: Say

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
        limit = _limit(plan, samples.effort, self.bandwidths, self.sources, decode)
        row = replace(row, limit=limit, activity=tuple(activity(watch, decode) for watch in watches))
        why = invalid_because(
            foreign_cpu=use.foreign, cores=use.cores, battery=on_battery(), watches=watches, decode=decode,
            on_cpu=plan.layers_on_gpu != plan.layers_total,
        )  # fmt: skip
        why = (run.loaded.facts["openmp"], *why) if "openmp" in run.loaded.facts else why
        return _Done(row, run.loaded.engine, why, tuple(samples.notes))


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


def _limit(
    plan: Plan, effort: Effort, bandwidths: Mapping[str, float | Unknown], sources: tuple[str, ...], decode: Measured
) -> Limit:
    """The bound of memory bandwidth at the depth in the middle of what was decoded."""
    depth = effort.depth + effort.decode_tokens // 2
    reads = decode_reads(plan.model, plan.settings, plan.devices, depth)
    if not isinstance(reads, Unknown) and 0 < reads.on("host") < _IN_CACHES:
        reads = Unknown(
            f"a token reads {format_bytes(reads.on('host'))} of system memory: processor caches can hold that"
        )
    if isinstance(reads, Unknown):
        return Limit(reads, reads, "", sources)
    bound = decode_bound(reads, bandwidths)
    if isinstance(bound, Unknown):
        return Limit(bound, bound, "", sources)
    share: float | Unknown = Unknown("decode was not measured")
    if isinstance(decode, Stat):
        share = decode.median / bound.tokens_per_second
    return Limit(bound.tokens_per_second, share, bound.bound_by, sources)
