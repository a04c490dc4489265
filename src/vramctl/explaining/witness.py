"""Who computes what fits: llama.cpp's placement by formula, or the estimate of the Ollama that wrote the log.

Either is believed only where it gives, for the log's own settings, what the log reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Protocol

from vramctl.checks.evidence import events, size_of
from vramctl.checks.log_buffers import which_buffer
from vramctl.plan.formula import FormulaBuild, formula_placement
from vramctl.plan.ollama import OllamaEstimate, ollama_era, ollama_estimate
from vramctl.plan.overhead import MOST_NO_FLASH, POOL_DENSE, POOL_EXPERTS
from vramctl.records import Device, Model, Settings, Unknown
from vramctl.records.load import FAILED, Load, Log
from vramctl.units import GIB, MIB

# The planner may differ from the log by this share before it is not believed.
TOLERANCE = 0.05
# Ollama from 0.30 on lets llama-server leave this much of each GPU free (llm/llama_server.go).
_FIT_TARGET = GIB
# What its own line "gpu memory" has taken off `available` already (ml/device.go).
_MINIMUM = 457 * MIB
# Releases whose estimate differs, newest first, for logs that do not print theirs: by the lines that they print.
_RELEASES = (
    ("fit.offload", ("0.12.10", "0.9.6", "0.6.8", "0.5.4", "0.3.7")),
    ("fit.load_requested", ("0.24.0", "0.13.5")),
)


@dataclass(frozen=True, slots=True)
class Placed:
    """What one choice of settings takes: bytes used per GPU, in budgets of the same order, with this many layers there."""

    used: tuple[int, ...]
    layers_on_gpu: int
    fits: bool


class Planner(Protocol):
    """One witness for one load."""

    @property
    def name(self) -> str:
        """Who speaks, with its version."""

    @property
    def budget_bytes(self) -> int:
        """What all GPUs together can hold of this model."""

    @property
    def kept(self) -> str:
        """What it keeps free beside that, in words; empty where the engine's own sum holds it."""

    def place(self, settings: Settings, model: Model | None = None) -> Placed | Unknown:
        """What the settings take with as many layers on the GPUs as they ask for."""

    def against(self, load: Load) -> tuple[str, float] | Unknown:
        """How far its figures for the log's own settings are from the log's, in words and as a share."""


@dataclass(frozen=True)
class LlamaCpp:
    """llama.cpp's placement by formula."""

    model: Model
    settings: Settings
    devices: tuple[Device, ...]
    build: FormulaBuild
    kept_free: int

    @property
    def name(self) -> str:
        """The formula, with the llama.cpp whose rules it follows."""
        return f"formula of llama.cpp {self.build}"

    @property
    def budget_bytes(self) -> int:
        """Free bytes less what stays free on each GPU."""
        return sum(self._budgets)

    @property
    def kept(self) -> str:
        """For pools and workspaces, which are outside the engine's accounting."""
        return f", less {self.kept_free / MIB:.0f} MiB a GPU"

    @cached_property
    def _budgets(self) -> tuple[int, ...]:
        return tuple(max(device.free_bytes - self.kept_free, 0) for device in self.devices)

    def place(self, settings: Settings, model: Model | None = None) -> Placed | Unknown:
        """Weights, KV and compute buffers per GPU."""
        found = formula_placement(model or self.model, settings, self.devices, build=self.build)
        used = []
        for use in found.placement.devices:
            parts = (use.weights_bytes, use.kv_bytes, use.compute_bytes)
            if any(isinstance(part, Unknown) for part in parts):
                return next(part for part in parts if isinstance(part, Unknown))
            used.append(sum(part for part in parts if isinstance(part, int)))
        fits = all(size <= budget for size, budget in zip(used, self._budgets, strict=True))
        return Placed(tuple(used), _number(found.layers_on_gpu), fits)

    def against(self, load: Load) -> tuple[str, float] | Unknown:
        """Its figures for the log's own settings against what the log prints, part by part."""
        told = reported(load)
        if not told.get("weights"):
            return Unknown("the log prints no weights on a GPU to compare with")
        layers = load.layers_on_gpu if isinstance(load.layers_on_gpu, int) else self.model.layers + 1
        placed = formula_placement(
            self.model, replace(self.settings, n_gpu_layers=layers), self.devices, build=self.build
        ).placement
        said = {
            "weights": _sum(use.weights_bytes for use in placed.devices),
            "KV": _sum((*(use.kv_bytes for use in placed.devices), placed.host.kv_bytes)),
            "compute": _sum(use.compute_bytes for use in placed.devices),
        }
        return _compared({name: size for name, size in said.items() if name in told}, told)


@dataclass(frozen=True)
class Ollama:
    """The estimate by which a release of Ollama itself decided how many layers go to the GPU."""

    model: Model
    settings: Settings
    devices: tuple[Device, ...]
    version: str
    guessed: bool
    """The log does not print its version."""

    @property
    def name(self) -> str:
        """The release whose estimate it is."""
        return f"the estimate of Ollama {self.version}{' or alike' if self.guessed else ''}"

    @property
    def budget_bytes(self) -> int:
        """What the engine said is available."""
        return sum(device.free_bytes for device in self.devices)

    @property
    def kept(self) -> str:
        """Nothing more: its sum holds what it keeps free."""
        return ""

    def _estimate(self, settings: Settings, model: Model | None = None) -> OllamaEstimate | Unknown:
        return ollama_estimate(model or self.model, settings, self.devices, version=self.version)

    def place(self, settings: Settings, model: Model | None = None) -> Placed | Unknown:
        """What it would need for all layers; it fits where all of them get a place."""
        said = self._estimate(replace(settings, n_gpu_layers=None), model)
        if isinstance(said, Unknown):
            return said
        return Placed((said.required_full_bytes,), said.layers_on_gpu, said.layers_on_gpu >= said.layers_total)

    def against(self, load: Load) -> tuple[str, float] | Unknown:
        """Its figure for the log's own settings against the one that Ollama printed, and the layers placed."""
        said = self._estimate(replace(self.settings, n_gpu_layers=_asked(load)))
        if isinstance(said, Unknown):
            return said
        if load.fit is None or not isinstance(load.fit.required_full_bytes, int):
            return self._by_layers(load, said)
        told, off = _compared({"needed": said.required_full_bytes}, {"needed": load.fit.required_full_bytes})
        return f"{told}, {said.layers_on_gpu} of {load.layers_on_gpu} layers", off

    def _by_layers(self, load: Load, said: OllamaEstimate) -> tuple[str, float] | Unknown:
        """Releases without a printed sum: the same layers, and the buffers that llama.cpp then made."""
        told = {name: size for name, size in reported(load).items() if name != "compute"}
        if said.layers_on_gpu != load.layers_on_gpu or "KV" not in told:
            return Unknown("this release prints no sum to compare with, and places other layers")
        weights = _sum(use.weights_bytes for use in said.placement.devices)
        return _compared({"weights": weights, "KV": said.kv_bytes}, told)


def planners(model: Model, settings: Settings, devices: tuple[Device, ...], log: Log, load: Load) -> Iterator[Planner]:
    """Every witness that could have been the engine of this log; the log itself tells which one was."""
    if log.source.engine == "ollama":
        versions = _versions(log)
        for version in versions:
            if ollama_era(version) != "llama-server":
                yield Ollama(model, settings, devices, version, guessed=len(versions) > 1)
                continue
            counted = _MINIMUM if load.fit is not None and load.fit.available_bytes else 0
            yield from _llama_cpp(model, settings, devices, kept_free=_FIT_TARGET - counted)
        return
    experts = model.meta("expert_count")
    pool = POOL_EXPERTS if isinstance(experts, int) and experts > 1 else POOL_DENSE
    yield from _llama_cpp(model, settings, devices, kept_free=MOST_NO_FLASH if settings.flash_attn == "off" else pool)


def _llama_cpp(model: Model, settings: Settings, devices: tuple[Device, ...], *, kept_free: int) -> Iterator[Planner]:
    """Both builds whose rules are known, with what the log does not print either way."""
    builds: tuple[FormulaBuild, ...] = ("0c1e57098", "b11549")
    windows = (False, True) if model.meta("attention.sliding_window") else (False,)
    unified = (False, True) if (settings.n_parallel or 1) > 1 else (False,)
    for build, full, one in product(builds, windows, unified):
        yield LlamaCpp(model, replace(settings, swa_full=full, kv_unified=one), devices, build, kept_free)


def _versions(log: Log) -> tuple[str, ...]:
    version = log.source.version if isinstance(log.source.version, str) else ""
    if re.match(r"\d+\.\d+\.\d+", version) and not version.startswith("0.0.0"):
        return (version,)
    return next((releases for kind, releases in _RELEASES if kind in log.event_counts), ("0.30.0",))


def _asked(load: Load) -> int | None:
    asked = load.settings.asked_layers
    return asked if isinstance(asked, int) and asked >= 0 else None


def reported(load: Load) -> dict[str, int]:
    """The parts that the log prints for this load, in bytes: weights and compute on GPUs, the whole cache.

    A buffer that was refused counts as well: its size is printed too.
    """
    parts = {
        "weights": [use.weights_bytes for use in load.on_gpus],
        "KV": [use.kv_bytes for use in load.devices],
        "compute": [use.compute_bytes for use in load.on_gpus],
    }
    told = {name: [size for size in sizes if isinstance(size, int)] for name, sizes in parts.items()}
    part, size = _refused(load)
    if part:
        told[part].append(size)
    return {name: sum(sizes) for name, sizes in told.items() if sum(sizes)}


def _refused(load: Load) -> tuple[str, int]:
    """The part that an allocation failed for, and how many bytes were wanted; empty where no line tells."""
    part = {"the compute buffer": "compute", "the KV cache": "KV", "the weights": "weights"}.get(which_buffer(load), "")
    sizes = [size_of(event.fields.get("size")) for event in events(load, "memory.alloc_failed")]
    size = max((size for size in sizes if size), default=0)
    return (part, size) if part and size and load.outcome == FAILED else ("", 0)


def _compared(said: dict[str, int], told: dict[str, int]) -> tuple[str, float]:
    """Both sums in words, and the share by which they differ."""
    names = [name for name in said if name in told]
    words = ", ".join(f"{name} {said[name] / GIB:.2f} of {told[name] / GIB:.2f}" for name in names)
    whole = sum(told[name] for name in names)
    off = sum(abs(said[name] - told[name]) for name in names) / whole if whole else 1.0
    return f"{words} GiB", off


def _sum(sizes: Iterable[int | Unknown]) -> int:
    return sum(size for size in sizes if isinstance(size, int))


def _number(value: int | Unknown) -> int:
    return value if isinstance(value, int) else 0
