"""Runs the programs of `probes/children` and reads what they say; a crash, a hang or nonsense is an observation."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from importlib import resources
from typing import Any

from vramctl.records.unknown import Unknown
from vramctl.world.programs import Ran, run_program

MARK = "VRAMCTL-JSON "
_LONGEST_NOISE = 16_000

Json = Any


def child_text(name: str) -> str:
    """The source of a child program, to be given to `python -c`."""
    return (resources.files("vramctl.probes") / "children" / f"{name}.py").read_text(encoding="utf-8")


def ask_child(
    python: str,
    name: str,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    timeout_seconds: float = 10,
    keep_noise: bool = True,
    current_folder: bool = False,
) -> Json:
    """What a child said, merged, as JSON, with `ended` ("" or how it ended) and `noise` (what was printed besides).

    Modules of the current folder are left out unless `current_folder` asks for them (by a variable that Python 3.11 and
    later know).  `{"unknown": reason}` where it could not be started.
    """
    if not current_folder:
        environ = {**(os.environ if environ is None else environ), "PYTHONSAFEPATH": "1"}
    ran = run_program(
        [python, "-c", child_text(name), *arguments],
        timeout_seconds=timeout_seconds,
        environ=environ,
        output_limit=4 << 20,
    )
    if isinstance(ran, Unknown):
        return {"unknown": ran.reason}
    answer = told(ran.stdout)
    answer["ended"] = ending(ran, timeout_seconds)
    noise = ran.stderr if keep_noise or answer["ended"] else ""
    if noise.strip():
        answer["noise"] = noise[-_LONGEST_NOISE:]
    return answer


def told(output: str) -> dict[str, Json]:
    """All marked lines of an output, later ones over earlier ones; lines that are no JSON object are left out."""
    answer: dict[str, Json] = {}
    for line in output.splitlines():
        if line.startswith(MARK):
            try:
                part = json.loads(line[len(MARK) :])
            except (ValueError, RecursionError):
                continue
            if isinstance(part, dict):
                answer |= part
    return answer


def ending(ran: Ran, timeout_seconds: float) -> str:
    """How a process ended in words; empty where it ended well."""
    if ran.timed_out:
        return f"timeout after {timeout_seconds:g} s"
    if ran.code == 0:
        return ""
    if ran.code < 0:
        try:
            return signal.Signals(-ran.code).name
        except ValueError:
            return f"signal {-ran.code}"
    windows = {0xC0000005: "access violation", 0xC000001D: "illegal instruction", 0xC0000135: "a DLL was not found"}
    return windows.get(ran.code & 0xFFFFFFFF, f"exit code {ran.code}")
