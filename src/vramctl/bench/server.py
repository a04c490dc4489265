"""Benchmarks against a server: one that we start for a model, or one that runs already."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from vramctl.bench.interrupt import rows_kept
from vramctl.bench.load_test import Requests, load_test
from vramctl.bench.measure import Samples, Say, measure
from vramctl.bench.request import Request
from vramctl.bench.stats import stat
from vramctl.bench.validity import activity, invalid_because, waits_for_processor
from vramctl.engines.endings import what_to_do
from vramctl.engines.engine import Clock, Engine, Running
from vramctl.engines.http_api import Api, ApiFailed, shown_url
from vramctl.engines.llama_server import LlamaServer, ServerRun
from vramctl.engines.reported import not_applied_notes
from vramctl.engines.server_kind import OLLAMA, look_server
from vramctl.engines.server_program import server_program
from vramctl.engines.table import engine_of_server
from vramctl.errors import BadInput, CouldNotTell, Wrong
from vramctl.planning import Request as PlanRequest
from vramctl.planning import make_plan
from vramctl.planning.ready import Machine, look_machine, machine_facts, refuse_misfit
from vramctl.probes.cpu_watch import CpuUse, CpuWatch, on_battery
from vramctl.probes.device_watch import NvmlWatcher
from vramctl.records import Plan, Settings, Unknown
from vramctl.records.measurement import Bench, Measured, Row
from vramctl.records.run import Ended, Loaded
from vramctl.records.stand_in import ModelFile
from vramctl.records.verification import DeviceWatch
from vramctl.units import pad

ASK_SECONDS = 5.0
OpenFile = Callable[[Plan], ModelFile]


def is_server(reference: str) -> bool:
    """Whether MODEL is the address of a server and not of a file."""
    path = reference.partition("?")[0].lower()
    return path.startswith(("http://", "https://")) and not path.endswith((".gguf", ".safetensors"))


def server_engine(url: str) -> tuple[Engine, str]:
    """The engine that talks to the server at `url`, and the model it has loaded; CouldNotTell where none is known."""
    found = look_server(url)
    model = _loaded_by_ollama(found.api, url) if found.kind == OLLAMA else url
    return engine_of_server(found.kind, url), model


def _loaded_by_ollama(api: Api, url: str) -> str:
    document = api.get("/api/ps", timeout_seconds=ASK_SECONDS).document
    models = document.get("models") if isinstance(document, dict) else None
    if isinstance(models, list) and models and isinstance(models[0], dict) and isinstance(models[0].get("name"), str):
        return str(models[0]["name"])
    raise CouldNotTell(
        "no-model-loaded", f"The Ollama at {url} has no model loaded.", because=("/api/ps lists none",),
        fix="Load one first (`ollama run NAME`), then ask again while it is loaded.",
    )  # fmt: skip


def bench_server(request: Request, *, say: Say, machine: Machine | None = None) -> Bench:
    """A server that runs already: single requests, or several at a time. Its settings are its own."""
    refuse_settings(request.settings, shown_url(request.model))
    _refuse_tables(request, "against a server that runs already")
    engine, model = server_engine(request.model)
    work = _Work(request, machine or look_machine(), say)
    with rows_kept(work.rows, len(request.parallels) or 1) as interrupt, _loaded(engine, model, Settings()) as run:
        work.begin(run.loaded)
        if request.parallels:
            work.notes += _waiting(request, run.loaded)
            work.load_tests(_as_server(run))
        else:
            work.single(run, engine.clock)
    if isinstance(run.loaded.pid, Unknown):
        work.notes.append(f"{run.loaded.pid.reason}: the machine named here is the client's")
    return interrupt.told(work.bench(shown_url(request.model), stand_in=False))


def refuse_settings(settings: Settings, server: str) -> None:
    """BadInput for settings of a model that somebody else has loaded."""
    given = [name for name in Settings.__dataclass_fields__ if getattr(settings, name) is not None]
    if given:
        raise BadInput(
            "usage", f"The model of {server} is loaded already, with settings of its own.",
            because=(f"asked for: {', '.join(given)}",), fix="Leave these out, or give the model itself and not the server.",
        )  # fmt: skip


def _refuse_tables(request: Request, where: str) -> None:
    """BadInput for tables of settings, which need a load for each row."""
    if request.layers or request.depths or request.everything:
        raise BadInput(
            "usage", f"--layers, --long-context and --all are not measured {where}.", because=(),
            fix="Give the model itself, and not a server or --parallel.",
        )  # fmt: skip


def _waiting(request: Request, loaded: Loaded) -> list[str]:
    """What is to be said where more requests come at a time than the server has slots."""
    slots, most = loaded.n_seq_max, max(request.parallels)
    if not isinstance(slots, int) or most <= slots:
        return []
    return [f"the server has {slots} slots: of {most} requests at a time, {most - slots} wait for one"]


def bench_parallel(request: Request, *, say: Say, open_file: OpenFile, machine: Machine | None = None) -> Bench:
    """A llama-server of our own with as many slots as the most requests at a time need."""
    _refuse_tables(request, "with several requests at a time")
    program = server_program(request.engine_path)
    machine = machine or look_machine()
    most, effort = max(request.parallels), request.effort
    needed = pad(effort.prompt_tokens + effort.decode_tokens + 64, 256)
    asked = replace(request.settings, n_parallel=most, n_ctx=request.settings.n_ctx or needed * most)
    plan = make_plan(
        PlanRequest(
            model=request.model, settings=asked, utilization=request.utilization, engine_path=request.engine_path,
        ),
        devices=machine.devices,
    )  # fmt: skip
    refuse_misfit(plan, force=request.force)
    file = open_file(plan)
    work = _Work(request, machine, say)
    say(f"starting a server with {most} slots")
    with (
        rows_kept(work.rows, len(request.parallels)) as interrupt,
        _loaded(LlamaServer(program), file.path, plan.settings) as run,
    ):
        work.begin(run.loaded)
        work.load_tests(_as_server(run))
    return interrupt.told(work.bench(plan.model.reference, stand_in=file.invented))


def _as_server(run: Running) -> ServerRun:
    """The run; CouldNotTell for an Ollama, whose requests at a time are not measured."""
    if isinstance(run, ServerRun):
        return run
    raise CouldNotTell(
        "parallel-not-measured", "Several requests at a time are measured against llama-server only.",
        because=(f"this is {run.loaded.engine}",), fix="Leave out --parallel to measure one request at a time.",
    )  # fmt: skip


@dataclass(slots=True)
class _Work:
    """The rows of one server that are done, and what is to be said of them."""

    request: Request
    machine: Machine
    say: Say
    rows: list[Row] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    watches: list[DeviceWatch] = field(default_factory=list)
    loaded: Loaded | None = None
    processor: CpuWatch | None = None
    use: CpuUse | None = None

    def begin(self, loaded: Loaded) -> None:
        """The server is there: from now on it is watched."""
        self.loaded = loaded
        self.processor = CpuWatch(self._pid)
        self.notes += not_applied_notes(loaded, self.request.settings)

    @property
    def _pid(self) -> int | None:
        return self.loaded.pid if self.loaded is not None and isinstance(self.loaded.pid, int) else None

    def _watcher(self) -> NvmlWatcher:
        """Of this machine's GPUs where the server is on it."""
        return NvmlWatcher(()) if self._pid is None else self.machine.watcher(pid=self._pid)

    def single(self, run: Running, clock: Clock) -> None:
        """One row of one request at a time."""
        with self._watcher() as watcher:
            watcher.mark("loaded", pid=self._pid)
            samples = measure(run, self.request.effort, clock=clock, watcher=watcher, say=self.say)
            watches = watcher.watches()
        row = _single_row(samples)
        self._keep(row, watches, row.decode_tokens_per_second)
        self.notes += samples.notes

    def load_tests(self, run: ServerRun) -> None:
        """A row for each number of requests at a time, and what is to be said of requests that failed."""
        effort = self.request.effort
        for parallel in self.request.parallels:
            self.say(f"{parallel} requests at a time")
            with self._watcher() as watcher:
                watcher.mark("decode", pid=self._pid)
                found = load_test(
                    run.api, parallel=parallel, prompt_tokens=effort.prompt_tokens, n_tokens=effort.decode_tokens,
                    rounds=effort.rounds, seconds=effort.seconds, n_vocab=_vocabulary(run.api),
                )  # fmt: skip
                watches = watcher.watches()
            row = _row(found, run.loaded.settings, self.request)
            self._keep(row, watches, row.throughput_tokens_per_second)
            if found.failed:
                self.failed.append(
                    f"{len(found.failed)} of {found.asked} requests failed with {parallel} at a time: {found.failed[0]}"
                )

    def _keep(self, row: Row, watches: Sequence[DeviceWatch], speed: Measured) -> None:
        row = replace(row, activity=tuple(activity(watch, speed) for watch in watches))
        self.use = self.processor.use() if self.processor is not None else None
        self.watches += watches
        self.notes += waits_for_processor(row)
        self.rows.append(row)

    def bench(self, model: str, *, stand_in: bool) -> Bench:
        """The whole run."""
        use = self.use or CpuUse(Unknown("not watched"), Unknown("not watched"), 0.0)
        why = invalid_because(
            foreign_cpu=use.foreign, cores=use.cores, battery=on_battery(), watches=self.watches,
            decode=Unknown("judged per row"), on_cpu=isinstance(self.machine.gpus, Unknown),
        )  # fmt: skip
        return Bench(
            model=model, stand_in=stand_in, engine=self.loaded.named if self.loaded is not None else "",
            rows=tuple(self.rows), valid=not (why or self.failed), invalid_because=tuple(dict.fromkeys((*self.failed, *why))),
            machine=machine_facts(self.machine.devices),
            notes=(*self.notes, "through a server: HTTP and sampling are in these figures"),
            started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )  # fmt: skip


def _single_row(samples: Samples) -> Row:
    def told(values: list[float], unit: str, what: str) -> Measured:
        return Unknown(samples.unknown[what]) if not values and what in samples.unknown else stat(values, unit)

    effort = samples.effort
    return Row(
        name="one at a time", settings=Settings(), prompt_tokens=effort.prompt_tokens, depth=effort.depth,
        prefill_tokens_per_second=told(samples.prefill, "tokens/s", "prefill"),
        decode_tokens_per_second=told(samples.decode, "tokens/s", "decode"),
        ttft_seconds=told(samples.ttft, "s", "ttft"), gap_seconds=told(samples.gaps, "s", "ttft"),
        first_run_seconds=samples.first_run_seconds, failed=samples.ended,
    )  # fmt: skip


def _row(found: Requests, settings: Settings, request: Request) -> Row:
    return Row(
        name=f"{found.parallel} at a time", settings=settings, prompt_tokens=request.effort.prompt_tokens, depth=0,
        parallel=found.parallel, decode_tokens_per_second=stat(found.decode, "tokens/s of one request"),
        throughput_tokens_per_second=stat(found.throughput, "tokens/s of all requests"),
        requests_per_second=stat(found.per_second, "requests/s"), ttft_seconds=stat(found.first_token, "s"),
        gap_seconds=stat(found.gaps, "s"), failed=found.ended,
    )  # fmt: skip


def _vocabulary(api: Api) -> int:
    """The number of tokens of the server's model; a few hundred where it does not say."""
    try:
        document = api.get("/v1/models", timeout_seconds=ASK_SECONDS).document
        count = document["data"][0]["meta"]["n_vocab"]
    except (ApiFailed, KeyError, TypeError, IndexError):
        return 256
    return count if isinstance(count, int) and count > 1 else 256


@contextmanager
def _loaded(engine: Engine, model: str, settings: Settings) -> Iterator[Running]:
    with engine.load(model, settings) as run:
        if isinstance(run, Unknown):
            raise CouldNotTell(
                "server-not-ready", "The server could not be used.", because=(run.reason,),
                fix="Ask `vramctl doctor`, or name another llama-server with --engine-path.",
            )  # fmt: skip
        if isinstance(run, Ended):
            because = [f"how it ended: {run.how}, phase: {run.phase}"]
            because += [line.text for line in run.log if line.level == "error"][-3:]
            raise Wrong(
                "did-not-load", f"The server did not load the model: {run.what.rstrip('.')}.",
                because=tuple(dict.fromkeys(because)), fix=what_to_do(run),
            )  # fmt: skip
        yield run
