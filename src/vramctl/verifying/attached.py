"""Verify what runs already: a process by its number, or a server by its address. Nothing is loaded or ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import psutil

from vramctl.engines.http_api import Api, ApiFailed
from vramctl.engines.server_process import listening_process
from vramctl.errors import CouldNotTell, VramctlError
from vramctl.formats.config_options import by_name, read_options
from vramctl.planning import Request as PlanRequest
from vramctl.planning import make_plan
from vramctl.probes.device_watch import NvmlWatcher
from vramctl.probes.gpus import look_gpus
from vramctl.records import Device, DeviceUse, HostUse, Placement, Plan, Settings, Unknown
from vramctl.records.placement import Bytes
from vramctl.records.verification import (
    COULD_NOT_TELL,
    CPU_ONLY,
    MISMATCH,
    ON_GPU,
    PARTIAL,
    DeviceWatch,
    Evidence,
    Verification,
)
from vramctl.units import MIB, format_bytes
from vramctl.verify.compare import differences, observed
from vramctl.verify.verdict import causes

ASK_SECONDS = 5.0
_GPU_LIBRARIES = {
    "libggml-cuda": "cuda", "libcuda.so": "cuda", "libggml-hip": "hip", "libamdhip64": "hip", "libggml-vulkan": "vulkan",
}  # fmt: skip
_SLACK, _SLACK_BYTES = 0.05, 256 * MIB
_APART = Unknown("an attached engine is not asked for its parts")


def verify_pid(pid: int) -> Verification:
    """Where the model of a running process is, by its command line, its libraries and the devices' lists of processes."""
    try:
        process = psutil.Process(pid)
        command, name = process.cmdline(), process.name()
    except psutil.NoSuchProcess:
        raise CouldNotTell(
            "no-such-process", f"There is no process {pid}.", because=(), fix="Find it with `pgrep -af llama`."
        ) from None
    except psutil.AccessDenied:
        raise CouldNotTell(
            "process-not-readable", f"Process {pid} belongs to somebody else.", because=("its command line cannot be read",),
            fix="Run this as its user, or as root.",
        ) from None  # fmt: skip
    plan, why = _plan(command, _folder(process))
    return _judge(plan, why, pid, name, reported=_APART)


def verify_server(url: str) -> Verification:
    """Where the model of a server is: by what it says (Ollama's sizes), and by its process where that is on this machine."""
    try:
        api = Api(url)
        ollama = _ollama(api)
        pid = listening_process(api.host, api.port)
    except (ApiFailed, ValueError) as error:
        raise CouldNotTell(
            "no-server",
            f"No server answers at {url}.",
            because=(str(error),),
            fix="Give the address of a llama-server or an Ollama.",
        ) from error
    if ollama is not None:
        return _judge_ollama(ollama, url)
    if isinstance(pid, Unknown):
        raise CouldNotTell(
            "server-not-here", f"The server at {url} does not say where its model is.", because=(pid.reason,),
            fix="Run `vramctl verify --pid PID` on the machine that it runs on.",
        )  # fmt: skip
    return verify_pid(pid)


def _folder(process: psutil.Process) -> Path | None:
    try:
        return Path(process.cwd())
    except (psutil.Error, OSError):
        return None


def _plan(command: Sequence[str], folder: Path | None) -> tuple[Plan | None, str]:
    """The plan for a llama.cpp command line; None with the reason where there is none."""
    found = by_name(tuple(read_options(tuple(command[1:]))))
    model = found.get("model")
    if not isinstance(model, str):
        return None, "its command line names no model file"
    path = Path(model) if folder is None else folder / model
    known = {field.name for field in fields(Settings)}
    given: dict[str, Any] = {
        name: value for name, value in found.items() if name in known and not isinstance(value, Unknown)
    }
    if given.get("n_gpu_layers") == "auto":
        del given["n_gpu_layers"]
    if isinstance(given.get("tensor_split"), str):
        given["tensor_split"] = tuple(float(part) for part in given["tensor_split"].split(","))
    given = {name: value for name, value in given.items() if name not in {"tensor_overrides", "split_mode"}}
    gpus = look_gpus()
    try:
        return make_plan(
            PlanRequest(
                model=str(path), settings=Settings(**given), gpus=("none",) if isinstance(gpus, Unknown) else None,
                utilization=1.0,
            )
        ), ""  # fmt: skip
    except (VramctlError, ValueError, TypeError) as error:
        return None, f"no plan for its command line: {error}"


def _judge(plan: Plan | None, why: str, pid: int, name: str, *, reported: Placement | Unknown) -> Verification:
    found = look_gpus()
    devices: tuple[Device, ...] = () if isinstance(found, Unknown) else found
    with NvmlWatcher(devices) as watcher:
        watcher.mark("loaded", pid=pid)
        watches = tuple(_as_held(watch) for watch in watcher.watches())
    backends = _backends(pid)
    planned: Placement | Unknown = plan.placement if plan is not None else Unknown(why)
    evidence = Evidence(
        layers_on_gpu=Unknown("an attached engine is not asked"),
        layers_total=plan.layers_total if plan is not None else Unknown(why),
        planned_layers=plan.layers_on_gpu if plan is not None else Unknown(why),
        gpus_listed=Unknown("an attached engine is not asked"),
        backends=backends,
        gpus_in_machine=len(devices)
        if devices
        else Unknown("none that NVML lists")
        if isinstance(found, Unknown)
        else 0,
    )
    verdict, told = _verdict(planned, watches, backends, found)
    differ = differences(planned, Unknown("not asked"), watches)
    return Verification(
        verdict=verdict, words=f"{told} (process {pid}, {name})", planned=planned, reported=reported,
        observed=observed(watches, reported), differences=differ, findings=(), evidence=evidence, watches=watches,
        notes=("attached: nothing was loaded, and the engine was not asked to decode",),
    )  # fmt: skip


def _as_held(watch: DeviceWatch) -> DeviceWatch:
    """What the process holds now counts from nothing: it was loaded before we came."""
    held: Bytes = watch.process_bytes
    return replace(watch, before_bytes=Unknown("the model was loaded before"), process_bytes=held)


def _verdict(
    planned: Placement | Unknown, watches: Sequence[DeviceWatch], backends: frozenset[str] | Unknown, gpus: object
) -> tuple[str, str]:
    held = [watch.process_bytes for watch in watches]
    known = [size for size in held if isinstance(size, int)]
    if not watches:
        if isinstance(backends, frozenset) and not backends:
            return CPU_ONLY, "It runs on the CPU: no GPU library is loaded in the process."
        reason = gpus.reason if isinstance(gpus, Unknown) else "no GPU can be watched"
        return COULD_NOT_TELL, f"Could not tell: {reason}."
    if not known:
        if isinstance(backends, frozenset) and not backends:
            return CPU_ONLY, "It runs on the CPU: no GPU library is loaded in the process, and it holds no GPU memory."
        return COULD_NOT_TELL, "Could not tell: the driver does not say how much memory the process holds."
    total = sum(known)
    if total == 0:
        return CPU_ONLY, "It runs on the CPU: the process holds no GPU memory."
    if isinstance(planned, Unknown):
        return COULD_NOT_TELL, f"It holds {format_bytes(total)} of GPU memory; whether that is all of it is not known."
    wanted = [use.used_bytes for use in planned.devices]
    whole = sum(size for size in wanted if isinstance(size, int))
    slack = max(_SLACK_BYTES, int(whole * _SLACK))
    if total >= whole - slack:
        return ON_GPU, f"On the GPU: it holds {format_bytes(total)}, planned were {format_bytes(whole)}."
    if total < slack:
        return CPU_ONLY, f"It runs on the CPU: it holds only {format_bytes(total)} of GPU memory, a driver's context."
    return MISMATCH, f"It holds {format_bytes(total)} of GPU memory, its settings would take {format_bytes(whole)}."


def _backends(pid: int) -> frozenset[str] | Unknown:
    """GPU backends whose libraries the process has mapped; empty where none is."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return Unknown(f"its libraries cannot be seen: {error.strerror}")
    return frozenset(backend for name, backend in _GPU_LIBRARIES.items() if name in maps)


def _ollama(api: Api) -> list[dict[str, Any]] | None:
    """The models that an Ollama has loaded; None where this is no Ollama."""
    try:
        if api.get("/api/version", timeout_seconds=ASK_SECONDS).status != 200:
            return None
    except ApiFailed:
        raise
    document = api.get("/api/ps", timeout_seconds=ASK_SECONDS).document
    models = document.get("models") if isinstance(document, dict) else None
    return [model for model in models if isinstance(model, dict)] if isinstance(models, list) else []


def _judge_ollama(models: list[dict[str, Any]], url: str) -> Verification:
    if not models:
        raise CouldNotTell(
            "no-model-loaded", f"The Ollama at {url} has no model loaded.", because=("/api/ps lists none",),
            fix="Run a model first, then ask again while it is loaded.",
        )  # fmt: skip
    model = models[0]
    size, vram = _size(model.get("size")), _size(model.get("size_vram"))
    not_asked = Unknown("Ollama says sums, not parts")
    reported: Placement | Unknown = not_asked
    verdict, told = COULD_NOT_TELL, "Ollama does not say how much of it is on the GPU."
    if isinstance(size, int) and isinstance(vram, int):
        use = DeviceUse("GPUs", not_asked, not_asked, not_asked, not_asked)
        reported = Placement((use,), HostUse(not_asked, not_asked, not_asked, not_asked), not_asked)
        share = vram / size if size else 0.0
        verdict = ON_GPU if vram >= size > 0 else CPU_ONLY if vram == 0 else PARTIAL
        told = {
            ON_GPU: f"On the GPU: all {format_bytes(size)} by Ollama's own count.",
            CPU_ONLY: f"Not on the GPU at all: its {format_bytes(size)} are in system memory, says Ollama.",
            PARTIAL: f"Only partly on the GPU: {format_bytes(vram)} of {format_bytes(size)} ({share:.0%}), says Ollama.",
        }[verdict]
    evidence = Evidence(layers_on_gpu=not_asked, layers_total=not_asked, gpus_listed=not_asked)
    return Verification(
        verdict=verdict, words=f"{model.get('name', 'the model')}: {told}",
        planned=Unknown("Ollama's settings were not asked for"),
        reported=reported, observed=Unknown("Ollama's process was not watched"), differences=(),
        findings=causes(Unknown("sums only"), evidence, (), ()), evidence=evidence,
        notes=("`vramctl doctor` and `vramctl explain journald:ollama` say why",) if verdict != ON_GPU else (),
    )  # fmt: skip


def _size(value: object) -> int | Unknown:
    return value if type(value) is int else Unknown("Ollama does not say")
