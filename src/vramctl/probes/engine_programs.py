"""llama.cpp's programs and Ollama on the search path: libraries beside them, version, and the devices they list."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vramctl.probes.children_run import ending
from vramctl.probes.doctor_libraries import look_at_library
from vramctl.probes.json_facts import as_dict, as_names
from vramctl.probes.library_search import Places
from vramctl.records.facts import Engine, EngineDevice, Library, OllamaServer
from vramctl.records.unknown import Absent, Unknown
from vramctl.units import MIB
from vramctl.world.machine import World

Json = Any
TIMEOUT_SECONDS = 10.0
PROGRAMS = ("llama-server", "llama-cli", "llama-bench", "llama-completion")
_MOST_INSTALLATIONS = 3
_MOST_LIBRARIES = 40
_ENDINGS = re.compile(r"\.(?:so|dll|dylib)(?:\.[\d.]+)?$")
_VERSIONED = re.compile(r"\.so\.[\d.]+$")
_OWN = re.compile(r"^(?:lib)?(?:ggml|llama)", re.IGNORECASE)
_DEVICE = re.compile(r"^\s*(?P<name>[\w.-]+): (?P<description>.+?) \((?P<total>\d+) MiB, (?P<free>\d+) MiB free\)\s*$")
_VERSION = re.compile(r"^version: (\S+)(?: \((\S+)\))?", re.MULTILINE)
_ACCELERATORS = ("BLAS", "AMX", "ZENDNN", "KLEIDIAI", "RPC")


def look_llama_programs(
    world: World, variables: Mapping[str, str], environ: Mapping[str, str] | None
) -> Iterator[Engine]:
    """One engine for each folder with llama.cpp's programs."""
    told = world.ask("llama.cpp programs", lambda: _programs(variables.get("PATH", "")))
    for row in told[:_MOST_INSTALLATIONS] if isinstance(told, list) else ():
        answer = as_dict(row)
        path = str(answer.get("path", ""))
        if not path:
            continue
        beside = as_names(answer.get("libraries"))
        engine = Engine(
            kind="llama.cpp",
            path=path,
            libraries=_inspected(world, [*beside, str(answer.get("real") or path)], variables),
            package={"real": str(answer.get("real") or path)},
        )
        yield _asked(world, engine, environ)


def _asked(world: World, engine: Engine, environ: Mapping[str, str] | None) -> Engine:
    listed = world.run(engine.path, "--list-devices", timeout_seconds=TIMEOUT_SECONDS, environ=environ)
    if isinstance(listed, Unknown | Absent):
        return replace(engine, devices=Unknown(listed.reason), ended=listed)
    ended = ending(listed, TIMEOUT_SECONDS)
    text = f"{listed.stdout}\n{listed.stderr}"
    lines = tuple(line for line in text.splitlines() if line.strip())[:400]
    known = "vailable devices" in text
    engine = replace(
        engine,
        devices=parse_devices(listed.stdout)
        if known
        else Unknown(f"--list-devices: {ended or 'it printed something else'}"),
        log=lines,
        ended=ended,
        import_error=_load_error(text),
    )
    if ended:
        return engine
    version = world.run(engine.path, "--version", timeout_seconds=TIMEOUT_SECONDS, environ=environ)
    if isinstance(version, Unknown | Absent):
        return engine
    found = _VERSION.search(f"{version.stdout}\n{version.stderr}")
    return replace(engine, version=f"b{found[1]}" if found and found[1].isdigit() else found[1]) if found else engine


def parse_devices(text: str) -> tuple[EngineDevice, ...]:
    """The devices of `--list-devices`: a line each, `CUDA0: NVIDIA GeForce RTX 4090 (24080 MiB, 23669 MiB free)`."""
    found = []
    for line in text.splitlines():
        if row := _DEVICE.match(line):
            name = row["name"]
            found.append(
                EngineDevice(
                    name=name,
                    description=row["description"],
                    kind="cpu"
                    if name.upper() == "CPU"
                    else "accel"
                    if name.upper().startswith(_ACCELERATORS)
                    else "gpu",
                    backend=re.sub(r"\d+$", "", name),
                    free_bytes=int(row["free"]) * MIB,
                    total_bytes=int(row["total"]) * MIB,
                )
            )
    return tuple(found)


def _load_error(text: str) -> str:
    """The loader's own message where the program could not be started."""
    found = re.search(
        r"error while loading shared libraries: .+|symbol lookup error: .+|version `[^']+' not found.*", text
    )
    return found[0] if found else ""


def look_ollama_program(world: World, facts: Any, variables: Mapping[str, str]) -> Iterator[Engine]:
    """Ollama as it is installed: its program and the backend libraries beside it. Its server is another fact."""
    told = world.ask("ollama program", lambda: _ollama(variables.get("PATH", "")))
    answer = as_dict(told)
    if isinstance(told, Unknown | Absent) or not answer.get("path"):
        return
    server = facts.fact("ollama")
    version = server.version if isinstance(server, OllamaServer) else Unknown("its server was not asked")
    yield Engine(
        kind="ollama",
        path=str(answer["path"]),
        version=version,
        libraries=_inspected(world, list(as_names(answer.get("libraries"))), variables),
        devices=Unknown("its server tells its devices in its log"),
        package={"folder": str(answer.get("folder", "")), "real": str(answer.get("real", ""))},
    )


def _inspected(world: World, paths: list[str], variables: Mapping[str, str]) -> tuple[Library, ...]:
    loaded = {_name(path): path for path in paths}
    places = Places(environ=variables, loaded=loaded)
    own = [path for path in paths if not _VERSIONED.search(path)][:_MOST_LIBRARIES]
    found = [look_at_library(world, path, places) for path in own]
    return tuple(one for one in found if isinstance(one, Library))


def _name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def _programs(search: str) -> Json:
    """llama.cpp's programs, one a folder, with the ggml and llama libraries beside them."""
    found: dict[str, Json] = {}
    for name in PROGRAMS:
        path = shutil.which(name, path=search or None)
        if path is None:
            continue
        real = Path(path).resolve()
        if str(real.parent) not in found:
            found[str(real.parent)] = {"path": path, "real": str(real), "libraries": _beside(real)}
    return list(found.values())


def _beside(program: Path) -> list[str]:
    found = []
    for folder in (program.parent, program.parent.parent / "lib"):
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208
        except OSError:
            continue
        found += [str(folder / name) for name in names if _OWN.match(name) and _ENDINGS.search(name)]
    return found[:_MOST_LIBRARIES]


def _ollama(search: str) -> Json:
    """Ollama's program and every backend library of its lib/ollama folder and of the folders in it."""
    path = shutil.which("ollama", path=search or None)
    if path is None:
        return {"absent": "there is no ollama on the search path"}
    real = Path(path).resolve()
    for folder in (real.parent.parent / "lib" / "ollama", real.parent / "lib" / "ollama"):
        if folder.is_dir():
            files = sorted(file for file in folder.glob("**/*") if _OWN.match(file.name) and _ENDINGS.search(file.name))
            kept = [str(file) for file in files if not _VERSIONED.search(file.name)]
            return {"path": path, "real": str(real), "folder": str(folder), "libraries": kept[:_MOST_LIBRARIES]}
    return {"path": path, "real": str(real), "folder": "", "libraries": []}


def look_foreign_ggml(world: World, asked: Any, facts: Any) -> tuple[str, ...] | Unknown | Absent:
    """ggml libraries in the folders of PATH (Windows) or LD_LIBRARY_PATH: they are taken before an engine's own."""
    environment = facts.fact("environment")
    variables = environment if isinstance(environment, Mapping) else {}
    windows = getattr(facts.fact("platform"), "system", "") == "windows"
    search = variables.get("PATH" if windows else "LD_LIBRARY_PATH", "")
    told = world.ask("ggml libraries in the search path", lambda: _foreign(search))
    return as_names(told) if isinstance(told, list) else Unknown("the search path was not looked at")


def _foreign(search: str) -> Json:
    found: list[str] = []
    for folder in dict.fromkeys(part for part in search.split(os.pathsep) if part):
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208
        except OSError:
            continue
        found += [
            str(Path(folder) / name)
            for name in names
            if re.match(r"(?:lib)?ggml[\w-]*\.(?:dll|so)", name, re.IGNORECASE)
        ]
    return found[:64]
