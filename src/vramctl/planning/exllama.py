"""A plan for ExLlamaV2, ExLlamaV3 or TabbyAPI: by formula, from the folder's safetensors headers."""

from __future__ import annotations

from dataclasses import fields, replace

from vramctl.errors import BadInput, CouldNotTell
from vramctl.plan.exllama import OVERHEAD_SOURCE, ExllamaPlan, plan_exllama
from vramctl.plan.overhead import budget_bytes
from vramctl.plan.programs import MIN_CTX
from vramctl.planning.request import Request
from vramctl.planning.witnesses import Witnesses
from vramctl.records import Advice, Device, Host, Model, Origin, Plan, Settings, Unknown, Witness

VERSIONS = {
    "exllamav2": (2, "exllamav2 0.3.2"),
    "exllamav3": (3, "exllamav3 1.6.5"),
    "tabbyapi": (3, "exllamav3 1.6.5"),
}
CHUNK = 2048
# What llama.cpp can be told and ExLlama cannot: field, option, the values that ask for nothing else.
_NOT_HERE = (
    ("n_ubatch", "--ubatch", ()), ("offload_kqv", "--no-kv-offload", (True,)), ("op_offload", "--no-op-offload", (True,)),
    ("split_mode", "--split", ("layer",)), ("main_gpu", "--main-gpu", (0,)), ("n_cpu_moe", "--n-cpu-moe", (0,)),
    ("tensor_overrides", "--override-tensor and --cpu-moe", ()), ("swa_full", "--swa-full", (False,)),
    ("kv_unified", "--kv-unified", ()), ("use_mmap", "--no-mmap", (True,)), ("n_threads", "--threads", ()),
    ("mmproj", "--mmproj", ()), ("draft", "--draft", ()),
)  # fmt: skip


def plan_with_exllama(
    request: Request, model: Model, program: str, devices: tuple[Device, ...], host: Host, witnesses: Witnesses
) -> Plan:
    """The plan of one load; CouldNotTell where the folder is not understood. Layers cannot go to the host here."""
    version, engine = VERSIONS[program]
    if program == "tabbyapi" and (request.settings.engine == "exllamav2" or model.kind in ("exl2", "gptq")):
        version, engine = VERSIONS["exllamav2"]
    asked = request.settings
    check_exllama(request, model, devices, engine)
    budgets = tuple(budget_bytes(device, request.utilization) for device in devices)

    def ask(settings: Settings) -> ExllamaPlan:
        found = plan_exllama(model, settings, devices, budgets, version=version)
        if isinstance(found, Unknown):
            raise CouldNotTell(
                "exllama-not-understood",
                f"{request.model} cannot be planned for {engine}.",
                because=(found.reason,),
                fix="Check that the folder is complete (config.json and all safetensors files).",
            )
        return found

    chosen_ctx = asked.n_ctx is None
    found = ask(asked)
    if chosen_ctx:
        whole = found.cache_tokens if found.fits else found.max_tokens or min(MIN_CTX, found.cache_tokens)
        found = ask(replace(asked, n_ctx=whole))
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
    advice = _advice(found, asked)
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
        advice=advice,
        overhead_source=OVERHEAD_SOURCE,
    )


def check_exllama(request: Request, model: Model, devices: tuple[Device, ...], engine: str) -> None:
    """Raises BadInput for what was asked and ExLlama cannot do: it would be left out of the sum without a word."""
    if not devices:
        raise BadInput(
            "exllama-needs-a-gpu", f"{engine} runs on GPUs only.", because=("--gpu none was given",),
            fix="Name a GPU, or plan a GGUF of the model for llama.cpp.",
        )  # fmt: skip
    if request.witness not in ("auto", "formula") or request.engine_path is not None:
        raise BadInput(
            "exllama-cannot-be-asked",
            f"{engine} is planned by formula.",
            because=("it cannot say where its bytes would go without loading them",),
            fix="Leave out --witness and --engine-path.",
        )
    asked = request.settings
    if asked.n_gpu_layers not in (None, -1, model.layers + 1):
        raise _not_here(engine, f"--ngl {asked.n_gpu_layers}", "all layers are on GPUs")
    for field, option, harmless in _NOT_HERE:
        value = getattr(asked, field)
        if value is not None and value not in harmless:
            raise _not_here(engine, option, "it has no such setting, or none that is planned here")


def _not_here(engine: str, option: str, why: str) -> BadInput:
    return BadInput(
        "exllama-has-no-such-setting", f"{option} is not for {engine}.", because=(why,),
        fix=f"Leave out {option}, or plan a GGUF of the model for llama.cpp.",
    )  # fmt: skip


def _advice(found: ExllamaPlan, asked: Settings) -> tuple[Advice, ...]:
    """What would make it fit, then what ExLlama's own source warns of."""
    advice = []
    if not found.fits and found.max_tokens:
        advice.append(
            Advice(f"Shorten the context to {found.max_tokens}: then it fits.", ("the longest cache that does",),
                   f"--ctx {found.max_tokens}")
        )  # fmt: skip
    elif not found.fits:
        advice.append(
            Advice("No context is short enough.", ("ExLlama keeps no layers in system memory",),
                   "a model of fewer bits per weight, a larger GPU, or a GGUF of the model with llama.cpp")
        )  # fmt: skip
    for text in found.warnings:
        needs_flash = text.startswith("without flash-attn")
        fix = "Install flash-attn 2.5.7 or newer." if needs_flash else "See docs/formulas-exllama.md."
        advice.append(Advice(f"{text[0].upper()}{text[1:]}.", ("from ExLlama's own source",), fix))
    return tuple(advice)
