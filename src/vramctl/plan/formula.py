"""The placement by formula: for engines that are not installed, and as a check of those that are.

No engine is asked. Weights and caches follow llama.cpp's rules; the compute buffer comes from the engine's own graph,
scheduler and allocator, re-implemented (`graph_*.py`, docs/formulas-llama-cpp.md). What is not known stays Unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vramctl.plan.compute import ComputePlan, plan_compute
from vramctl.plan.graph_hparams import MAX_LAYERS, Hparams, hparams
from vramctl.plan.kv_cache import cells, kv_bytes
from vramctl.plan.layer_split import HOST, layer_split
from vramctl.plan.weights import PlacedTensor, place_weights, weights_bytes
from vramctl.records import Device, DeviceUse, HostUse, Model, Placement, Settings, Unknown

FormulaBuild = Literal["0c1e57098", "b11549"]
_OVERHEAD = Unknown("the driver's context and pools are outside the engine's accounting")


@dataclass(frozen=True, slots=True)
class FormulaPlacement:
    """A placement by formula.

    `exact` says whether all figures are known and their rules were equal, to the byte, to what llama.cpp itself reported
    for this architecture on CUDA (benchmarks/results). `because` names the upstream files, the version, and what is not
    known.
    """

    placement: Placement
    layers_on_gpu: int | Unknown
    exact: bool
    because: tuple[str, ...]


def formula_placement(
    model: Model, settings: Settings, devices: tuple[Device, ...], *, build: FormulaBuild = "b11549"
) -> FormulaPlacement:
    """Where each byte of a GGUF would go. `settings` must be resolved; `devices` are in the engine's order.

    `build` is the llama.cpp to follow: 0c1e57098 (llama-cpp-python 0.3.36) or b11549 (xllamacpp 2026.10.11549).
    """
    if settings.split_mode == "row" and len(devices) > 1:
        return _unknown(Unknown("no formula for split mode row"), devices)
    if model.layers > MAX_LAYERS:
        return _unknown(
            Unknown(f"llama.cpp takes at most {MAX_LAYERS} layers; the header says {model.layers}"), devices
        )
    split = layer_split(model.layers, settings, devices)
    placed = place_weights(model, settings, devices, split)
    hp = hparams(model)
    if isinstance(hp, Unknown):
        kv: tuple[int, ...] | Unknown = hp
        compute: ComputePlan | Unknown = hp
    else:
        kv = kv_bytes(hp, settings, split, len(devices))
        compute = plan_compute(hp, settings, split, placed, devices, newer=build == "b11549")
    placement = _placement(hp, settings, devices, placed, kv, compute)
    known = not isinstance(kv, Unknown) and not isinstance(compute, Unknown)
    # No CUDA kernel attends over an iq4_nl cache; that part was measured up to 6 % off (MLA, gpt-oss).
    fitting = "iq4_nl" not in (settings.type_k, settings.type_v)
    exact = known and fitting and all(device.backend == "cuda" for device in devices)
    return FormulaPlacement(placement, split.on_gpu, exact, _because(build, kv, compute, devices))


def _part(sizes: tuple[int, ...] | Unknown, index: int) -> int | Unknown:
    return sizes if isinstance(sizes, Unknown) else sizes[index]


def _placement(
    hp: Hparams | Unknown, settings: Settings, devices: tuple[Device, ...], placed: tuple[PlacedTensor, ...],
    kv: tuple[int, ...] | Unknown, compute: ComputePlan | Unknown,
) -> Placement:  # fmt: skip
    sizes = compute if isinstance(compute, Unknown) else compute.sizes
    uses = tuple(
        DeviceUse(device.name, weights_bytes(placed, i), _part(kv, i), _part(sizes, i), _OVERHEAD)
        for i, device in enumerate(devices)
    )
    logits = hp if isinstance(hp, Unknown) else 4 * hp.vocab * cells(hp, settings).sequences
    host = HostUse(weights_bytes(placed, HOST), _part(kv, -1), _part(sizes, -1), logits)
    return Placement(uses, host, compute if isinstance(compute, Unknown) else compute.kv_operations)


def _because(
    build: FormulaBuild, kv: tuple[int, ...] | Unknown, compute: ComputePlan | Unknown, devices: tuple[Device, ...]
) -> tuple[str, ...]:
    lines = [
        f"weights: src/llama-model.cpp and src/llama-model-loader.cpp of llama.cpp {build}",
        f"KV cache: {kv.reason}" if isinstance(kv, Unknown) else f"KV cache: src/llama-kv-cache.cpp of {build}",
    ]
    if isinstance(compute, Unknown):
        lines.append(f"compute: {compute.reason}")
    else:
        lines.append(
            f"compute: src/llama-graph.cpp, src/models, ggml-alloc.c and ggml-backend.cpp of {build}, re-implemented"
        )
    strange = sorted({device.backend for device in devices} - {"cuda"})
    if strange:
        lines.append(f"the size rules are CUDA's; {', '.join(strange)} may pad and split otherwise")
    return tuple(lines)


def _unknown(why: Unknown, devices: tuple[Device, ...]) -> FormulaPlacement:
    uses = tuple(DeviceUse(device.name, why, why, why, _OVERHEAD) for device in devices)
    return FormulaPlacement(Placement(uses, HostUse(why, why, why, why), why), why, False, (why.reason,))
