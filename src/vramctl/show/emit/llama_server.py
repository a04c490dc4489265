"""A plan as a llama-server command line, for a POSIX shell."""

from __future__ import annotations

import shlex

from vramctl.records import Plan
from vramctl.show.emit.llama_options import llama_options
from vramctl.show.emit.notes import comment, require_engine, summary
from vramctl.show.emit.source import fetch_note, locate


def emit_llama_server(plan: Plan) -> str:
    """A commented shell command: `llama-server` and one option a line."""
    require_engine(plan, "llama-server")
    lines = ["llama-server", *command_lines(plan, "llama-server")]
    return comment((*summary(plan, program="llama-server"), *download_note(plan))) + " \\\n  ".join(lines) + "\n"


def command_lines(plan: Plan, form: str) -> list[str]:
    """The options, each quoted for a POSIX shell."""
    return [shlex.join(option.arguments) for option in llama_options(plan, form)]


def download_note(plan: Plan) -> tuple[str, ...]:
    """What to do before the model is there; nothing where llama-server downloads it itself."""
    source = locate(plan.model)
    return () if source.kind in ("hf", "url") else fetch_note(source)
