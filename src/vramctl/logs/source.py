"""Which engine, era and version wrote a log, on which system, and with which environment it was started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from vramctl.logs.command import environment
from vramctl.logs.decode import Stats
from vramctl.records.event import Event, Origin
from vramctl.records.load import NOT_LOGGED, LogSource, Text
from vramctl.records.unknown import Unknown

# Ollama's generations: first version of each, newest first (tags of ollama/ollama up to 0.33).
_ERAS = (
    ((0, 30), "0.30 on: runs llama-server"),
    ((0, 11, 5), "0.11.5-0.24: its own engine or the llama runner, memory asked back and forth"),
    ((0, 3, 13), "0.3.13-0.11.4: Go runner, one estimate before the load"),
    ((0, 1, 21), "0.1.21-0.3.12: C++ server under a Go server"),
    ((0, 0), "0.0-0.1.20: 2023"),
)
# Where no version is printed, a kind of line tells the generation.
_ERA_BY_SOURCE_FILE = {"llama_server.go": 0, "cuda_compat.go": 0, "device.go": 1, "backend.go": 1}
_WINDOWS = re.compile(r"[A-Za-z]:\\{1,2}(?:Users|Program|git|models|\w)")
_MACOS = re.compile(r"/Applications/|/Users/|Metal|darwin|Darwin|/opt/homebrew")
_CONTAINERS = frozenset({"docker", "compose", "kubectl", "cri"})
_MOST_FUNCTIONS = 4096
_NO_ENGINE = Unknown("no line is an engine's")
_VERSION_KINDS = frozenset({"server.listening", "server.version"})
_FOLDER_KINDS = frozenset({"build.info", "model.loaded_meta", "runner.command", "backend.loaded", "metal.device"})
_PLACE_KINDS = frozenset({"crash.assert", "crash.fatal", "cuda.error_where"})
FACT_KINDS = _VERSION_KINDS | _FOLDER_KINDS | _PLACE_KINDS | {"server.config", "context.param"}


class SourceFacts:
    """Collects what lines say of the program that wrote them."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}
        self._version: str | None = None
        self._build: str | None = None
        self.engines: set[str] = set()
        self.functions: set[str] = set()
        self.origin: Origin | None = None
        self._fork = False
        self._era: int | None = None
        self._platforms: dict[str, None] = {}
        self._windows = self._macos = self._linux = self._container = 0

    def new_writer(self, event: Event) -> None:
        """What is said of its writer by an event whose engine, function or prefix is not the last one's."""
        self.engines.add(event.engine)
        if event.function not in self.functions:
            if len(self.functions) >= _MOST_FUNCTIONS:
                self.functions.clear()
            self.functions.add(event.function)
            self._era_of(event.function)
        self.origin = event.origin
        if self.origin.platform:
            self._platforms.setdefault(self.origin.platform)

    def facts(self, event: Event) -> None:
        """Fold an event of FACT_KINDS: the lines that name versions, variables and folders."""
        kind, fields = event.kind, event.fields
        if kind == "server.config":
            variables = fields.get("env", "")
            if isinstance(variables, Mapping):
                self.environment = {name: str(value) for name, value in variables.items()}
            else:
                self.environment = environment(str(variables))
            self._system(event.raw)
        elif kind in _VERSION_KINDS:
            if isinstance(fields.get("version"), str):
                self._version = fields["version"]
                address = str(fields.get("address", ""))
                # The images listen on all addresses; root on a plain machine has the same folder, but not that address.
                self._container += 1 if address.startswith(("[::]", "0.0.0.0")) else -2
        elif kind in _FOLDER_KINDS:
            if kind == "build.info":
                self._build_of(event)
            self._system(event.raw)
        elif kind in _PLACE_KINDS:
            self._windows += _WINDOWS.search(event.raw) is not None
            self._fork |= "ik_llama.cpp" in event.raw
        elif "mla_attn" in event.text or "fused_moe" in event.text:
            self._fork = True

    def finished(self, stats: Stats | None, *, name: str, size_bytes: int) -> LogSource:
        """The record."""
        return LogSource(
            name=name,
            lines=stats.lines if stats else 0,
            bytes=size_bytes,
            engine=self._engine(),
            era=self._era_name(),
            version=self._version or self._build or NOT_LOGGED,
            platforms=tuple(self._platforms),
            system=self._system_name(),
        )

    def _engine(self) -> Text:
        if "ollama" in self.engines:
            return "ollama"
        if self._fork:
            return "ik_llama.cpp"
        return next((engine for engine in ("llama.cpp", "exllama") if engine in self.engines), _NO_ENGINE)

    def _era_of(self, function: str) -> None:
        era = _ERA_BY_SOURCE_FILE.get(function.partition(":")[0])
        if era is not None and (self._era is None or era < self._era):
            self._era = era

    def _era_name(self) -> Text:
        if "ollama" not in self.engines:
            return NOT_LOGGED
        numbers = tuple(int(part) for part in re.findall(r"\d+", (self._version or "").partition("-")[0])[:3])
        if numbers and numbers != (0, 0, 0):
            for first, words in _ERAS:
                if numbers >= first:
                    return words
        return _ERAS[self._era][1] if self._era is not None else NOT_LOGGED

    def _build_of(self, event: Event) -> None:
        self._build = build_words(event) or self._build

    def _system(self, text: str) -> None:
        self._windows += _WINDOWS.search(text) is not None
        self._macos += _MACOS.search(text) is not None
        self._linux += bool(re.search(r"/(?:home|usr|root|mnt|media|opt|lib|data)\b|linux|\bLinux\b", text))
        self._container += 2 * ("/root/.ollama" in text)

    def _system_name(self) -> Text:
        """linux, windows, macos or container: what a fix must be written for."""
        if any(platform in _CONTAINERS for platform in self._platforms) or self._container > 1:
            return "container"
        votes = {"windows": self._windows, "macos": self._macos, "linux": self._linux + ("journald" in self._platforms)}
        best = max(votes, key=lambda system: votes[system])
        return best if votes[best] else NOT_LOGGED


def build_words(event: Event) -> str:
    """The build that a line names: `build 941 (eb39499)`; a build of 0 is one that does not know itself."""
    build, commit = str(event.fields.get("build", "")), str(event.fields.get("commit", ""))
    named = f"build {build}" if build not in {"", "0"} else ""
    return (
        f"{named} ({commit})"
        if named and commit
        else named or ("" if commit in {"", "unknown"} else f"commit {commit}")
    )


def sha256_of(path: str) -> str | None:
    """The digest in the path of an Ollama blob (`.../blobs/sha256-ab12...`), None where there is none."""
    match = re.search(r"sha256[-:]([0-9a-f]{8,64})", path)
    return match[1] if match else None


def file_name(path: str) -> str:
    """The last part of a path of any system."""
    return PurePosixPath(path.replace("\\", "/")).name
