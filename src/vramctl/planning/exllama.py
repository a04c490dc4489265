"""A plan for ExLlamaV2, ExLlamaV3 or TabbyAPI: by formula, from the folder's safetensors headers."""

from __future__ import annotations

from dataclasses import fields, replace

from vramctl.errors import CouldNotTell
from vramctl.plan.exllama import OVERHEAD_SOURCE, plan_exllama
from vramctl.plan.overhead import budget_bytes
from vramctl.planning.request import Request
from vramctl.planning.witnesses import Witnesses
from vramctl.records import Advice, Device, Host, Model, Origin, Plan, Settings, Unknown, Witness

VERSIONS = {
    "exllamav2": (2, "exllamav2 0.3.2"),
    "exllamav3": (3, "exllamav3 1.6.5"),
    "tabbyapi": (3, "exllamav3 1.6.5"),
}
CHUNK = 2048


def plan_with_exllama(
    request: Request, model: Model, program: str, devices: tuple[Device, ...], host: Host, witnesses: Witnesses
) -> Plan:
    """The plan of one load; CouldNotTell where the folder is not understood. Layers cannot go to the host here."""
    version, engine = VERSIONS[program]
    if program == "tabbyapi" and (request.settings.engine == "exllamav2" or model.kind in ("exl2", "gptq")):
        version, engine = VERSIONS["exllamav2"]
    asked = request.settings
    budgets = tuple(budget_bytes(device, request.utilization) for device in devices)
    found = plan_exllama(model, asked, devices, budgets, version=version)
    chosen_ctx = asked.n_ctx is None
    if not isinstance(found, Unknown) and chosen_ctx and found.max_tokens and not found.fits:
        asked_ctx = replace(asked, n_ctx=found.max_tokens)
        found = plan_exllama(model, asked_ctx, devices, budgets, version=version)
    if isinstance(found, Unknown):
        raise CouldNotTell(
            "exllama-not-understood",
            f"{request.model} cannot be planned for {engine}.",
            because=(found.reason,),
            fix="Check that the folder is complete (config.json and all safetensors files).",
        )
    settings = replace(
        asked, engine=engine.split()[0], program=program, n_ctx=found.cache_tokens, n_batch=asked.n_batch or CHUNK,
        n_parallel=asked.n_parallel or 1, type_k=asked.type_k or "fp16", type_v=asked.type_v or asked.type_k or "fp16",
        n_gpu_layers=model.layers + 1,
    )  # fmt: skip
    origins: dict[str, Origin] = {
        f.name: "asked" if getattr(request.settings, f.name) is not None
        else "chosen" if f.name == "n_ctx" and chosen_ctx else "engine default"
        for f in fields(Settings)
    }  # fmt: skip
    warnings = tuple(
        Advice(text, ("from ExLlama's own source",), "See docs/formulas-exllama.md.") for text in found.warnings
    )
    return Plan(
        model=model,
        devices=devices,
        host=host,
        settings=settings,
        origins=origins,
        placement=found.placement,
        witness=Witness("formula", engine, False, found.because),
        budgets=budgets,
        layers_on_gpu=model.layers + 1 if found.fits else Unknown("it does not load"),
        layers_total=model.layers + 1,
        fits=found.fits,
        max_ctx=found.max_tokens,
        advice=warnings,
        overhead_source=OVERHEAD_SOURCE,
    )
