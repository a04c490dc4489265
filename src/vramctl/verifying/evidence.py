"""What decides where a model is beside bytes: gathered from the plan, the engine's words and the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from vramctl.engines.endings import witnessed
from vramctl.plan.roofline import decode_bound, decode_reads
from vramctl.records import Plan, Settings, Unknown
from vramctl.records.load import Load
from vramctl.records.run import Loaded
from vramctl.records.verification import Evidence

# Not NVIDIA_VISIBLE_DEVICES: only the container's runtime reads it, and with CDI it is `void` where GPUs are passed.
HIDING = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES")
_DEPTH = 64  # tokens in the cache while decoding


def evidence_of(
    plan: Plan, asked: Settings, loaded: Loaded, speed: float | Unknown, gpus_in_machine: int | Unknown
) -> Evidence:
    log = loaded.load
    listed = loaded.devices
    gpus: int | Unknown = listed if isinstance(listed, Unknown) else sum(d.kind in {"gpu", "igpu"} for d in listed)
    nothing = Unknown("the engine printed no log")
    return Evidence(
        layers_on_gpu=_layers(plan, log, gpus),
        layers_total=log.layers_total
        if isinstance(log, Load) and isinstance(log.layers_total, int)
        else plan.layers_total,
        gpus_listed=gpus,
        asked_layers=asked.n_gpu_layers if asked.n_gpu_layers is not None else Unknown("left to the engine"),
        planned_layers=plan.layers_on_gpu,
        graph_splits=loaded.graph_splits,
        planned_splits=len(plan.devices) + 1 if plan.devices else Unknown("no GPU"),
        asked_kv_offload=asked.offload_kqv if asked.offload_kqv is not None else Unknown("left to the engine"),
        flash_attn=_flash_attention(loaded, log) if isinstance(log, Load) else nothing,
        asked_flash_attn=asked.flash_attn or Unknown("left to the engine"),
        type_k=log.settings.type_k if isinstance(log, Load) else nothing,
        type_v=log.settings.type_v if isinstance(log, Load) else nothing,
        kv_kernels=_kernels(loaded),
        kept_in_ram=kept_in_ram(plan),
        backends=_backends(loaded),
        hidden_by=hiding(os.environ),
        gpus_in_machine=gpus_in_machine,
        decode_share=decode_share(plan, speed),
    )


def _layers(plan: Plan, log: Load | Unknown, gpus: int | Unknown) -> int | Unknown:
    if isinstance(log, Load) and isinstance(log.layers_on_gpu, int):
        return log.layers_on_gpu
    if gpus == 0:
        return 0
    return Unknown("the engine's log does not count layers")


def _backends(loaded: Loaded) -> frozenset[str] | Unknown:
    """The backends that the engine has, in lower case: those of the devices it lists, and those it names in its system_info.

    A backend whose devices are hidden lists none, so without system_info only a backend that was seen is known.
    """
    listed = loaded.devices if isinstance(loaded.devices, tuple) else ()
    names = {device.name.rstrip("0123456789").lower() for device in listed}
    info = loaded.facts.get("system_info")
    if info is None and not names - {"cpu"}:
        return Unknown("the engine does not name its backends")
    names |= {name.lower() for name in re.findall(r"(?:^|\| )(\w+) : ", info or "")}
    return frozenset({"rocm": "hip", "mtl": "metal"}.get(name, name) for name in names)


def kept_in_ram(plan: Plan) -> str:
    """What the plan's settings keep in system memory of layers that are on a GPU; "" where nothing is."""
    if not plan.layers_on_gpu:
        return ""
    if plan.settings.n_cpu_moe:
        return f"the experts of {min(plan.settings.n_cpu_moe, plan.layers_total - 1)} layers"
    to_host = [pattern for pattern, where in plan.settings.tensor_overrides or () if where.upper().startswith("CPU")]
    return f"the tensors of {', '.join(to_host)}" if to_host else ""


def _kernels(loaded: Loaded) -> frozenset[str] | Unknown:
    """The pairs of cache types that the CUDA backend names in its system_info (FA_QUANTS, llama.cpp from Sept 2026 on)."""
    named = re.search(r"\bFA_QUANTS = ([\w,;-]+)", loaded.facts.get("system_info", ""))
    if named is None:
        return Unknown("the engine does not list them")
    pairs = frozenset(re.split(r"[,;]", named[1].lower()))
    return Unknown("the build has all of them") if "all" in pairs else pairs


def _flash_attention(loaded: Loaded, log: Load) -> str | Unknown:
    """`on` or `off` as the engine resolved it, else the setting that its log prints."""
    for event in witnessed(loaded.log).events:
        if event.kind == "flash.resolved":
            return "on" if event.fields["on"] else "off"
    return log.settings.flash_attn


def hiding(environ: Mapping[str, str]) -> str:
    """The variable of this environment that hides GPUs from an engine, with its value; "" where none does."""
    for name in HIDING:
        value = environ.get(name)
        if value is not None and (value.strip() in {"", "-1", "none", "void"} or value.strip().startswith("-")):
            return f"{name}={value}"
    return ""


def decode_share(plan: Plan, speed: float | Unknown) -> float | Unknown:
    """Decode speed over what memory bandwidth allows for what is on the GPUs."""
    if isinstance(speed, Unknown):
        return speed
    reads = decode_reads(plan.model, plan.settings, plan.devices, _DEPTH)
    if isinstance(reads, Unknown):
        return reads
    bound = decode_bound(reads, {d.name: d.bandwidth_bytes_per_second for d in plan.devices})
    return bound if isinstance(bound, Unknown) else speed / bound.tokens_per_second
