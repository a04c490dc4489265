"""A plan as llama-swap's YAML: one model, started with llama-server."""

from __future__ import annotations

import re

from vramctl.records import Plan, Unknown
from vramctl.show.emit.llama_server import command_lines, download_note
from vramctl.show.emit.notes import comment, inexpressible, require_engine, summary
from vramctl.show.emit.quote import yaml_text

# `macroPatternRegex` and `envMacroRegex` in llama-swap's internal/config/macros.go (commit 0bdb3720).
_MACRO = re.compile(r"\$\{(?:env\.)?[a-zA-Z0-9_-]+\}")


def emit_llama_swap(plan: Plan) -> str:
    """A YAML document with `models: NAME: cmd:`; llama-swap puts the port in the place of `${PORT}`."""
    require_engine(plan, "llama-swap")
    lines = command_lines(plan, "llama-swap")
    for line in lines:
        if macro := _MACRO.search(line):
            raise inexpressible(
                "llama-swap",
                f"the text {macro[0]}",
                because="llama-swap replaces ${NAME} everywhere in its configuration and knows no escape",
                fix="Rename the file, or write the expression without it.",
            )
        if not line.isprintable():
            raise inexpressible(
                "llama-swap",
                f"the argument {line!r}",
                because="llama-swap cuts a command at its lines, and YAML's block text holds no control characters",
                fix="Rename the file.",
            )
    command = " \\\n".join(["llama-server --host 127.0.0.1 --port ${PORT}", *lines])
    body = "".join(f"      {line}\n" for line in command.split("\n"))
    notes = comment((*summary(plan, program="llama-server"), *download_note(plan)))
    notes = notes.replace("${", "$ {")  # llama-swap would look for the variable even in a comment
    return f"{notes}models:\n  {yaml_text(_name(plan))}:\n    cmd: |\n{body}"


def _name(plan: Plan) -> str:
    """A name for the API: the model's own in lower case with dashes, `model` where it has none."""
    name = plan.model.name
    text = plan.model.reference.rsplit("/", 1)[-1] if isinstance(name, Unknown) else name
    quantization = plan.model.quantization
    if not isinstance(quantization, Unknown):
        text = f"{text}-{quantization}"
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-") or "model"
