"""Where a model comes from, as far as an engine's configuration must say it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from vramctl.records import Model

PLACEHOLDER = "MODEL.gguf"
_HF = re.compile(r"^hf:(?P<repo>[^/@]+/[^/@]+)/(?P<file>[^@]+?)(?:@(?P<revision>[^@]+))?$")


@dataclass(frozen=True, slots=True)
class Source:
    """One place a model can be loaded from.

    `kind` is file (`path` is local), hf (`repo`, `file`, `revision`), url, ollama (`name`, and `path` where the
    store's blob is known) or missing (a built-in shape: no file exists; `path` is a placeholder to replace).
    """

    kind: str
    path: str = ""
    url: str = ""
    repo: str = ""
    file: str = ""
    revision: str = "main"
    name: str = ""


def locate(model: Model) -> Source:
    """The place of a planned model: its local file or folder where there is one, else what the user wrote."""
    written = parse_reference(model.reference)
    if written.kind == "ollama":
        return Source("ollama", name=written.name, path=model.files[0] if model.files else "")
    if written.kind == "file" and model.kind == "gguf" and model.files:
        return Source("file", path=model.files[0])
    return written


def parse_reference(text: str) -> Source:
    """The place that a MODEL argument names; anything without a scheme is a path."""
    if hub := _HF.match(text):
        return Source("hf", repo=hub["repo"], file=hub["file"], revision=hub["revision"] or "main")
    if text.startswith(("http://", "https://")):
        return Source("url", url=text)
    if text.startswith("ollama:"):
        return Source("ollama", name=text.removeprefix("ollama:"))
    if text.startswith("shape:"):
        return Source("missing", path=PLACEHOLDER)
    return Source("file", path=text)


def hub_url(source: Source) -> str:
    """The download address of a file on the Hugging Face hub, at its revision."""
    return f"https://huggingface.co/{source.repo}/resolve/{quote(source.revision, safe='')}/{quote(source.file)}"


def local_name(source: Source) -> str:
    """The path an engine that only opens files should be given: the file, or where a download would be put."""
    if source.kind == "hf":
        return "./" + source.file.rsplit("/", 1)[-1]
    if source.kind == "url":
        return "./" + (urlsplit(source.url).path.rsplit("/", 1)[-1] or PLACEHOLDER)
    return source.path or PLACEHOLDER


def fetch_note(source: Source) -> tuple[str, ...]:
    """What has to be done before `local_name` is a file: one line, or none for a local file."""
    if source.kind == "missing":
        return (f"A built-in shape has no file: put your model's path in the place of {source.path}.",)
    if source.kind == "hf":
        return (f"Download first: {hub_url(source)}",)
    if source.kind == "url":
        return (f"Download first: {source.url}",)
    if source.kind == "ollama" and not source.path:
        return (f"Put the path of the blob of Ollama's {source.name} in the place of {PLACEHOLDER}.",)
    return ()
