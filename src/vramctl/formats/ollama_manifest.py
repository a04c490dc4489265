"""Ollama's names and manifests: which blobs a model is made of.

Read from types/model/name.go, manifest/manifest.go and server/images.go of ollama v0.33.0-rc2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from vramctl.errors import BadInput
from vramctl.formats.safetensors import read_json

MAX_MANIFEST_BYTES = 4 << 20
_DEFAULT_HOST, _DEFAULT_NAMESPACE, _DEFAULT_TAG = "registry.ollama.ai", "library", "latest"
_HOST = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}$")
_NAMESPACE = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,79}$")
_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$")
_DIGEST = re.compile(r"^sha256[:-](?P<hex>[0-9a-fA-F]{64})$")
_LAYER = "application/vnd.ollama.image."


@dataclass(frozen=True, slots=True)
class Name:
    """A model's full name."""

    host: str
    namespace: str
    model: str
    tag: str

    def path(self) -> PurePosixPath:
        """Where the manifest lies below `manifests/`."""
        return PurePosixPath(self.host, self.namespace, self.model, self.tag)

    def shown(self) -> str:
        """The name as `ollama list` shows it."""
        if self.host != _DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"
        return f"{'' if self.namespace == _DEFAULT_NAMESPACE else self.namespace + '/'}{self.model}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The blobs of a model, as file names below `blobs/`: each may be missing from the manifest."""

    models: tuple[str, ...]
    projectors: tuple[str, ...]
    adapters: tuple[str, ...]
    params: str | None
    tensors: int


def parse_name(text: str) -> Name:
    """`[host/][namespace/]model[:tag]` with Ollama's defaults filled in; BadInput where it is no such name."""
    rest, tag = text, _DEFAULT_TAG
    if rest.rfind(":") > rest.rfind("/"):
        rest, _, tag = rest.rpartition(":")
    scheme, found, after = rest.partition("://")
    rest = after if found and scheme in ("http", "https") else rest
    parts = rest.split("/")
    host, namespace = _DEFAULT_HOST, _DEFAULT_NAMESPACE
    if len(parts) >= 3:
        host = "/".join(parts[:-2])
    if len(parts) >= 2:
        namespace = parts[-2]
    name = Name(host, namespace, parts[-1], tag)
    if not (_HOST.match(host) and _NAMESPACE.match(namespace) and _PART.match(name.model) and _PART.match(tag)):
        raise BadInput(
            "bad-ollama-name",
            f"{text!r} is no Ollama model name.",
            because=("a name is [host/][namespace/]model[:tag] of letters, digits and . _ -",),
            fix="Write it as `ollama list` shows it, for example ollama:llama3.1:8b.",
        )
    return name


def parse(data: bytes, *, where: str) -> Manifest:
    """The blobs that a manifest names; BadInput where it is not one."""
    table = read_json(data, where=where, code="bad-ollama-manifest")
    layers = table.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise BadInput(
            "bad-ollama-manifest",
            f"{where} is no Ollama manifest.",
            because=("it has no list of layers",),
            fix="Pull the model again: `ollama pull NAME`.",
        )
    params = _blobs(layers, "params", where)
    return Manifest(
        models=_blobs(layers, "model", where),
        projectors=_blobs(layers, "projector", where),
        adapters=_blobs(layers, "adapter", where),
        params=params[0] if params else None,
        tensors=len(_blobs(layers, "tensor", where)),
    )


def _blobs(layers: list[dict[str, Any]], kind: str, where: str) -> tuple[str, ...]:
    """File names of the layers of one kind; a digest that is none could lead out of the store and is an error."""
    found = []
    for layer in layers:
        if layer.get("mediaType") != _LAYER + kind:
            continue
        digest = _DIGEST.match(str(layer.get("digest")))
        if digest is None:
            raise BadInput(
                "bad-ollama-manifest",
                f"{where} is corrupt: a layer has no sha256 digest.",
                because=(f"digest {str(layer.get('digest'))[:80]!r}",),
                fix="Pull the model again: `ollama pull NAME`.",
            )
        found.append(f"sha256-{digest['hex']}")
    return tuple(found)
