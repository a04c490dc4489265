"""The first line: a sentence that a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vramctl.doctor.facts import MachineFacts
from vramctl.probes.doctor_config import ENVIRONMENT, SERVER_ENVIRONMENT
from vramctl.records.facts import Engine, Landing, Nvml, NvmlGpu, Platform
from vramctl.records.finding import Finding
from vramctl.records.unknown import Absent, Unknown
from vramctl.units import GIB

_MOST_SHOWN = 16


_NVML_ERRORS = {
    "library-not-found": "none found (no libnvidia-ml)",
    "driver-not-loaded": "installed, its kernel module is not loaded",
    "lib-rm-version-mismatch": "its libraries and its kernel module are of different versions",
    "no-permission": "may not be opened by this user",
    "timeout": "does not answer",
    "operating-system": "the operating system refuses access to it",
    "unknown": "does not say why it refuses (in a container: its devices were taken away)",
    "gpu-is-lost": "a GPU was lost",
}


def verdict(facts: MachineFacts, root: Finding | None, blind: Sequence[str]) -> str:
    """What is wrong in one sentence; else that nothing is, and what stands ready; else why that cannot be said."""
    if root is not None:
        return root.what
    if blind:
        return f"Could not tell: {blind[0]}."
    if facts.asked.only:
        return "Nothing is wrong in what was checked."
    return " ".join((_fine(facts), *_given(facts)))


def _given(facts: MachineFacts) -> tuple[str, ...]:
    """What is said of the configuration and the log that were given and are fine."""
    calls = facts.fact("calls") if facts.asked.configs else ()
    number = (
        sum(call[0].file not in (ENVIRONMENT, SERVER_ENVIRONMENT) for call in calls) if isinstance(calls, tuple) else 0
    )
    places = f"{number} place{'s' if number != 1 else ''}" if number else ""
    return tuple(
        text
        for text in (
            f"The given configuration ({places} that set up an engine) needs no change." if places else "",
            "The given log shows no fault." if facts.asked.log else "",
        )
        if text
    )


def _fine(facts: MachineFacts) -> str:
    gpus = _gpus(facts.fact("nvml"))
    engines = facts.fact("engines")
    if gpus:
        ready = f"ready: {gpus}; {_told_of(engines)}"
        return f"The GPU is {ready}." if "," not in gpus else f"The GPUs are {ready}."
    platform = facts.fact("platform")
    if isinstance(platform, Platform) and platform.system == "macos":
        silicon = platform.machine == "arm64"
        gpu = "this Mac's GPU (Metal)" if silicon else "this Mac's graphics (Metal)"
        return f"Nothing is wrong: {gpu} is there; {_told_of(engines)}."
    others = facts.fact("pci")
    if isinstance(others, tuple) and others:
        vendors = ", ".join(
            sorted({gpu.vendor.upper() if gpu.vendor == "amd" else gpu.vendor.capitalize() for gpu in others})
        )
        return f"Nothing is wrong as far as files show: graphics of {vendors}; {_told_of(engines)}."
    return "Nothing is wrong: no GPU was found in this machine, so engines run on its CPU."


def _told_of(engines: Any) -> str:
    """What the engines themselves say of a GPU, or that they were not asked."""
    if not isinstance(engines, tuple) or not engines:
        return "no engine was found to check against it"
    using = _engines(engines)
    if using:
        return using
    asked = [engine for engine in engines if isinstance(engine.devices, tuple)]
    if asked:
        return f"{_engine(asked[0])} lists {', '.join(device.name for device in asked[0].devices) or 'no device'}"
    return f"{_engine(engines[0])} was found; whether it uses the GPU was not tested"


def machine_lines(facts: MachineFacts) -> dict[str, str]:
    """What to show of the machine, a line each; what was not found is left out."""
    lines: dict[str, str] = {}
    platform = facts.fact("platform")
    if isinstance(platform, Platform):
        parts = [text for text in (platform.distribution, platform.release) if isinstance(text, str) and text]
        where = [f"WSL {platform.wsl}" if platform.wsl else "", str(platform.container or "")]
        lines["system"] = ", ".join([*(parts or [platform.system]), *(part for part in where if part)])
    nvml = facts.fact("nvml")
    if isinstance(nvml, Nvml) and not nvml.error:
        lines["driver"] = f"{_driver(nvml.driver_version)}, runs CUDA up to {_dotted(nvml.cuda_version)}"
        if nvml.gpus:
            lines["GPU" if len(nvml.gpus) == 1 else "GPUs"] = "; ".join(_some([_gpu(gpu) for gpu in nvml.gpus]))
    elif isinstance(nvml, Nvml | Unknown | Absent):
        lines["driver"] = _NVML_ERRORS.get(nvml.error, nvml.error) if isinstance(nvml, Nvml) else nvml.reason
    landing = facts.fact("landing") if facts.asked.active else None
    if isinstance(landing, Landing):
        lines["active"] = _landed(landing)
    elif isinstance(landing, Unknown):
        lines["active"] = f"no small model was loaded: {landing.reason}"
    engines = facts.fact("engines")
    if isinstance(engines, tuple) and engines:
        lines["engines"] = "; ".join(_engine(engine) for engine in engines)
    return lines


def _gpus(nvml: Any) -> str:
    return ", ".join(_some([_gpu(gpu) for gpu in nvml.gpus])) if isinstance(nvml, Nvml) and not nvml.error else ""


def _some(texts: list[str]) -> list[str]:
    """The first 16, and how many more there are."""
    more = len(texts) - _MOST_SHOWN
    return texts if more <= 0 else [*texts[:_MOST_SHOWN], f"and {more} more"]


def _gpu(gpu: NvmlGpu) -> str:
    name = gpu.name if isinstance(gpu.name, str) else f"GPU {gpu.index}"
    if isinstance(gpu.total_bytes, int) and isinstance(gpu.free_bytes, int):
        return f"{name} ({gpu.free_bytes / GIB:.1f} of {gpu.total_bytes / GIB:.1f} GiB free)"
    return name


def _engines(engines: Any) -> str:
    if not isinstance(engines, tuple):
        return ""
    using = [
        engine
        for engine in engines
        if isinstance(engine.devices, tuple) and any(d.kind == "gpu" for d in engine.devices)
    ]
    return " and ".join(f"{_engine(engine)} lists it" for engine in using[:2])


def _engine(engine: Engine) -> str:
    return f"{engine.kind} {engine.version}" if isinstance(engine.version, str) else engine.kind


def _landed(landing: Landing) -> str:
    """Where the model of --active landed, and how fast it was."""
    if landing.failed:
        return f"{landing.engine} could not load a small model: {landing.failed}"
    size = landing.gpu_weights_bytes
    where = "on the CPU" if size == 0 else "on the GPU" if isinstance(size, int) else "where, the engine did not say"
    rate = landing.decode_tokens_per_second
    return f"{landing.engine} loaded a small model {where}" + (
        f", {rate:.0f} tokens/s" if isinstance(rate, int | float) else ""
    )


def _driver(version: object) -> str:
    """A driver's version as NVIDIA writes it: 580.65.06."""
    if not isinstance(version, tuple) or not version:
        return "unknown"
    return ".".join([str(version[0]), *(f"{part:02d}" for part in version[1:])])


def _dotted(version: object) -> str:
    return ".".join(str(part) for part in version) if isinstance(version, tuple) else "unknown"
