"""What stands around a configuration: the comment above it, and the refusal to write a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vramctl.errors import BadInput
from vramctl.records import Plan, Unknown
from vramctl.units import format_bytes

_CUDA = re.compile(r"CUDA(\d+)")
_LLAMA_CPP = ("llama.cpp", "ollama")


def one_line(text: str) -> str:
    """Text that cannot end a comment: every character that is not printable becomes a space."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def comment(lines: Iterable[str]) -> str:
    """Lines as `# ...` comments, each on a line of its own whatever the text holds; "" for no lines."""
    return "".join(f"# {one_line(line)}".rstrip() + "\n" for line in lines)


def summary(plan: Plan, *, program: str) -> tuple[str, ...]:
    """The lines that say what is configured here, and where the plan and the program do not match."""
    model = plan.model
    name = model.reference if isinstance(model.name, Unknown) else model.name
    quantization = "" if isinstance(model.quantization, Unknown) else f" {model.quantization}"
    lines = [f"{name}{quantization}, planned by vramctl (witness: {plan.witness.kind}, {plan.witness.engine})"]
    for device, use in zip(plan.devices, plan.placement.devices, strict=False):
        used = "an unknown amount" if isinstance(use.used_bytes, Unknown) else format_bytes(use.used_bytes)
        lines.append(f"{device.name} ({device.description}): {used} of {format_bytes(device.total_bytes)}")
    if not plan.fits:
        lines.append("This plan does not fit: expect loading to fail.")
    planned = plan.settings.program
    if planned is not None and planned != program:
        lines.append(f"Planned for {planned}; in {program} the compute buffer can differ (plan with --for {program}).")
    return tuple(lines)


def cuda_numbers(plan: Plan) -> str | None:
    """The plan's devices as CUDA_VISIBLE_DEVICES wants them (`0,1`); None where one is not CUDA's."""
    matches = [_CUDA.fullmatch(device.name) for device in plan.devices]
    if not matches or None in matches:
        return None
    return ",".join(match[1] for match in matches if match)


def visible_note(plan: Plan) -> tuple[str, ...]:
    """How to keep a program that counts GPUs from 0, and takes all it finds, to those of the plan."""
    numbers = cuda_numbers(plan)
    if numbers is None:
        return ()
    return (f"Where other GPUs are installed too, set CUDA_VISIBLE_DEVICES={numbers} before it starts.",)


def engine_of(plan: Plan) -> str:
    """The engine of a plan: as set, else the one that reads this kind of model."""
    if plan.settings.engine is not None:
        return plan.settings.engine
    return {"gguf": "llama.cpp", "exl3": "exllamav3"}.get(plan.model.kind, "exllamav2")


def require_engine(plan: Plan, form: str, *, engines: tuple[str, ...] = _LLAMA_CPP) -> None:
    """Raise BadInput unless the plan is for one of `engines`."""
    engine = engine_of(plan)
    if engine not in engines:
        raise BadInput(
            "emit-wrong-engine",
            f"A plan for {engine} cannot be written as {form}.",
            because=(f"{form} is read by {' or '.join(engines)}", f"the model is of kind {plan.model.kind}"),
            fix=f"Plan with --engine {engines[0]}, or choose another --emit.",
        )


def inexpressible(form: str, what: str, *, because: str, fix: str) -> BadInput:
    """The error for a setting that `form` has no word for: better than a configuration that silently differs."""
    return BadInput("emit-cannot-express", f"{form} cannot express {what}.", because=(because,), fix=fix)
