"""A plan as the environment variables that llama-server reads."""

from __future__ import annotations

import shlex

from vramctl.records import Plan
from vramctl.show.emit.llama_options import llama_options
from vramctl.show.emit.llama_server import download_note
from vramctl.show.emit.notes import comment, inexpressible, require_engine, summary


def emit_env(plan: Plan) -> str:
    """Lines of `NAME=value`, quoted for a POSIX shell where the value needs it (`set -a; . FILE; llama-server`)."""
    require_engine(plan, "env")
    lines = []
    for option in llama_options(plan, "env"):
        if option.env is None:
            raise inexpressible(
                "env",
                option.flag,
                because="llama-server reads no environment variable for it (common/arg.cpp, b11434)",
                fix="Use --emit llama-server.",
            )
        lines.append(f"{option.env}={shlex.quote(option.env_value)}\n")
    return comment((*summary(plan, program="llama-server"), *download_note(plan))) + "".join(lines)
