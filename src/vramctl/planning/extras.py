"""What stands beside a model in the same sum: a draft model, a projector, adapters."""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.planning.request import Request
from vramctl.planning.witnesses import Asked, Witnesses
from vramctl.probes.models import look_model
from vramctl.records import Device, DeviceUse, HostUse, Model, Placement, Settings
from vramctl.units import GIB, format_bytes

# A projector's own compute buffer is not in its header; Ollama keeps this much for it (llm/llama_server.go v0.33.0-rc2).
PROJECTOR_HEADROOM = GIB


@dataclass(frozen=True, slots=True)
class Extras:
    """A draft model, and the bytes of projectors and adapters; `notes` say where they are counted."""

    draft: Asked | None
    draft_model: Model | None
    projector_bytes: int
    adapter_bytes: int
    notes: tuple[str, ...]


def look_extras(
    request: Request, model: Model, start: Settings, devices: tuple[Device, ...], witnesses: Witnesses
) -> Extras:
    """What was asked for with --draft and --mmproj; under Ollama also what the model's manifest in its store names."""
    draft, draft_model, notes = None, None, []
    if request.settings.draft is not None:
        draft_model = look_model(request.settings.draft)
        draft = witnesses.choose(draft_model, devices, request.witness, request.engine_path, Settings())
        notes.append("the draft model is placed on all devices with an f16 cache of the same context")
    projector = projector_bytes(start, model)
    adapters = adapter_bytes(model) if start.program == "ollama" else 0
    if projector:
        notes.append(
            f"projector: its {format_bytes(projector)} of tensors are on the first device; its compute buffer is not known, "
            "1 GiB is kept for it, as Ollama does"
        )
    if adapters:
        notes.append(f"adapter: its {format_bytes(adapters)} of tensors are counted on the first device")
    return Extras(draft, draft_model, projector, adapters, tuple(notes))


def projector_bytes(settings: Settings, model: Model) -> int:
    """Bytes of the tensors of --mmproj, else, under Ollama, of the projectors that its manifest names."""
    named = projectors(model) if settings.program == "ollama" else ()
    if settings.mmproj is not None:
        named = (settings.mmproj,)
    return sum(tensor.data_bytes for name in named for tensor in look_model(name, expect="projector").tensors)


def projectors(model: Model) -> tuple[str, ...]:
    """The paths of the projectors that the model's manifest in Ollama's store names."""
    return _listed(model, "ollama.projectors")


def adapter_bytes(model: Model) -> int:
    """Bytes of the tensors of the adapters that Ollama's manifest names."""
    named = _listed(model, "ollama.adapters")
    return sum(tensor.data_bytes for name in named for tensor in look_model(name, expect="adapter").tensors)


def _listed(model: Model, key: str) -> tuple[str, ...]:
    paths = model.metadata.get(key)
    return tuple(str(path) for path in paths) if isinstance(paths, tuple) else ()


def on_first_device(size: int, devices: tuple[Device, ...]) -> Placement:
    """`size` bytes of weights on the first device, on the host where there is none."""
    uses = tuple(DeviceUse(d.name, size if i == 0 else 0, 0, 0, 0) for i, d in enumerate(devices))
    return Placement(uses, HostUse(0 if devices else size, 0, 0, 0), "gpu")
