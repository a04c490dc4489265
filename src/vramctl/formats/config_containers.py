"""Containers that compose files and `docker run` lines start: their image, and whether a GPU is passed to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vramctl.formats.config_lines import joined_lines, words_of
from vramctl.formats.config_yaml import Entry

# Images of engines. llama.cpp's own without a suffix (server, full, light) have no GPU backend.
_ENGINE_IMAGE = re.compile(
    r"(?:^|/)(?:ollama/ollama|ggml-org/llama\.cpp|ggerganov/llama\.cpp|tabbyapi|exllamav[23])\b|ollama/ollama"
)
_CPU_IMAGE = re.compile(r"llama\.cpp:(?:server|full|light)(?:-b\d+)?(?:@.*)?$")
_GPU_PATHS = ("gpus", "runtime", "devices", "device_requests")
_RUN = re.compile(r"\b(?:docker|podman|nerdctl)\s+(?:container\s+)?(?:run|create)\b")
_GPU_WORDS = ("--gpus", "--device", "--runtime", "--privileged")


@dataclass(frozen=True, slots=True)
class Container:
    """A container of an engine: `gpu` is whether a GPU is passed, `cpu_image` whether its image has no GPU backend."""

    name: str
    image: str
    gpu: bool
    cpu_image: bool
    line: int
    words: tuple[str, ...] = ()
    """What follows the image on a `docker run` line: the options of its program."""


def of_compose(found: Sequence[Entry]) -> Iterator[Container]:
    """The services of a compose file that run an engine; those that take over from others (`extends`, `<<`) are left out."""
    for entry in found:
        service = entry.path[:-1]
        if entry.key != "image" or service[:1] != ("services",) or not _ENGINE_IMAGE.search(entry.value):
            continue
        inside = [one for one in found if one.path[: len(service)] == service and one.path != service]
        keys = {one.path[len(service)] for one in inside}
        if keys & {"extends", "<<"}:
            continue
        gpu = any(_passes_gpu(one.path[len(service) :], one.value) for one in inside)
        yield Container(service[-1], entry.value, gpu, bool(_CPU_IMAGE.search(entry.value)), entry.line)


def _passes_gpu(path: tuple[str, ...], value: str) -> bool:
    if path[0] in _GPU_PATHS:
        return value not in {"", "runc"} or len(path) > 1
    return path[0] == "deploy" and "devices" in path and len(path) > path.index("devices") + 1


def of_commands(text: str) -> Iterator[Container]:
    """The `docker run` lines that start an engine."""
    for number, line in joined_lines(text):
        match = _RUN.search(line) if not line.lstrip().startswith("#") else None
        words = words_of(line[match.end() :]) if match else ()
        image = next((word for word in words if not word.startswith("-") and _ENGINE_IMAGE.search(word)), "")
        if image:
            at = words.index(image)
            before, after = words[:at], tuple(words[at + 1 :])
            gpu = any(word.split("=")[0] in _GPU_WORDS for word in before)
            yield Container("docker run", image, gpu, bool(_CPU_IMAGE.search(image)), number, after)
