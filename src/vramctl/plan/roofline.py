"""How fast decoding can be at most: every active byte is read once per token, at the memory's bandwidth.

An upper bound, no forecast: published decode speeds reach 25 to 91 % of it (small models and fast memory least).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vramctl.plan.graph_hparams import hparams
from vramctl.plan.graph_tensor import row_bytes
from vramctl.plan.kv_cache import layer_caches
from vramctl.plan.layer_split import HOST, LayerSplit, layer_split
from vramctl.plan.weights import PlacedTensor, place_weights
from vramctl.records import Device, Model, Settings, Unknown

EXPERTS = re.compile(r"_(?:ch)?exps(?:\.|$)")
_INPUT = re.compile(r"^(?:token_embd|position_embd|token_types|per_layer_token_embd)\.weight$")


@dataclass(frozen=True, slots=True)
class Reads:
    """Bytes that one decoded token reads on each device, by the device's name (`host` for system memory)."""

    weights_bytes: Mapping[str, int]
    kv_bytes: Mapping[str, int]

    def on(self, name: str) -> int:
        """Both together on one device, in bytes."""
        return self.weights_bytes.get(name, 0) + self.kv_bytes.get(name, 0)

    @property
    def names(self) -> tuple[str, ...]:
        """Devices that are read from."""
        return tuple(dict.fromkeys((*self.weights_bytes, *self.kv_bytes)))


@dataclass(frozen=True, slots=True)
class Bound:
    """The most tokens per second that memory allows, and where most of the time goes (`bound_by`: a device's memory)."""

    tokens_per_second: float
    bound_by: str
    seconds_by_device: Mapping[str, float]


def decode_reads(model: Model, settings: Settings, devices: Sequence[Device], depth: int) -> Reads | Unknown:
    """What one token reads with `depth` tokens in its cache: weights in use (of experts a token's share), its KV rows.

    Input embeddings are looked up by row and not counted; a tied output matrix is.
    """
    split = layer_split(model.layers, settings, devices)
    names = {HOST: "host", **{index: device.name for index, device in enumerate(devices)}}
    share = expert_share(model)
    if isinstance(share, Unknown):
        return share
    weights: dict[str, int] = {}
    for placed in used_weights(model, settings, devices, split):
        name = placed.tensor.name
        size = placed.tensor.data_bytes
        size = int(size * share) if EXPERTS.search(name) else size
        weights[names[placed.device]] = weights.get(names[placed.device], 0) + size
    kv = _kv_reads(model, settings, split, names, depth)
    return kv if isinstance(kv, Unknown) else Reads(weights, kv)


def used_weights(
    model: Model, settings: Settings, devices: Sequence[Device], split: LayerSplit
) -> Iterator[PlacedTensor]:
    """Every weight that is read in full, where it is: not the input embeddings, which are looked up by row.

    A tied output matrix comes once, where the output layer is.
    """
    tied, told = _tied(model), False
    for placed in place_weights(model, settings, devices, split):
        if _INPUT.match(placed.tensor.name):
            output = tied and placed.tensor.name == "token_embd.weight" and placed.device == split.output
            if told or not output:
                continue
            told = True
        yield placed


def decode_bound(reads: Reads, bandwidths: Mapping[str, float | Unknown]) -> Bound | Unknown:
    """The bound for these reads at each device's bandwidth in bytes per second; layers run one after the other."""
    seconds: dict[str, float] = {}
    for name in reads.names:
        if reads.on(name) == 0:
            continue
        bandwidth = bandwidths.get(name, Unknown(f"the bandwidth of {name} is not known"))
        if isinstance(bandwidth, Unknown):
            return bandwidth
        if bandwidth <= 0:
            return Unknown(f"the bandwidth of {name} is {bandwidth}")
        seconds[name] = reads.on(name) / bandwidth
    if not seconds:
        return Unknown("nothing is read")
    slowest = max(seconds, key=lambda name: seconds[name])
    return Bound(1 / sum(seconds.values()), f"memory bandwidth of {slowest}", seconds)


def _tied(model: Model) -> bool:
    return not any(tensor.name == "output.weight" for tensor in model.tensors)


def expert_share(model: Model) -> float | Unknown:
    """The share of the experts' bytes that one token reads; 1 for models without."""
    count, used = model.meta("expert_count"), model.meta("expert_used_count")
    if not isinstance(count, int) or count <= 0:
        return 1.0
    if not isinstance(used, int) or not 0 < used <= count:
        return Unknown("the header does not say how many experts a token uses")
    return used / count


def _kv_reads(
    model: Model, settings: Settings, split: LayerSplit, names: Mapping[int, str], depth: int
) -> dict[str, int] | Unknown:
    found = hparams(model)
    if isinstance(found, Unknown):
        return found
    caches = layer_caches(found, settings, split)
    if isinstance(caches, Unknown):
        return caches
    k_type, v_type = (settings.type_k or "f16").upper(), (settings.type_v or "f16").upper()
    kv: dict[str, int] = {}
    for cache in caches:
        if cache is None:
            continue
        rows = min(depth, cache.cells)
        row = (row_bytes(k_type, cache.k_width) if cache.k_width else 0) + (
            row_bytes(v_type, cache.v_width) if cache.v_width else 0
        )
        state = 4 * (cache.conv_state + cache.scan_state)
        kv[names[cache.device]] = kv.get(names[cache.device], 0) + rows * row + state
    return kv
