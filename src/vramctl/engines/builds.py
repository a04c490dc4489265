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
_NOT_FOUND = Unknown(
    "no llama.cpp is installed here that can be asked (pip install 'vramctl[engine]' brings one, without compiling)"
)


def look_build(path: str | None = None) -> Build | Unknown:
    """The build at `path`, or the best one of this environment; Unknown where there is none, BadInput for a wrong path."""
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
    build = _folder(place) if place.is_dir() else _program(place)
    if build is None:
        raise BadInput(
            "engine-not-known",
            f"{path} holds no llama.cpp build.",
            because=("looked for libllama, llama-fit-params, xllamacpp and llama-cpp-python there",),
            fix="Give a Python interpreter that has llama-cpp-python or xllamacpp, a folder with libllama, or a llama.cpp program.",
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
    for program in ("llama-server", "llama-cli", "llama-fit-params"):
        where = shutil.which(program)
        build = _program(Path(where)) if where else None
        if build is not None:
            return build
    return _NOT_FOUND


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
    for place in (folder, folder / "lib", folder / "bin", folder / "build" / "bin", folder / "lib" / "ollama"):
        if place.is_dir() and (files := find_files(place)):
            fit = _beside(place, "llama-fit-params")
            dynamic = _dynamic(place)
            kept = tuple(f for f in files if dynamic is None or "ggml-cpu" not in Path(f).name)
            return Build(
                f"llama.cpp in {folder.name}", kept, dynamic, fit, str(folder), Unknown("libraries state none")
            )
    fit = _beside(folder, "llama-fit-params")
    return Build(f"llama.cpp in {folder.name}", (), None, fit, str(folder), Unknown("not asked")) if fit else None


def _beside(folder: Path, name: str) -> str | None:
    for candidate in (folder / name, folder / f"{name}.exe", folder.parent / "bin" / name):
        if candidate.is_file():
            return str(candidate)
    return None


def _program(program: Path) -> Build | None:
    if re.match(r"^(python|pypy)[\d.]*(\.exe)?$", program.name):
        return _python(program)
    real = program.resolve()
    for place in (real.parent, real.parent.parent / "lib", real.parent.parent / "lib" / "ollama"):
        if place.is_dir() and (found := _folder(place)):
            return Build(f"llama.cpp of {program.name}", found.libraries, found.backends_from, found.fit_params,
                         str(program), found.version)  # fmt: skip
    if program.name.startswith("llama-fit-params"):
        return Build(f"llama.cpp of {program.name}", (), None, str(program), str(program), Unknown("not asked"))
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
