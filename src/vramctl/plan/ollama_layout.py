"""Which layers Ollama puts on which GPU, by its own estimate: the two ways before it left that to llama-server.

`estimate_layers` is `EstimateGPULayers` of `llm/memory.go` (read at v0.3.7, v0.5.4, v0.6.8, v0.9.6, v0.12.10);
`build_layout` is `llamaServer.Load`, `createLayout`, `assignLayers`, `findBestFit` and `greedyFit` of
`llm/server.go` (read at v0.13.5 and v0.24.0), which places estimated sizes for models that llama.cpp runs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vramctl.plan.ollama_graph import Version

Layers = list[tuple[int, list[int]]]


@dataclass(frozen=True, slots=True)
class Load:
    """One model as the estimator sees it: weights and cache per repeating layer `[layers]`, in bytes.

    `output_bytes` is output_norm and output (token_embd where tied); `vision_bytes` (weights and graph of an encoder
    inside the model file) goes where the output goes. `projector_bytes` goes to the first GPU used.
    `requested` is num_gpu, -1 for automatic. `minimum_bytes` and `reserve_bytes` stay free on every GPU.
    """

    weights: tuple[int, ...]
    kv: tuple[int, ...]
    output_bytes: int
    vision_bytes: int
    graph_full: int
    graph_partial: int
    requested: int
    projector_bytes: int
    minimum_bytes: int
    reserve_bytes: int
    buffer_bytes: int
    spread: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Layers per GPU `[gpus][layers]` and what they take, in bytes; the output layer is the one after the last.

    `allocations` is what Ollama charges each GPU; `overflow_bytes` what found no place.
    """

    layers: tuple[tuple[int, ...], ...]
    allocations: tuple[int, ...]
    graph: tuple[int, ...]
    overflow_bytes: int


def estimate_layers(load: Load, free: tuple[int, ...], version: Version) -> Layout:
    """The layout of `EstimateGPULayers`: one layer after the other onto the GPUs in turn, while they have room.

    Before v0.7.0 layers are placed from the first to the last, later from the last to the first.
    """
    count, graph = len(load.weights), max(load.graph_full, load.graph_partial)
    first = load.weights[0] + load.kv[0]
    used = [0] * len(free)
    roomy: list[int] = []
    for gpu, bytes_free in enumerate(free):
        projector = 0 if roomy else load.projector_bytes
        if bytes_free >= load.reserve_bytes + projector + graph + load.minimum_bytes + 2 * first:
            used[gpu] = load.minimum_bytes + load.buffer_bytes + projector
            roomy.append(gpu)
    lost = 0 if roomy or version < (0, 7, 0) else load.projector_bytes
    placed: list[list[int]] = [[] for _ in free]
    done = 0
    for layer in range(count) if version < (0, 7, 0) else reversed(range(count)):
        size = load.weights[layer] + load.kv[layer]
        if 0 <= load.requested <= done:
            lost += size if version >= (0, 7, 0) else 0
            continue
        while roomy:
            slot = layer % len(roomy)
            gpu = roomy[slot]
            if free[gpu] > load.reserve_bytes + used[gpu] + graph + size:
                used[gpu] += size
                placed[gpu].append(layer)
                done += 1
                break
            del roomy[slot]
        else:
            lost += size if version >= (0, 7, 0) else 0
    if version < (0, 7, 0):
        lost += (count - done) * (load.weights[-1] + load.kv[-1])
    whole, lost = _output_layer(load, free, used, placed, roomy, done, lost, version)
    share = load.graph_full if whole else load.graph_partial
    graphs = tuple(share if layers else 0 for layers in placed)
    return Layout(
        tuple(tuple(sorted(layers)) for layers in placed),
        tuple(size + extra for size, extra in zip(used, graphs, strict=True)),
        graphs,
        lost,
    )


def _output_layer(
    load: Load,
    free: tuple[int, ...],
    used: list[int],
    placed: list[list[int]],
    roomy: list[int],
    done: int,
    lost: int,
    version: Version,
) -> tuple[bool, int]:
    """Whether everything is on GPUs, and the bytes left over, after the output layer was tried.

    Ollama counts the output layer among the bytes left over whenever a repeating layer was left, placed or not.
    """
    count, graph = len(load.weights), max(load.graph_full, load.graph_partial)
    size = load.output_bytes + load.vision_bytes
    if size <= 0:
        return done >= count, lost
    if 0 <= load.requested <= done:
        return (done >= count, lost) if version < (0, 7, 1) else (False, lost + size)
    for width in range(len(roomy), 0, -1):
        gpu = roomy[done % width]
        if free[gpu] > load.reserve_bytes + used[gpu] + graph + size:
            used[gpu] += size
            placed[gpu].append(count)
            done += 1
            break
    return (True, lost) if done >= count + 1 else (False, lost + size)


def _f32(value: float) -> float:
    """`value` rounded to a 32-bit float, as Go's float32 arithmetic rounds."""
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


def _greedy(layers: list[int], gpus: list[int], free: list[int], capacity: float, requested: int) -> Layers:
    """`greedyFit`: the layers from the last to the first onto the GPUs from the last to the first, as room lasts."""
    place = len(gpus) - 1
    out: Layers = [(gpus[place], [])]
    room = int(_f32(_f32(free[gpus[place]]) * capacity))
    for layer in reversed(range(len(layers))):
        if 0 <= requested <= len(layers) - 1 - layer:
            break
        while layers[layer] > room:
            place -= 1
            if place < 0:
                return out
            out.insert(0, (gpus[place], []))
            room = int(_f32(_f32(free[gpus[place]]) * capacity))
        out[0][1].insert(0, layer)
        room -= layers[layer]
    return out


def _count(layers: Layers) -> int:
    return sum(len(on_gpu) for _, on_gpu in layers)


def _best_fit(layers: list[int], gpus: list[int], free: list[int], requested: int, forced: bool) -> Layers:
    """`findBestFit`: the most layers at the smallest share of every GPU's room, by bisection to 1e-6.

    Ends as well where two 32-bit floats have nothing between them (a forced num_gpu far beyond the memory).
    """
    high, low = (1000.0 if requested >= 0 and forced else 1.0), 0.0
    best = _greedy(layers, gpus, free, high, requested)
    most = _count(best)
    while _f32(high - low) > 1e-6:
        middle = _f32(_f32(low + high) / 2)
        if middle in (low, high):
            break
        tried = _greedy(layers, gpus, free, middle, requested)
        if _count(tried) == most:
            high, best = middle, tried
        else:
            low = middle
    return best


def _assign(layers: list[int], order: list[int], free: list[int], load: Load, last_used: int) -> Layers:
    """`assignLayers`: all layers on as few GPUs as hold them, else the most without the output layer."""
    out: Layers = []
    for _ in range(2):
        requested = min(len(layers), load.requested)
        if load.spread:
            out = _best_fit(layers, order, free, requested, True)
        else:
            for upto in range(last_used, len(order)):
                out = _best_fit(layers, order[: upto + 1], free, requested, upto == len(order) - 1)
                if _count(out) in (len(layers), requested):
                    break
        if _count(out) == len(layers):
            return out
        layers = layers[:-1]
    return out


def build_layout(load: Load, free: tuple[int, ...]) -> Layout:
    """The layout of v0.12.11 to v0.24 for a model that llama.cpp runs: balanced over as few GPUs as hold it.

    One layer's bytes are kept free on every GPU, the projector's on the first; the graph is charged to a GPU as
    soon as a layout uses it, until no further GPU joins.
    """
    sizes = [w + c for w, c in zip(load.weights, load.kv, strict=True)] + [load.output_bytes]
    room = [max(bytes_free - load.buffer_bytes, 0) for bytes_free in free]
    if room:
        room[0] = max(room[0] - load.projector_bytes, 0)
    order = sorted(range(len(room)), key=lambda gpu: room[gpu], reverse=True)
    graph = [0] * len(room)
    assigned: Layers = []
    while room:
        before = len(assigned)
        reserved = [load.minimum_bytes + load.reserve_bytes + extra for extra in graph]
        left = [max(size - held, 0) for size, held in zip(room, reserved, strict=True)]
        last_used = max((place for place, gpu in enumerate(order) if graph[gpu]), default=0)
        assigned = _assign(sizes, order, left, load, last_used)
        if len(assigned) <= before:
            break
        for gpu, _ in assigned:
            graph[gpu] = max(load.graph_full, load.graph_partial)
    share = load.graph_full if _count(assigned) == len(sizes) else load.graph_partial
    layers: list[tuple[int, ...]] = [()] * len(free)
    graphs = [0] * len(free)
    for gpu, on_gpu in assigned:
        layers[gpu], graphs[gpu] = tuple(on_gpu), share
    weights = [sum(sizes[layer] for layer in on_gpu) for on_gpu in layers]
    placed = {layer for on_gpu in layers for layer in on_gpu}
    return Layout(
        tuple(layers),
        tuple(size + extra for size, extra in zip(weights, graphs, strict=True)),
        tuple(graphs),
        sum(size for layer, size in enumerate(sizes) if layer not in placed),
    )
