"""Verify what runs already: a process by its number, or a server by its address. Nothing is loaded or ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from vramctl.engines.http_api import shown_url
from vramctl.engines.server_kind import OLLAMA, look_server
from vramctl.errors import CouldNotTell
from vramctl.probes.device_watch import NvmlWatcher
from vramctl.probes.gpus import look_gpus
from vramctl.records import Device, Placement, Unknown
from vramctl.records.finding import Finding
from vramctl.records.placement import Bytes
from vramctl.records.verification import (
    COULD_NOT_TELL,
    CPU_ONLY,
    MISMATCH,
    ON_GPU,
    DeviceWatch,
    Evidence,
    Verification,
)
from vramctl.units import MIB, format_bytes
from vramctl.verify.causes import causes
from vramctl.verify.compare import differences, observed
from vramctl.verify.verdict import verdict as verdict_of
from vramctl.verify.verdict import words
from vramctl.verifying.attached_decode import Decoded, ask_to_decode
from vramctl.verifying.attached_ollama import judge_ollama, loaded_by_ollama
from vramctl.verifying.attached_plan import Planned, plan_of
from vramctl.verifying.attached_settings import seen_from_here
from vramctl.verifying.evidence import decode_share, hiding, kept_in_ram

_GPU_LIBRARIES = {
    "libggml-cuda": "cuda", "libcuda.so": "cuda", "libggml-hip": "hip", "libamdhip64": "hip", "libggml-vulkan": "vulkan",
}  # fmt: skip
_ENGINE_SIGNS = ("libllama", "libggml", "llama_cpp", "xllamacpp", ".gguf", "libtorch", "exllama")
_SLACK, _SLACK_BYTES, _IDLE_BYTES = 0.05, 256 * MIB, 64 * MIB
_APART = Unknown("an attached engine is not asked for its parts")


def verify_pid(pid: int, *, url: str | None = None) -> Verification:
    """Where the model of a running process is, by its command line, its libraries and the devices' lists of processes.

    A llama-server whose `url` is given is asked to decode for a second.
    """
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
    found = look_gpus()
    devices: tuple[Device, ...] = () if isinstance(found, Unknown) else found
    with NvmlWatcher(devices, pid=pid) as watcher:
        watcher.mark("loaded", pid=pid)
        decoded: Decoded | Unknown = ask_to_decode(url, watcher) if url else Unknown("its address was not given")
        watches = tuple(_as_held(watch) for watch in watcher.watches())
    environ = _environ(process)
    hidden = "" if _holds(watches) else hiding(environ)
    folder, root = _folder(process), Path(f"/proc/{pid}/root")
    planned = plan_of(
        command, environ, lambda path: seen_from_here(path, folder, root), () if hidden else without_process(devices, watches)
    )  # fmt: skip
    if isinstance(planned, Unknown):
        _refuse_other_program(process, name, planned.reason)
    judged = _judge(planned, pid, name, watches, found, hidden)
    return _with_speed(judged, planned, decoded) if url else judged


def verify_server(url: str) -> Verification:
    """Where the model of a server is: by what it says (Ollama's sizes), and by its process where that is on this machine."""
    found, shown = look_server(url), shown_url(url)
    if found.kind == OLLAMA:
        return judge_ollama(loaded_by_ollama(found.api), shown)
    if isinstance(found.pid, Unknown):
        raise CouldNotTell(
            "server-not-here", f"The server at {shown} does not say where its model is.", because=(found.pid.reason,),
            fix="Run `vramctl verify --pid PID` on the machine that it runs on.",
        )  # fmt: skip
    return verify_pid(found.pid, url=url)


def _refuse_other_program(process: psutil.Process, name: str, why: str) -> None:
    """CouldNotTell for a process without a sign of a model: nothing of it on a GPU would prove nothing.

    llama-server without a model is a router: it has the library, and a child of its own name for each model.
    """
    try:
        children = [child for child in process.children(recursive=True) if _has_model(child.pid)]
        routed = [child.pid for child in children if child.name() == name == "llama-server"]
    except psutil.Error:
        children, routed = [], []
    if _has_model(process.pid) and not routed:
        return
    others = routed or [child.pid for child in children]
    because = "its models are in processes of their own" if routed else (
        "it has no llama.cpp or PyTorch library and no .gguf file in memory"
    )  # fmt: skip
    raise CouldNotTell(
        "no-model-in-process", f"Process {process.pid} ({name}) runs no model that can be seen.", because=(why, because),
        fix=f"Its child runs one: vramctl verify --pid {others[0]}."
        if others
        else "Give the process that runs the model: `pgrep -af llama` finds it.",
    )  # fmt: skip


def _has_model(pid: int) -> bool:
    """Whether a process has an engine's library or a model's file mapped; True where that cannot be seen."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return any(sign in maps for sign in _ENGINE_SIGNS)


def _folder(process: psutil.Process) -> Path | None:
    try:
        return Path(process.cwd())
    except (psutil.Error, OSError):
        return None


def without_process(devices: Sequence[Device], watches: Sequence[DeviceWatch]) -> tuple[Device, ...]:
    """The devices as free as they were before the watched process took its memory."""
    held = {watch.name: watch.process_bytes for watch in watches}
    sizes = {name: size for name, size in held.items() if isinstance(size, int)}
    return tuple(
        replace(device, free_bytes=min(device.total_bytes, device.free_bytes + sizes.get(device.name, 0)))
        for device in devices
    )


def _judge(
    found: Planned | Unknown,
    pid: int,
    name: str,
    watches: tuple[DeviceWatch, ...],
    gpus: tuple[Device, ...] | Unknown,
    hidden: str,
) -> Verification:
    backends = _backends(pid)
    planned: Placement | Unknown = found if isinstance(found, Unknown) else found.plan.placement
    evidence = _evidence(found, backends, gpus, hidden)
    findings: tuple[Finding, ...] = ()
    if hidden:
        verdict, told = CPU_ONLY, f"It runs on the CPU: {hidden} hides the GPU from it."
        findings = causes(planned, evidence, watches, ()) if isinstance(planned, Placement) else ()
    else:
        verdict, told = _verdict(planned, watches, backends, gpus)
    more = _unexplained(found, watches)
    if verdict == ON_GPU and more:
        verdict, told = COULD_NOT_TELL, f"Could not tell: {told} {more}"
    elif verdict == ON_GPU and isinstance(planned, Placement):
        # The device holds what was planned; where the layers and the cache are is then as planned too.
        verdict, findings = verdict_of(planned, evidence, ()), causes(planned, evidence, watches, ())
        told = f"{words(verdict, evidence, findings)} {told}"
    differ = differences(planned, Unknown("not asked"), watches)
    return Verification(
        verdict=verdict, words=f"{told} (process {pid}, {name})", planned=planned, reported=_APART,
        observed=observed(watches, _APART), differences=differ, findings=findings, evidence=evidence, watches=watches,
        notes=("attached: nothing was loaded, and the engine was not asked to decode",),
    )  # fmt: skip


def _with_speed(judged: Verification, planned: Planned | Unknown, decoded: Decoded | Unknown) -> Verification:
    """With what the server decoded for this, beside what the bandwidth of its GPUs allows."""
    if isinstance(decoded, Unknown):
        return replace(judged, notes=(f"attached: nothing was loaded; it was asked to decode: {decoded.reason}",))
    said = f"{decoded.tokens} tokens were asked for: {decoded.tokens_per_second:.1f} tokens/s, sampling included"
    share: float | Unknown = planned if isinstance(planned, Unknown) else Unknown("not all of it is on the GPU")
    if isinstance(planned, Planned) and judged.verdict == ON_GPU:
        share = decode_share(planned.plan, decoded.tokens_per_second)
    evidence = replace(judged.evidence, decode_share=share)
    return replace(judged, evidence=evidence, notes=(f"attached: nothing was loaded; {said}",))


def _evidence(
    found: Planned | Unknown, backends: frozenset[str] | Unknown, gpus: tuple[Device, ...] | Unknown, hidden: str
) -> Evidence:
    """What the plan for the command line says: the engine is not asked."""
    nothing = Unknown("an attached engine is not asked")
    seen: int | Unknown = Unknown("none that NVML lists") if isinstance(gpus, Unknown) else len(gpus)
    if isinstance(found, Unknown):
        return Evidence(
            layers_on_gpu=nothing, layers_total=found, planned_layers=found, gpus_listed=nothing, backends=backends,
            gpus_in_machine=seen, hidden_by=hidden,
        )  # fmt: skip
    plan, asked = found.plan, found.asked
    return Evidence(
        layers_on_gpu=plan.layers_on_gpu,
        layers_total=plan.layers_total,
        planned_layers=plan.layers_on_gpu,
        gpus_listed=nothing,
        asked_layers=asked.n_gpu_layers if asked.n_gpu_layers is not None else Unknown("left to the engine"),
        asked_kv_offload=asked.offload_kqv if asked.offload_kqv is not None else Unknown("left to the engine"),
        asked_flash_attn=asked.flash_attn or Unknown("left to the engine"),
        type_k=asked.type_k or "f16",
        type_v=asked.type_v or "f16",
        kept_in_ram=kept_in_ram(plan),
        backends=backends,
        gpus_in_machine=seen,
        hidden_by=hidden,
    )


def _environ(process: psutil.Process) -> Mapping[str, str]:
    """The process's own environment; empty where it cannot be read."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _holds(watches: Sequence[DeviceWatch]) -> bool:
    return any(isinstance(watch.process_bytes, int) and watch.process_bytes > 0 for watch in watches)


def _unexplained(found: Planned | Unknown, watches: Sequence[DeviceWatch]) -> str:
    """What to say where a process holds so much more than planned that layers may be missing beside it; "" where not.

    Layers that the command line counts are there or the load had failed; where the engine chose how many, bytes decide.
    """
    if isinstance(found, Unknown) or found.asked.n_gpu_layers is not None:
        return ""
    wanted = sum(use.used_bytes for use in found.plan.placement.devices if isinstance(use.used_bytes, int))
    held = sum(watch.process_bytes for watch in watches if isinstance(watch.process_bytes, int))
    if held <= wanted + max(_SLACK_BYTES, int(wanted * _SLACK)):
        return ""
    return "Something beside this model is in that, so whether all its layers are is not known."


def _as_held(watch: DeviceWatch) -> DeviceWatch:
    """What the process holds now counts from nothing: it was loaded before we came."""
    held: Bytes = watch.process_bytes
    if isinstance(held, Unknown) and isinstance(watch.loaded_bytes, int) and watch.loaded_bytes < _IDLE_BYTES:
        held = 0  # nobody holds anything there
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
        return ON_GPU, f"It holds {format_bytes(total)} of GPU memory, planned were {format_bytes(whole)}."
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
