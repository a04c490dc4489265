"""Other planners on the grid of real loads: their estimate for one GPU beside the engine's own bytes, and the seconds each takes.

    python benchmarks/exactness/peers.py --peer xllamacpp=VENV/bin/python --peer llamafit=... --peer ggufit=...
                                         [--engine-path PYTHON] [--out FILE]

The rows are those of `exactness-h200*.json` with one GPU and every layer on it. Each peer runs in its own environment through
its public functions (`ask_peer.py`), on a sparse file with the model's header and an invented vocabulary of the right
size; nothing but its numbers is kept. What a peer has no parameter for is left out of its rows and counted (docs/peers.md).
Writes benchmarks/results/peers.json and prints the tables. Takes three to six minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import measured
from full_offload import DEFAULTS, Load, filled, loads

from vramctl import __version__
from vramctl.engines.builds import look_build
from vramctl.engines.llama_cpp import DryRun
from vramctl.engines.stand_in import stand_in
from vramctl.plan.formula import FormulaBuild, formula_placement
from vramctl.plan.overhead import overhead_bytes
from vramctl.probes.local_model import look_file
from vramctl.records import Device, Placement, Settings, Unknown
from vramctl.shapes import shape_model

WINDOWED = ("cohere2", "gemma2", "gemma3", "gemma4", "gpt-oss")
HAS_PARALLEL = ("xllamacpp", "ggufit")
HAS_UBATCH = ("xllamacpp", "llamafit")
TIMED_SHAPE, TIMED_ROUNDS = "llama3.1-8b", 5
OURS = ("vramctl dry run", "vramctl formula")


def cannot_express(peer: str, load: Load) -> str | None:
    """What of a load's settings the peer has no parameter for, None where it can be asked."""
    asked = load.settings
    if not asked.offload_kqv:
        return "KV cache on the host"
    if asked.type_k != asked.type_v:
        return "two cache types"
    if load.model.architecture in WINDOWED and asked.swa_full:
        return "full cache for sliding windows"
    if asked.n_ubatch != 512 and peer not in HAS_UBATCH:
        return "micro-batch"
    if (asked.n_parallel or 1) > 1 and not asked.kv_unified and peer not in HAS_PARALLEL:
        return "sequences with caches of their own"
    return None


class Peer:
    """A peer's process: one answer for each job, kept by what was asked."""

    def __init__(self, name: str, python: str) -> None:
        script = str(Path(__file__).with_name("ask_peer.py"))
        self._process = subprocess.Popen(
            [python, "-I", script, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._known: dict[str, dict[str, Any]] = {}
        self.version: str = self._read()["version"]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def ask(self, shape: str, path: str, settings: Settings, *, fresh: bool = False) -> dict[str, Any]:
        """Its answer for one model and these settings."""
        job = {
            "shape": shape, "path": path, "n_ctx": settings.n_ctx, "n_ubatch": settings.n_ubatch, "fresh": fresh,
            "n_batch": settings.n_batch, "parallel": settings.n_parallel, "kv_type": settings.type_k,
        }  # fmt: skip
        key = json.dumps(job)
        if fresh or key not in self._known:
            assert self._process.stdin is not None
            self._process.stdin.write(key + "\n")
            self._process.stdin.flush()
            self._known[key] = self._read()
        return self._known[key]

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def file_with_vocabulary(shape: str, folder: Path) -> str:
    """A sparse file with the shape's header, an invented vocabulary of the model's size in it."""
    path = folder / f"{shape}.gguf"
    if not path.exists():
        model = shape_model(shape, "Q4_K_M", vocabulary=True)
        with path.open("wb") as file:
            file.write(model.header or b"")
            file.truncate(model.file_bytes)
    return str(path)


def on_gpu(placement: Placement) -> int | None:
    """Weights, KV and compute of the one GPU, in bytes; None where one is unknown."""
    use = placement.devices[0]
    parts = (use.weights_bytes, use.kv_bytes, use.compute_bytes)
    return sum(part for part in parts if isinstance(part, int)) if all(isinstance(p, int) for p in parts) else None


def line(load: Load, total: int, constants: int) -> dict[str, Any]:
    """One estimate beside what was measured, as relative errors (signed)."""
    return {
        "load": load.number,
        "shape": load.row.shape,
        "newer": load.newer,
        "flash": load.settings.flash_attn != "off",
        "server": load.settings.flash_attn == "auto",
        "error": (total - constants) / load.engine_bytes - 1,
        "driver_error": None if isinstance(load.driver_bytes, Unknown) else total / load.driver_bytes - 1,
    }


def peer_lines(name: str, peer: Peer, every: list[Load], folder: Path) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The peer's errors on the loads that it can be asked, and why it was not or did not answer."""
    lines, left_out = [], Counter[str]()
    for load in every:
        why = cannot_express(name, load)
        if why is not None:
            left_out[f"cannot be asked: {why}"] += 1
            continue
        answer = peer.ask(load.row.shape, file_with_vocabulary(load.row.shape, folder), load.settings)
        if "refused" in answer:
            left_out[f"no answer: {answer['refused'].removeprefix('LookupError: ')}"] += 1
            continue
        lines.append(line(load, answer["total_bytes"], answer["constants_bytes"]))
    return lines, left_out


def formula_lines(every: list[Load]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The same for vramctl's formula, each load by the build that it was measured with."""
    lines, left_out = [], Counter[str]()
    for load in every:
        build: FormulaBuild = "b11549" if load.newer else "0c1e57098"
        total = on_gpu(formula_placement(load.model, load.settings, load.row.devices, build=build).placement)
        if total is None:
            left_out["no answer: a part is unknown"] += 1
            continue
        extra = overhead(load)
        lines.append(line(load, total + extra, extra))
    return lines, left_out


def dry_run_lines(every: list[Load], engines: dict[bool, DryRun]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The same for vramctl's dry run, each load with the build that it was measured with."""
    lines, left_out = [], Counter[str]()
    by_model: dict[tuple[str, bool], list[Load]] = {}
    for load in every:
        by_model.setdefault((load.row.shape, load.newer), []).append(load)
    for (_, newer), group in by_model.items():
        if newer not in engines:
            left_out["not asked: no --engine-path with llama-cpp-python 0.3.36"] += len(group)
            continue
        with stand_in(group[0].model) as path:
            for load in group:
                answer = (
                    path if isinstance(path, Unknown) else engines[newer].ask(path, load.row.settings, load.row.devices)
                )
                total = None if isinstance(answer, Unknown) else on_gpu(answer.placement)
                if total is None:
                    left_out["no answer"] += 1
                    continue
                extra = overhead(load)
                lines.append(line(load, total + extra, extra))
    return lines, left_out


def overhead(load: Load) -> int:
    """vramctl's own line for what is outside the engine's accounting, in bytes."""
    flash = load.settings.flash_attn != "off"
    return overhead_bytes(load.model, load.settings, load.row.devices[0], flash_attn=flash)


def errors(values: Iterable[float | None]) -> dict[str, Any]:
    """Median and worst of the sizes of relative errors, the worst with its sign, and how many."""
    known = [value for value in values if value is not None]
    if not known:
        return {"rows": 0}
    worst = max(known, key=abs)
    under = sum(value < -1e-9 for value in known)
    return {"rows": len(known), "median": statistics.median(map(abs, known)), "worst": worst, "too_low": under}


def summary(lines: list[dict[str, Any]], left_out: Counter[str], common: set[int]) -> dict[str, Any]:
    """What one planner's errors come to, over all its rows and over parts of them; `common` are the loads that all take."""
    flash = [one for one in lines if one["flash"]]
    return {
        "accepted": len(lines),
        "left_out": dict(sorted(left_out.items())),
        "flash_attention": errors(one["error"] for one in flash),
        "common_rows": errors(one["error"] for one in flash if one["load"] in common),
        "no_flash_attention": errors(one["error"] for one in lines if not one["flash"]),
        "llama_server_defaults": errors(one["error"] for one in lines if one["server"]),
        "with_constants_against_driver": errors(one["driver_error"] for one in flash),
        "by_shape": {
            shape: errors(one["error"] for one in flash if one["shape"] == shape)
            for shape in dict.fromkeys(one["shape"] for one in flash)
        },
        "by_engine": {
            name: errors(one["error"] for one in flash if one["newer"] == newer)
            for name, newer in (("llama.cpp 0c1e57098", False), ("xllamacpp 2026.10.11549", True))
        },
    }


def timing(peers: dict[str, Peer], engine: DryRun, folder: Path) -> dict[str, Any]:
    """Median seconds of one estimate from a file on disk, the planners in turn, and the ratio to the dry run's."""
    path = file_with_vocabulary(TIMED_SHAPE, folder)
    device = Device("CUDA0", "NVIDIA H200", 150754820096, 150 << 30, "data file", compute_capability="9.0")
    settings = replace(DEFAULTS, n_ctx=8192, flash_attn="on")

    def dry_run() -> None:
        model = look_file(path, path)
        with stand_in(model) as made:
            answer = (
                made if isinstance(made, Unknown) else engine.ask(made, replace(settings, n_gpu_layers=-1), (device,))
            )
            if isinstance(answer, Unknown):
                raise SystemExit(f"the dry run gave no answer: {answer.reason}")

    def formula() -> None:
        model = look_file(path, path)
        formula_placement(model, filled(settings, model), (device,))

    jobs: dict[str, Callable[[], object]] = {OURS[0]: dry_run, OURS[1]: formula}
    for name, peer in peers.items():
        jobs[name] = partial(peer.ask, TIMED_SHAPE, path, settings, fresh=True)
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(TIMED_ROUNDS):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "what": f"{TIMED_SHAPE}@Q4_K_M, file with 128256 tokens, planner already running, {TIMED_ROUNDS} rounds in turn",
        "median_seconds": {name: round(value, 5) for name, value in medians.items()},
        "ratio_to_dry_run": {name: round(value / medians[OURS[0]], 4) for name, value in medians.items()},
    }


def markdown(document: dict[str, Any]) -> str:
    """The two tables of docs/peers.md."""

    def table(titles: list[str], cells: Callable[[str, dict[str, Any]], list[str]]) -> list[str]:
        rows = [[f"{name} {one['version']}", *cells(name, one)] for name, one in document["planners"].items()]
        head = ["planner", *titles]
        return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]

    def pair(found: dict[str, Any]) -> str:
        return f"{found['median']:.2%}, {found['worst']:+.1%} ({found['rows']})" if found["rows"] else "-"

    parts = {
        "flash attention on or auto": "flash_attention",
        "of these, the rows that all planners take": "common_rows",
        "of these, llama-server's defaults": "llama_server_defaults",
        "flash attention off": "no_flash_attention",
    }
    first = table(list(parts), lambda _, one: [pair(one[part]) for part in parts.values()])
    second = table(
        ["rows taken", "with its constants, against the driver", "seconds", "ratio to the dry run"],
        lambda name, one: [
            f"{one['accepted']} of {document['loads']}",
            pair(one["with_constants_against_driver"]),
            *(f"{document['time'][key][name]:.2g}" for key in ("median_seconds", "ratio_to_dry_run")),
        ],
    )
    return "\n".join([*first, "", *second])


def main() -> None:
    """Asks every planner, writes the numbers and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--engine-path", help="a Python that has llama-cpp-python 0.3.36")
    parser.add_argument("--out", type=Path, default=measured.RESULTS / "peers.json")
    options = parser.parse_args()
    every = list(loads({}))
    found: dict[str, tuple[str, list[dict[str, Any]], Counter[str]]] = {}
    with tempfile.TemporaryDirectory(prefix="vramctl-peers-") as made, contextlib.ExitStack() as running:
        folder = Path(made)
        peers = {
            name: running.enter_context(Peer(name, python))
            for name, python in (one.split("=", 1) for one in options.peer)
        }
        engines: dict[bool, DryRun] = {}
        for newer, place in ((True, None), (False, options.engine_path)):
            build = look_build(place) if newer or place else Unknown("not given")
            if isinstance(build, Unknown) and newer:
                parser.error(build.reason)
            if not isinstance(build, Unknown):
                engines[newer] = running.enter_context(DryRun(build, max_devices=1))
        found[OURS[0]] = (__version__, *dry_run_lines(every, engines))
        found[OURS[1]] = (__version__, *formula_lines(every))
        for name, peer in peers.items():
            found[name] = (peer.version, *peer_lines(name, peer, every, folder))
            print(f"{name} {peer.version}: {len(found[name][1])} rows", flush=True)
            if not found[name][1]:
                parser.error(f"{name} answered nothing: {dict(found[name][2])}")
        with DryRun(engines[True].build, max_devices=1) as engine:
            times = timing(peers, engine, folder)
    common = set.intersection(*({one["load"] for one in lines} for _, lines, _ in found.values()))
    planners = {name: {"version": v, **summary(lines, out, common)} for name, (v, lines, out) in found.items()}
    document = {
        "what": "bytes on one GPU, every layer on it: estimates against the engine's own count after a real load (H200)",
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "loads": len(every),
        "shapes": len({load.row.shape for load in every}),
        "planners": planners,
        "time": times,
    }
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(markdown(document))


if __name__ == "__main__":
    main()
