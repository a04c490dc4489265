"""Checks of the variables that choose GPUs: which ones they leave, and in which order CUDA counts them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vramctl.checks.config_call import RUNS_HERE, Asked
from vramctl.checks.failure_modes import BY_ID
from vramctl.checks.modes_config import fix
from vramctl.checks.runner import Check, known
from vramctl.records.facts import CudaDriver, CudaGpu, Nvml, NvmlGpu, OllamaServer, PciGpu, Platform, Setting
from vramctl.records.finding import Finding

_AMD = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
_CUDA = "CUDA_VISIBLE_DEVICES"


def visible_to_cuda(text: str, gpus: Sequence[NvmlGpu]) -> tuple[tuple[int, ...], str]:
    """The positions that CUDA would list, and why it stops there ("" where every item counts).

    As the CUDA programming guide has it: the list ends at the first invalid item; an item twice leaves none. An index counts
    CUDA's own order; a UUID may be shortened as long as it is unique. MIG instances count as valid.
    """
    found: list[int] = []
    items = [item.strip() for item in text.split(",")]
    if items == [""]:
        return (), "it is set but empty"
    for item in items:
        position = _position(item, gpus)
        if position is None:
            return tuple(found), f"{item or 'an empty item'} is no GPU of this machine, and the list ends there"
        if position in found:
            return (), f"{item} is there twice, which leaves none"
        found.append(position)
    return tuple(found), ""


def _position(item: str, gpus: Sequence[NvmlGpu]) -> int | None:
    if item.isdigit():
        return int(item) if int(item) < len(gpus) else None
    if item.startswith("MIG-"):
        return len(gpus)
    if item.upper().startswith("GPU-"):
        same = [gpu.index for gpu in gpus if isinstance(gpu.uuid, str) and gpu.uuid.lower().startswith(item.lower())]
        unknown = any(not isinstance(gpu.uuid, str) or "redacted" in gpu.uuid.lower() for gpu in gpus)
        return same[0] if len(same) == 1 else (0 if unknown else None)
    return None


def visible_devices_hides_gpu(
    platform: Platform,
    environment: Any = None,
    nvml: Any = None,
    pci: Any = None,
    ollama: Any = None,
    calls: Any = None,
) -> Iterator[Finding]:
    """
    A variable hides GPUs from the engine.

    Why it matters: CUDA_VISIBLE_DEVICES that is empty, -1, or names a GPU that is not there leaves no device: engines say "no
    CUDA-capable device" or use the CPU in silence, while nvidia-smi, which ignores it, lists everything. Ray, job schedulers
    and old .env files set it.

    How it is seen: the environment of the process in question (--pid), of the Ollama server, or of a given configuration,
    read as CUDA reads it: it stops at the first invalid item, and a GPU named twice leaves none. HIP_VISIBLE_DEVICES,
    ROCR_VISIBLE_DEVICES and GPU_DEVICE_ORDINAL do the same for AMD.

    How sure: certain where the GPUs could be counted. Leaving out GPUs on purpose (0 of 0-3) is no finding.
    """
    sources = _sources(environment, ollama, calls)
    if not sources:
        known(environment)
    gpus = nvml.gpus if isinstance(nvml, Nvml) else ()
    amd = [gpu for gpu in pci if isinstance(gpu, PciGpu) and gpu.vendor == "amd"] if isinstance(pci, tuple) else []
    for where, variables in sources:
        if gpus and _CUDA in variables:
            yield from _cuda_hidden(variables[_CUDA], where, gpus, platform)
        elif _CUDA in variables and where not in RUNS_HERE and variables[_CUDA].strip() in {"", "-1"}:
            yield Finding(
                "warning", f"{_CUDA}={_shown(variables[_CUDA])} hides every NVIDIA GPU.",
                (f"{where}: {_CUDA}={variables[_CUDA]}", "no NVIDIA GPU is here: it counts where the file is used with one"),
                f"Leave {_CUDA} out, or name the GPU (0).",
            )  # fmt: skip
        for name in _AMD:
            first = variables.get(name, "0").split(",")[0].strip()
            if (
                amd
                and name in variables
                and (not first or first == "-1" or (first.isdigit() and int(first) >= len(amd)))
            ):
                yield _hidden(name, variables[name], where, "hides the GPU: no AMD GPU is left", platform)


def _cuda_hidden(text: str, where: str, gpus: Sequence[NvmlGpu], platform: Platform) -> Iterator[Finding]:
    left, why = visible_to_cuda(text, gpus)
    if not left:
        hidden = f"hides {'the GPU' if len(gpus) == 1 else f'all {len(gpus)} GPUs'} from CUDA"
        yield _hidden(_CUDA, text, where, hidden if text.strip() == "-1" else f"{hidden}: {why}", platform)
    elif why and len(left) < min(len(text.split(",")), len(gpus)):
        yield Finding(
            "warning", f"{_CUDA}={text} leaves {len(left)} of {len(gpus)} GPUs: {why}.", (f"{where}: {_CUDA}={text}",),
            "Name only GPUs that are there (`nvidia-smi -L`), counted from 0.",
        )  # fmt: skip


def _hidden(name: str, text: str, where: str, what: str, platform: Platform) -> Finding:
    ours = where == "environment"
    return Finding(
        "error",
        f"{name}={_shown(text)} {what}.",
        (f"{where}: {name}={text}", "NVML and nvidia-smi ignore the variable"),
        f"Unset {name} where it is set and start the program anew."
        if ours or "Ollama" not in where else BY_ID["visible-devices-hides-gpu"].fix(platform.kind),
    )  # fmt: skip


def _shown(text: str) -> str:
    return text.strip() or "''"


def _sources(environment: object, ollama: object, calls: object) -> list[tuple[str, Mapping[str, str]]]:
    """Each set of variables that counts, with where it stands; equal ones once."""
    found: list[tuple[str, Mapping[str, str]]] = []
    if isinstance(ollama, OllamaServer) and isinstance(ollama.environment, Mapping):
        found.append(("the Ollama server's environment", ollama.environment))
    if isinstance(environment, Mapping) and not any(_same(environment, other) for _, other in found):
        found.append(("environment", environment))
    for call in calls if isinstance(calls, tuple) else ():
        asked = Asked.of(call)
        variables = {name: _text(setting) for name, setting in asked.settings.items() if name in (_CUDA, *_AMD)}
        variables = {name: text for name, text in variables.items() if "$" not in text}
        if variables:
            found.append((asked.at(*variables)[0].rsplit(":", 1)[0], variables))
    return found


def _same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return all(one.get(name) == other.get(name) for name in (_CUDA, *_AMD))


def _text(setting: Setting) -> str:
    return str(setting.value) if not isinstance(setting.value, bool) else str(int(setting.value))


def device_order_mismatch(
    gpus: tuple[NvmlGpu, ...], environment: Any = None, cuda: Any = None, calls: Any = None
) -> Iterator[Finding]:
    """
    A GPU is chosen by its number, and CUDA counts in another order than nvidia-smi.

    Why it matters: CUDA puts the fastest GPU first by default, NVML and nvidia-smi go by the PCI bus. With unequal GPUs
    `CUDA_VISIBLE_DEVICES=0` or main_gpu=1 may then mean the other card.

    How it is seen: unequal GPUs, CUDA_DEVICE_ORDER not PCI_BUS_ID, and a choice by number in the environment or a
    configuration; where CUDA could be asked, the order in which it lists the cards' bus addresses.

    How sure: certain where CUDA lists another order; otherwise the orders may differ, and the finding says so.
    """
    variables = environment if isinstance(environment, Mapping) else {}
    if len({str(gpu.name) for gpu in gpus}) < 2 or variables.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return
    chosen = _chosen(variables, calls)
    if not chosen:
        return
    listed = cuda.gpus if isinstance(cuda, CudaDriver) else ()
    differs = _other_order(listed, gpus, variables) if isinstance(listed, tuple) and listed else None
    if differs is False:
        return
    names = ", ".join(f"{gpu.index} {gpu.name}" for gpu in gpus)
    what = (
        "is another GPU for CUDA than for nvidia-smi" if differs else "may be another GPU for CUDA than for nvidia-smi"
    )
    yield Finding(
        "warning", f"{chosen[0].rsplit(': ', 1)[-1]} {what}: the GPUs are unequal and CUDA_DEVICE_ORDER is not set.",
        (*chosen[:3], f"nvidia-smi counts {names}", *_cuda_names(listed)), fix("device-order-mismatch"),
    )  # fmt: skip


def _chosen(variables: Mapping[str, str], calls: object) -> tuple[str, ...]:
    """Where a GPU is chosen by number."""
    found = []
    text = variables.get(_CUDA, "")
    if text and all(part.strip().isdigit() for part in text.split(",")):
        found.append(f"environment: {_CUDA}={text}")
    for call in calls if isinstance(calls, tuple) else ():
        asked = Asked.of(call)
        found += asked.at("main_gpu", "tensor_split")
    return tuple(found)


def _other_order(listed: tuple[CudaGpu, ...], gpus: Sequence[NvmlGpu], variables: Mapping[str, str]) -> bool | None:
    """Whether CUDA's list, as the variable cut it, is not what NVML's numbers say; None where addresses are not known."""
    numbers = [int(part) for part in variables.get(_CUDA, "").split(",") if part.strip().isdigit()]
    numbers = numbers or list(range(len(gpus)))
    for gpu, number in zip(listed, numbers, strict=False):
        if not isinstance(gpu.pci_address, str) or number >= len(gpus) or not isinstance(gpus[number].pci_address, str):
            return None
        if _bus(gpu.pci_address) != _bus(str(gpus[number].pci_address)):
            return True
    return False


def _bus(address: str) -> str:
    """A PCI address without its domain's leading zeros, in lower case."""
    domain, _, rest = address.lower().partition(":")
    return f"{domain.lstrip('0') or '0'}:{rest}"


def _cuda_names(listed: object) -> tuple[str, ...]:
    names = [str(gpu.name) for gpu in listed if isinstance(gpu, CudaGpu)] if isinstance(listed, tuple) else []
    return (f"CUDA lists {', '.join(names)}",) if names else ()


CHECKS: tuple[Check, ...] = (visible_devices_hides_gpu, device_order_mismatch)
