"""Checks of the given configuration as a whole: its containers, what could not be read, and calls that are fine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vramctl.checks import doctor_audit, doctor_config
from vramctl.checks.config_call import Asked, python_version
from vramctl.checks.doctor_config import Call
from vramctl.checks.modes_config import fix
from vramctl.checks.runner import Check, NotThere
from vramctl.records.finding import WARNING, Finding
from vramctl.records.unknown import Unknown

_ALL_LAYERS = 99


def container_without_gpu(call: Call, nvml: Any = None, pci: Any = None, platform: Any = None) -> Iterator[Finding]:
    """
    A container of an engine is started without a GPU, or from an image that has no GPU backend.

    Why it matters: a container sees no GPU unless one is passed to it, and llama.cpp's images without a suffix (`server`,
    `full`, `light`) are CPU builds: the engine then runs on the CPU without an error.

    How it is seen: services of compose files and `docker run` lines whose image is an engine's: no `gpus`, `runtime`, `devices`
    or device reservation beside it; a CPU image to which a GPU is passed.

    How sure: high - another compose file that is given together with this one may add the GPU.
    """
    asked = Asked.of(call)
    if asked.program != "container":
        raise NotThere("it starts no container")
    if asked.value("cpu_image") and asked.value("gpu"):
        yield Finding(
            WARNING, f"{asked.where}: a GPU is passed to {asked.value('image')}, an image without a GPU backend.",
            asked.at("image"), "Take the image with the backend in its name: llama.cpp:server-cuda, -rocm, -vulkan or -intel.",
        )  # fmt: skip
    elif (
        not asked.value("gpu")
        and not asked.value("cpu_image")
        and doctor_config.gpu_here(nvml, pci, platform) is not False
    ):
        yield Finding(
            WARNING, f"{asked.where}: no GPU is passed to the container of {asked.value('image')}.", asked.at("image", "gpu"),
            fix("container-without-gpu"),
        )  # fmt: skip


# What is asked of each call before it is called fine.
_RULES: tuple[Callable[..., Iterator[Finding]], ...] = (
    doctor_config.n_gpu_layers_zero, doctor_config.gpu_layers_read_as_count, doctor_config.quantized_v_needs_flash_attn,
    doctor_config.quantized_kv_no_kernel, doctor_config.offload_kqv_false, doctor_config.flash_attn_disabled,
    doctor_audit.swa_full_cache, doctor_audit.batch_too_small, doctor_audit.parallel_splits_context,
    doctor_audit.settings_without_effect,
)  # fmt: skip


def config_audit(
    audit_notes: Mapping[str, str],
    calls: Any = None,
    nvml: Any = None,
    pci: Any = None,
    platform: Any = None,
    engines: Any = None,
) -> Iterator[Finding]:
    """
    What the given configuration files ask for as a whole: what could not be read, and which calls need no change.

    Why it matters: a file that cannot be read must not pass for a healthy one, and a good configuration should be called good
    so that nobody goes on tuning it.

    How it is seen: every file of --config is read as text (Python with its syntax tree, never executed); calls of engines,
    command lines and known variables are found in it.

    How sure: certain for what is written out; values that are worked out when the program runs are named, not judged.
    """
    for path, reason in audit_notes.items():
        yield Finding(WARNING, f"{path} could not be audited: {reason}.", (f"{path}: {reason}",),
                      "Give the file that calls the engine, its .env, its unit or its start script.")  # fmt: skip
    optional = {"nvml": nvml, "pci": pci, "platform": platform, "engines": engines, "calls": None}
    for call in calls if isinstance(calls, tuple) else ():
        asked = Asked.of(call)
        if asked.is_llama and not any(one.severity != "info" for one in _all(call, optional)):
            unclear = any(isinstance(setting.value, Unknown) for setting in asked.settings.values())
            fine = "nothing to change in what is written out" if unclear else "nothing to change"
            yield Finding("info", f"{asked.where}: {fine}.", tuple(_remarks(asked, engines)), "")


def _all(call: Call, optional: Mapping[str, Any]) -> Iterator[Finding]:
    for rule in _RULES:
        names = rule.__code__.co_varnames[1 : rule.__code__.co_argcount]
        try:
            yield from rule(call, **{name: optional[name] for name in names})
        except NotThere:
            continue


def _remarks(asked: Asked, engines: object) -> Iterator[str]:
    """What is good about a call, and what could not be judged."""
    layers = asked.number("n_gpu_layers")
    if layers == 0:
        yield "n_gpu_layers=0 is right on a machine without a GPU"
    elif layers is not None:
        yield f"n_gpu_layers={layers}: " + (
            "all layers"
            if layers < 0 or layers >= _ALL_LAYERS
            else f"{layers} layers; whether those are all, and fit, is for `vramctl plan` to say"
        )
    elif asked.program == "llama-server" and asked.complete:
        yield "llama-server puts what fits on the GPU by itself (since b6325 all layers, since December 2025 what fits)"
    if asked.truth("offload_kqv"):
        version = python_version(engines)
        since = f"; {'.'.join(map(str, version))} is installed" if version else ""
        yield f"offload_kqv=True is the default since llama-cpp-python 0.2.30{since}"
    unclear = [
        f"{name}: {s.value.reason}"
        for name, s in asked.settings.items()
        if isinstance(s.value, Unknown) and name != "**"
    ]
    if unclear:
        yield f"not judged: {'; '.join(unclear[:4])}"


CHECKS: tuple[Check, ...] = (container_without_gpu, config_audit)
