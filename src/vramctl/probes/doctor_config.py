"""Configuration files that the doctor was given, as calls of engines, and the headers of the model files they name."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from vramctl.errors import BadInput
from vramctl.formats.config_audit import Audited, Call, read_configs
from vramctl.records.facts import OllamaServer
from vramctl.records.unknown import Absent, Unknown
from vramctl.world import kind_of, near_names
from vramctl.world.machine import World

_SUFFIXES = (
    ".py",
    ".pyw",
    ".env",
    ".yml",
    ".yaml",
    ".sh",
    ".bat",
    ".cmd",
    ".ps1",
    ".service",
    ".conf",
    ".toml",
    ".modelfile",
    ".ipynb",
)
_NAMES = ("Modelfile", "Dockerfile", ".env", "Procfile", "Makefile", "justfile")
_SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__", "venv", "env", "build", "dist"})
_MOST_FILES, _MOST_FOLDERS, _DEEPEST = 200, 1000, 3
_LARGEST_BYTES = 1 << 20
_MOST_MODELS = 8
ENVIRONMENT, SERVER_ENVIRONMENT = "environment", "the Ollama server's environment"
_NOT_GIVEN = Absent("no configuration was given (--config FILE)")


def require_files(configs: Sequence[str], log: str | None) -> None:
    """Raises BadInput for the first of the given files that is not there: a wrong name is no healthy configuration."""
    for path in configs:
        if kind_of(path) == "missing":
            raise BadInput(
                "config-not-found", f"There is no configuration at {path}.",
                because=tuple(f"there is {name}" for name in near_names(path)) or ("no file or folder has that name",),
                fix="Give a source file, a .env, a unit, a start script, or a folder that holds them.",
            )  # fmt: skip
    if log is not None:
        from vramctl.probes.log_sources import expand_sources

        expand_sources([log])


def look_calls(world: World, asked: Any, facts: Any) -> tuple[Call, ...] | Absent:
    """Every call, command line and set of variables of an engine in the given files."""
    audited = facts.fact("audited")
    return audited.calls if isinstance(audited, Audited) else _NOT_GIVEN


def look_audit_notes(world: World, asked: Any, facts: Any) -> Mapping[str, str] | Absent:
    """Of the given files that could not be audited, why."""
    audited = facts.fact("audited")
    return audited.unread if isinstance(audited, Audited) else _NOT_GIVEN


def look_audited(world: World, asked: Any, facts: Any) -> Audited | Absent:
    """The given files as a whole, the command line of the process in question, and variables that are an engine's options.

    Of a folder those files count that can configure an engine, and files without a find are no fault.
    """
    files = dict(_of_environment(facts))
    if not asked.configs and asked.pid is None and not files:
        return _NOT_GIVEN
    unread: dict[str, str] = {}
    folders: dict[str, set[str]] = {}
    if asked.pid is not None:
        told = world.ask(f"command {asked.pid}", lambda: _command(asked.pid))
        files |= {f"process {asked.pid}": told} if isinstance(told, str) else {}
    for path in asked.configs:
        text = world.text(path, limit=_LARGEST_BYTES)
        found = {path: text} if isinstance(text, str) else dict(_of_folder(world, path))
        files |= found
        if not found:
            no_folder = isinstance(world.names(path), Unknown | Absent)
            unread[path] = _why_unread(text) if no_folder else "the folder holds no configuration"
        elif not isinstance(text, str):
            folders[path] = set(found)
    audited = read_configs(files)
    named = {path: reason for path, reason in audited.unread.items() if path in asked.configs}
    used = {call[0].file for call in audited.calls}
    silent = {folder: len(paths) for folder, paths in folders.items() if not used & paths}
    empty = {
        folder: f"in its {number} files no engine's call, command line or variable was found"
        for folder, number in silent.items()
    }
    return Audited(audited.calls, {**unread, **named, **empty})


def _why_unread(text: object) -> str:
    reason = str(getattr(text, "reason", ""))
    return f"the file cannot be read ({reason})" if isinstance(text, Unknown) else reason


def _of_environment(facts: Any) -> Iterator[tuple[str, str]]:
    """Variables that work like options: llama.cpp's own, and flash attention switched off for the Ollama server."""
    environment, server = facts.fact("environment"), facts.fact("ollama")
    if isinstance(environment, Mapping):
        options = [f"{name}={value}" for name, value in environment.items() if name.startswith("LLAMA_ARG_")]
        if options:
            yield ENVIRONMENT, "\n".join(options)
    theirs = server.environment if isinstance(server, OllamaServer) else None
    if isinstance(theirs, Mapping) and "OLLAMA_FLASH_ATTENTION" in theirs:
        yield SERVER_ENVIRONMENT, f"OLLAMA_FLASH_ATTENTION={theirs['OLLAMA_FLASH_ATTENTION']}"


def _command(pid: int) -> Any:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()[:65536].replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError as error:
        return {"unknown": error.strerror or type(error).__name__}


def _of_folder(world: World, folder: str) -> Iterator[tuple[str, str]]:
    """Files of a folder that can configure an engine, at most 200, three folders deep; at most 1000 folders are looked into."""
    waiting = deque([(folder, 0)])
    given = looked = 0
    while waiting and looked < _MOST_FOLDERS and given < _MOST_FILES:
        here, depth = waiting.popleft()
        looked += 1
        names = world.names(here)
        for name in names if isinstance(names, tuple) else ():
            path = name if here in {".", "./"} else f"{here.rstrip('/')}/{name}"
            if given < _MOST_FILES and (name.endswith(_SUFFIXES) or name.startswith(_NAMES)):
                text = world.text(path, limit=_LARGEST_BYTES)
                if isinstance(text, str):
                    yield path, text
                    given += 1
            elif depth < _DEEPEST and "." not in name and name not in _SKIPPED:
                waiting.append((path, depth + 1))


def look_model_headers(world: World, asked: Any, facts: Any) -> Mapping[str, Mapping[str, int]] | Absent:
    """Of the model files that the calls name: `train_ctx` and `layers`, by the name as written. Files that cannot be read are
    left out."""
    calls = facts.fact("calls")
    if not isinstance(calls, tuple):
        return _NOT_GIVEN
    found: dict[str, Mapping[str, int]] = {}
    for call in calls:
        named = next(
            (s for s in call if s.name == "model" and isinstance(s.value, str) and s.value.endswith(".gguf")), None
        )
        if named is None or named.value in found or len(found) >= _MOST_MODELS:
            continue
        header = _header(world, str(named.value), named.file)
        if header:
            found[str(named.value)] = header
    return found


def _header(world: World, model: str, config: str) -> dict[str, int]:
    beside = PurePath(config).parent / model
    for path in dict.fromkeys((model, str(beside))):
        told = world.ask(f"gguf {path}", lambda path=path: _read(path))  # type: ignore[misc]
        if isinstance(told, dict):
            return {str(name): value for name, value in told.items() if isinstance(value, int)}
    return {}


def _read(path: str) -> dict[str, Any]:
    if not Path(path).is_file():
        return {"absent": "no such file"}
    from vramctl.probes.local_model import read_header  # the formats' modules take a while to import

    try:
        header, _ = read_header(path)
    except Exception as error:  # a file of any kind: the audit goes on without its header
        return {"unknown": f"{type(error).__name__}: {error}"[:200]}
    architecture = str(header.metadata.get("general.architecture", ""))
    wanted = {"train_ctx": f"{architecture}.context_length", "layers": f"{architecture}.block_count"}
    values = {name: header.metadata.get(key) for name, key in wanted.items()}
    return {name: value for name, value in values.items() if isinstance(value, int)}
