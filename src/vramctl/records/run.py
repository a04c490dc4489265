"""What a model did while it ran: loaded, read a prompt, generated, ended. Times are seconds, each with who measured it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vramctl.records.load import Load
from vramctl.records.placement import Bytes
from vramctl.records.settings import Settings
from vramctl.records.unknown import Unknown

Seconds = float | Unknown
Count = int | Unknown
Text = str | Unknown

UNLOADED, CRASHED, KILLED, TIMEOUT = "unloaded", "crashed", "killed", "timeout"
OUT_OF_MEMORY, REFUSED = "out-of-memory", "refused"
ENDINGS = (UNLOADED, CRASHED, KILLED, TIMEOUT, OUT_OF_MEMORY, REFUSED)

BY_PROCESS, BY_SERVER, BY_CLIENT = "process clock", "server timings", "client clock"
"""Who measured: the process that computes, around its own calls; the server, in its answer; we, when bytes arrived."""

NOT_OFFERED = Unknown("this way of running the engine does not say")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the engine's log. `at_seconds` counts from the load's start; `level` is debug, info, warn, error or empty."""

    at_seconds: Seconds
    text: str
    level: str = ""


@dataclass(frozen=True, slots=True)
class EngineDevice:
    """A device as the engine itself lists it. `kind` is gpu, igpu, cpu or accel; bytes are the engine's own reading."""

    name: str
    description: str
    kind: str
    total_bytes: Bytes
    free_bytes: Bytes


@dataclass(frozen=True, slots=True)
class BufferUse:
    """Bytes of one buffer type, exact, in the engine's own count (`CUDA0`, `CUDA_Host`, `CPU_REPACK`).

    `device` is the device that the buffer type belongs to; `host` is True where the bytes are in system memory.
    """

    name: str
    device: str
    host: bool
    weights_bytes: int
    kv_bytes: int
    compute_bytes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory at one moment of a run: the engine's devices, and what of the process lies in system memory."""

    at_seconds: Seconds
    devices: tuple[EngineDevice, ...]
    resident_bytes: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model that is loaded and ready, as far as the engine, its log and its API tell.

    `settings` were asked for; `not_applied` names those that this vehicle has no way to pass. The `n_` fields are what
    the engine says it runs with. `load_seconds` is the model alone, `context_seconds` cache and buffers. `load` is what the
    engine's log reports, `buffers` what its API counts. `harness_seconds_per_token` is what measuring adds to one decode step.
    """

    vehicle: str
    engine: str
    version: Text
    model: str
    settings: Settings
    not_applied: tuple[str, ...] = ()
    pid: Count = NOT_OFFERED
    start_seconds: Seconds = NOT_OFFERED
    load_seconds: Seconds = NOT_OFFERED
    context_seconds: Seconds = NOT_OFFERED
    n_ctx: Count = NOT_OFFERED
    n_ctx_seq: Count = NOT_OFFERED
    n_batch: Count = NOT_OFFERED
    n_ubatch: Count = NOT_OFFERED
    n_seq_max: Count = NOT_OFFERED
    n_threads: Count = NOT_OFFERED
    graph_splits: Count = NOT_OFFERED
    harness_seconds_per_token: Seconds = NOT_OFFERED
    load: Load | Unknown = NOT_OFFERED
    log: tuple[LogLine, ...] = ()
    buffers: tuple[BufferUse, ...] | Unknown = NOT_OFFERED
    devices: tuple[EngineDevice, ...] | Unknown = NOT_OFFERED
    reported_total_bytes: Bytes = NOT_OFFERED
    """What the engine's API says the model takes in all (Ollama's `size`)."""
    reported_gpu_bytes: Bytes = NOT_OFFERED
    """What of it the API says is on GPUs (Ollama's `size_vram`)."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What else the engine says of itself, in its own words (`system_info`)."""

    @property
    def named(self) -> str:
        """The engine with its own version where it says one: `llama.cpp in build (ggml 0.25.3)`."""
        known = isinstance(self.version, str) and self.version and "unknown" not in self.version
        return f"{self.engine} ({self.version})" if known else self.engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefill:
    """`n_tokens` of a prompt computed on top of `depth` tokens that were in the cache before, in `seconds`.

    `first_run` is True for the first prefill since the load: it pays for kernels, graphs and cold pages. `cpu_seconds` is what
    the process computed on all its threads meanwhile, which a busy machine disturbs less.
    """

    n_tokens: int
    depth: int
    seconds: float
    first_run: bool
    measured_by: str = BY_PROCESS
    cpu_seconds: Seconds = NOT_OFFERED

    @property
    def tokens_per_second(self) -> float:
        """Prompt tokens per second."""
        return self.n_tokens / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """`n_tokens` decode steps of one sequence that held `depth` tokens before, in `seconds`.

    `token_seconds` is each step's duration in order (they sum to `seconds`), Unknown where only the sum was measured.
    `cpu_seconds` is what the process computed on all its threads meanwhile, which a busy machine disturbs less.
    """

    n_tokens: int
    depth: int
    seconds: float
    token_seconds: tuple[float, ...] | Unknown
    first_run: bool
    measured_by: str = BY_PROCESS
    cpu_seconds: Seconds = NOT_OFFERED

    @property
    def tokens_per_second(self) -> float:
        """Decode steps per second."""
        return self.n_tokens / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One whole request: `prompt_tokens` read into an empty cache, then `n_tokens` tokens given out.

    `first_token_seconds` is from the request's start to its first token (TTFT); `gap_seconds` are the times between one
    token and the next, one fewer than tokens. `prompt_seconds` is the prompt alone where it is measured apart.
    """

    prompt_tokens: int
    n_tokens: int
    prompt_seconds: Seconds
    first_token_seconds: Seconds
    gap_seconds: tuple[float, ...] | Unknown
    total_seconds: float
    measured_by: str = BY_PROCESS
    cached_tokens: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a load or a run came to its end, and in which phase: start, load, idle, prefill, generate, answer or unload.

    `how` is one of ENDINGS; `what` says it in words, the engine's own where it has some. For out-of-memory, `buffer` and
    `wanted_bytes` say which allocation failed, where the log does. `log` is everything logged up to then.
    """

    how: str
    phase: str
    what: str
    exit_code: Count = Unknown("the process did not exit by itself")
    signal: Text = Unknown("no signal ended it")
    seconds: Seconds = NOT_OFFERED
    """From the load's start to the end; for `unloaded` how long unloading took."""
    buffer: Text = Unknown("the log names no buffer")
    wanted_bytes: Bytes = Unknown("the log names no size")
    log: tuple[LogLine, ...] = ()
    load: Load | Unknown = NOT_OFFERED

    @property
    def failed(self) -> bool:
        """Whether it ended in another way than by being unloaded."""
        return self.how != UNLOADED
