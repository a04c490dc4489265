"""PyTorch and what stands on it, asked in a child of the interpreter in question."""

from __future__ import annotations

from typing import Any

from vramctl.probes.children_run import ask_child
from vramctl.probes.doctor_cuda import child_environment
from vramctl.probes.interpreters import IN_QUESTION, Interpreter, interpreters
from vramctl.probes.json_facts import as_dict, as_flag, as_names, as_text, as_texts, as_version
from vramctl.records.facts import Torch
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

Json = Any
# Importing torch reads gigabytes from the disk the first time.
TIMEOUT_SECONDS = 45.0
_PACKAGES = ("exllamav2", "exllamav3", "flash-attn", "flash-attn-4", "xformers", "triton", "triton-windows", "torch")


def look_torch(world: World, asked: Any, facts: Any) -> Torch | Unknown | Absent:
    """torch of the first interpreter that has it; it is imported (in a child) only where ExLlama is installed too."""
    pythons = interpreters(world, asked, facts)
    if isinstance(pythons, Unknown):
        return pythons
    having = [python for python in pythons if python.version("torch") is not None]
    if not having:
        return Absent("torch is not installed")
    python = next((one for one in having if _has_exllama(one)), having[0])
    packages = {name: version for name in _PACKAGES if (version := python.version(name)) is not None}
    if not _has_exllama(python):
        return _from_files(python, packages)
    key = "child torch" + ("" if python.role == IN_QUESTION else f" in {python.role}")
    told = world.ask(
        key,
        lambda: ask_child(
            python.python, "torch_facts", environ=child_environment(asked, facts), timeout_seconds=TIMEOUT_SECONDS,
            keep_noise=False,
        ),
    )  # fmt: skip
    if isinstance(told, Unknown | Absent):
        return _from_files(python, packages)
    return torch_from(as_dict(told), python, packages)


def _has_exllama(python: Interpreter) -> bool:
    return python.version("exllamav2") is not None or python.version("exllamav3") is not None


def _from_files(python: Interpreter, packages: dict[str, str]) -> Torch:
    """Its version file, read: which torch, for which CUDA."""
    told = as_dict(python.told.get("torch"))
    cuda = told.get("cuda")
    return Torch(
        version=str(told.get("__version__") or packages["torch"]),
        cuda_version=as_version(cuda) if isinstance(cuda, str) and cuda != "None"
        else Absent("a build without CUDA") if cuda == "None" else Unknown("its version file does not tell"),
        packages=packages,
    )  # fmt: skip


def torch_from(answer: dict[str, Json], python: Interpreter, packages: dict[str, str]) -> Torch:
    """The record of a `child torch` answer."""
    files = _from_files(python, packages)
    ended, stage = str(answer.get("ended") or ""), str(answer.get("stage") or "")
    error = answer.get("import_error")
    errors = as_texts(answer.get("import_errors"))
    if ended and stage.startswith("import ") and stage != "import torch":
        errors = {**errors, stage.removeprefix("import "): f"importing it ended the process: {ended}"}
    if not isinstance(error, str):
        error = f"importing it ended the process: {ended}" if ended and stage == "import torch" else ""
    cuda = answer.get("cuda")
    return Torch(
        version=version if isinstance(version := as_text(answer.get("version")), str) else files.version,
        cuda_version=as_version(cuda)
        if isinstance(cuda, str)
        else Absent("a build without CUDA")
        if "cuda" in answer
        else files.cuda_version,
        architectures=as_names(answer["architectures"])
        if isinstance(answer.get("architectures"), list)
        else Unknown(f"torch did not tell: {ended or stage or 'no answer'}"),
        cxx11_abi=as_flag(answer.get("cxx11_abi")),
        cuda_available=as_flag(answer.get("cuda_available")),
        import_error=error,
        packages=packages,
        import_errors={name: text for name, text in errors.items() if text},
    )
