"""The first line of a plan: whether the model fits, where, with how much context and how much memory."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from vramctl.records import Device, Plan, Unknown
from vramctl.records.placement import Bytes, total
from vramctl.show.printable import printable
from vramctl.show.settings_text import ALL_EXPERTS
from vramctl.units import GIB, format_bytes

if TYPE_CHECKING:
    from rich.text import Text

_VENDOR = re.compile(r"^(?:NVIDIA|AMD|Intel(?:\(R\))?)\s+(?:GeForce\s+|Radeon\s+(?=RX|PRO)|(?=Arc))?", re.IGNORECASE)


def model_title(plan: Plan) -> str:
    """The model's name and quantization, the reference where the file has no name."""
    model = plan.model
    name = printable(model.reference if isinstance(model.name, Unknown) else model.name)
    quantization = "" if isinstance(model.quantization, Unknown) else printable(model.quantization)
    if not quantization or quantization.lower() in name.lower():
        return name
    return f"{name} {quantization}"


def short_name(device: Device) -> str:
    """A GPU's name without the vendor's: `RTX 3060`."""
    return without_vendor(device.description) or device.name


def without_vendor(name: str) -> str:
    """A GPU's name as people say it: `RTX 3060` for `NVIDIA GeForce RTX 3060`; --gpu takes it too."""
    return _VENDOR.sub("", printable(name))


def devices_title(devices: tuple[Device, ...]) -> str:
    """The GPUs in few words: `RTX 3060`, `2x RTX 3090`, `RTX 3090 + RTX 3060`."""
    counted = Counter(short_name(device) for device in devices)
    return " + ".join(name if count == 1 else f"{count}x {name}" for name, count in counted.items())


def used_on_devices(plan: Plan) -> Bytes:
    """What all devices together hold, in bytes."""
    return total(*(use.used_bytes for use in plan.placement.devices))


def missing_bytes(plan: Plan) -> tuple[int, ...]:
    """Per device, how many bytes are needed beyond its budget; 0 where it is enough or not known."""
    return tuple(
        max(0, use.used_bytes - budget) if isinstance(use.used_bytes, int) else 0
        for use, budget in zip(plan.placement.devices, plan.budgets, strict=True)
    )


def verdict(plan: Plan) -> Text:
    """The sentence, with the words that matter in bold; a second one says what to change first where it does not fit."""
    from rich.text import Text

    where = devices_title(plan.devices) or "the CPU"
    text = Text.assemble((model_title(plan), "bold"), " ", _claim(plan), " ", (where, "bold"), ": ")
    text.append(_what_fits(plan) if plan.fits else _what_is_missing(plan))
    return text


def _claim(plan: Plan) -> tuple[str, str]:
    """The verb and its style; where a part is unknown nothing is promised."""
    if not plan.fits:
        return "does not fit on", "bold red"
    if plan.devices and isinstance(used_on_devices(plan), Unknown):
        return "may fit on", "bold yellow"
    return "fits on", "bold green"


def _what_fits(plan: Plan) -> str:
    parts = [_layers(plan)] if plan.devices else []
    if plan.settings.n_ctx is not None:
        parts.append(f"{plan.settings.n_ctx} token{'' if plan.settings.n_ctx == 1 else 's'} of context")
    if not plan.devices:
        parts.append(f"{_of(plan.placement.host.used_bytes, plan.host.available_bytes)} system memory")
    elif isinstance(used_on_devices(plan), Unknown):
        parts.append(f"{_size(_least(plan))} of {_size(sum(plan.budgets))} budget without the parts that are unknown")
    else:
        parts.append(f"{_of(used_on_devices(plan), sum(plan.budgets))} budget")
    return ", ".join(parts) + "."


def _least(plan: Plan) -> int:
    """The bytes on devices that are known."""
    uses = plan.placement.devices
    parts = [part for use in uses for part in (use.weights_bytes, use.kv_bytes, use.compute_bytes, use.overhead_bytes)]
    return sum(part for part in parts if isinstance(part, int))


def _layers(plan: Plan) -> str:
    if isinstance(plan.layers_on_gpu, Unknown):
        return f"{plan.layers_total} layers"
    moved = plan.settings.n_cpu_moe
    experts = f" (experts of the first {moved} in system memory)" if moved else ""
    if ALL_EXPERTS in (plan.settings.tensor_overrides or ()):
        experts = " (all experts in system memory)"
    if plan.layers_on_gpu >= plan.layers_total:
        return f"all {plan.layers_total} layers{experts}"
    return f"{plan.layers_on_gpu} of {plan.layers_total} layers on the GPU{experts}"


def _what_is_missing(plan: Plan) -> str:
    """What is needed against what there is, for the device that lacks most, else for the host."""
    missing = missing_bytes(plan)
    change = f" To change first: {printable(plan.advice[0].fix).rstrip('.')}." if plan.advice else ""
    if any(missing):
        worst = missing.index(max(missing))
        device, use = plan.devices[worst], plan.placement.devices[worst]
        on = f" on {device.name}" if len(plan.devices) > 1 else ""
        return f"{_needs(use.used_bytes, plan.budgets[worst], 'the budget')}{on}.{change}"
    used, there = plan.placement.host.used_bytes, plan.host.available_bytes
    if isinstance(used, int) and isinstance(there, int) and used > there:
        return f"{_needs(used, there, 'system memory')}.{change}"
    return f"no settings were found that do.{change}"


def _needs(used: Bytes, there: int, what: str) -> str:
    more = f" ({_size(used - there)} too much)" if isinstance(used, int) else ""
    return f"it needs {_size(used)}, {what} is {_size(there)}{more}"


def _of(used: Bytes, there: Bytes) -> str:
    """`9.8 of 10.6 GiB`, each as far as it is known."""
    if isinstance(used, int) and isinstance(there, int) and min(used, there) >= GIB // 10 <= max(used, there):
        return f"{used / GIB:.1f} of {there / GIB:.1f} GiB"
    return f"{_size(used)} of {_size(there)}"


def _size(size: Bytes) -> str:
    if isinstance(size, Unknown):
        return "an unknown amount"
    return f"{size / GIB:.1f} GiB" if size >= GIB else format_bytes(size)
