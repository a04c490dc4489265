"""One peer asked for its estimates, by its public functions: jobs as JSON lines on stdin, answers on stdout.

    PEER_VENV/bin/python ask_peer.py xllamacpp|llamafit|ggufit < jobs

Runs in the peer's own environment and imports nothing of vramctl. A job names the model (`shape`, `path`), `n_ctx`, `n_ubatch`,
`n_batch`, `parallel` and `kv_type`; an answer holds `total_bytes` (what the peer says the GPU must hold), `constants_bytes` (the
part of it that the peer states as a constant for the driver's context) and `seconds`. A peer that cannot answer says why.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
GIB = 1 << 30
H200_BYTES = 150754820096


def of_xllamacpp() -> Callable[[Answer], Answer]:
    """xllamacpp.memory.estimate_gpu_layers; 512 MiB is its default `memory_min` for each GPU.

    Reading the file with gguf-py takes it seconds, so unless a job says `fresh` (as timed ones do) the reader of a file is kept.
    """
    import gguf
    from xllamacpp.memory import estimate_gpu_layers

    read, kept = gguf.GGUFReader, {}

    def reader(path: str, mode: str) -> Any:
        if path not in kept:
            kept.clear()
            kept[path] = read(path, mode)
        return kept[path]

    def ask(job: Answer) -> Answer:
        gguf.GGUFReader = read if job.get("fresh") else reader
        found = estimate_gpu_layers(
            [{"name": "cuda", "memory_free": H200_BYTES}],
            job["path"],
            [],
            context_length=job["n_ctx"],
            batch_size=job["n_ubatch"],
            num_parallel=job["parallel"],
            kv_cache_type=job["kv_type"],
        )
        return {"total_bytes": found.vram_size, "constants_bytes": 512 << 20}

    return ask


def of_llamafit() -> Callable[[Answer], Answer]:
    """llamafit.budget.compute on the facts that llamafit.gguf reads from the file; its `cuda-context` line is the constant.

    The catalogue entry only names the model in messages.
    """
    from llamafit.budget import compute
    from llamafit.catalog.loader import load_catalog
    from llamafit.gguf.cache import read_facts
    from llamafit.hardware import scan

    host, entry = scan(measure_bandwidth=False), load_catalog()[0].models[0]

    def ask(job: Answer) -> Answer:
        quant = entry.sources[0].quants[0].model_copy(update={"gguf_facts": read_facts(Path(job["path"]))})
        budget = compute(
            entry, quant, host, context=job["n_ctx"], mode="gpu", micro_batch=job["n_ubatch"], batch=job["n_batch"],
            kv_type=job["kv_type"],
        )  # fmt: skip
        context = sum(line.bytes_ for line in budget.lines if line.component == "cuda-context")
        return {"total_bytes": budget.vram_required, "constants_bytes": context}

    return ask


def of_ggufit() -> Callable[[Answer], Answer]:
    """ggufit.calculator.plan_offload on its own catalogue entry of the model, at its `q4`; context is per user.

    Its fixed part covers the driver's context and the compute buffers together, so no constant can be set apart.
    """
    from ggufit.calculator import plan_offload
    from ggufit.models import find_model

    names = {"deepseek-v2-lite": "deepseek-v2-lite-16b"}
    bits = {"f16": 16, "q8_0": 8, "q4_0": 4}

    def ask(job: Answer) -> Answer:
        _, model = find_model(names.get(job["shape"], job["shape"]))
        if model is None:
            raise LookupError("not in its catalogue")
        plan = plan_offload(
            model, "q4", job["n_ctx"] // job["parallel"], ram_budget_gb=512, vram_budget_gb=H200_BYTES / GIB,
            cpu_bandwidth_gbps=30, gpu_bandwidth_gbps=4800, users=job["parallel"], kv_bits=bits[job["kv_type"]],
        )  # fmt: skip
        if not plan.fully_offloaded:
            raise LookupError("its plan does not offload the whole model")
        return {"total_bytes": int(plan.vram_needed_gb * GIB), "constants_bytes": 0}

    return ask


PEERS = {"xllamacpp": of_xllamacpp, "llamafit": of_llamafit, "ggufit": of_ggufit}


def main() -> None:
    """Answers jobs until stdin ends; the first line says the version."""
    name = sys.argv[1]
    ask = PEERS[name]()
    print(json.dumps({"peer": name, "version": importlib.metadata.version(name)}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        started = time.perf_counter()
        try:
            answer = ask(job)
        except Exception as error:  # a peer may fail in any way of its own; that is an observation
            answer = {"refused": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps({**answer, "seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
