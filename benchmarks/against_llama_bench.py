"""Decode and prefill speed as vramctl's engines measure it, against llama-bench: same libraries, model and settings.

    python benchmarks/against_llama_bench.py FOLDER MODEL [--rounds 12] [--threads 1] [--prompt 256] [--tokens 48] [--out FILE]

FOLDER holds libllama, llama-bench and llama-server of one build. In every round each contestant starts anew, loads the model,
warms up and takes `--samples` samples of both, one contestant after the other in an order that turns; so drift of the machine
falls on all alike. Reported are the medians of all samples, and the median over rounds of each round's own ratio, with a 95 %
interval by bootstrap over rounds. llama-bench runs twice in each round: both together are the reference of the others, and
`control` is the second against the first, which is what the machine's noise makes of two equal things.

With `--cpu` the speed is tokens per second of processor time (llama-bench's: of two runs' difference, one with one sample and
one with all of them), which other processes on a shared machine disturb less; use it with one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vramctl.engines.binding import Binding
from vramctl.engines.builds import look_build
from vramctl.engines.engine import Engine
from vramctl.engines.llama_server import LlamaServer
from vramctl.probes.gpus import look_gpus
from vramctl.records import Settings, Unknown
from vramctl.records.run import Ended

KINDS = ("prefill", "decode")
Samples = dict[str, list[float]]


def llama_bench(options: argparse.Namespace) -> Samples:
    """Tokens per second of each sample, by llama-bench itself; with --cpu one figure each."""
    if options.cpu:
        sizes = {"prefill": (options.prompt, 0), "decode": (0, options.tokens)}
        return {kind: [cpu_speed(options, *size)] for kind, size in sizes.items()}
    rows = json.loads(run_llama_bench(options, options.prompt, options.tokens, options.samples)[0])
    return {("prefill" if row["n_prompt"] else "decode"): list(row["samples_ts"]) for row in rows}


def cpu_speed(options: argparse.Namespace, prompt: int, tokens: int) -> float:
    """Tokens per second of processor time: what all samples but one take more than one."""
    one, all_of_them = (run_llama_bench(options, prompt, tokens, samples)[1] for samples in (1, 1 + options.samples))
    return (prompt + tokens) * options.samples / (all_of_them - one)


def run_llama_bench(options: argparse.Namespace, prompt: int, tokens: int, samples: int) -> tuple[str, float]:
    """(its JSON, the processor seconds it took)."""
    command = [
        str(options.folder / "llama-bench"), "-m", str(options.model), "-p", str(prompt), "-n", str(tokens), "-r", str(samples),
        "-t", str(options.threads), "-b", "2048", "-ub", "512", "-fa", "on", "-ngl", str(options.layers), "-o", "json",
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ran.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def settings(options: argparse.Namespace) -> Settings:
    """What llama-bench runs with, but one context that holds both."""
    return Settings(
        n_ctx=max(options.prompt, options.tokens) + 256, n_parallel=1, n_batch=2048, n_ubatch=512, n_threads=options.threads,
        flash_attn="on", n_gpu_layers=options.layers, swa_full=False,
    )  # fmt: skip


def measured(engine: Engine, options: argparse.Namespace) -> tuple[Samples, dict[str, Any]]:
    """Tokens per second of each sample after one warm-up of each, by one of our engines; and what it said of itself."""
    found: Samples = {kind: [] for kind in KINDS}
    with engine.load(str(options.model), settings(options)) as run:
        if isinstance(run, (Ended, Unknown)):
            raise SystemExit(f"{engine.vehicle}: {run}")
        for kind in KINDS:
            for sample in range(options.samples + 1):
                ask = run.prefill(options.prompt) if kind == "prefill" else run.generate(options.tokens)
                if isinstance(ask, (Ended, Unknown)):
                    raise SystemExit(f"{engine.vehicle}: {ask}")
                if sample:
                    seconds = ask.cpu_seconds if options.cpu else ask.seconds
                    assert not isinstance(seconds, Unknown)
                    found[kind].append(ask.n_tokens / seconds)
        harness = run.loaded.harness_seconds_per_token
        said = {"engine": run.loaded.engine, "version": str(run.loaded.version),
                "harness_seconds_per_token": None if isinstance(harness, Unknown) else harness}  # fmt: skip
    return found, said


def ratios(rounds: list[Samples], reference: list[Samples], kind: str) -> dict[str, Any]:
    """Median over rounds of the ratio of medians, with its interval; and the ratio of all samples' medians."""
    each = [statistics.median(a[kind]) / statistics.median(b[kind]) for a, b in zip(rounds, reference, strict=True)]
    source = random.Random(1)
    again = sorted(statistics.median(source.choices(each, k=len(each))) for _ in range(4000))
    pooled = [statistics.median([s for one in part for s in one[kind]]) for part in (rounds, reference)]
    return {
        "median_of_rounds": statistics.median(each),
        "ci95": [again[100], again[3899]],
        "pooled_medians": pooled[0] / pooled[1],
        "tokens_per_second": pooled[0],
        "best": max(s for one in rounds for s in one[kind]),
        "best_ratio": max(s for one in rounds for s in one[kind]) / max(s for one in reference for s in one[kind]),
        "rounds": each,
    }


def gpus() -> list[str]:
    """The GPUs of this machine with their driver; none where NVML does not know."""
    found = look_gpus()
    return [] if isinstance(found, Unknown) else [f"{gpu.description}, driver {gpu.driver}" for gpu in found]


def main() -> int:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--no-server", action="store_true", help="without llama-server")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    build = look_build(str(options.folder))
    if isinstance(build, Unknown):
        raise SystemExit(build.reason)
    said: dict[str, Any] = {}

    def ours(name: str, engine: Engine) -> Callable[[], Samples]:
        def run() -> Samples:
            found, said[name] = measured(engine, options)
            return found

        return run

    contestants: dict[str, Callable[[], Samples]] = {
        "llama-bench": lambda: llama_bench(options),
        "binding": ours("binding", Binding(build)),
        "control": lambda: llama_bench(options),
    }
    if (options.folder / "llama-server").exists() and not (options.cpu or options.no_server):
        contestants["llama-server"] = ours("llama-server", LlamaServer(str(options.folder / "llama-server")))
    rounds: dict[str, list[Samples]] = {name: [] for name in contestants}
    started = time.monotonic()
    names = list(contestants)
    for number in range(options.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            rounds[name].append(contestants[name]())
    first = rounds.pop("llama-bench")
    both = [{kind: a[kind] + b[kind] for kind in KINDS} for a, b in zip(first, rounds["control"], strict=True)]
    result = {
        "what": "tokens per second over those of llama-bench, same build, model and settings, interleaved",
        "clock": "processor time" if options.cpu else "wall",
        "model": {"file": options.model.name, "bytes": options.model.stat().st_size},
        "settings": {"threads": options.threads, "n_prompt": options.prompt, "n_gen": options.tokens, "n_ubatch": 512,
                     "flash_attn": "on", "n_gpu_layers": options.layers, "depth": 0, "OMP_WAIT_POLICY": "passive"},
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version(), "gpus": gpus()},
        "engines": said,
        "rounds": options.rounds,
        "samples_per_round": options.samples,
        "seconds": time.monotonic() - started,
        "against_llama_bench": {
            name: {kind: ratios(theirs, first if name == "control" else both, kind) for kind in KINDS}
            for name, theirs in rounds.items()
        },
    }  # fmt: skip
    for name, kinds in result["against_llama_bench"].items():
        for kind, row in kinds.items():
            low, high = row["ci95"]
            print(f"{name:13} {kind:8} {row['tokens_per_second']:10.2f} tok/s   ratio {row['median_of_rounds']:.4f}"
                  f" [{low:.4f}, {high:.4f}]  pooled {row['pooled_medians']:.4f}  best {row['best_ratio']:.4f}")  # fmt: skip
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
