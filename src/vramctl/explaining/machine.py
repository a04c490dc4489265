"""The devices and the settings of a load, in the planner's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vramctl.catalogue.devices import parse_devices
from vramctl.errors import VramctlError
from vramctl.plan.overhead import CONTEXT_BYTES
from vramctl.records import Device, Settings, Unknown
from vramctl.records.load import FAILED, Load, Log, LoggedGpu

_BACKENDS = {"cuda": "cuda", "rocm": "rocm", "hip": "rocm", "vulkan": "vulkan", "metal": "metal", "mtl": "metal"}
_GUESSED_BATCH, _GUESSED_UBATCH, GUESSED_CTX = 2048, 512, 4096


@dataclass(frozen=True, slots=True)
class Machine:
    """The GPUs of a load with what each has free for it; `said` says where those bytes were read."""

    devices: tuple[Device, ...]
    said: str


def machine_of_log(load: Load, log: Log) -> Machine | Unknown:
    """The GPUs that the load could use, or Unknown where their memory is neither printed nor in the catalogue."""
    if not log.gpus:
        return Unknown("the log names no GPU")
    if not load.fit or not load.fit.available_bytes:
        found = [_device(gpu, index) for index, gpu in enumerate(log.gpus)]
        known = tuple(device for device in found if isinstance(device, Device))
        if len(known) < len(found):
            return Unknown("the log does not print how much memory each GPU has free")
        guessed = any(device.source.startswith("catalogue") for device in known)
        return Machine(known, "usual for this card, the log prints none" if guessed else "free as printed")
    free = load.fit.available_bytes
    gpus = (*log.gpus, *[log.gpus[-1]] * len(free))[: len(free)]
    devices = tuple(_named(gpu, index, size) for index, (gpu, size) in enumerate(zip(gpus, free, strict=True)))
    return Machine(devices, "available as printed")


def _named(gpu: LoggedGpu, index: int, free: int) -> Device:
    library = str(gpu.library).lower() if isinstance(gpu.library, str) else "cuda"
    total = gpu.total_bytes if isinstance(gpu.total_bytes, int) else free
    name = gpu.device if isinstance(gpu.device, str) else f"GPU{index}"
    return Device(name, str(gpu.name), max(total, free), free, "log", _BACKENDS.get(library, "cuda"))


def _device(gpu: LoggedGpu, index: int) -> Device | None:
    if isinstance(gpu.available_bytes, int):
        return _named(gpu, index, gpu.available_bytes)
    if isinstance(gpu.total_bytes, int):
        return _named(gpu, index, max(gpu.total_bytes - CONTEXT_BYTES, 0))
    if not isinstance(gpu.name, str):
        return None
    try:
        known = parse_devices((gpu.name,))[0]
    except VramctlError:
        return None
    return replace(known, name=f"CUDA{index}", free_bytes=max(known.free_bytes - CONTEXT_BYTES, 0))


def settings_of_load(load: Load) -> Settings | Unknown:
    """What the load was asked for, as far as the log prints it, else llama.cpp's defaults; every layer as placed."""
    asked = load.settings
    if not isinstance(asked.ctx, int) and load.outcome != FAILED:
        return Unknown("the log does not print the context")
    values: Mapping[str, object] = {
        # A load that failed at its weights had not come to print its context.
        "n_ctx": _known(asked.ctx, GUESSED_CTX),
        "n_parallel": _known(asked.parallel, 1),
        "n_batch": _known(asked.batch, _GUESSED_BATCH),
        "n_ubatch": _known(asked.ubatch, min(_known(asked.batch, _GUESSED_UBATCH), _GUESSED_UBATCH)),
        "type_k": asked.type_k if isinstance(asked.type_k, str) else "f16",
        "type_v": asked.type_v if isinstance(asked.type_v, str) else "f16",
    }
    flash = asked.flash_attn if isinstance(asked.flash_attn, str) else "auto"
    return Settings(
        **values,  # type: ignore[arg-type]
        flash_attn=flash if flash in {"on", "off", "auto"} else "auto",
        offload_kqv=asked.kv_offload is not False and not _cache_on_host(load),
        op_offload=True,
        split_mode="layer",
        main_gpu=0,
        n_cpu_moe=0,
        use_mmap=asked.mmap is not False,
        kv_unified=False,
        swa_full=False,
        n_outputs_max=_known(asked.outputs_max, 1),
    )


def _cache_on_host(load: Load) -> bool:
    """Whether the whole cache is in system memory although layers are on a GPU: -nkvo, also where no line says so."""
    host = sum(use.kv_bytes for use in load.on_host if isinstance(use.kv_bytes, int))
    gpu = sum(use.kv_bytes for use in load.on_gpus if isinstance(use.kv_bytes, int))
    return bool(host) and not gpu and load.layers_on_gpu != 0


def _known(value: int | Unknown, otherwise: int) -> int:
    return value if isinstance(value, int) and value > 0 else otherwise
