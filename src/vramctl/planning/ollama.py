"""A plan for Ollama: from v0.30 on it starts llama-server, before that it estimated by itself."""

from __future__ import annotations

from dataclasses import fields, replace

from vramctl.errors import BadInput, CouldNotTell
from vramctl.plan.conflicts import check_model, check_settings
from vramctl.plan.ollama import default_num_ctx, ollama_estimate, parse_version
from vramctl.plan.ollama_server import fit_target_bytes, ollama_server_settings
from vramctl.plan.overhead import POOL_DENSE, budget_bytes
from vramctl.plan.programs import llama_server, overlay
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
    per_sequence = asked.n_ctx // parallel if asked.n_ctx else None
    own = ollama_server_settings(model, devices, version, per_sequence, parallel, asked)
    if isinstance(own, Unknown):
        raise CouldNotTell(
            "no-ollama-plan", "Ollama's settings are not known.", because=(own.reason,), fix="Give --engine-version."
        )
    defaults = llama_server(Settings(n_parallel=own.n_parallel))
    start = replace(overlay(defaults, own), engine="llama.cpp", program="ollama")
    target = fit_target_bytes(devices, version, 0, n_gpu_layers=asked.n_gpu_layers, layers=model.layers)
    budgets = tuple(max(0, device.free_bytes - target + POOL_DENSE) for device in devices)
    plan = plan_from(request, model, asked, start, devices, host, witnesses, budgets)
    because = (
        f"Ollama {version} starts llama-server with these settings (llm/llama_server.go)",
        f"and lets its --fit leave {format_bytes(target)} of each device free",
        *plan.witness.because,
    )
    return replace(plan, witness=replace(plan.witness, because=because))


def _older(
    request: Request, model: Model, asked: Settings, version: str, devices: tuple[Device, ...], host: Host
) -> Plan:
    parallel = asked.n_parallel or 1
    total = sum(device.total_bytes for device in devices)
    per_sequence = asked.n_ctx // parallel if asked.n_ctx else default_num_ctx(version, total)
    if isinstance(model.train_ctx, int):
        per_sequence = min(per_sequence, model.train_ctx)
    settings = replace(
        overlay(Settings(n_batch=512, n_ubatch=512, type_k="f16", type_v="f16", offload_kqv=True), asked),
        engine="ollama", program="ollama", n_ctx=per_sequence * parallel, n_parallel=parallel,
    )  # fmt: skip
    found = ollama_estimate(model, settings, devices, version=version)
    if isinstance(found, Unknown):
        raise CouldNotTell(
            "no-ollama-formula", f"Ollama {version}'s estimate of this model is not known.", because=(found.reason,),
            fix="Try --engine-version 0.33.0, which starts llama-server.",
        )  # fmt: skip
    layers = found.layers_on_gpu
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
        witness=Witness("formula", f"Ollama {version}", False, found.because),
        budgets=tuple(budget_bytes(device, request.utilization) for device in devices),
        layers_on_gpu=layers,
        layers_total=model.layers + 1,
        fits=layers == model.layers + 1 or not devices,
        max_ctx=Unknown("Ollama's estimate is asked for one context at a time"),
        advice=(),
        overhead_source=_OVERHEAD,
    )
