"""The engines that are installed: files, libraries, and the devices that each lists when it is started in a child."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vramctl.probes.children_run import ask_child
from vramctl.probes.doctor_cuda import child_environment
from vramctl.probes.doctor_libraries import look_at_library
from vramctl.probes.engine_programs import look_llama_programs, look_ollama_program
from vramctl.probes.interpreters import IN_QUESTION, Interpreter, interpreters
from vramctl.probes.json_facts import as_dict, as_flag, as_int, as_names, as_text
from vramctl.probes.library_search import Places
from vramctl.records.facts import Engine, EngineDevice, Library
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

Json = Any
TIMEOUT_SECONDS = 10.0
_MOST_LIBRARIES = 40
_OWN = re.compile(r"(?:^|lib)(ggml|llama|xllamacpp)[^/\\]*$", re.IGNORECASE)
_VERSIONED = re.compile(r"\.so\.[\d.]+$")
_GPU_LIBRARY = re.compile(r"ggml-(cuda|hip|rocm|vulkan|sycl|metal)", re.IGNORECASE)
_EXLLAMA = ("exllamav2", "exllamav3")


def look_engines(world: World, asked: Any, facts: Any) -> tuple[Engine, ...] | Unknown | Absent:
    """Every engine that was asked about (all where none was) and is installed."""
    wanted = set(asked.engines)
    if "tabbyapi" in wanted:
        wanted |= set(_EXLLAMA)
    found: list[Engine] = []
    if not wanted or wanted - {"ollama", "llama.cpp"}:
        pythons = interpreters(world, asked, facts)
        if isinstance(pythons, Unknown):
            return pythons
        for interpreter in pythons:
            found += _of_interpreter(world, asked, facts, interpreter, wanted)
    environment = facts.fact("environment")
    variables = environment if isinstance(environment, Mapping) else {}
    if (not wanted or "llama.cpp" in wanted) and asked.python is None:
        found += look_llama_programs(world, variables, child_environment(asked, facts))
    if (not wanted or "ollama" in wanted) and asked.python is None:
        found += look_ollama_program(world, facts, variables)
    return tuple(found)


def _of_interpreter(world: World, asked: Any, facts: Any, python: Interpreter, wanted: set[str]) -> Iterator[Engine]:
    if not wanted or "llama-cpp-python" in wanted:
        yield from _llama_cpp_python(world, asked, facts, python)
    # In our own environment xllamacpp is what plans are made with, not the engine that somebody asks about.
    if "xllamacpp" in wanted or (not wanted and not python.ours):
        yield from _xllamacpp(world, asked, facts, python)
    for kind in _EXLLAMA:
        if (not wanted or kind in wanted) and python.version(kind) is not None:
            yield _exllama(world, facts, python, kind)


def _llama_cpp_python(world: World, asked: Any, facts: Any, python: Interpreter) -> Iterator[Engine]:
    origin = python.origin("llama_cpp")
    copies = python.copies("llama-cpp-python")
    if origin is None and not copies:
        return
    single = _variable(facts, "LLAMA_CPP_LIB")  # of 0.2.x: the library itself
    override = _variable(facts, "LLAMA_CPP_LIB_PATH") or (_folder(single) if single else None)
    folder = override or (str(_parent(origin)) + _separator(origin) + "lib" if origin else "")
    beside = as_names(as_dict(python.told.get("beside")).get("llama_cpp"))
    listed = [path for path in beside if _folder(path) == folder] or (
        list(beside) if override is None else _listed(world, folder)
    )
    libraries = _libraries(world, facts, python, listed)
    main = _main(listed, "llama")
    package = _package(python, "llama-cpp-python", origin)
    if override is not None:
        package["override"] = override
    knows = python.told.get("loader_knows_x64")
    package["loader_knows_x64"] = "yes" if knows is True else "no" if knows is False else "unknown"
    yield _asked_for_devices(world, asked, facts, python, _engine("llama-cpp-python", python, package, libraries), main)


def _xllamacpp(world: World, asked: Any, facts: Any, python: Interpreter) -> Iterator[Engine]:
    origin = python.origin("xllamacpp")
    if origin is None and not python.copies("xllamacpp"):
        return
    listed = as_names(as_dict(python.told.get("beside")).get("xllamacpp"))
    libraries = _libraries(world, facts, python, listed)
    package = _package(python, "xllamacpp", origin)
    engine = _engine("xllamacpp", python, package, libraries)
    yield _asked_for_devices(world, asked, facts, python, engine, _main(listed, "xllamacpp"))


def _exllama(world: World, facts: Any, python: Interpreter, kind: str) -> Engine:
    """ExLlama by its metadata and files: importing it may start a build."""
    package = _package(python, kind, python.origin(kind))
    extension = python.origin(f"{kind}_ext")
    built = as_names(as_dict(python.told.get("built")).get(f"{kind}_ext"))
    package["extension"] = extension or ""
    package["built"] = built[0] if built else ""
    torch = as_dict(python.told.get("torch"))
    package["torch"] = str(torch.get("__version__") or python.version("torch") or "")
    package["cuda"] = str(torch.get("cuda") or "") if torch.get("cuda") != "None" else ""
    for tool in ("nvcc", "ninja", "g++", "c++", "cl"):
        package[tool] = python.tool(tool) or ""
    for name in ("flash-attn", "flash-attn-4", "xformers", "triton", "triton-windows"):
        package[name] = python.version(name) or ""
    package["flash_attn"] = python.origin("flash_attn") or ""
    package["flash-attn url"] = str(next((copy.get("url", "") for copy in python.copies("flash-attn")), ""))
    flash = python.told.get("flash_attn_version")
    package["flash_attn version"] = flash if isinstance(flash, str) else ""
    found = tuple(path for path in (extension, *built[:1]) if path)[:1]
    libraries = _libraries(world, facts, python, found, every=True) if found else ()
    return _engine(kind, python, package, libraries)


def _engine(kind: str, python: Interpreter, package: Mapping[str, str], libraries: tuple[Library, ...]) -> Engine:
    version = python.version(kind)
    return Engine(
        kind=kind,
        path=package.get("origin") or package.get("location") or "",
        version=version if version is not None else Absent("its package has no metadata"),
        python=python.python,
        libraries=libraries,
        package=package,
    )


def _package(python: Interpreter, name: str, origin: str | None) -> dict[str, str]:
    """What metadata tells of how it came here, and of other copies."""
    copies = python.copies(name)
    first = copies[0] if copies else {}
    told = {
        "installer": str(first.get("installer", "")), "tag": " ".join(as_names(first.get("tags"))),
        "url": str(first.get("url", "")), "location": str(first.get("location", "")), "origin": origin or "",
        "role": python.role, "prefix": str(python.told.get("prefix", "")), "machine": str(python.told.get("machine", "")),
    }  # fmt: skip
    if python.told.get("translated") is True:
        told["translated"] = "yes"
    if len(copies) > 1:
        told["other copies"] = "; ".join(
            f"{copy.get('version')} in {copy.get('location')}{_gpu_words(copy)}" for copy in copies[1:4]
        )
    inside = str(first.get("location", ""))
    if origin and inside and not first.get("editable") and not origin.startswith(inside.rstrip("/\\")):
        told["shadowed by"] = origin
    return told


def _gpu_words(copy: Mapping[str, Json]) -> str:
    found = sorted({m[1].lower() for path in as_names(copy.get("libraries")) if (m := _GPU_LIBRARY.search(path))})
    return f" (with {', '.join(found)})" if found else ""


def _libraries(
    world: World, facts: Any, python: Interpreter, paths: tuple[str, ...] | list[str], *, every: bool = False
) -> tuple[Library, ...]:
    """The engine's own libraries, each once (copies with a version at their end are the same file)."""
    environment = facts.fact("environment")
    loaded = {_name(path): path for path in paths}
    if every:
        loaded |= _torch_libraries(world, python)
    places = Places(
        environ=environment if isinstance(environment, Mapping) else {},
        loaded=loaded,
        elsewhere=_nvidia_folders(world, python),
    )
    own = [path for path in paths if every or (_OWN.search(_name(path)) and not _VERSIONED.search(path))]
    found = [look_at_library(world, path, places) for path in own[:_MOST_LIBRARIES]]
    return tuple(one for one in found if isinstance(one, Library))


def _torch_libraries(world: World, python: Interpreter) -> dict[str, str]:
    """What `import torch` has loaded before an extension is: its own libraries and NVIDIA's packages."""
    origin = python.origin("torch")
    if origin is None or not world.live:
        return {}
    folders = [Path(origin).parent / "lib", *(Path(folder) for folder in _nvidia_folders(world, python))]
    return {file.name: str(file) for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())[:200]}


def _nvidia_folders(world: World, python: Interpreter) -> tuple[str, ...]:
    """The library folders of NVIDIA's packages in this interpreter's site-packages, and of toolkits under /usr/local."""
    if not world.live:
        return ()
    found: list[str] = []
    for package in ("llama-cpp-python", "torch", "xllamacpp", "exllamav2", "exllamav3"):
        for copy in python.copies(package):
            root = Path(str(copy.get("location", "")))
            found += [
                str(path) for part in ("lib", "bin", "bin/x86_64") for path in sorted(root.glob(f"nvidia/*/{part}"))
            ]
    found += [str(path) for path in sorted(Path("/usr/local").glob("cuda*/lib64"))]
    return tuple(dict.fromkeys(found))


def _asked_for_devices(
    world: World, asked: Any, facts: Any, python: Interpreter, engine: Engine, main: str | None
) -> Engine:
    """The engine with the devices that it lists in a child of its own interpreter."""
    if main is None:
        return _with(engine, devices=Unknown("its main library was not found"))
    key = f"child devices of {engine.kind}" + ("" if python.role == IN_QUESTION else f" in {python.role}")
    told = world.ask(
        key,
        lambda: ask_child(
            python.python, "devices", _folder(main), main, environ=child_environment(asked, facts),
            timeout_seconds=TIMEOUT_SECONDS,
        ),
    )  # fmt: skip
    if isinstance(told, Unknown | Absent):
        return _with(engine, devices=Unknown(told.reason), ended=told)
    return with_devices(engine, as_dict(told))


def with_devices(engine: Engine, answer: Mapping[str, Json]) -> Engine:
    """The engine with what its child said."""
    ended = str(answer.get("ended") or "")
    stage = str(answer.get("stage") or "")
    if stage == "memory":  # it listed its devices; asking for memory makes a context, for which a full GPU has no room
        ended = ""
    why = "it lists none: " + (f"{ended} while {stage}" if ended else f"it stopped while {stage or 'starting'}")
    rows = answer.get("devices")
    error = answer.get("load_error")
    said = [line for part in as_names(answer.get("log")) for line in part.splitlines()]
    noise = str(answer.get("noise") or "").splitlines()
    return _with(
        engine,
        devices=tuple(device_from(as_dict(row)) for row in rows[:64]) if isinstance(rows, list)
        else Unknown(str(error) if error else why),
        supports_gpu_offload=as_flag(answer.get("supports_gpu_offload")),
        system_info=as_text(answer.get("system_info")),
        log=tuple(line for line in (*said, *noise) if line.strip())[:400],
        ended=ended,
        import_error=error if isinstance(error, str) else "" if stage not in ("", "loading") else Unknown("not loaded"),
    )  # fmt: skip


def device_from(row: Mapping[str, Json]) -> EngineDevice:
    """The record of one device of a child's answer."""
    return EngineDevice(
        name=str(row.get("name", "")),
        description=str(row.get("description", "")),
        kind=str(row.get("kind", "")),
        backend=str(row.get("backend", "")),
        free_bytes=as_int(row.get("free_bytes")),
        total_bytes=as_int(row.get("total_bytes")),
    )


def _with(engine: Engine, **changes: Any) -> Engine:
    from dataclasses import replace

    return replace(engine, **changes)


def _main(paths: tuple[str, ...] | list[str], stem: str) -> str | None:
    """The library that the binding loads: libllama.so, llama.dll, libllama.dylib, xllamacpp.abi3.so."""
    for path in paths:
        name = _name(path)
        if re.fullmatch(rf"(?:lib)?{stem}(?:\.[\w-]+)?\.(?:so|dll|dylib|pyd)", name):
            return path
    return None


def _listed(world: World, folder: str) -> list[str]:
    names = world.names(folder)
    return [f"{folder}{_separator(folder)}{name}" for name in names] if isinstance(names, tuple) else []


def _variable(facts: Any, name: str) -> str | None:
    environment = facts.fact("environment")
    value = environment.get(name) if isinstance(environment, Mapping) else None
    return value if isinstance(value, str) and value else None


def _name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]


def _folder(path: str) -> str:
    return path[: max(path.rfind("/"), path.rfind("\\"), 0)]


def _parent(path: str | None) -> str:
    return _folder(path or "")


def _separator(path: str | None) -> str:
    return "\\" if path and "\\" in path and "/" not in path else "/" if path else os.sep
