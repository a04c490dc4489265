"""The CUDA driver as a program would start it, every file that answers to its name, and the CUDA toolkits around."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vramctl.probes.children_run import ask_child
from vramctl.probes.doctor_libraries import CUDA_LIBRARY
from vramctl.probes.json_facts import absent_or, as_dict, as_flag, as_int, as_names, as_text, as_version
from vramctl.probes.library_search import headers_of, loader_cache
from vramctl.records.facts import CudaDriver, CudaGpu, CudaToolkit, LibCuda, Version
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

Json = Any
TIMEOUT_SECONDS = 10.0
# Of our own variables a child needs these when it runs with another process's environment.
_KEPT = ("PATH", "HOME", "TMPDIR", "TEMP", "SystemRoot", "SYSTEMROOT", "USERPROFILE", "LANG")
_MOST_TOOLKITS = 24
_VERSION_IN_NAME = re.compile(r"(?:cuda[-_/\\]?v?|v)(\d{1,2})\.(\d{1,2})", re.IGNORECASE)
_LIBCUDA_VERSION = re.compile(r"libcuda\.so\.(\d+(?:\.\d+)+)$")
_TOOLKIT_PATH = re.compile(
    r"^(.*?[\\/]cuda(?:[-_]?v?[\d.]+)?(?:[\\/]v[\d.]+)?)(?:[\\/](?:bin|lib|lib64|targets|compat)\b.*)?$", re.IGNORECASE
)


def child_environment(asked: Any, facts: Any) -> dict[str, str] | None:
    """The variables for a child that stands for the process in question; None for our own."""
    environment = facts.fact("environment")
    if not isinstance(environment, Mapping) or (asked.pid is None and tuple(asked.engines) != ("ollama",)):
        return None
    return {**{name: os.environ[name] for name in _KEPT if name in os.environ}, **environment}


def look_cuda(world: World, asked: Any, facts: Any) -> CudaDriver | Unknown | Absent:
    """How the CUDA driver starts in a child process with the environment in question."""
    platform = facts.fact("platform")
    if getattr(platform, "system", "") == "macos":
        return Absent("there is no CUDA on macOS")
    told = world.ask(
        "child cuda",
        lambda: ask_child(
            sys.executable, "cuda", environ=_for_our_python(child_environment(asked, facts)),
            timeout_seconds=TIMEOUT_SECONDS, keep_noise=False,
        ),
    )  # fmt: skip
    return told if isinstance(told, Unknown | Absent) else cuda_from(told)


def _for_our_python(environ: dict[str, str] | None) -> dict[str, str] | None:
    """Another process's variables without those that steer its Python: the child runs ours."""
    return (
        None if environ is None else {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
    )


def cuda_from(told: Json) -> CudaDriver | Unknown:
    """The record of a `child cuda` answer."""
    answer = as_dict(told)
    if "library" not in answer:
        ended = str(answer.get("ended") or "")
        if ended and not ended.startswith("exit code"):  # it crashed or hung while it was loaded
            why = Unknown(f"starting CUDA ended the process: {ended}")
            return CudaDriver(library=why, driver_version=why, init_code=why, init_name=why, gpus=why)
        return Unknown(f"the CUDA driver could not be asked: {ended or 'it gave no answer'}")
    errors = as_names(answer.get("errors"))
    ended = str(answer.get("ended") or "")
    code: int | Unknown | Absent = as_int(answer.get("init"))
    if isinstance(code, Unknown) and ended:
        code = Unknown(f"starting CUDA ended the process: {ended}")
    elif answer["library"] is None and answer.get("init") is None:
        code = Absent("there is no CUDA driver library")
    gpus = answer.get("gpus")
    return CudaDriver(
        library=answer["library"]
        if isinstance(answer["library"], str)
        else absent_or(None, errors[0] if errors else "there is no CUDA driver library"),
        driver_version=as_version(answer.get("driver_version")),
        init_code=code,
        init_name=as_text(answer.get("init_name")),
        gpus=tuple(_gpu(as_dict(one)) for one in gpus[:64])
        if isinstance(gpus, list)
        else Unknown("CUDA did not start"),
    )


def _gpu(answer: dict[str, Json]) -> CudaGpu:
    return CudaGpu(
        name=as_text(answer.get("name")),
        uuid=as_text(answer.get("uuid")),
        pci_address=as_text(answer.get("pci_address")),
        compute_capability=as_version(answer.get("compute_capability")),
        total_bytes=as_int(answer.get("total_bytes")),
        integrated=as_flag(answer.get("integrated")),
    )


def look_libcudas(world: World, asked: Any, facts: Any) -> tuple[LibCuda, ...] | Unknown | Absent:
    """Every CUDA driver library that the loader could take, in the order in which it looks."""
    if getattr(facts.fact("platform"), "system", "") != "linux":
        return Absent("only Linux has more than one place for it")
    environment = facts.fact("environment")
    search = environment.get("LD_LIBRARY_PATH", "") if isinstance(environment, Mapping) else ""
    told = world.ask("libcuda files", lambda: _libcuda_files(search))
    if not isinstance(told, list):
        return told if isinstance(told, Unknown | Absent) else Unknown("the recording's answer has another form")
    return tuple(libcuda_from(as_dict(one)) for one in told[:64])


def libcuda_from(answer: dict[str, Json]) -> LibCuda:
    """The record of one file of the `libcuda files` answer."""
    path, target = str(answer.get("path", "")), as_text(answer.get("target"))
    number = _LIBCUDA_VERSION.search(target if isinstance(target, str) else path)
    version: Version | Unknown | Absent = as_version(number[1]) if number else Unknown("its name has no version")
    return LibCuda(path=path, kind=libcuda_kind(path, target), target=target, version=version,
                   file_bytes=as_int(answer.get("bytes")))  # fmt: skip


def libcuda_kind(path: str, target: str | Unknown) -> str:
    """driver, stub, compat or wsl, by the folders that NVIDIA uses for them."""
    both = f"{path} {target if isinstance(target, str) else ''}"
    for part, kind in (("/stubs/", "stub"), ("/compat/", "compat"), ("/wsl/", "wsl")):
        if part in both:
            return kind
    return "driver"


def _libcuda_files(search: str) -> Json:
    machine = {"x86_64": "x86-64", "arm64": "aarch64"}.get(os.uname().machine, os.uname().machine)
    folders = [folder for folder in re.split("[:;]", search) if folder]
    paths = [str(Path(folder) / "libcuda.so.1") for folder in folders]
    paths += loader_cache().get(("libcuda.so.1", machine), ())
    paths += [f"{folder}/libcuda.so.1" for folder in (f"/usr/lib/{os.uname().machine}-linux-gnu", "/usr/lib64", "/usr/lib",
                                                      "/usr/lib/wsl/lib")]  # fmt: skip
    found = []
    for path in dict.fromkeys(paths):
        if headers_of(path) is not None:
            target = Path(path).resolve()
            found.append({"path": path, "target": str(target), "bytes": target.stat().st_size})
    return found


def look_toolkits(world: World, asked: Any, facts: Any) -> tuple[CudaToolkit, ...] | Unknown | Absent:
    """CUDA toolkits that variables, search paths or the usual folders name."""
    environment = facts.fact("environment")
    variables = dict(environment) if isinstance(environment, Mapping) else {}
    told = world.ask("cuda toolkits", lambda: _toolkits(variables))
    if not isinstance(told, list):
        return told if isinstance(told, Unknown | Absent) else Unknown("the recording's answer has another form")
    return tuple(toolkit_from(as_dict(one)) for one in told[:_MOST_TOOLKITS])


def toolkit_from(answer: dict[str, Json]) -> CudaToolkit:
    """The record of one toolkit of the `cuda toolkits` answer."""
    files = as_dict(answer.get("files"))
    return CudaToolkit(
        path=str(answer.get("path", "")),
        version=as_version(answer.get("version")),
        named_by=as_names(answer.get("named_by")),
        nvcc=as_text(answer["nvcc"]) if isinstance(answer.get("nvcc"), str) else Absent("it has no compiler"),
        exists=answer.get("exists") is not False,
        runtime_files={str(folder): as_names(names) for folder, names in files.items()},
    )


def _toolkits(variables: Mapping[str, str]) -> Json:
    named: dict[str, list[str]] = {}
    for path, by in _named(variables):
        named.setdefault(path, [])
        if by not in named[path]:
            named[path].append(by)
    return [_toolkit(path, by) for path, by in list(named.items())[:_MOST_TOOLKITS]]


def _named(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Folders of toolkits and what names them."""
    for name, value in sorted(variables.items()):
        if value and (name in ("CUDA_PATH", "CUDA_HOME", "CUDA_ROOT") or name.upper().startswith("CUDA_PATH_V")):
            yield _real(value), name
    for variable in ("PATH", "LD_LIBRARY_PATH"):
        for folder in variables.get(variable, "").split(os.pathsep):
            found = _TOOLKIT_PATH.match(folder)
            if found and not folder.endswith("stubs"):
                yield _real(found[1]), variable
    roots = [Path("/usr/local"), Path("/opt")]
    for root in roots:
        try:
            names = sorted(path for path in root.iterdir() if re.fullmatch(r"cuda([-_]?v?[\d.]+)?", path.name))
        except OSError:
            continue
        for path in names:
            yield _real(str(path)), str(root)


def _real(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except (OSError, RuntimeError):
        return path


def _toolkit(path: str, named_by: list[str]) -> Json:
    folder = Path(path)
    nvcc = next((str(file) for name in ("nvcc", "nvcc.exe") if (file := folder / "bin" / name).is_file()), None)
    files = {}
    for part in ("lib64", "lib", "targets/x86_64-linux/lib", "targets/sbsa-linux/lib", "bin", "bin/x64"):
        try:
            names = sorted(file.name for file in (folder / part).iterdir() if CUDA_LIBRARY.match(file.name))
        except OSError:
            continue
        if names:
            files[part] = names[:40]
    return {"path": path, "version": _toolkit_version(folder), "named_by": named_by, "nvcc": nvcc,
            "exists": folder.is_dir(), "files": files}  # fmt: skip


def _toolkit_version(folder: Path) -> str | None:
    """As its version.json, version.txt or folder name says."""
    try:
        told = json.loads((folder / "version.json").read_text(encoding="utf-8")[:65536])
        return str(told["cuda"]["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        found = re.search(r"CUDA Version (\d+\.\d+)", (folder / "version.txt").read_text(encoding="utf-8")[:4096])
        if found:
            return found[1]
    except (OSError, ValueError):
        pass
    named = _VERSION_IN_NAME.search(str(folder))
    return f"{named[1]}.{named[2]}" if named else None
