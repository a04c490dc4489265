"""Where the loader finds a library's imports: RUNPATH and RPATH, LD_LIBRARY_PATH, the loader's cache, default folders; on
Windows the DLL search order."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vramctl.errors import BadInput
from vramctl.formats.binary_window import BadBinary
from vramctl.formats.elf import Elf, read_elf
from vramctl.records.unknown import Unknown
from vramctl.world.files import mapped
from vramctl.world.programs import run_program

# The header, program headers and dynamic section of real libraries lie anywhere in the file; mapping costs nothing.
WHOLE = 1 << 40
_MOST_LIBRARIES = 300
_CACHE_LINE = re.compile(r"^\t(\S+) \(([^)]*)\) => (\S+)$", re.MULTILINE)
_CACHE_MACHINES = {"x86-64": "x86-64", "AArch64": "aarch64", "x32": "", "hard-float": "arm"}
_DEFAULT = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/lib/{tuple}", "/usr/lib/{tuple}", "/usr/local/lib")
_TUPLES = {"x86-64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu", "arm": "arm-linux-gnueabihf"}
_SYSTEM_DLL = re.compile(
    r"^(api-ms-win-|ext-ms-|kernel32|kernelbase|ntdll|user32|advapi32|ws2_32|ole32|shell32|bcrypt|ucrtbase\.)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What changes where libraries are found: the environment of the process, libraries that are loaded before
    (name -> file), and folders in which to look only to tell where a missing one lies."""

    environ: Mapping[str, str] = field(default_factory=dict)
    loaded: Mapping[str, str] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """Imports of a library and of what it pulls in: where each is taken from, which are found nowhere, and where those
    lie instead."""

    found: dict[str, str]
    missing: list[str]
    elsewhere: dict[str, str]


def search_elf(path: str, elf: Elf, places: Places) -> Found:
    """The imports of an ELF library as glibc's loader looks for them, those of its imports included."""
    found: dict[str, str] = {}
    missing: dict[str, None] = {}
    loaded = dict(places.loaded)
    waiting: list[tuple[str, Elf, tuple[str, ...]]] = [(path, elf, ())]
    while waiting and len(loaded) < _MOST_LIBRARIES:
        owner, one, inherited = waiting.pop(0)
        origin = str(Path(owner).parent)
        rpath = () if one.runpath else (*_expanded(one.rpath, origin), *inherited)
        for name in one.needed:
            if name in loaded:
                if owner == path:
                    found[name] = loaded[name]
                continue
            taken = _taken(name, one, origin, rpath, places.environ)
            if taken is None:
                missing[name] = None
                continue
            loaded[name] = taken[0]
            if owner == path:
                found[name] = taken[0]
            waiting.append((taken[0], taken[1], rpath))
    elsewhere = {name: where for name in missing if (where := _lies(name, places.elsewhere))}
    return Found(found, list(missing), elsewhere)


def _expanded(paths: Sequence[str], origin: str) -> tuple[str, ...]:
    return tuple(path.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for path in paths)


def _taken(
    name: str, needs: Elf, origin: str, rpath: Sequence[str], environ: Mapping[str, str]
) -> tuple[str, Elf] | None:
    """The file that the loader takes for a name, with its headers; files for another machine are passed over."""
    for candidate in _candidates(name, needs, origin, rpath, environ):
        headers = headers_of(candidate)
        if headers is not None and headers.machine == needs.machine and headers.bits == needs.bits:
            return candidate, headers
    return None


def _candidates(name: str, needs: Elf, origin: str, rpath: Sequence[str], environ: Mapping[str, str]) -> Iterator[str]:
    if "/" in name:
        yield name.replace("$ORIGIN", origin)
        return
    asked = re.split("[:;]", environ.get("LD_LIBRARY_PATH", ""))
    for folder in (*rpath, *filter(None, asked), *_expanded(needs.runpath, origin)):
        yield str(Path(folder) / name)
    yield from loader_cache().get((name, needs.machine), ())
    for folder in _DEFAULT:
        yield str(Path(folder.format(tuple=_TUPLES.get(needs.machine, ""))) / name)


@functools.lru_cache(maxsize=512)
def headers_of(path: str) -> Elf | None:
    """The headers of an ELF file; None where it is none or cannot be read."""
    try:
        with mapped(path, limit=WHOLE) as file:
            return read_elf(file.buffer)
    except (BadInput, BadBinary):
        return None


@functools.cache
def loader_cache() -> dict[tuple[str, str], tuple[str, ...]]:
    """Files of the loader's cache by name and machine, as `ldconfig -p` prints them; empty where it cannot be asked."""
    for program in ("ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"):
        ran = run_program([program, "-p"], timeout_seconds=5)
        if not isinstance(ran, Unknown) and ran.code == 0:
            return parse_loader_cache(ran.stdout)
    return {}


def parse_loader_cache(text: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Files by name and machine from what `ldconfig -p` prints."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for name, flags, path in _CACHE_LINE.findall(text):
        machine = next((ours for theirs, ours in _CACHE_MACHINES.items() if theirs in flags), "x86")
        found[name, machine] = (*found.get((name, machine), ()), path)
    return found


def _lies(name: str, folders: Sequence[str]) -> str | None:
    for folder in folders:
        path = Path(folder) / name
        if path.is_file():
            return str(path)
    return None


def search_pe(path: str, imports: Sequence[str], places: Places) -> Found:
    """The imports of a DLL in Windows' legacy order (its folder, System32, PATH) and where llama-cpp-python adds to it
    (CUDA_PATH's bin and lib); imports of imports are not followed."""
    environ = {name.upper(): value for name, value in places.environ.items()}
    folders = [str(Path(path).parent)]
    if root := environ.get("SYSTEMROOT"):
        folders += [os.path.join(root, "System32"), root]  # noqa: PTH118 - Windows' names, on any system
    if cuda := environ.get("CUDA_PATH"):
        folders += [os.path.join(cuda, part) for part in ("bin", "lib")]  # noqa: PTH118
    folders += [folder for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    loaded = {name.lower(): where for name, where in places.loaded.items()}
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in imports:
        if _SYSTEM_DLL.match(name):
            continue
        where = loaded.get(name.lower()) or _lies(name, folders)
        if where:
            found[name] = where
        else:
            missing.append(name)
    elsewhere = {name: lies for name in missing if (lies := _lies(name, places.elsewhere))}
    return Found(found, missing, elsewhere)
