"""The settings of a llama.cpp process that runs already: by its command line and by the variables that its program reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

from vramctl.formats.config_options import Value, by_name, read_fields, read_options, read_variable
from vramctl.records import Settings, Unknown
from vramctl.show.settings_text import ALL_EXPERTS

# Files that take GPU memory beside the model (common/arg.cpp, llama.cpp b11434, and older spellings).
_BESIDE = {
    "-mm": "mmproj", "--mmproj": "mmproj", "-md": "draft", "--model-draft": "draft", "--spec-draft-model": "draft",
    "LLAMA_ARG_MMPROJ": "mmproj", "LLAMA_ARG_MODEL_DRAFT": "draft", "LLAMA_ARG_SPEC_DRAFT_MODEL": "draft",
}  # fmt: skip
_KNOWN = frozenset(field.name for field in fields(Settings))


@dataclass(frozen=True, slots=True)
class Given:
    """A process's model as it is written, its settings, and the GPUs that it may use by the engine's names (None: all)."""

    model: str
    settings: Settings
    devices: tuple[str, ...] | None = None


def settings_of(command: Sequence[str], environ: Mapping[str, str]) -> Given | Unknown:
    """What a llama.cpp command line asks for; a variable counts where no option says it. Unknown where it names no model.

    ValueError for a value that cannot be read.
    """
    python_server = "llama_cpp.server" in command
    read = read_fields if python_server else read_options
    variables = () if python_server else tuple(read_variable(name, text) for name, text in _variables(environ))
    options = tuple(read(tuple(command[1:])))
    found = {**by_name(variables), **by_name(options)}
    model = found.get("model")
    if not isinstance(model, str):
        return Unknown("its command line names no model file")
    if python_server:
        found = {"program": "llama-cpp-python", "n_gpu_layers": 0, "n_ctx": 2048, **found}
    given: dict[str, Any] = {
        name: value for name, value in found.items() if name in _KNOWN and not isinstance(value, Unknown)
    }
    given["n_gpu_layers"] = _layers(found, python_server=python_server)
    given["tensor_split"] = _shares(found.get("tensor_split"))
    overrides = [value for name, value, _ in (*variables, *options) if name == "override_tensor"]
    given["tensor_overrides"] = tuple(_overrides(overrides, cpu_moe=found.get("cpu_moe") is True)) or None
    if not python_server:
        given.update(_files_beside(command, environ))
    return Given(model, Settings(**given), _devices(found.get("device")))


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, text) for name, text in environ.items() if name.startswith("LLAMA_ARG_") and text)


def _layers(found: Mapping[str, Value], *, python_server: bool) -> int | None:
    """n_gpu_layers: -1 for all, None where the engine chooses (`auto`, -1 and nothing: llama.cpp fits since December 2025)."""
    if found.get("device") == "none":
        return 0
    asked = found.get("n_gpu_layers", "auto")
    if asked == "all" or (isinstance(asked, int) and (asked < -1 or (asked == -1 and python_server))):
        return -1
    if isinstance(asked, int) and asked >= 0:
        return int(asked)
    return -1 if found.get("fit") in {"off", False} else None


def _shares(written: Value | None) -> tuple[float, ...] | None:
    """The shares of a tensor split, which stand between commas or slashes."""
    if written is None or isinstance(written, Unknown):
        return None
    return tuple(float(part) for part in re.split(r"[,/]", str(written)))


def _overrides(written: Sequence[Value], *, cpu_moe: bool) -> Iterator[tuple[str, str]]:
    """Pairs of pattern and buffer type; those of every option count, the first match wins."""
    for pair in ",".join(str(one) for one in written).split(",") if written else ():
        pattern, equals, buffer = pair.partition("=")
        if not (pattern and equals and buffer):
            raise ValueError(f"{pair} is no tensor override")
        yield pattern, buffer
    if cpu_moe:
        yield ALL_EXPERTS


def _devices(written: Value | None) -> tuple[str, ...] | None:
    return tuple(written.split(",")) if isinstance(written, str) and written != "none" else None


def _files_beside(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Projector and draft model where they go to a GPU; the command line's come last and win."""
    stays = {
        "mmproj": "--no-mmproj-offload" in command,
        "draft": any(pair in {("-ngld", "0"), ("--gpu-layers-draft", "0")} for pair in pairwise(command)),
    }  # fmt: skip
    written = [(name, environ[name]) for name in _BESIDE if environ.get(name)]
    for at, word in enumerate(command):
        name, equals, joined = word.partition("=") if word.startswith("--") else (word, "", "")
        written.append((name, joined if equals else "".join(command[at + 1 : at + 2])))
    for name, path in written:
        if name in _BESIDE and path and not stays[_BESIDE[name]]:
            yield _BESIDE[name], path


def seen_from_here(path: str, folder: Path | None, root: Path) -> Path:
    """The file that a process calls `path` in its working folder, reached through its root where that is not ours."""
    full = PurePath(path) if folder is None else folder / path
    try:
        elsewhere = not root.samefile("/")
    except OSError:
        elsewhere = False
    return root / full.relative_to(full.anchor) if elsewhere and full.is_absolute() else Path(full)
