"""The Python interpreters in question and what is installed for them, found without importing any of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vramctl.probes.children_run import ask_child
from vramctl.probes.doctor_cuda import child_environment
from vramctl.probes.json_facts import as_dict
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

Json = Any
IN_QUESTION = "the interpreter in question"
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """One interpreter: its path, by what it was found (`role`), and what its child said; `ours` is the one that runs
    vramctl."""

    role: str
    python: str
    told: Mapping[str, Json]
    ours: bool = False

    def copies(self, package: str) -> list[dict[str, Json]]:
        """All installed copies of a package, the one that metadata names first."""
        found = as_dict(self.told.get("packages")).get(package)
        return [as_dict(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def version(self, package: str) -> str | None:
        """The installed version of a package, None where it is not installed."""
        copies = self.copies(package)
        return str(copies[0].get("version")) if copies else None

    def origin(self, module: str) -> str | None:
        """The file from which a module would be imported."""
        found = as_dict(self.told.get("origins")).get(module)
        return found if isinstance(found, str) else None

    def tool(self, name: str) -> str | None:
        """The path of a program that a build needs, None where there is none."""
        found = as_dict(self.told.get("tools")).get(name)
        return found if isinstance(found, str) else None


def interpreters(world: World, asked: Any, facts: Any) -> tuple[Interpreter, ...] | Unknown:
    """The interpreter in question (--python, that of --pid, else ours), and those of the active virtual environment and
    of conda where none was named; Unknown where the one in question cannot be asked."""
    environment = facts.fact("environment")
    variables = environment if isinstance(environment, Mapping) else {}
    found: list[Interpreter] = []
    seen: set[str] = set()
    named = asked.python or (_of_process(world, asked.pid, variables) if asked.pid is not None else None)
    for role, python in _candidates(named, variables):
        told = world.ask(
            f"packages of {role}",
            lambda python=python: {  # type: ignore[misc]
                **ask_child(
                    python, "packages", environ=child_environment(asked, facts), timeout_seconds=TIMEOUT_SECONDS,
                    keep_noise=False, current_folder=True,
                ),
                "ours": named is None and python == sys.executable,
            },
        )  # fmt: skip
        if not isinstance(told, dict) or "prefix" not in told:
            if role == IN_QUESTION and named is not None:
                return Unknown(f"{python} could not be asked: {_why(told)}")
            continue
        if (prefix := str(told["prefix"])) not in seen:
            seen.add(prefix)
            found.append(Interpreter(role=role, python=str(told.get("executable") or python), told=told,
                                     ours=told.get("ours", role == IN_QUESTION and named is None) is True))  # fmt: skip
    return tuple(found)


def _candidates(named: str | None, variables: Mapping[str, str]) -> list[tuple[str, str]]:
    if named is not None:
        return [(IN_QUESTION, named)]
    roots = [(name, root) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if (root := variables.get(name))]
    return [(IN_QUESTION, sys.executable), *((name, _python_of(root)) for name, root in roots)]


def _python_of(root: str) -> str:
    windows = os.name == "nt"
    return str(Path(root, "Scripts" if windows else "bin", "python.exe" if windows else "python"))


def _of_process(world: World, pid: int, variables: Mapping[str, str]) -> str | None:
    """The interpreter by which a process was started, as its command line or its virtual environment names it (the link
    counts: /proc's shows the base interpreter); None where it is no Python."""
    line = world.text(f"/proc/{pid}/cmdline")
    first = line.split("\0")[0] if isinstance(line, str) else ""
    if Path(first).name.startswith("python"):
        if "/" in first:
            return first
        if root := variables.get("VIRTUAL_ENV"):
            return _python_of(root)
    status = world.status(f"/proc/{pid}/exe")
    target = str(status.get("target", "")) if not isinstance(status, Unknown | Absent) else ""
    return target if Path(target).name.startswith("python") else None


def _why(told: object) -> str:
    if isinstance(told, Unknown | Absent):
        return told.reason
    answer = as_dict(told)
    noise = str(answer.get("noise") or "").strip().splitlines()
    return str(answer.get("ended") or (noise[-1] if noise else "") or "it gave no answer")
