"""The ways to run a model by their names, one file each, imported on use: one more is a file and a row here.

The module of a way that starts a build has `of_build(build)`, that of a way that talks to a running server `attach(url)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from vramctl.engines.engine import Engine
from vramctl.records import Build, Unknown

ENGINES: Mapping[str, str] = {
    "binding": "vramctl.engines.binding",
    "llama-server": "vramctl.engines.llama_server",
    "ollama": "vramctl.engines.ollama",
    "replay": "vramctl.engines.replay",
}
STARTS_BUILDS = ("binding", "llama-server")
"""Those that run a build, in the order in which they are tried."""


def engine_of_build(build: Build) -> Engine | Unknown:
    """The first way that can run this build; Unknown with the last one's reason where none can."""
    found: Engine | Unknown = Unknown("no way to run a build is known")
    for name in STARTS_BUILDS:
        found = _module(name).of_build(build)
        if not isinstance(found, Unknown):
            return found
    return found


def engine_of_server(kind: str, url: str) -> Engine:
    """What talks to the running server of this kind (`llama-server`, `ollama`)."""
    found: Engine = _module(kind).attach(url)
    return found


def _module(name: str) -> Any:
    return import_module(ENGINES[name])
