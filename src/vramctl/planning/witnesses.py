"""Who is asked where the bytes go: an installed engine's dry run, llama-fit-params, or a formula."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Protocol

from vramctl.engines.builds import look_build
from vramctl.engines.fit_params import FitParams
from vramctl.engines.llama_cpp import DryRun
from vramctl.engines.stand_in import stand_in
from vramctl.errors import CouldNotTell
from vramctl.plan import compared
from vramctl.plan.formula import FormulaBuild, formula_placement
from vramctl.records import Build, Device, DeviceUse, Model, Placement, Settings, Unknown, Witness

Say = Callable[[str], None]


class Asked(Protocol):
    """One witness for one model: places settings, and afterwards says how far it can be believed."""

    def place(self, settings: Settings) -> Placement | Unknown:
        """Where the bytes go, without overhead."""

    def flash_attention(self, settings: Settings) -> bool:
        """Whether flash attention runs with these settings (asked settings where the witness does not know)."""

    def witness(self, settings: Settings) -> Witness:
        """Who spoke, and whether it is exact for these settings."""


def _flash_default(settings: Settings) -> bool:
    return settings.flash_attn != "off"


@dataclass(slots=True)
class DryRunWitness:
    """An engine's own loader and scheduler, in a child process."""

    model: Model
    devices: tuple[Device, ...]
    run: DryRun
    path: str
    _flash: dict[Settings, bool]

    def place(self, settings: Settings) -> Placement | Unknown:
        """Where the engine would put the bytes."""
        if settings.split_mode == "row" and len(self.devices) > 1:
            return Unknown("a dry run cannot place split mode row: it needs the devices' own split buffers")
        answer = self.run.ask(self.path, settings, self.devices)
        if isinstance(answer, Unknown):
            return answer
        if not isinstance(answer.flash_attn, Unknown):
            self._flash[settings] = answer.flash_attn
        return answer.placement

    def flash_attention(self, settings: Settings) -> bool:
        """What the engine itself resolved `auto` to."""
        return self._flash.get(settings, _flash_default(settings))

    def witness(self, settings: Settings) -> Witness:
        """Exact where the like was compared with a real GPU."""
        ready: Any = self.run.ready
        real = not isinstance(ready, Unknown) and bool(ready.get("real_reserve"))
        doubts = compared.doubts(self.model, settings, self.devices, self.run.build.name, real_reserve=real)
        because = doubts or (
            "for this build; its like was equal to real H200s' own figures to 0.1 MiB, see benchmarks/results",
        )
        return Witness("dry-run", self.run.build.name, not doubts, because)


@dataclass(slots=True)
class FormulaWitness:
    """The rules of llama.cpp's sources, computed here."""

    model: Model
    devices: tuple[Device, ...]
    why: tuple[str, ...]

    def place(self, settings: Settings) -> Placement | Unknown:
        """Where the formulas put the bytes; Unknown where one part is."""
        found = formula_placement(self.model, settings, self.devices, build=_formula_build(settings)).placement
        for use in found.devices:
            for part in (use.weights_bytes, use.kv_bytes, use.compute_bytes):
                if isinstance(part, Unknown):
                    return part
        return found

    def flash_attention(self, settings: Settings) -> bool:
        """What was asked; `auto` is taken as on."""
        return _flash_default(settings)

    def witness(self, settings: Settings) -> Witness:
        """Exact where the formula was equal to a real GPU's figures: its rules are those of the two builds compared."""
        build = _formula_build(settings)
        engine = compared.ENGINES[build == "0c1e57098"]
        found = formula_placement(self.model, settings, self.devices, build=build)
        doubts = compared.doubts(self.model, settings, self.devices, engine, real_reserve=True)
        exact = found.exact and not doubts
        compared_too = ("its like was equal to real H200s' own figures, see benchmarks/results",) if exact else ()
        because = (*self.why, *doubts, *compared_too, *found.because)
        return Witness("formula", f"llama.cpp {build}", exact, because)


def _formula_build(settings: Settings) -> FormulaBuild:
    """The llama.cpp whose rules are followed: that of the newest llama-cpp-python for `Llama()`, else xllamacpp's."""
    return "0c1e57098" if settings.program == "llama-cpp-python" else "b11549"


class Witnesses:
    """Children and stand-ins that several plans share; ends them all on leaving."""

    def __init__(self, *, max_devices: int, say: Say) -> None:
        self._stack = ExitStack()
        self._max_devices = max(max_devices, 1)
        self._say = say
        self._runs: dict[str | None, DryRun | Unknown] = {}
        self._paths: dict[str, str | Unknown] = {}

    def __enter__(self) -> Witnesses:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def choose(
        self, model: Model, devices: tuple[Device, ...], wanted: str, engine_path: str | None, start: Settings
    ) -> Asked:
        """The best witness for `model`; CouldNotTell where the one that was asked for cannot speak.

        `start` are the program's settings: `Llama()` runs its own build, and where that is not here the formulas of its release
        are nearer than a dry run of another.
        """
        if wanted == "auto" and engine_path is None and start.program == "llama-cpp-python":
            formula = FormulaWitness(
                model, devices, ("llama-cpp-python is not installed here: the rules of its 0.3.36",)
            )
            own = look_build()
            if (isinstance(own, Unknown) or not own.name.startswith("llama-cpp-python")) and formula.witness(
                replace(start, n_ctx=start.n_ctx or 4096, n_gpu_layers=model.layers + 1)
            ).exact:
                return formula
        if wanted == "formula":
            return FormulaWitness(model, devices, ("asked for with --witness formula",))
        if wanted == "fit-params":
            return self._fit_params(model, devices, engine_path)
        run = self._run(engine_path)
        if isinstance(run, Unknown):
            return self._otherwise(model, devices, wanted, run)
        path = self._path(model)
        if isinstance(path, Unknown):
            return self._otherwise(model, devices, wanted, path)
        return DryRunWitness(model, devices, run, path, {})

    def fall_back(self, model: Model, devices: tuple[Device, ...], wanted: str, why: str) -> Asked:
        """The formula, after a dry run said no; CouldNotTell where a dry run was insisted on."""
        return self._otherwise(model, devices, wanted, Unknown(why))

    def _otherwise(self, model: Model, devices: tuple[Device, ...], wanted: str, why: Unknown) -> Asked:
        if wanted == "dry-run":
            raise CouldNotTell(
                "no-dry-run",
                "The dry run that was asked for is not possible.",
                because=(why.reason,),
                fix="Leave out --witness to get a formula, or install an engine: pip install 'vramctl[engine]'.",
            )
        return FormulaWitness(model, devices, (f"no dry run: {why.reason}",))

    def _fit_params(self, model: Model, devices: tuple[Device, ...], engine_path: str | None) -> Asked:
        build = look_build(engine_path)
        path = self._path(model)
        for unknown in (build, path):
            if isinstance(unknown, Unknown):
                raise _no_fit_params(unknown.reason)
        assert isinstance(build, Build) and isinstance(path, str)
        if build.fit_params is None:
            raise _no_fit_params(f"{build.name} has no llama-fit-params beside it")
        return FitParams(build, path, devices, sum(tensor.data_bytes for tensor in model.tensors))

    def _run(self, engine_path: str | None) -> DryRun | Unknown:
        if engine_path not in self._runs:
            build = look_build(engine_path)
            if isinstance(build, Unknown):
                self._runs[engine_path] = build
            else:
                self._say(f"asking {build.name}")
                run = self._stack.enter_context(DryRun(build, max_devices=self._max_devices))
                self._runs[engine_path] = run.ready if isinstance(run.ready, Unknown) else run
        return self._runs[engine_path]

    def _path(self, model: Model) -> str | Unknown:
        if model.reference not in self._paths:
            self._paths[model.reference] = self._stack.enter_context(stand_in(model))
        return self._paths[model.reference]


def _no_fit_params(why: str) -> CouldNotTell:
    return CouldNotTell(
        "no-fit-params",
        "llama-fit-params cannot be asked.",
        because=(why,),
        fix="Point --engine-path at a folder of llama.cpp programs that holds llama-fit-params.",
    )


def with_extras(
    placement: Placement, overhead: tuple[int, ...], extra: tuple[Placement, ...], output_bytes: int | Unknown
) -> Placement:
    """The placement with each device's overhead, and with draft model and projector added part by part."""
    uses = []
    for i, use in enumerate(placement.devices):
        parts = [use, *(other.devices[i] for other in extra)]
        uses.append(
            DeviceUse(
                use.name,
                _sum(p.weights_bytes for p in parts),
                _sum(p.kv_bytes for p in parts),
                _sum(p.compute_bytes for p in parts),
                overhead[i],
            )
        )
    hosts = [placement.host, *(other.host for other in extra)]
    host = replace(
        placement.host,
        weights_bytes=_sum(h.weights_bytes for h in hosts),
        kv_bytes=_sum(h.kv_bytes for h in hosts),
        compute_bytes=_sum(h.compute_bytes for h in hosts),
        output_bytes=output_bytes,
    )
    return replace(placement, devices=tuple(uses), host=host)


def _sum(parts: Iterator[int | Unknown]) -> int | Unknown:
    from vramctl.records.placement import total

    return total(*parts)


@contextlib.contextmanager
def quiet(say: Say | None) -> Iterator[Say]:
    """`say`, or a function that says nothing."""
    yield say or (lambda _: None)
