"""Which layer goes to which GPU.

Follows src/llama-model.cpp `load_tensors` (`get_layer_buft_list`) and `llama_prepare_model_devices` of llama.cpp
0c1e57098 and b11434: the output layer counts as the last and is offloaded first, the input stays on the host,
the others are cut by the cumulated shares, in 32-bit floats.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from vramctl.records import Device, Settings

HOST = -1


@dataclass(frozen=True, slots=True)
class LayerSplit:
    """The GPU (index into the devices, HOST for none) of each layer and of the output layer."""

    layers: tuple[int, ...]
    output: int
    used: tuple[int, ...]
    full: bool

    @property
    def on_gpu(self) -> int:
        """How many layers are on GPUs, the output layer among them, as llama.cpp counts."""
        return sum(place != HOST for place in (*self.layers, self.output))


def _f32(value: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _bounds(shares: Sequence[float]) -> list[float]:
    total, sums = 0.0, []
    for share in shares:
        total = _f32(total + _f32(share))
        sums.append(total)
    return [_f32(s / total) for s in sums]


def layer_split(layers: int, settings: Settings, devices: Sequence[Device]) -> LayerSplit:
    """Where each of the `layers` blocks and the output layer go.

    `n_gpu_layers` below zero means all. Split mode none uses `main_gpu` alone (none if it is below zero).
    """
    used = tuple(range(len(devices)))
    if settings.split_mode == "none" and used:
        main = settings.main_gpu or 0
        used = (main,) if 0 <= main < len(devices) else ()
    wanted = layers + 1 if settings.n_gpu_layers is None or settings.n_gpu_layers < 0 else settings.n_gpu_layers
    if not used:
        return LayerSplit((HOST,) * layers, HOST, (), wanted > layers)
    shares = [(settings.tensor_split or ())[i : i + 1] for i in range(len(used))]
    weights = [s[0] if s else 0.0 for s in shares]
    if not any(weights):
        weights = [float(devices[i].free_bytes) for i in used]
    bounds = _bounds(weights)
    first, active = max(layers + 1 - wanted, 0), min(wanted, layers + 1)

    def place(layer: int) -> int:
        if layer < first or layer - first >= active:
            return HOST
        at = _f32(_f32(layer - first) / active)
        return used[next((i for i, bound in enumerate(bounds) if at < bound), len(used) - 1)]

    return LayerSplit(tuple(place(i) for i in range(layers)), place(layers), used, wanted > layers)
