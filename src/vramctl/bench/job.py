"""Benchmark a model here: plan, get a file to load, load it, measure, judge, set beside the limit."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from vramctl.bench.measure import Samples, Say, measure
from vramctl.bench.request import Case, Request, cases
from vramctl.bench.stats import stat
from vramctl.bench.validity import activity, invalid_because
from vramctl.engines.engine import Engine, Running
from vramctl.engines.reported import placement as reported_placement
from vramctl.plan.roofline import decode_bound, decode_reads
from vramctl.planning import Request as PlanRequest
from vramctl.planning import make_plan
from vramctl.planning.ready import default_engine, machine_facts, refuse_misfit
from vramctl.probes.bandwidth import look_host_bandwidth
from vramctl.probes.cpu_watch import CpuWatch, on_battery
from vramctl.probes.device_watch import NvmlWatcher
from vramctl.probes.gpus import look_gpus
from vramctl.probes.host import look_host
from vramctl.records import Device, Plan, Unknown
from vramctl.records.measurement import Bench, Limit, Measured, Row, Stat
from vramctl.records.run import Ended, Loaded
from vramctl.units import MIB, format_bytes

OpenFile = Callable[[Plan], str]
_IN_CACHES = 256 * MIB  # large servers' last caches; below that memory bandwidth is no bound


def run_bench(request: Request, *, say: Say, open_file: OpenFile, engine: Engine | None = None) -> Bench:
    """Every case of the request measured on `engine` (default: the best llama.cpp library found here).

    `open_file` gives a file to load for a plan's model: itself, or a stand-in.  CouldNotTell where no engine can run, Wrong
    where the model does not fit and was not forced.
    """
    found = look_gpus()
    devices = () if isinstance(found, Unknown) else found
    todo = cases(request, has_gpu=bool(devices))
    engine = engine or default_engine(request.engine_path)
    host = look_host()
    threads = request.settings.n_threads or (host.physical_cores if isinstance(host.physical_cores, int) else 1)
    bandwidths, sources = _bandwidths(devices, threads, host.available_bytes, say)
    rows: list[tuple[Row, str]] = []
    invalid: list[str] = []
    notes: list[str] = []
    model = ""
    file, stand_in = "", False
    for case in todo:
        plan = _plan(request, case, devices)
        refuse_misfit(plan, force=request.force, case=case.name)
        file = file or open_file(plan)
        model, stand_in = plan.model.reference, file != plan.model.reference
        row, why = _measured(case, plan, file, engine, devices, bandwidths, sources, say)
        rows.append(row)
        invalid += [f"{case.name}: {reason}" if case.name else reason for reason in why]
    if stand_in:
        notes.append("a stand-in ran: its text is noise; speculative acceptance and expert routing are not measured")
    notes.append(
        f"the context holds what was measured; prompts are random tokens, nothing is sampled ({engine.vehicle})"
    )
    return Bench(
        model=model, stand_in=stand_in, engine=next((name for _, name in rows if name), ""), machine=machine_facts(devices),
        rows=tuple(row for row, _ in rows),
        valid=not invalid, invalid_because=tuple(dict.fromkeys(invalid)), notes=tuple(notes),
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), bandwidths=bandwidths,
    )  # fmt: skip


def _plan(request: Request, case: Case, devices: Sequence[Device]) -> Plan:
    return make_plan(
        PlanRequest(
            model=request.model, settings=case.asked, gpus=None if devices else ("none",), utilization=request.utilization,
            engine_path=request.engine_path,
        )
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


def _measured(
    case: Case, plan: Plan, file: str, engine: Engine, devices: Sequence[Device],
    bandwidths: Mapping[str, float | Unknown], sources: tuple[str, ...], say: Say,
) -> tuple[tuple[Row, str], tuple[str, ...]]:  # fmt: skip
    """One case's row with the engine's name, and why its figures do not count."""
    say(f"loading {plan.model.reference}{': ' + case.name if case.name else ''}")
    row = Row(
        name=case.name,
        settings=plan.settings,
        prompt_tokens=case.effort.prompt_tokens,
        depth=case.effort.depth,
        placement=plan.placement,
    )
    row = replace(
        row, layers=f"{plan.layers_on_gpu}/{plan.layers_total}" if isinstance(plan.layers_on_gpu, int) else ""
    )
    with ExitStack() as stack:
        watcher = stack.enter_context(NvmlWatcher(devices))
        watcher.mark("loading")
        run = stack.enter_context(engine.load(file, plan.settings))
        if isinstance(run, Ended | Unknown):
            return (replace(row, failed=run.what if isinstance(run, Ended) else run.reason), ""), ()
        pid = run.loaded.pid if isinstance(run.loaded.pid, int) else None
        watcher.mark("loaded", pid=pid)
        processor = CpuWatch(pid)
        samples = measure(run, case.effort, clock=engine.clock, watcher=watcher, say=say)
        use, resident = processor.use(), _resident(run)
        row = _row(row, run.loaded, samples)
        row = replace(row, host_resident_bytes=resident)
    watches = watcher.watches()
    decode = row.decode_tokens_per_second
    on_cpu = plan.layers_on_gpu != plan.layers_total
    row = replace(
        row, limit=_limit(plan, case, bandwidths, sources, decode), activity=tuple(activity(watch, decode) for watch in watches)
    )  # fmt: skip
    why = invalid_because(foreign_cpu=use.foreign, battery=on_battery(), watches=watches, decode=decode, on_cpu=on_cpu)
    return (row, f"{run.loaded.engine}"), why


def _row(row: Row, loaded: Loaded, samples: Samples) -> Row:
    reported = reported_placement(loaded)
    load = loaded.load_seconds
    return replace(
        row,
        placement=row.placement if isinstance(reported, Unknown) else reported,
        prefill_tokens_per_second=_stat(samples.prefill, "tokens/s", samples.unknown.get("prefill")),
        decode_tokens_per_second=_stat(samples.decode, "tokens/s", samples.unknown.get("decode")),
        ttft_seconds=_stat(samples.ttft, "s", None),
        gap_seconds=_stat(samples.gaps, "s", None),
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
    plan: Plan, case: Case, bandwidths: Mapping[str, float | Unknown], sources: tuple[str, ...], decode: Measured
) -> Limit:
    """The bound of memory bandwidth at the depth in the middle of what was decoded."""
    depth = case.effort.depth + case.effort.decode_tokens // 2
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
