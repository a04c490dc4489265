"""A plan for a program that runs llama.cpp: llama-server, llama-cpp-python, and Ollama from v0.30 on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

from vramctl.errors import BadInput, CouldNotTell
from vramctl.formats.gguf_strip import vocabulary_size
from vramctl.plan.advice import advise
from vramctl.plan.conflicts import check_model, check_settings, train_ctx_note
from vramctl.plan.fit import CannotMeasure, Choice, Judge, choose
from vramctl.plan.overhead import CONTEXT_BYTES, LEARNT, SOURCE, SOURCE_CPU, budget_bytes, overhead_bytes
from vramctl.plan.programs import llama_cpp_python, llama_server
from vramctl.planning.extras import PROJECTOR_HEADROOM, Extras, look_extras, on_first_device, projectors
from vramctl.planning.request import Request
from vramctl.planning.witnesses import Asked, DryRunWitness, FormulaWitness, Witnesses, with_extras
from vramctl.probes.learnt import learnt_key, read_learnt
from vramctl.records import (
    Advice,
    Device,
    Host,
    Model,
    Origin,
    Placement,
    Plan,
    Settings,
    Unknown,
)  # fmt: skip
from vramctl.records.placement import total
from vramctl.units import format_bytes

CHOOSABLE = ("n_gpu_layers", "n_ctx", "n_cpu_moe", "n_ubatch", "tensor_split")


def plan_with_llama_cpp(
    request: Request, model: Model, program: str, devices: tuple[Device, ...], host: Host, witnesses: Witnesses
) -> Plan:
    """The plan of one load in llama-server or llama-cpp-python."""
    asked = normalised(request.settings, model)
    check_model(model)
    check_settings(asked, model, devices=len(devices))
    if program == "llama-cpp-python":
        start = replace(llama_cpp_python(asked, asked.n_ctx), engine="llama.cpp")
    else:
        start = replace(llama_server(asked), engine="llama.cpp")
        start = replace(start, mmproj=start.mmproj or next(iter(projectors(model)), None))
    return plan_from(request, model, asked, start, devices, host, witnesses)


def normalised(asked: Settings, model: Model) -> Settings:
    """What was asked with `all` layers as a number, and no experts of layers that the model has not (`--n-cpu-moe 99`)."""
    if asked.n_gpu_layers == -1:
        asked = replace(asked, n_gpu_layers=model.layers + 1)
    if asked.n_cpu_moe is not None and asked.n_cpu_moe > model.layers:
        asked = replace(asked, n_cpu_moe=model.layers)
    return asked


def plan_from(
    request: Request, model: Model, asked: Settings, start: Settings, devices: tuple[Device, ...], host: Host,
    witnesses: Witnesses, budgets: tuple[int, ...] | None = None,
) -> Plan:  # fmt: skip
    """The plan from a program's defaults `start`: chooses what was left open, with whichever witness can speak.

    `budgets` are bytes per device where the program itself decides how much it leaves free.
    """
    budgets = budgets or tuple(budget_bytes(device, request.utilization) for device in devices)
    witness = witnesses.choose(model, devices, request.witness, request.engine_path, start)
    try:
        return _plan(
            request,
            model,
            asked,
            start,
            devices,
            host,
            witness,
            look_extras(request, model, start, devices, witnesses),
            budgets,
        )
    except CannotMeasure as no:
        if not isinstance(witness, DryRunWitness):
            raise _could_not(no.reason, witness) from no
        if _is_refusal(no.reason):
            raise _refused(request.model, no.reason, witness) from no
        fallback = witnesses.fall_back(model, devices, request.witness, no.reason)
    try:
        return _plan(
            request,
            model,
            asked,
            start,
            devices,
            host,
            fallback,
            look_extras(request, model, start, devices, witnesses),
            budgets,
        )
    except CannotMeasure as no:
        raise _could_not(no.reason, fallback) from no


def _is_refusal(reason: str) -> bool:
    """Whether the engine says that the model itself is broken, and not that it does not know its kind."""
    return "error loading model" in reason and "unknown model architecture" not in reason


def _refused(reference: str, reason: str, witness: DryRunWitness) -> BadInput:
    return BadInput(
        "engine-refuses-model",
        f"{witness.run.build.name} refuses to load {reference}.",
        because=(reason,),
        fix="Download or convert the model again; if another build loads it, name that with --engine-path.",
    )


def _could_not(reason: str, witness: Asked) -> CouldNotTell:
    said = witness.why if isinstance(witness, FormulaWitness) else ()
    return CouldNotTell(
        "no-witness",
        "Nobody could say where this model's bytes would go.",
        because=(reason, *said),
        fix="Change the settings named above, or ask another build with --engine-path.",
    )


def _measure(
    model: Model, devices: tuple[Device, ...], witness: Asked, extras: Extras
) -> Callable[[Settings], Placement | Unknown]:
    vocab = vocabulary_size(model)
    learnt = read_learnt()
    contexts = [learnt.get(learnt_key(device), CONTEXT_BYTES) for device in devices]

    def measure(settings: Settings) -> Placement | Unknown:
        placed = witness.place(settings)
        if isinstance(placed, Unknown):
            return placed
        beside: list[Placement] = []
        if extras.draft is not None and extras.draft_model is not None:
            drafted = extras.draft.place(_draft_settings(settings, extras.draft_model, devices))
            if isinstance(drafted, Unknown):
                return Unknown(f"draft model: {drafted.reason}")
            beside.append(drafted)
        if extras.projector_bytes or extras.adapter_bytes:
            beside.append(on_first_device(extras.projector_bytes + extras.adapter_bytes, devices))
        flash = witness.flash_attention(settings)
        overhead = [
            overhead_bytes(model, settings, device, flash_attn=flash, context_bytes=context)
            for device, context in zip(devices, contexts, strict=True)
        ]
        if extras.projector_bytes and overhead:
            overhead[0] += PROJECTOR_HEADROOM
        rows = max(settings.n_parallel or 1, 1)
        logits = 4 * vocab * rows if vocab else Unknown("the header names no vocabulary")
        return with_extras(placed, tuple(overhead), tuple(beside), logits)

    return measure


def _overhead_source(devices: tuple[Device, ...]) -> str:
    learnt = read_learnt()
    known = [learnt_key(device) in learnt for device in devices]
    return SOURCE_CPU if not devices else LEARNT if all(known) else SOURCE


def _draft_settings(settings: Settings, draft: Model, devices: tuple[Device, ...]) -> Settings:
    return replace(
        settings, n_gpu_layers=draft.layers + 1 if devices else 0, type_k="f16", type_v="f16", n_cpu_moe=0,
        tensor_overrides=None, tensor_split=None, mmproj=None, draft=None,
    )  # fmt: skip


def _plan(
    request: Request, model: Model, asked: Settings, start: Settings, devices: tuple[Device, ...], host: Host,
    witness: Asked, extras: Extras, budgets: tuple[int, ...],
) -> Plan:  # fmt: skip
    judge = Judge(_measure(model, devices, witness, extras), budgets, host.available_bytes)
    open_fields = _open(asked, start)
    choice = choose(model, start, open_fields, judge, devices=len(devices))
    choice = _fitted_batch(choice, asked, judge)
    settings = choice.settings
    placement = judge.placement(settings)
    said = witness.witness(settings)
    if extras.notes:
        said = replace(said, exact=False, because=(*extras.notes, *said.because))
    advice = advise(model, choice, judge, program=start.program or "llama-server")
    return Plan(
        model=model,
        devices=devices,
        host=host,
        settings=settings,
        origins=_origins(asked, start, settings),
        placement=placement,
        witness=said,
        budgets=budgets,
        layers_on_gpu=min(settings.n_gpu_layers or 0, model.layers + 1) if devices else 0,
        layers_total=model.layers + 1,
        fits=choice.fits,
        max_ctx=choice.max_ctx,
        advice=(
            *_draft_advice(choice, extras, devices, budgets),
            *_notes(settings, model),
            *_host_advice(judge, settings, host),
            *advice,
        ),
        overhead_source=_overhead_source(devices),
    )


def _open(asked: Settings, start: Settings) -> frozenset[str]:
    """What the plan may choose: what neither the user nor the program fixes. Ollama offers no ubatch and no experts."""
    names = {name for name in ("n_gpu_layers", "n_ctx", "tensor_split") if getattr(start, name) is None}
    if start.program != "ollama":
        names |= {name for name in ("n_ubatch", "n_cpu_moe") if getattr(asked, name) is None}
    if asked.tensor_overrides is not None:
        names -= {"n_cpu_moe"}
    return frozenset(names)


def _fitted_batch(choice: Choice, asked: Settings, judge: Judge) -> Choice:
    """llama-cpp-python cuts n_batch to n_ctx: only a context shorter than the batch is affected."""
    settings = choice.settings
    if settings.n_ctx is None or settings.n_batch is None or settings.n_batch <= settings.n_ctx:
        return choice
    if settings.program != "llama-cpp-python":
        return choice
    cut = replace(settings, n_batch=settings.n_ctx, n_ubatch=min(settings.n_ubatch or 512, settings.n_ctx))
    return replace(choice, settings=cut)


def _origins(asked: Settings, start: Settings, settings: Settings) -> dict[str, Origin]:
    origins: dict[str, Origin] = {}
    for field in fields(Settings):
        name = field.name
        if getattr(asked, name) is not None:
            origins[name] = "asked"
        elif getattr(settings, name) is not None and (
            getattr(settings, name) != getattr(start, name) or (name in CHOOSABLE and getattr(start, name) is None)
        ):
            origins[name] = "chosen"
        else:
            origins[name] = "engine default"
    return origins


def _notes(settings: Settings, model: Model) -> tuple[Advice, ...]:
    note = train_ctx_note(settings, model)
    if note is None:
        return ()
    return (Advice(f"The context is longer than the training: {note}.", ("answers degrade beyond it",),
                   f"Use at most --ctx {model.train_ctx} per sequence, or RoPE scaling."),)  # fmt: skip


def _draft_advice(
    choice: Choice, extras: Extras, devices: tuple[Device, ...], budgets: tuple[int, ...]
) -> tuple[Advice, ...]:
    """Says so where the draft model alone is over a device's budget: nothing else would help."""
    if choice.fits or extras.draft is None or extras.draft_model is None:
        return ()
    drafted = extras.draft.place(_draft_settings(choice.settings, extras.draft_model, devices))
    if isinstance(drafted, Unknown):
        return ()
    for use, budget in zip(drafted.devices, budgets, strict=True):
        alone = total(use.weights_bytes, use.kv_bytes, use.compute_bytes)
        if isinstance(alone, int) and alone > budget:
            what = f"The draft model alone takes {format_bytes(alone)} of {use.name}."
            return (
                Advice(
                    what, (f"the budget there is {format_bytes(budget)}",), "leave out --draft, or use a smaller one"
                ),
            )
    return ()


def _host_advice(judge: Judge, settings: Settings, host: Host) -> tuple[Advice, ...]:
    if judge.host_fits(settings) or isinstance(host.available_bytes, Unknown):
        return ()
    used = judge.placement(settings).host.used_bytes
    needs = format_bytes(used) if isinstance(used, int) else "more"
    return (Advice(f"System memory is too small: the host's part needs {needs}, {format_bytes(host.available_bytes)} is free.",
                   ("weights that stay on the CPU are read from there for every token",),
                   "Use a smaller quantisation, or a machine with more memory."),)  # fmt: skip
