"""Benchmarks against a server: one that we start for a model, or one that runs already."""

from __future__ import annotations

import datetime
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from vramctl.bench.load_test import Requests, load_test
from vramctl.bench.measure import Samples, Say, measure
from vramctl.bench.request import Request
from vramctl.bench.stats import stat
from vramctl.bench.validity import invalid_because
from vramctl.engines.engine import Engine, Running
from vramctl.engines.http_api import Api, ApiFailed
from vramctl.engines.llama_server import AttachedServer, LlamaServer, ServerRun, wheel_server
from vramctl.engines.ollama import Ollama
from vramctl.errors import CouldNotTell
from vramctl.planning import Request as PlanRequest
from vramctl.planning import make_plan
from vramctl.planning.ready import machine_facts, refuse_misfit
from vramctl.probes.cpu_watch import CpuUse, CpuWatch, on_battery
from vramctl.probes.device_watch import NvmlWatcher
from vramctl.probes.gpus import look_gpus
from vramctl.records import Plan, Settings, Unknown
from vramctl.records.measurement import Bench, Measured, Row
from vramctl.records.run import Ended, Loaded
from vramctl.records.stand_in import ModelFile
from vramctl.units import pad

ASK_SECONDS = 5.0
OpenFile = Callable[[Plan], ModelFile]


def is_server(reference: str) -> bool:
    """Whether MODEL is the address of a server and not of a file."""
    path = reference.partition("?")[0]
    return reference.startswith(("http://", "https://")) and not path.endswith((".gguf", ".safetensors"))


def server_engine(url: str) -> tuple[Engine, str]:
    """The engine that talks to the server at `url`, and the model it has loaded; CouldNotTell where none is known."""
    try:
        api = Api(url)
        if api.get("/props", timeout_seconds=ASK_SECONDS).status == 200:
            return AttachedServer(url), url
        if api.get("/api/version", timeout_seconds=ASK_SECONDS).status == 200:
            return Ollama(url), _loaded_by_ollama(api, url)
    except (ApiFailed, ValueError) as error:
        raise _no_server(url, str(error)) from error
    raise _no_server(url, "it answers neither llama-server's /props nor Ollama's /api/version")


def _loaded_by_ollama(api: Api, url: str) -> str:
    document = api.get("/api/ps", timeout_seconds=ASK_SECONDS).document
    models = document.get("models") if isinstance(document, dict) else None
    if isinstance(models, list) and models and isinstance(models[0], dict) and isinstance(models[0].get("name"), str):
        return str(models[0]["name"])
    raise CouldNotTell(
        "no-model-loaded", f"The Ollama at {url} has no model loaded.", because=("/api/ps lists none",),
        fix="Load one first (`ollama run NAME`), or give MODEL as ollama:NAME with --engine ollama.",
    )  # fmt: skip


def bench_server(request: Request, *, say: Say) -> Bench:
    """A server that runs already: single requests, or several at a time. Its settings are its own."""
    engine, model = server_engine(request.model)
    notes: list[str] = []
    failed: tuple[str, ...] = ()
    with _loaded(engine, model, Settings()) as run:
        processor = CpuWatch(run.loaded.pid if isinstance(run.loaded.pid, int) else None)
        if request.parallels:
            rows, failed = _parallel_rows(request, run.loaded, Api(request.model), say)
        else:
            with NvmlWatcher(()) as watcher:
                samples = measure(run, request.effort, clock=engine.clock, watcher=watcher, say=say)
            rows, notes = (_single_row(samples),), samples.notes
        use = processor.use()
    return _bench(request.model, run.loaded.engine, rows, stand_in=False, use=use, notes=notes, failed=failed)


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


def bench_parallel(request: Request, *, say: Say, open_file: OpenFile) -> Bench:
    """A llama-server of our own with as many slots as the most requests at a time need."""
    most, effort = max(request.parallels), request.effort
    needed = pad(effort.prompt_tokens + effort.decode_tokens + 64, 256)
    asked = replace(request.settings, n_parallel=most, n_ctx=request.settings.n_ctx or needed * most)
    gpus = look_gpus()
    plan = make_plan(
        PlanRequest(
            model=request.model, settings=asked, gpus=("none",) if isinstance(gpus, Unknown) else None,
            utilization=request.utilization, engine_path=request.engine_path,
        )
    )  # fmt: skip
    refuse_misfit(plan, force=request.force)
    file = open_file(plan)
    engine = LlamaServer(_program(request.engine_path))
    say(f"starting a server with {most} slots")
    with _loaded(engine, file.path, plan.settings) as run:
        assert isinstance(run, ServerRun)
        processor = CpuWatch(run.loaded.pid if isinstance(run.loaded.pid, int) else None)
        rows, failed = _parallel_rows(request, run.loaded, Api(run.url), say)
        use = processor.use()
    return _bench(plan.model.reference, run.loaded.engine, rows, stand_in=file.invented, use=use, failed=failed)


def _parallel_rows(request: Request, loaded: Loaded, api: Api, say: Say) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """A row for each number of requests at a time, and what is to be said of requests that failed."""
    rows, failed = [], []
    for parallel in request.parallels:
        say(f"{parallel} requests at a time")
        effort = request.effort
        found = load_test(
            api, parallel=parallel, prompt_tokens=effort.prompt_tokens, n_tokens=effort.decode_tokens, rounds=effort.rounds,
            seconds=effort.seconds, n_vocab=_vocabulary(api),
        )  # fmt: skip
        rows.append(_row(found, loaded.settings, request))
        if found.failed:
            failed.append(
                f"{len(found.failed)} of {found.asked} requests failed with {parallel} at a time: {found.failed[0]}"
            )
    return tuple(rows), tuple(failed)


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


def _program(path: str | None) -> str | tuple[str, ...]:
    """The llama-server to start: the one asked for, on the PATH, or out of the wheel."""
    if path is not None:
        return path
    return shutil.which("llama-server") or wheel_server(sys.executable)


@contextmanager
def _loaded(engine: Engine, model: str, settings: Settings) -> Iterator[Running]:
    with engine.load(model, settings) as run:
        if isinstance(run, Ended | Unknown):
            what = run.what if isinstance(run, Ended) else run.reason
            raise CouldNotTell(
                "server-not-ready", "The server could not be used.", because=(what,),
                fix="See its log (vramctl explain); for parallel requests a llama-server is needed.",
            )  # fmt: skip
        yield run


def _bench(
    model: str,
    engine: str,
    rows: tuple[Row, ...],
    *,
    stand_in: bool,
    use: CpuUse,
    notes: Sequence[str] = (),
    failed: Sequence[str] = (),
) -> Bench:
    found = look_gpus()
    why = invalid_because(
        foreign_cpu=use.foreign, cores=use.cores, battery=on_battery(), watches=(), decode=Unknown("judged per row"),
        on_cpu=isinstance(found, Unknown),
    )  # fmt: skip
    return Bench(
        model=model, stand_in=stand_in, engine=engine, rows=rows, valid=not (why or failed), invalid_because=(*failed, *why),
        machine=machine_facts(() if isinstance(found, Unknown) else found),
        notes=(*notes, "through a server: HTTP and sampling are in these figures"),
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _no_server(url: str, reason: str) -> CouldNotTell:
    return CouldNotTell(
        "no-server", f"No server that is known answers at {url}.", because=(reason,),
        fix="Give the address of a llama-server or an Ollama, such as http://127.0.0.1:8080.",
    )  # fmt: skip
