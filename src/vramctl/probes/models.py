"""A MODEL as people write it, looked up: file, folder, address, hub, Ollama's store, built-in shape."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vramctl.errors import BadInput
from vramctl.formats.model import Role, require_role
from vramctl.probes import local_model
from vramctl.records import Model
from vramctl.world import kind_of, near_names

if TYPE_CHECKING:
    from vramctl.world.http import Progress

_HUB_LIKE = re.compile(r"^(?:hf\.co/|huggingface\.co/)?[\w.-]+/[\w.-]+(?:/[^@]+\.gguf)?(?:@\S+)?$")


def look_model(
    reference: str,
    *,
    expect: Role = "model",
    environ: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Model:
    """The Model that `reference` names, in any form of the command line's MODEL; VramctlError where it cannot be had.

    `expect` says what the file must be for (`projector` for --mmproj).  `progress` receives bytes fetched and wanted.
    """
    world = os.environ if environ is None else environ
    scheme, colon, rest = reference.partition(":")
    scheme = scheme.lower() if colon else ""
    if scheme == "shape":
        return require_role(_look_shape(reference, rest), expect)
    if scheme == "ollama":
        from vramctl.probes import ollama_store

        return require_role(ollama_store.look(reference, rest, world), expect)
    if scheme in ("http", "https", "hf"):
        from vramctl.probes import header_cache, remote_model  # the web's modules take 50 ms to import

        cache = header_cache.folder(world)
        return require_role(remote_model.look(reference, world, cache=cache, progress=progress), expect)
    if "://" in reference:
        raise BadInput(
            "bad-url",
            f"{reference} is not an address that can be read.",
            because=(f"{scheme}: is not supported",),
            fix="Give a path, or an https:// address.",
        )
    return require_role(_look_path(reference), expect)


def _look_path(reference: str) -> Model:
    path = _expanded(reference)
    kind = kind_of(path) if path else "missing"
    if kind == "file":
        return local_model.look_file(reference, path)
    if kind == "folder":
        return local_model.look_folder(reference, path)
    if kind == "other":
        raise BadInput(
            "not-a-file",
            f"{reference} is neither a file nor a folder.",
            because=("it is a pipe, a socket or a device",),
            fix="Save the model to a file and give that.",
        )
    raise _missing(reference, path)


def _missing(reference: str, path: str) -> BadInput:
    """What to say where there is no such file: near names, or the form that was probably meant."""
    near = near_names(path) if path else ()
    if near:
        fix = f"Did you mean {near[0]}?"
    elif _HUB_LIKE.match(reference) and "/" in reference:
        name = reference.removeprefix("hf.co/").removeprefix("huggingface.co/")
        file = "" if name.rpartition("@")[0].endswith(".gguf") or name.endswith(".gguf") else "/FILE.gguf"
        fix = f"For a file on the hub write hf:{name}{file}"
    elif re.fullmatch(r"[\w.-]+:[\w.-]+", reference):
        fix = f"For a model in Ollama's store write ollama:{reference}"
    elif re.fullmatch(r"[\w.-]+@\w+", reference):
        fix = f"For a built-in shape write shape:{reference}"
    elif re.fullmatch(r"[\w.-]+", reference) and not reference.lower().endswith((".gguf", ".safetensors")):
        fix = f"For a built-in shape write shape:{reference}@Q4_K_M, for a model in Ollama's store ollama:{reference}"
    else:
        fix = "Check the path, or write https://..., hf:ORG/REPO/FILE.gguf, ollama:NAME or shape:NAME@QUANT."
    return BadInput(
        "file-not-found",
        f"There is no file or folder {reference!r}.",
        because=(f"near names: {', '.join(near)}" if near else "no similar name beside it",),
        fix=fix,
    )


def _look_shape(reference: str, rest: str) -> Model:
    from vramctl.shapes import shape_model

    name, at, quant = rest.rpartition("@")
    if not at or not name or not quant:
        named = name if at else quant
        if named:
            shape_model(named, "Q4_K_M")  # a name that nobody knows is said first
        raise BadInput(
            "bad-shape",
            f"{reference} does not say which quantisation.",
            because=("a shape is written shape:NAME@QUANT",),
            fix=f"For example: shape:{named or 'llama3.1-8b'}@Q4_K_M",
        )
    return shape_model(name, quant)


def _expanded(reference: str) -> str:
    try:
        return str(Path(reference).expanduser()) if reference.startswith("~") else reference
    except RuntimeError:  # no such user
        return reference
