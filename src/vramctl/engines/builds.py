"""Finds llama.cpp builds: a wheel, a Python environment, a folder of libraries, a program, Ollama's own libraries."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

from vramctl.engines.dry_run.library import find_files
from vramctl.errors import BadInput
from vramctl.records import Build, Unknown
from vramctl.world import run_program

# What a foreign interpreter is asked: where the two bindings are and which versions; nothing of theirs is imported.
_ASK_PYTHON = """
import importlib.metadata as m, importlib.util as u, json
found = {}
for package, name in (("xllamacpp", "xllamacpp"), ("llama_cpp", "llama-cpp-python")):
    spec = u.find_spec(package)
    if spec and spec.origin:
        try: version = m.version(name)
        except Exception: version = ""
        found[package] = [spec.origin, version]
print(json.dumps(found))
"""
_LIBRARY = re.compile(r"\.(so(\.[\d.]+)?|dylib|dll|pyd)$")
_PLAIN = frozenset(("bin", "lib", "lib64", "build", "release", "Release", "llama_cpp"))
_PROGRAMS = ("llama-server", "llama-cli", "llama-bench", "llama-fit-params")
_NO_VERSION = Unknown("libraries state none")
_OLD_OLLAMA = (
    "this Ollama has ggml's libraries but no libllama: before 0.30 it ran llama.cpp inside its own program, which cannot be"
    " asked"
)
_NOT_FOUND = Unknown(
    "no llama.cpp is installed here that can be asked (pip install 'vramctl[engine]' brings one, without compiling)"
)


def look_build(path: str | None = None) -> Build | Unknown:
    """The build at `path`, or the best one of this environment.

    Unknown where there is none, or an engine that cannot be asked; BadInput for a path that is no engine at all.
    """
    if path is None:
        return _here()
    place = Path(path).expanduser()
    if not place.exists():
        found = shutil.which(path)
        if found is None:
            raise BadInput(
                "engine-not-found",
                f"There is no engine at {path}.",
                because=("no such file or folder, and no such program on PATH",),
                fix="Give a Python interpreter, a folder with libllama, or a llama.cpp program.",
            )
        place = Path(found)
    place = place.absolute()
    build = _folder(place) if place.is_dir() else _file(place)
    if build is None and _is_old_ollama(place):
        return Unknown(_OLD_OLLAMA)
    if build is None:
        raise BadInput(
            "engine-not-known",
            f"{path} holds no llama.cpp build.",
            because=("looked for libllama, llama-server, llama-fit-params, xllamacpp and llama-cpp-python there",),
            fix="Give a Python interpreter with xllamacpp or llama-cpp-python, a folder with libllama, or a llama.cpp program.",
        )
    return build


def _here() -> Build | Unknown:
    for package, name in (("xllamacpp", "xllamacpp"), ("llama_cpp", "llama-cpp-python")):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin:
            try:
                version = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                version = ""
            build = _package(package, Path(spec.origin), version, path=sys.executable)
            if build is not None:
                return build
    found = (shutil.which(program) for program in ("llama-server", "llama-cli", "llama-fit-params", "ollama"))
    builds = [build for where in found if where and (build := _program(Path(where)))]
    return next((build for build in builds if build.libraries), builds[0] if builds else _NOT_FOUND)


def _package(package: str, origin: Path, version: str, *, path: str) -> Build | None:
    folder = origin.parent
    known: str | Unknown = version or Unknown("the package states no version")
    if package == "xllamacpp":
        files = sorted(folder.glob("xllamacpp*.so")) + sorted(folder.glob("xllamacpp*.pyd"))
        return Build(f"xllamacpp {version}", (str(files[0]),), None, None, path, known) if files else None
    for place in (folder / "lib", folder):
        files_there = find_files(place) if place.is_dir() else []
        if files_there:
            return Build(f"llama-cpp-python {version}", tuple(files_there), _dynamic(place), None, path, known)
    return None


def _dynamic(folder: Path) -> str | None:
    """The folder itself where the CPU backend comes as loadable variants (libggml-cpu-haswell.so), else None."""
    variants = [p for p in folder.iterdir() if re.match(r"^(lib)?ggml-cpu-\w+\.(so|dll|dylib)$", p.name)]
    lone = folder / "libggml-cpu.so"
    return str(folder) if variants or (lone.exists() and not list(folder.glob("libggml-cpu.so.*"))) else None


def _folder(folder: Path) -> Build | None:
    name = f"llama.cpp in {_telling(folder)}"
    for place in (folder, folder / "lib", folder / "bin", folder / "build" / "bin", folder / "lib" / "ollama"):
        if place.is_dir() and (files := find_files(place)):
            fit = _beside(place, "llama-fit-params")
            dynamic = _dynamic(place)
            kept = tuple(f for f in files if dynamic is None or "ggml-cpu" not in Path(f).name)
            return Build(name, kept, dynamic, fit, str(folder), _NO_VERSION)
    single = sorted(folder.glob("xllamacpp*.so"))
    if single:
        return Build(name, (str(single[0]),), None, None, str(folder), _NO_VERSION)
    for interpreter in (folder / "bin" / "python", folder / "Scripts" / "python.exe"):
        if interpreter.exists() and (found := _python(interpreter)):
            return found
    fit = _beside(folder, "llama-fit-params")
    programs = (_inside(folder, program) for program in _PROGRAMS)
    return Build(name, (), None, fit, str(folder), Unknown("not asked")) if fit or any(programs) else None


def server_beside(path: str) -> str | None:
    """The llama-server at a path: the program itself, the one beside another program, or the one in a folder of a build."""
    place = Path(shutil.which(path) or path).expanduser()
    if place.is_file() and place.name.startswith("llama-server"):
        return str(place)
    return _inside(place if place.is_dir() else place.parent, "llama-server")


def _inside(folder: Path, name: str) -> str | None:
    """A program in a folder of a build, or where a build has its programs below it."""
    places = (folder, folder / "bin", folder / "build" / "bin")
    found = (place / file for place in places for file in (name, f"{name}.exe"))
    return next((str(file) for file in found if file.is_file()), None)


def _telling(folder: Path) -> str:
    """The last part of a path that tells builds apart: `llama-b11434` of /opt/llama-b11434/build/bin."""
    return next((part for part in reversed(folder.parts) if part not in _PLAIN), folder.name)


def _is_old_ollama(place: Path) -> bool:
    real = place.resolve()
    folders = [real, real / "lib" / "ollama"]
    if place.name.startswith("ollama") and not place.is_dir():
        folders += [real.parent, real.parent.parent / "lib" / "ollama"]
    return any((folder / f"libggml-base.{kind}").exists() for folder in folders for kind in ("so", "dylib"))


def _file(file: Path) -> Build | None:
    """The build that a program or a library belongs to; a library that holds all is a build of its own."""
    if not _LIBRARY.search(file.name):
        return _program(file)
    if find_files(file.parent):
        return _folder(file.parent)
    if "llama" not in file.name:
        return None
    return Build(f"llama.cpp in {_telling(file)}", (str(file),), None, None, str(file), _NO_VERSION)


def _beside(folder: Path, name: str) -> str | None:
    for candidate in (folder / name, folder / f"{name}.exe", folder.parent / "bin" / name):
        if candidate.is_file():
            return str(candidate)
    return None


def _program(program: Path) -> Build | None:
    if re.match(r"^(python|pypy)[\d.]*(\.exe)?$", program.name):
        return _python(program)
    real = program.resolve()
    prefix = real.parent.parent
    near = [real.parent, prefix / "lib", prefix / "lib64", *sorted((prefix / "lib").glob("*-linux-gnu")),
            prefix / "lib" / "ollama"]  # fmt: skip
    for place in near:
        if place.is_dir() and (found := _folder(place)) and found.libraries:
            return Build(f"llama.cpp of {program.name}", found.libraries, found.backends_from, found.fit_params,
                         str(program), found.version)  # fmt: skip
    if program.name.startswith(_PROGRAMS):  # built without shared libraries: everything is inside
        fit = str(program) if program.name.startswith("llama-fit-params") else _beside(real.parent, "llama-fit-params")
        return Build(f"llama.cpp of {program.name}", (), None, fit, str(program), Unknown("not asked"))
    return None


def _python(interpreter: Path) -> Build | None:
    ran = run_program([str(interpreter), "-I", "-c", _ASK_PYTHON], timeout_seconds=20)
    if isinstance(ran, Unknown) or ran.code != 0:
        return None
    found = json.loads(ran.stdout or "{}")
    for package in ("xllamacpp", "llama_cpp"):
        if package in found:
            origin, version = found[package]
            build = _package(package, Path(origin), version, path=str(interpreter))
            if build is not None:
                return build
    return None
