"""A load while its lines are read: the last value per part and device counts, passes before it are dry runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vramctl.logs.device_names import device_of, is_host
from vramctl.logs.tally import Tally
from vramctl.records.event import Event, Printed
from vramctl.records.load import (
    CPU_ONLY,
    EXTENDED_LOAD,
    FAILED,
    LOAD,
    NOT_LOGGED,
    ON_GPU,
    PARTIAL,
    UNCLEAR,
    Fit,
    HeaderValue,
    Load,
    LoggedModel,
    LoggedSettings,
    LoggedUse,
    Moment,
    Seen,
)
from vramctl.records.placement import Bytes
from vramctl.records.unknown import Unknown

PARTS = ("weights", "kv", "compute", "output")
KEPT_REQUESTS, KEPT_MOMENTS, KEPT_EVENTS = 50, 60, 6
# A share of weights that stays in system memory even where every layer is on the GPU: the token embedding.
_EMBEDDING_SHARE = 0.25
# Without a line that says so, only a share that no embedding has tells that tensors were moved.
_MOVED_SHARE = 0.6
_EMBEDDING_BYTES = 2
"""Bytes a weight of a token embedding at most, in what people run: f16 or bf16."""
_OF_PYTHON = Unknown("llama-cpp-python's load time counts from the first request to its first token")


class SeenDraft:
    """How often a kind was seen; keeps the first few events and the last."""

    __slots__ = ("count", "first", "kept", "last")

    def __init__(self, kept: int = KEPT_EVENTS) -> None:
        self.kept = kept
        self.count = 0
        self.first: list[Event] = []
        self.last: Event | None = None

    def add(self, event: Event) -> None:
        """Count one event."""
        self.count += 1
        if len(self.first) < self.kept:
            self.first.append(event)
        self.last = event

    def finished(self) -> Seen:
        """The record."""
        last = self.last
        if last is None:
            raise ValueError("nothing was seen")
        return Seen(self.count, tuple(self.first), last)


@dataclass(slots=True)
class Sizes:
    """Bytes per part and device. A new pass over a part forgets the one before; within a pass a device's lines add up."""

    passes: dict[str, dict[str, int]] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)

    def new_pass(self, part: str) -> None:
        """What comes next for this part replaces what was printed so far."""
        self.stale.add(part)

    def add(self, part: str, device: str, size: int) -> None:
        """One more buffer of this pass."""
        if part in self.stale:
            self.stale.discard(part)
            self.passes[part] = {}
        sizes = self.passes.setdefault(part, {})
        sizes[device] = sizes.get(device, 0) + size

    def put(self, part: str, device: str, size: int) -> None:
        """The one buffer of this device: replaces what it said before."""
        if part in self.stale:
            self.stale.discard(part)
            self.passes[part] = {}
        self.passes.setdefault(part, {})[device] = size

    def of(self, part: str) -> dict[str, int]:
        """Bytes per device of one part."""
        return self.passes.get(part, {})


@dataclass(slots=True)
class LoadDraft:
    """What is known of a load so far."""

    first_line: int
    last_line: int
    origin: str = ""
    build: str = ""
    stage: int = 0
    model: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    layers_on_gpu: int | None = None
    layers_total: int | None = None
    printed: Sizes = field(default_factory=Sizes)
    estimated: Sizes = field(default_factory=Sizes)
    load_seconds: float | None = None
    start_seconds: float | Unknown = field(default_factory=lambda: NOT_LOGGED)
    ready: bool = False
    failed: bool = False
    ended: str = ""
    system_total: int | None = None
    system_free: int | None = None
    command: tuple[str, ...] = ()
    tally: Tally = field(default_factory=lambda: Tally(KEPT_REQUESTS))
    moments: list[Moment] = field(default_factory=list)
    seen: dict[str, SeenDraft] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)
    _last_moment: dict[str, tuple[str, bool, int]] = field(default_factory=dict)
    worked_out: set[int] = field(default_factory=set)
    """Lines of Ollama's own account of buffers: where llama.cpp prints its buffers too, they were an estimate."""
    overridden: int = 0
    header: dict[str, HeaderValue] = field(default_factory=dict)
    tensor_types: dict[str, int] = field(default_factory=dict)

    def note(self, event: Event) -> None:
        """Remember that this kind was seen, within bounds."""
        self.last_line = max(self.last_line, event.last_line)
        seen = self.seen.get(event.kind)
        if seen is None:
            seen = self.seen[event.kind] = SeenDraft()
        seen.add(event)

    def moment(self, sequence: str, what: str, event: Event, *, worked_out: bool = False) -> None:
        """One more step on the timeline, once where a line repeats it; what comes after very many is left out.

        `worked_out`: by Ollama's own account, not by the buffers that llama.cpp made.
        """
        if worked_out:
            self.worked_out.add(event.line)
        last = self._last_moment.get(sequence)
        if last is not None and last[:2] == (what, worked_out):
            # llama-server says it without a time, then Ollama with one.
            if isinstance(self.moments[last[2]].seconds, Unknown):
                self.moments[last[2]] = _moment(sequence, what, event)
        elif len(self.moments) < KEPT_MOMENTS:
            self._last_moment[sequence] = (what, worked_out, len(self.moments))
            self.moments.append(_moment(sequence, what, event))

    def finished(self) -> Load:
        """The load as a record."""
        devices = self._devices()
        on_gpu, total = self.layers_on_gpu, self.layers_total
        return Load(
            lines=(self.first_line, self.last_line),
            model=LoggedModel(**self.model),
            settings=LoggedSettings(**self._settings()),
            layers_on_gpu=NOT_LOGGED if on_gpu is None else on_gpu,
            layers_total=NOT_LOGGED if total is None else total,
            devices=devices,
            load_seconds=self._load_seconds(),
            outcome=self._outcome(devices),
            ended=self.ended,
            estimated=not self.printed.passes and bool(self.estimated.passes) and "own engine" not in self.timing,
            ready=self.ready,
            fit=Fit(**self.fit) if self.fit else None,
            header=dict(self.header),
            tensor_types=dict(self.tensor_types),
            system_total_bytes=NOT_LOGGED if self.system_total is None else self.system_total,
            system_free_bytes=NOT_LOGGED if self.system_free is None else self.system_free,
            requests=self.tally.requests(),
            totals=self.tally.totals(),
            moments=self._moments(),
            command=self.command,
            origin=self.origin,
            build=self.build or NOT_LOGGED,
            seen={kind: seen.finished() for kind, seen in self.seen.items()},
        )  # fmt: skip

    def _load_seconds(self) -> float | Unknown:
        if self.load_seconds is None:
            return NOT_LOGGED
        # llama-cpp-python resets the engine's clock before each answer (llama.py, `reset_timings`).
        return _OF_PYTHON if "python" in self.timing else self.load_seconds

    def _moments(self) -> tuple[Moment, ...]:
        """The steps; buffers that Ollama worked out and llama.cpp then made are one step of their own."""
        if not self.printed.passes or "own engine" in self.timing:
            return tuple(self.moments)
        told: list[Moment] = []
        for moment in self.moments:
            if moment.line in self.worked_out and moment.sequence == LOAD:
                moment = Moment(EXTENDED_LOAD, "sizes estimated", moment.line, moment.seconds)
            if not told or (told[-1].sequence, told[-1].what) != (moment.sequence, moment.what):
                told.append(moment)
        return tuple(told)

    def _settings(self) -> dict[str, Any]:
        known = LoggedSettings.__dataclass_fields__
        values = {name: value for name, value in self.settings.items() if name in known}
        if self.overridden:
            values["overridden_tensors"] = self.overridden
        return values

    def _devices(self) -> tuple[LoggedUse, ...]:
        """One record a device, GPUs first, in the order in which the log names them."""
        sizes = self.printed if self.printed.passes else self.estimated
        buffers: dict[str, dict[str, int]] = {}
        for part in PARTS:
            for name, size in sizes.of(part).items():
                parts = buffers.setdefault(device_of(name), {})
                parts[part] = parts.get(part, 0) + size
        used = [
            LoggedUse(
                name=name, host=is_host(name), **{f"{part}_bytes": self._part(sizes, parts, part) for part in PARTS}
            )
            for name, parts in buffers.items()
        ]
        return tuple(sorted(used, key=lambda use: use.host))

    @staticmethod
    def _part(sizes: Sizes, parts: dict[str, int], part: str) -> Bytes:
        """A device's bytes of one part: what is printed, 0 where the part is printed for other devices only."""
        if part in parts:
            return parts[part]
        return 0 if sizes.of(part) else Unknown(f"the log prints no {part} buffer for this load")

    def _outcome(self, devices: tuple[LoggedUse, ...]) -> str:
        if self.failed and not self.ready:
            return FAILED
        gpu = sum(use.weights_bytes for use in devices if not use.host and isinstance(use.weights_bytes, int))
        host = sum(use.weights_bytes for use in devices if use.host and isinstance(use.weights_bytes, int))
        if self.layers_on_gpu is None or self.layers_total is None:
            if not gpu and not host:
                return UNCLEAR
            if not gpu:
                return CPU_ONLY
            return PARTIAL if host > _EMBEDDING_SHARE * (gpu + host) else ON_GPU
        if self.layers_on_gpu == 0 and not gpu:
            return CPU_ONLY
        if self.layers_on_gpu < self.layers_total:
            return PARTIAL
        # Every layer is on the GPU by count; tensors that were moved one by one show only in the bytes.
        whole = self.model.get("file_bytes") or gpu + host
        moved = min(whole - gpu, host) if gpu else 0
        return PARTIAL if moved > self._may_stay(whole) else ON_GPU

    def _may_stay(self, whole: int) -> float:
        """Bytes of weights that are in system memory although every layer is on the GPU: the token embedding, at most."""
        told = self.overridden or "overridden" in self.timing
        experts, embedding = self._header_number("expert_count"), self._embedding_bytes()
        if (told or experts) and embedding:
            return min(embedding, _EMBEDDING_SHARE * whole)
        return (_EMBEDDING_SHARE if told else _MOVED_SHARE) * whole

    def _embedding_bytes(self) -> int:
        """The most that the token embedding takes, by the header; 0 where it does not say."""
        tokens, width = self.header.get("tokenizer.ggml.tokens"), self._header_number("embedding_length")
        return tokens * width * _EMBEDDING_BYTES if isinstance(tokens, int) else 0

    def _header_number(self, key: str) -> int:
        """A whole number of the architecture's own part of the header, 0 where it is not printed."""
        value = self.header.get(f"{self.model.get('architecture')}.{key}")
        return value if isinstance(value, int) and value > 0 else 0


def _moment(sequence: str, what: str, event: Event) -> Moment:
    return Moment(sequence, what, event.line, NOT_LOGGED if event.inherited else event.seconds)


def as_bytes(value: object) -> int | None:
    """Bytes of a printed size, None where there is none."""
    if isinstance(value, Printed):
        return value.bytes
    return value if isinstance(value, int) and not isinstance(value, bool) else None
