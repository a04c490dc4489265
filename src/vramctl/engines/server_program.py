"""Which llama-server is started: the one that was asked for, one on the PATH, or the one in xllamacpp's wheel."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from vramctl.engines.builds import look_build, server_beside
from vramctl.engines.llama_server import wheel_server
from vramctl.errors import BadInput
from vramctl.records import Unknown


def server_program(path: str | None) -> str | tuple[str, ...]:
    """The command that starts a llama-server; BadInput where what was asked for has none.

    `path` is what `--engine-path` takes elsewhere: the program, a folder that has it, or a Python with xllamacpp.
    """
    if path is None:
        return shutil.which("llama-server") or wheel_server(sys.executable)
    build = look_build(path)  # BadInput where it is no engine at all
    place = Path(shutil.which(path) or path).expanduser()
    if place.is_dir() or not place.name.startswith("python"):
        beside = server_beside(path)
        if beside is not None:
            return beside
    if not isinstance(build, Unknown) and build.name.startswith("xllamacpp"):
        return wheel_server(build.path)
    raise BadInput(
        "no-server-program", f"{path} has no llama-server, which requests at a time need.",
        because=("looked for llama-server there, and for xllamacpp, which has one inside",),
        fix="Give a llama-server program with --engine-path, or leave it out: xllamacpp's own is used then.",
    )  # fmt: skip
