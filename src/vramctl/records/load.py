"""What a log reports: its source, GPUs, every load of a model with its requests, and what else was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vramctl.records.event import Event
from vramctl.records.placement import Bytes
from vramctl.records.unknown import Unknown

NOT_LOGGED = Unknown("the log does not print it")

LOAD, EXTENDED_LOAD, MEMORY_WATCH = "load", "extended load", "memory watch"
ON_GPU, PARTIAL, CPU_ONLY, FAILED, UNCLEAR = "on-gpu", "partial", "cpu-only", "failed", "unknown"

Text = str | Unknown
Count = int | Unknown
Number = float | Unknown
HeaderValue = int | float | bool | str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedGpu:
    """One GPU as the log names it; `name` is the vendor's name, `device` the engine's (`CUDA0`)."""

    id: Text = NOT_LOGGED
    name: Text = NOT_LOGGED
    device: Text = NOT_LOGGED
    library: Text = NOT_LOGGED
    compute_capability: Text = NOT_LOGGED
    driver: Text = NOT_LOGGED
    total_bytes: Bytes = NOT_LOGGED
    available_bytes: Bytes = NOT_LOGGED
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedModel:
    """Which model was loaded, as far as the log says."""

    name: Text = NOT_LOGGED
    architecture: Text = NOT_LOGGED
    parameters: Count = NOT_LOGGED
    quantization: Text = NOT_LOGGED
    file_bytes: Bytes = NOT_LOGGED
    sha256: Text = NOT_LOGGED
    path: Text = NOT_LOGGED
    train_ctx: Count = NOT_LOGGED
    layers: Count = NOT_LOGGED


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedSettings:
    """Settings of one load as printed. `ctx` counts the tokens of all slots together; `asked_layers` is -1 for automatic."""

    ctx: Count = NOT_LOGGED
    parallel: Count = NOT_LOGGED
    batch: Count = NOT_LOGGED
    ubatch: Count = NOT_LOGGED
    outputs_max: Count = NOT_LOGGED
    """Tokens of a batch that may have an output each: the compute buffer holds their logits."""
    flash_attn: Text = NOT_LOGGED
    flash_attn_used: bool | Unknown = NOT_LOGGED
    """What `auto` came to: the engine prints it once it has asked its devices."""
    type_k: Text = NOT_LOGGED
    type_v: Text = NOT_LOGGED
    asked_layers: Count = NOT_LOGGED
    threads: Count = NOT_LOGGED
    split_mode: Text = NOT_LOGGED
    mmap: bool | Unknown = NOT_LOGGED
    kv_offload: bool | Unknown = NOT_LOGGED
    overridden_tensors: Count = NOT_LOGGED
    pipeline_copies: Count = NOT_LOGGED


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedUse:
    """Bytes on one device (or in system memory: `host`) as the log reports them."""

    name: str
    host: bool
    weights_bytes: Bytes = NOT_LOGGED
    kv_bytes: Bytes = NOT_LOGGED
    compute_bytes: Bytes = NOT_LOGGED
    output_bytes: Bytes = NOT_LOGGED

    @property
    def known_bytes(self) -> int:
        """The printed parts together, in bytes: a lower bound where one was not printed."""
        parts = (self.weights_bytes, self.kv_bytes, self.compute_bytes, self.output_bytes)
        return sum(part for part in parts if isinstance(part, int))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request. Its line is printed at its end: `start_seconds` is the end less the latency."""

    line: int
    status: Count = NOT_LOGGED
    method: Text = NOT_LOGGED
    path: Text = NOT_LOGGED
    client: Text = NOT_LOGGED
    start_seconds: Number = NOT_LOGGED
    end_seconds: Number = NOT_LOGGED
    latency_seconds: Number = NOT_LOGGED
    prompt_tokens: Count = NOT_LOGGED
    prompt_per_second: Number = NOT_LOGGED
    generated_tokens: Count = NOT_LOGGED
    generated_per_second: Number = NOT_LOGGED


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTotals:
    """All requests of a load, also those whose records were dropped to keep memory constant."""

    count: int = 0
    failed: int = 0
    """Answered with status 500 or above."""
    latency_seconds: float = 0.0
    longest_seconds: float = 0.0
    truncated: int = 0
    prompt_slowest_per_second: Number = NOT_LOGGED
    prompt_fastest_per_second: Number = NOT_LOGGED
    generated_slowest_per_second: Number = NOT_LOGGED
    generated_fastest_per_second: Number = NOT_LOGGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What the engine worked out before it loaded: needed against available, in bytes, per GPU where it says so."""

    required_full_bytes: Bytes = NOT_LOGGED
    required_partial_bytes: Bytes = NOT_LOGGED
    kv_bytes: Bytes = NOT_LOGGED
    weights_bytes: Bytes = NOT_LOGGED
    output_layer_bytes: Bytes = NOT_LOGGED
    graph_full_bytes: Bytes = NOT_LOGGED
    graph_partial_bytes: Bytes = NOT_LOGGED
    projector_bytes: Bytes = NOT_LOGGED
    available_bytes: tuple[int, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of a load on its timeline; `sequence` is load, extended load (the steps between those) or memory watch."""

    sequence: str
    what: str
    line: int
    seconds: Number


@dataclass(frozen=True, slots=True)
class Seen:
    """How often a kind of event was seen, with its first few and its last."""

    count: int
    first: tuple[Event, ...]
    last: Event

    @property
    def events(self) -> tuple[Event, ...]:
        """The kept events in order: the first ones and the last."""
        return self.first if self.last in self.first else (*self.first, self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One load of a model as a log reports it, with what became of it."""

    lines: tuple[int, int]
    model: LoggedModel
    settings: LoggedSettings
    layers_on_gpu: Count
    layers_total: Count
    devices: tuple[LoggedUse, ...]
    load_seconds: Number
    outcome: str
    ended: str = ""
    """What ended it, in words; empty while nothing did (the log stops while it serves)."""
    estimated: bool = False
    """The bytes are the engine's estimate from before the load: it printed no others."""
    ready: bool = False
    """The log shows it loaded completely."""
    fit: Fit | None = None
    header: Mapping[str, HeaderValue] = field(default_factory=dict)
    """The numbers of the model's header as printed (`llama.block_count`), arrays as their length."""
    tensor_types: Mapping[str, int] = field(default_factory=dict)
    """How many tensors there are of each type (`q4_K`), as printed."""
    system_total_bytes: Bytes = NOT_LOGGED
    system_free_bytes: Bytes = NOT_LOGGED
    requests: tuple[LoggedRequest, ...] = ()
    totals: RequestTotals = RequestTotals()
    moments: tuple[Moment, ...] = ()
    command: tuple[str, ...] = ()
    origin: str = ""
    build: Text = NOT_LOGGED
    """The engine's build as it names itself before this load."""
    seen: Mapping[str, Seen] = field(default_factory=dict)

    @property
    def on_gpus(self) -> tuple[LoggedUse, ...]:
        """The devices that are GPUs."""
        return tuple(use for use in self.devices if not use.host)

    @property
    def on_host(self) -> tuple[LoggedUse, ...]:
        """The buffers in system memory."""
        return tuple(use for use in self.devices if use.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSource:
    """Where the lines came from: the engine, its era and its version."""

    name: str = ""
    lines: int = 0
    bytes: int = 0
    engine: Text = NOT_LOGGED
    era: Text = NOT_LOGGED
    version: Text = NOT_LOGGED
    platforms: tuple[str, ...] = ()
    system: Text = NOT_LOGGED
    """linux, windows or macos, as paths and prefixes tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Everything one log says; memory stays constant, so of many loads and requests only counts remain."""

    source: LogSource
    gpus: tuple[LoggedGpu, ...]
    loads: tuple[Load, ...]
    dropped_loads: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    event_counts: Mapping[str, int] = field(default_factory=dict)
    unrecognised_lines: int = 0
    unrecognised_samples: tuple[tuple[int, str], ...] = ()
    seen: Mapping[str, Seen] = field(default_factory=dict)
    totals: RequestTotals = RequestTotals()
    """All requests, those of no load included."""
    failed_requests: tuple[LoggedRequest, ...] = ()
