"""The plan job: looks at model and devices, asks a witness, lets pure code choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vramctl.catalogue.devices import parse_devices
from vramctl.errors import BadInput
from vramctl.plan.programs import ENGINE_OF, PROGRAMS
from vramctl.planning.exllama import plan_with_exllama
from vramctl.planning.llama_cpp import plan_with_llama_cpp
from vramctl.planning.ollama import plan_with_ollama
from vramctl.planning.request import Request
from vramctl.planning.witnesses import Witnesses
from vramctl.probes.gpus import look_gpus, look_other_gpus
from vramctl.probes.host import look_host
from vramctl.probes.models import look_model
from vramctl.records import Device, Host, Model, Plan, Unknown
from vramctl.units import parse_size

_PROGRAM_OF_KIND = {"gguf": "llama-server", "exl2": "exllamav2", "gptq": "exllamav2", "exl3": "exllamav3"}
_DEFAULT_PROGRAM = {"llama.cpp": "llama-server", "ollama": "ollama", "exllamav2": "exllamav2", "exllamav3": "exllamav3"}


def make_plan(
    request: Request, *, devices: Sequence[Device] | None = None, progress: Callable[[str], None] | None = None
) -> Plan:
    """The Plan that answers one request; VramctlError where none can be made. `progress` is told what goes on."""
    return make_plans((request,), devices=devices, progress=progress)[0]


def make_plans(
    requests: Sequence[Request],
    *,
    devices: Sequence[Device] | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Plan, ...]:
    """Plans for several requests, in their order; models, devices and engines are looked at once.

    `devices` are this machine's GPUs where the caller has looked already; they take the place of what the requests name.
    """
    say = progress or (lambda _: None)
    models: dict[str, Model] = {}
    machines = [_devices(request) if devices is None else tuple(devices) for request in requests]
    found = []
    with Witnesses(max_devices=max(len(there) for there in machines), say=say) as witnesses:
        for request, there in zip(requests, machines, strict=True):
            if request.model not in models:
                say(f"reading {request.model}")
                models[request.model] = look_model(request.model)
            model = models[request.model]
            program = _program(request, model)
            make = {"ollama": plan_with_ollama, "exllamav2": plan_with_exllama, "exllamav3": plan_with_exllama,
                    "tabbyapi": plan_with_exllama}.get(program, plan_with_llama_cpp)  # fmt: skip
            found.append(make(request, model, program, there, _host(request), witnesses))
    return tuple(found)


def _program(request: Request, model: Model) -> str:
    """The program that the plan is for: asked, or what its engine or the model's format implies."""
    asked, engine = request.settings.program, request.settings.engine
    if asked is not None and asked not in PROGRAMS:
        raise BadInput(
            "unknown-program", f"{asked} is not a program that plans are made for.", because=(f"known: {', '.join(PROGRAMS)}",),
            fix="Choose one of them with --for.",
        )  # fmt: skip
    program = asked or (_DEFAULT_PROGRAM.get(engine) if engine else _PROGRAM_OF_KIND.get(model.kind))
    if program is None:
        raise BadInput(
            "no-engine-for-format",
            f"No engine here runs {model.kind} folders as they are.",
            because=("llama.cpp and Ollama read GGUF; ExLlamaV2 reads EXL2 and GPTQ; ExLlamaV3 reads EXL3",
                     "unquantised safetensors run in ExLlama when asked for"),
            fix="Convert the model to GGUF or EXL3, or ask for it with --engine exllamav2 or exllamav3.",
        )  # fmt: skip
    if engine is not None and ENGINE_OF[program] != engine and not (program == "tabbyapi" and engine == "exllamav2"):
        raise BadInput(
            "program-and-engine-disagree",
            f"--for {program} does not run on --engine {engine}.",
            because=(f"{program} runs on {ENGINE_OF[program]}",),
            fix=f"Leave out --engine, or use --engine {ENGINE_OF[program]}.",
        )
    if request.engine_version is not None and program != "ollama":
        raise BadInput(
            "no-version-for-program",
            f"--engine-version is for Ollama's formulas, not for {program}.",
            because=("each other formula is of one version, and a build that is asked is of its own",),
            fix="Leave it out, or add --for ollama.",
        )
    gguf = ENGINE_OF[program] in ("llama.cpp", "ollama")
    if gguf != (model.kind == "gguf"):
        raise BadInput(
            "engine-cannot-read-format",
            f"{program} cannot load {request.model}: it is {model.kind}.",
            because=("llama.cpp and Ollama load GGUF files; ExLlama loads EXL2, EXL3, GPTQ or safetensors folders",),
            fix="Use a GGUF of the model, or --for exllamav2 / exllamav3." if gguf else "Use --for llama-server.",
        )
    return program


def _devices(request: Request) -> tuple[Device, ...]:
    if request.gpus is not None:
        return parse_devices(request.gpus)
    found = look_gpus()
    if not isinstance(found, Unknown) and found:
        return found
    others = tuple(sighting for sighting in look_other_gpus())
    known = tuple(sighting.device for sighting in others if not isinstance(sighting.device, Unknown))
    if known:
        return known
    why = found.reason if isinstance(found, Unknown) else "no NVIDIA GPU was found"
    raise BadInput(
        "no-gpu-here",
        "This machine has no GPU to plan for that could be asked.",
        because=(why, *(sighting.what for sighting in others)),
        fix='Name one: --gpu "RTX 3060", --gpu 12GiB, or --gpu none to plan for the CPU alone.',
    )


def _host(request: Request) -> Host:
    if request.ram is not None:
        try:
            size = parse_size(request.ram)
        except ValueError as error:
            raise BadInput(
                "bad-ram", f"--ram {request.ram} is not a size.", because=(str(error),), fix="Write it like 32GiB."
            ) from error
        return Host(size, size, Unknown("only the memory was named"), "asked")
    if request.gpus is not None and request.gpus != ("none",):
        unknown = Unknown("the plan is for a GPU that was named, perhaps in another machine; give --ram to judge it")
        return Host(unknown, unknown, unknown, "not asked")
    return look_host()
