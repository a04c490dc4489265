"""Which change makes a load fit: computed with the planner, where the log shows that the planner knows this load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from vramctl.errors import VramctlError
from vramctl.explaining.header import model_of_log, smaller
from vramctl.explaining.machine import GUESSED_CTX, machine_of_log, settings_of_load
from vramctl.explaining.witness import TOLERANCE, Planner, planners
from vramctl.records import Model, Settings, Unknown
from vramctl.records.change import Change, WhatFits
from vramctl.records.load import FAILED, PARTIAL, Load, Log
from vramctl.units import GIB

_CTX_STEP, _SMALLEST_CTX = 1024, 2048
_MOST_CHANGES = 3
_PLAIN_CACHES = frozenset({"f16", "bf16", "f32"})


def what_fits(load: Load, log: Log) -> WhatFits | Unknown:
    """Up to three changes with which all layers of this load are on the GPUs; Unknown with the reason where none is sure."""
    if load.outcome not in {PARTIAL, FAILED}:
        return Unknown("it neither failed nor is partly on the CPU")
    if isinstance(load.settings.overridden_tensors, int) or "tensors.override_hint" in load.seen:
        return Unknown("its tensors were placed one by one (-ot, --n-cpu-moe)")
    try:
        return _computed(load, log)
    except VramctlError as error:
        return Unknown(error.what)


def _computed(load: Load, log: Log) -> WhatFits | Unknown:
    model, machine, settings = model_of_log(load), machine_of_log(load, log), settings_of_load(load)
    if isinstance(model, Unknown):
        return model
    if isinstance(machine, Unknown):
        return machine
    if isinstance(settings, Unknown):
        return settings
    best = _best(load, list(planners(model, settings, machine.devices, log, load)))
    if isinstance(best, Unknown):
        return best
    planner, told, off = best
    start = getattr(planner, "settings", settings)
    search = _Search(
        planner=planner, start=start, model=model, load=load, ollama=log.source.engine == "ollama", apart=off
    )
    changes = tuple(search.changes())[:_MOST_CHANGES]
    if not changes and search.as_it_is is not None:
        return Unknown("by the planner's figures it fits as it is: what ran out is outside the engine's accounting")
    if not changes:
        return Unknown("no change of settings makes it fit by the planner's figures")
    guessed = f"; at a context of {GUESSED_CTX} tokens, as the log prints none"
    because = (
        f"the planner ({planner.name}) reproduces this log within {off:.1%}: {told}",
        f"room for this model: {planner.budget_bytes / GIB:.1f} GiB ({machine.said}{planner.kept})"
        + (guessed if isinstance(load.settings.ctx, Unknown) else ""),
    )
    return WhatFits(planner.name, because, changes)


def _best(load: Load, known: list[Planner]) -> tuple[Planner, str, float] | Unknown:
    """The witness that is nearest to the log, if it is near enough."""
    found: list[tuple[float, str, Planner]] = []
    why = Unknown("no formula is known for this engine")
    for planner in known:
        answer = planner.against(load)
        if isinstance(answer, Unknown):
            why = answer
        else:
            found.append((answer[1], answer[0], planner))
    if not found:
        return why
    off, told, planner = min(found, key=lambda one: round(one[0], 3))
    if off > TOLERANCE:
        return Unknown(f"the planner is {off:.0%} off the log's own figures ({told}), so it is not asked")
    return planner, told, off


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """Tries one changed setting after the other. What the planner is `apart` from the log stays free as well."""

    planner: Planner
    start: Settings
    model: Model
    load: Load
    ollama: bool
    apart: float

    @property
    def _layers(self) -> int:
        return self.model.layers + 1

    @property
    def _everything(self) -> Settings:
        return replace(self.start, n_gpu_layers=self._layers)

    @property
    def as_it_is(self) -> Change | None:
        """Every layer on the GPUs at the log's own settings, None where they do not fit."""
        return self._try("-ngl 99", "all layers at these settings", self._everything)

    def changes(self) -> Iterator[Change]:
        """Changes with which every layer is on the GPUs, then what fits without them; none where nothing has to change."""
        if self.as_it_is is not None:
            if self.load.outcome == PARTIAL and not self.ollama:
                yield self.as_it_is
            return
        for change in (
            self._flash_or_smaller_cache(), self._one_slot(), self._shorter(), self._experts_on_host(),
            self._smaller_weights(), self._fewer_layers(),
        ):  # fmt: skip
            if change is not None:
                yield change

    def _place(self, settings: Settings, model: Model | None = None) -> int | None:
        """Bytes used on all GPUs, None where they do not fit."""
        placed = self.planner.place(settings, model)
        if isinstance(placed, Unknown) or not placed.fits:
            return None
        used = sum(placed.used)
        return used if used * (1 + self.apart) <= self.planner.budget_bytes else None

    def _try(self, option: str, what: str, settings: Settings, model: Model | None = None) -> Change | None:
        used = self._place(settings, model)
        return None if used is None else self._change(option, what, used, self._layers)

    def _change(self, option: str, what: str, used: int, layers: int) -> Change:
        return Change(option, what, used, self.planner.budget_bytes, layers)

    def _flash_or_smaller_cache(self) -> Change | None:
        """Flash attention where it is off, else a cache of q8_0, which needs it."""
        flash = replace(self._everything, flash_attn="on")
        if self.start.flash_attn == "off" and not self.ollama:
            change = self._try("-fa on", "flash attention", flash)
            if change is not None:
                return change
        if self.start.type_k not in _PLAIN_CACHES:
            return None
        option = "OLLAMA_FLASH_ATTENTION=1 OLLAMA_KV_CACHE_TYPE=q8_0" if self.ollama else "-fa on -ctk q8_0 -ctv q8_0"
        return self._try(option, "a q8_0 cache", replace(flash, type_k="q8_0", type_v="q8_0"))

    def _one_slot(self) -> Change | None:
        slots = self.start.n_parallel or 1
        if slots == 1:
            return None
        ctx = (self.start.n_ctx or 0) // slots
        option = "OLLAMA_NUM_PARALLEL=1" if self.ollama else f"-np 1 -c {ctx}"
        return self._try(option, f"one slot instead of {slots}", replace(self._everything, n_parallel=1, n_ctx=ctx))

    def _shorter(self) -> Change | None:
        """The longest context, in steps of 1024 tokens a slot, with which every layer is on the GPUs."""
        slots = self.start.n_parallel or 1
        step = _CTX_STEP * slots
        most = (self.start.n_ctx or 0) // step

        def used(steps: int) -> int | None:
            return self._place(replace(self._everything, n_ctx=steps * step))

        steps = _most(_SMALLEST_CTX // _CTX_STEP, most, used)
        if steps is None or steps >= most:
            return None
        ctx = steps * _CTX_STEP
        option = f"num_ctx {ctx}" if self.ollama else f"-c {steps * step}"
        what = f"{ctx} tokens of context" + (f" for each of {slots} slots" if slots > 1 else "")
        return self._try(option, what, replace(self._everything, n_ctx=steps * step))

    def _experts_on_host(self) -> Change | None:
        """The experts of as few layers as possible in system memory."""
        experts = self.model.meta("expert_count")
        if self.ollama or not isinstance(experts, int) or experts < 2:
            return None

        def used(kept: int) -> int | None:
            return self._place(replace(self._everything, n_cpu_moe=self.model.layers - kept))

        kept = _most(0, self.model.layers, used)
        if kept is None:
            return None
        moved = self.model.layers - kept
        what = f"the experts of {moved} of {self.model.layers} layers in system memory"
        return self._try(f"-ngl 99 --n-cpu-moe {moved}", what, replace(self._everything, n_cpu_moe=moved))

    def _smaller_weights(self) -> Change | None:
        for other in smaller(self.load):
            change = self._try(str(other.quantization), "a smaller quantisation", self._everything, other)
            if change is not None:
                return change
        return None

    def _fewer_layers(self) -> Change | None:
        """The most layers that fit at the log's own settings, where the load failed or placed fewer."""
        if self.ollama:
            return None
        layers = _most(1, self._layers - 1, lambda count: self._place(replace(self.start, n_gpu_layers=count)))
        placed = self.load.layers_on_gpu if isinstance(self.load.layers_on_gpu, int) else 0
        if layers is None or (self.load.outcome != FAILED and layers <= placed):
            return None
        used = self._place(replace(self.start, n_gpu_layers=layers)) or 0
        return self._change(f"-ngl {layers}", f"{layers} of {self._layers} layers, the rest on the CPU", used, layers)


def _most(low: int, high: int, used: Callable[[int], int | None]) -> int | None:
    """The largest number of low..high that fits, None where not even `low` does; what fits is taken to be a run from `low`."""
    if high < low or used(low) is None:
        return None
    if used(high) is not None:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if used(middle) is None else (middle, high)
    return low
