"""Models in Ollama's local store: the manifest, the blobs it names, and the Model in them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vramctl.errors import BadInput
from vramctl.formats import ollama_manifest
from vramctl.formats.hf_config import flatten
from vramctl.formats.model import join
from vramctl.formats.ollama_manifest import Manifest, Name
from vramctl.formats.safetensors import read_json
from vramctl.probes.local_model import read_header
from vramctl.records import Model
from vramctl.records.model import MetadataValue
from vramctl.world import kind_of, list_directory, read_small

SERVICE_STORE = "/usr/share/ollama/.ollama/models"  # the home that Ollama's install script gives the service
MAX_NAMES = 2000


@dataclass(frozen=True, slots=True)
class Found:
    """A model in a store: its manifest, and the store's folder."""

    name: Name
    manifest: Manifest
    store: Path


def stores(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The folders Ollama may keep models in: OLLAMA_MODELS, this user's, the system service's."""
    given = environ.get("OLLAMA_MODELS", "").strip().strip("\"'")
    homes = [home for key in ("HOME", "USERPROFILE") if (home := environ.get(key))]
    candidates = ([Path(given)] if given else []) + [Path(home, ".ollama", "models") for home in homes[:1]]
    return tuple(dict.fromkeys([*candidates, Path(SERVICE_STORE)]))


def look(reference: str, text: str, environ: Mapping[str, str]) -> Model:
    """The Model of `NAME[:TAG]`; its metadata also has the store's `ollama.*`: projectors, adapters, parameters."""
    found = find(text, stores(environ))
    if not found.manifest.models:
        tensors = found.manifest.tensors
        raise BadInput(
            "ollama-no-gguf",
            f"{reference} is not kept as GGUF in Ollama's store.",
            because=(f"its manifest names {tensors} single tensors (MLX)" if tensors else "its manifest has no model",),
            fix="Pull a GGUF variant of the model, or give another form of it.",
        )
    blobs = [_blob(found, name) for name in found.manifest.models]
    read = sorted(
        ((*read_header(blob), blob) for blob in blobs), key=lambda one: one[0].split.number if one[0].split else 0
    )
    files = tuple(blob for _, _, blob in read)
    model = join(
        reference, [header for header, _, _ in read], names=files, sizes=[size for _, size, _ in read], files=files
    )
    return replace(model, metadata={**model.metadata, **_extras(found)})


def find(text: str, places: tuple[Path, ...]) -> Found:
    """The manifest of a name in the first store that has it; BadInput with near names where none has."""
    name = ollama_manifest.parse_name(text)
    because = []
    for store in places:
        try:
            path = _manifest_path(store, name)
            if path is None:
                because.append(
                    f"{store} does not have it" if kind_of(str(store)) == "folder" else f"{store} is not there"
                )
                continue
            data = read_small(str(path), limit=ollama_manifest.MAX_MANIFEST_BYTES)
            return Found(name, ollama_manifest.parse(data, where=str(path)), store)
        except BadInput as error:
            if error.code != "file-not-readable":
                raise
            because.append(f"{store}: {error.because[0]}")
    near = _near(name, places)
    raise BadInput(
        "ollama-model-not-found",
        f"Ollama's store has no model {name.shown()}.",
        because=tuple(because),
        fix=(f"Did you mean ollama:{near[0]}? " if near else "")
        + f"Pull it with `ollama pull {name.shown()}`, or set OLLAMA_MODELS to the store's folder.",
    )


def _manifest_path(store: Path, name: Name) -> Path | None:
    """The manifest's path, matched without regard to case as Ollama does; None where it is not there."""
    here = store / "manifests"
    exact = here / name.path()
    if kind_of(str(exact)) == "file":
        return exact
    for part in name.path().parts:
        if kind_of(str(here)) != "folder":
            return None
        match = next((one.name for one in list_directory(str(here)) if one.name.lower() == part.lower()), None)
        if match is None:
            return None
        here = here / match
    return here if kind_of(str(here)) == "file" else None


def _blob(found: Found, name: str) -> str:
    """The path of a blob; BadInput where the store lacks it."""
    for written in (name, name.replace("-", ":", 1)):  # older stores have a colon
        path = str(found.store / "blobs" / written)
        if kind_of(path) == "file":
            return path
    raise BadInput(
        "ollama-blob-missing",
        f"The store lacks a file of {found.name.shown()}.",
        because=(str(found.store / "blobs" / name),),
        fix=f"Pull the model again: `ollama pull {found.name.shown()}`.",
    )


def _extras(found: Found) -> dict[str, MetadataValue]:
    """Projectors and adapters (paths) and the model's own parameters (`ollama.params.num_ctx`)."""
    extras: dict[str, MetadataValue] = {
        "ollama.projectors": tuple(_blob(found, name) for name in found.manifest.projectors),
        "ollama.adapters": tuple(_blob(found, name) for name in found.manifest.adapters),
    }
    if found.manifest.params is not None:
        path = _blob(found, found.manifest.params)
        extras |= flatten(read_json(read_small(path, limit=1 << 20), where=path), "ollama.params.")
    return extras


def _near(name: Name, places: tuple[Path, ...]) -> list[str]:
    """Up to three names in the stores that look like this one."""
    known: list[str] = []
    for store in places:
        try:
            for path, _ in zip((store / "manifests").glob("*/*/*/*"), range(MAX_NAMES), strict=False):
                known.append(Name(*path.relative_to(store / "manifests").parts).shown())
        except OSError:
            continue
    same_model = [one for one in known if one.rpartition(":")[0] == name.shown().rpartition(":")[0]]
    return same_model or difflib.get_close_matches(name.shown(), known, n=3, cutoff=0.5)
