"""A plan for Ollama: from v0.30 on it starts llama-server, before that it estimated by itself."""

from __future__ import annotations

from dataclasses import fields, replace

from vramctl.errors import BadInput, CouldNotTell
from vramctl.plan.conflicts import MAX_CTX, check_model, check_settings
from vramctl.plan.ollama import default_num_ctx, ollama_estimate, parse_version
from vramctl.plan.ollama_server import fit_target_bytes, ollama_server_settings
from vramctl.plan.overhead import POOL_DENSE
from vramctl.plan.programs import llama_server, overlay
from vramctl.planning.extras import PROJECTOR_HEADROOM, projector_bytes
from vramctl.planning.llama_cpp import normalised, plan_from
from vramctl.planning.request import Request
from vramctl.planning.witnesses import Witnesses
from vramctl.records import Device, Host, Model, Origin, Plan, Settings, Unknown, Witness
from vramctl.units import format_bytes

NEWEST = "0.33.0"
_OVERHEAD = "Ollama's own constant: 457 MiB a GPU (llm/memory.go, ml/device.go)"


def plan_with_ollama(
    request: Request, model: Model, program: str, devices: tuple[Device, ...], host: Host, witnesses: Witnesses
) -> Plan:
    """The plan of one load in Ollama `engine_version` (default 0.33.0)."""
    version = request.engine_version or NEWEST
    try:
        release = parse_version(version)
    except ValueError as error:
        raise BadInput(
            "bad-version", f"{version} is not an Ollama version.", because=(str(error),), fix="Write it like 0.12.10."
        ) from error
    asked = normalised(request.settings, model)
    check_model(model)
    check_settings(asked, model, devices=len(devices))
    if release >= (0, 30, 0):
        return _newer(request, model, asked, version, devices, host, witnesses)
    return _older(request, model, asked, version, devices, host)


def _newer(
    request: Request, model: Model, asked: Settings, version: str, devices: tuple[Device, ...], host: Host,
    witnesses: Witnesses,
) -> Plan:  # fmt: skip
    parallel = asked.n_parallel or 1
    wanted = with_params(asked, model, parallel)
    per_sequence = wanted.n_ctx // parallel if wanted.n_ctx else None
    own = ollama_server_settings(model, devices, version, per_sequence, parallel, wanted)
    if isinstance(own, Unknown):
        raise CouldNotTell(
            "no-ollama-plan", "Ollama's settings are not known.", because=(own.reason,), fix="Give --engine-version."
        )
    defaults = llama_server(Settings(n_parallel=own.n_parallel))
    start = replace(overlay(defaults, own), engine="llama.cpp", program="ollama")
    projector = projector_bytes(start, model)
    layers, plain = model.layers, fit_target_bytes(devices, version, 0)
    target = fit_target_bytes(devices, version, projector, n_gpu_layers=wanted.n_gpu_layers, layers=layers)
    counted = projector + PROJECTOR_HEADROOM if target != plain else 0  # in the target and in the plan's own sum
    kept = max(target - counted - POOL_DENSE, 0)
    budgets = tuple(max(0, device.free_bytes - kept) for device in devices)
    plan = plan_from(request, model, asked, start, devices, host, witnesses, budgets)
    because = (
        f"Ollama {version} starts llama-server with these settings (llm/llama_server.go)",
        f"and lets its --fit leave {format_bytes(target)} of each device free",
        *_own_params(model),
        *plan.witness.because,
    )
    return replace(plan, witness=replace(plan.witness, because=because))


def _older(
    request: Request, model: Model, asked: Settings, version: str, devices: tuple[Device, ...], host: Host
) -> Plan:
    parallel = asked.n_parallel or 1
    wanted = with_params(asked, model, parallel)
    total = sum(device.total_bytes for device in devices)
    per_sequence = wanted.n_ctx // parallel if wanted.n_ctx else default_num_ctx(version, total)
    if isinstance(model.train_ctx, int):
        per_sequence = min(per_sequence, model.train_ctx)
    settings = replace(
        overlay(Settings(n_batch=512, n_ubatch=512, type_k="f16", type_v="f16", offload_kqv=True), wanted),
        engine="ollama", program="ollama", n_ctx=per_sequence * parallel, n_parallel=parallel,
    )  # fmt: skip
    found = ollama_estimate(model, settings, devices, version=version, projector_bytes=projector_bytes(settings, model))
    if isinstance(found, Unknown):
        raise CouldNotTell(
            "no-ollama-formula", f"Ollama {version}'s estimate of this model is not known.", because=(found.reason,),
            fix="Try --engine-version 0.33.0, which starts llama-server.",
        )  # fmt: skip
    layers = found.layers_on_gpu
    budgets = tuple(device.free_bytes for device in devices)  # it fills what is free, and leaves the rest to the CPU
    used = [use.used_bytes for use in found.placement.devices]
    origins: dict[str, Origin] = {
        f.name: "asked" if getattr(asked, f.name) is not None else "chosen" if f.name == "n_gpu_layers" else "engine default"
        for f in fields(Settings)
    }  # fmt: skip
    return Plan(
        model=model,
        devices=devices,
        host=host,
        settings=replace(settings, n_gpu_layers=layers),
        origins=origins,
        placement=found.placement,
        witness=Witness("formula", f"Ollama {version}", False, (*_own_params(model), *found.because)),
        budgets=budgets,
        layers_on_gpu=layers,
        layers_total=model.layers + 1,
        fits=all(isinstance(u, int) and u <= budget for u, budget in zip(used, budgets, strict=True)),
        max_ctx=Unknown("Ollama's estimate is asked for one context at a time"),
        advice=(),
        overhead_source=_OVERHEAD,
    )


_PARAMS = (("num_ctx", "n_ctx"), ("num_batch", "n_batch"), ("num_gpu", "n_gpu_layers"), ("num_thread", "n_threads"))


def with_params(asked: Settings, model: Model, parallel: int) -> Settings:
    """What was asked for, filled with the parameters that the model has in Ollama's store (num_ctx is for one sequence)."""
    given: dict[str, int] = {}
    for name, field in _PARAMS:
        value = model.metadata.get(f"ollama.params.{name}")
        if not isinstance(value, int) or isinstance(value, bool) or getattr(asked, field) is not None:
            continue
        if field == "n_gpu_layers" and value >= 0:
            given[field] = min(value, model.layers + 1)
        elif field == "n_ctx" and 0 < value * parallel <= MAX_CTX:
            given[field] = value * parallel
        elif field in ("n_batch", "n_threads") and 0 < value <= 1 << 20:
            given[field] = value
    return replace(asked, **given)  # type: ignore[arg-type]


def _own_params(model: Model) -> tuple[str, ...]:
    """Which parameters the model brings along."""
    named = [(name, model.metadata.get(f"ollama.params.{name}")) for name, _ in _PARAMS]
    told = ", ".join(f"{name} {value}" for name, value in named if value is not None)
    return (f"the model's own parameters: {told}",) if told else ()
