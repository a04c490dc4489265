"""An installed engine build: the libraries that a plan can be asked of."""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.records.unknown import Unknown


@dataclass(frozen=True, slots=True)
class Build:
    """One llama.cpp build on this machine.

    `name` is how people know it (`xllamacpp 2026.10.11549`). `libraries` are its shared libraries in load order, ending with
    the one that holds `llama_*`; empty where only programs are there. `backends_from` is the folder whose backend libraries
    must be loaded first (builds with dynamic backends). `fit_params` is a llama-fit-params binary beside it.
    """

    name: str
    libraries: tuple[str, ...]
    backends_from: str | None
    fit_params: str | None
    path: str
    version: str | Unknown
