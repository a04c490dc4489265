"""An H200 that is not there: what one reported and held, as recorded loads, with an NVML that answers accordingly.

Bytes of weights, KV cache and compute are those that llama.cpp b11434 counted on one (benchmarks/results/exactness-h200-*.json);
what the device held beside them (527 MiB of context, 85 MiB of pools) and the speeds were measured there too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vramctl.engines.endings import witnessed
from vramctl.engines.engine import NotRunning
from vramctl.engines.recording import RecordedLoad, Recording, Step
from vramctl.engines.replay import Replay
from vramctl.planning.ready import Machine
from vramctl.records import Device, Settings, Unknown
from vramctl.records.run import (
    UNLOADED,
    Answer,
    BufferUse,
    Ended,
    EngineDevice,
    Generation,
    Loaded,
    LogLine,
    Memory,
    Prefill,
)
from vramctl.units import MIB

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
PID = 4242
CONTEXT, POOL = 527 * MIB, 85 * MIB
GPU = Device(
    "CUDA0", "NVIDIA H200", 150_754_820_096, 150_109_880_320, "test", compute_capability="9.0",
    bandwidth_bytes_per_second=4_800_000_000_000, driver="580.159.04", uuid="GPU-h200",
)  # fmt: skip
CUDA_INFO = "CUDA : ARCHS = 900 | USE_GRAPHS = 1 | PEER_MAX_BATCH_SIZE = 128 | CPU : SSE3 = 1 | AVX2 = 1 |"
CPU_INFO = "CPU : SSE3 = 1 | AVX2 = 1 | REPACK = 1 |"
Buffers = Mapping[str, Sequence[int]]


class NVMLError(Exception):
    """As pynvml's."""


class Nvml(SimpleNamespace):
    """Answers like pynvml. `held` is bytes by process; `busy` the load while a model is there."""

    NVMLError = NVMLError
    nvmlMemory_v2, NVML_CLOCK_SM = 2, 1

    def __init__(self, **held: int) -> None:
        super().__init__(held={int(pid.removeprefix("p")): size for pid, size in held.items()}, busy=96, reasons=0)

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str, version: int = 1) -> Any:
        return SimpleNamespace(used=sum(self.held.values()))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> Any:
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in self.held.items()]

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return SimpleNamespace(gpu=self.busy if PID in self.held else 0)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return 480_000

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:
        return 1980

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        return int(self.reasons)


@cache
def measured(shape: str, *, layers: int = -1, **context: object) -> Buffers:
    """The buffers that llama.cpp b11434 counted on an H200 for this load: (weights, KV, compute) by buffer type."""
    for name in ("exactness-h200-xllamacpp-2026.10.11549", "exactness-h200-more-xllamacpp-2026.10.11549"):
        for row in json.loads((RESULTS / f"{name}.json").read_text())["rows"]:
            same = (row["shape"], row["model_params"], row["context_params"]) == (
                shape,
                {"n_gpu_layers": layers},
                context,
            )
            if same and row["devices"] == 1 and row["quant"] == "Q4_K_M":
                found: Buffers = row["buffers"]
                return found
    raise LookupError(f"{shape} with {layers} layers and {context} was not measured")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What a load reports: bytes by buffer type, layers, splits of the graph, speed in tokens per second."""

    buffers: Buffers
    layers: str
    splits: int = 2
    decode: float = 258.0
    prefill: float = 9400.0
    flash: bool = True
    kv: str = "f16"
    info: str = CUDA_INFO
    gpus: Sequence[Device] = (GPU,)
    spilled: int = 0
    """Bytes that the engine believes on the device and the driver keeps elsewhere."""
    ended: Ended | None = None
    overhead: int = CONTEXT + POOL


def loaded(fault: Fault) -> Loaded:
    """What the engine says of such a load."""
    uses = tuple(
        BufferUse(name, "CUDA0" if name == "CUDA0" else "", name != "CUDA0", *map(int, sizes))
        for name, sizes in fault.buffers.items()
    )
    log = tuple(LogLine(0.1 * number, text, "info") for number, text in enumerate(_log(fault)))
    listed = tuple(EngineDevice(d.name, d.description, "gpu", d.total_bytes, d.free_bytes) for d in fault.gpus)
    return Loaded(
        vehicle="binding", engine="xllamacpp 2026.10.11549", version="ggml 0.26.0", model="model.gguf", settings=Settings(),
        pid=PID, start_seconds=0.5, load_seconds=2.5, context_seconds=0.3, graph_splits=fault.splits, log=log,
        load=witnessed(log).load, buffers=uses, devices=(*listed, EngineDevice("CPU", "Xeon", "cpu", 10**12, 10**12)),
        facts={"system_info": fault.info},
    )  # fmt: skip


def _log(fault: Fault) -> Iterator[str]:
    on, _, total = fault.layers.partition("/")
    if fault.gpus:
        yield f"load_tensors: offloading {max(0, int(on) - 1)} repeating layers to GPU"
        yield f"load_tensors: offloaded {on}/{total} layers to GPU"
    for name, (weights, _, _) in fault.buffers.items():
        if weights:
            yield f"load_tensors: {name:>12} model buffer size = {weights / MIB:8.2f} MiB"
    yield f"llama_context: flash_attn            = {'enabled' if fault.flash else 'disabled'}"
    for name, (_, kv, _) in fault.buffers.items():
        if kv:
            yield f"llama_kv_cache: {name:>10} KV buffer size = {kv / MIB:8.2f} MiB"
    kv_mib = sum(kv for _, kv, _ in fault.buffers.values()) / MIB
    yield (
        f"llama_kv_cache: size = {kv_mib:7.2f} MiB (  8192 cells,  32 layers,  1/1 seqs), "
        f"K ({fault.kv}): {kv_mib / 2:7.2f} MiB, V ({fault.kv}): {kv_mib / 2:7.2f} MiB"
    )
    for name, (_, _, compute) in fault.buffers.items():
        yield f"sched_reserve: {name:>10} compute buffer size = {compute / MIB:8.2f} MiB"
    yield f"sched_reserve: graph: nodes = 1126, splits = {fault.splits}, input objects = 4, input tensors = 9"


class H200(Replay):
    """Plays a load, and lets the device hold what such a load holds; each load is the next of `faults`, the last again."""

    def __init__(self, nvml: Nvml, *faults: Fault, steps: Sequence[Step] = ()) -> None:
        ended = Ended(how=UNLOADED, phase="unload", what="unloaded", seconds=0.1)
        loads = tuple(
            RecordedLoad("", Settings(), loaded(fault), tuple(steps) or measurements(fault), fault.ended or ended)
            for fault in faults
        )
        super().__init__(Recording("an H200", loads), in_order=True)
        self._nvml, self._faults, self.asked = nvml, list(faults), list[Settings]()

    @contextmanager
    def load(self, model: str, settings: Settings, *, timeout_seconds: float = 600.0) -> Iterator[Any | NotRunning]:
        """The next load; the device holds its bytes meanwhile."""
        fault = self._faults[min(len(self.asked), len(self._faults) - 1)]
        self.asked.append(settings)
        sizes = sum(sum(part) for name, part in fault.buffers.items() if name == "CUDA0")
        if fault.gpus:
            self._nvml.held[PID] = sizes - fault.spilled + fault.overhead
        self._nvml.busy = 96 if sizes else 3
        try:
            with super().load(model, settings, timeout_seconds=timeout_seconds) as run:
                yield run
        finally:
            self._nvml.held.pop(PID, None)


def measurements(fault: Fault) -> tuple[Step, ...]:
    """Prompts of 32 to 8192 tokens at several depths, 256 steps at each, and whole answers, all at the speed of the fault."""
    steps = []
    for depth in (0, 1536, 7680, 3584, 32256):
        for tokens in (32, 64, 128, 256, 512):
            seconds = tokens / fault.prefill
            steps.append(
                Step(
                    "prefill", (tokens, depth), Prefill(n_tokens=tokens, depth=depth, seconds=seconds, first_run=False)
                )
            )
        each = (2.5 / fault.decode, *(1 / fault.decode for _ in range(255)))
        steps.append(Step("generate", (256, depth), Generation(
            n_tokens=256, depth=depth, seconds=sum(each), token_seconds=each, first_run=False,
        )))  # fmt: skip
        for tokens in (32, 128, 512):
            first = (tokens + depth) / fault.prefill
            steps.append(Step("answer", (tokens + depth, 8), Answer(
                prompt_tokens=tokens + depth, n_tokens=8, prompt_seconds=first, first_token_seconds=first,
                gap_seconds=(1 / fault.decode,) * 7, total_seconds=first + 7 / fault.decode,
            )))  # fmt: skip
    steps.append(Step("memory", (), Memory(1.0, (), 700 * MIB)))
    return tuple(steps)


def h200(nvml: Nvml, *, free: int | None = None) -> Machine:
    """The machine with this GPU, of which `free` bytes are free."""
    size = GPU.free_bytes if free is None else free
    return Machine((replace(GPU, free_bytes=size),), nvml)


def hidden() -> Machine:
    """The machine with CUDA_VISIBLE_DEVICES set to nothing."""
    return Machine(Unknown("CUDA_VISIBLE_DEVICES='' hides all 1 NVIDIA GPUs"), Nvml())
