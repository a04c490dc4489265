"""How Ollama's own estimator would place a GGUF model, for the releases that had one (v0.3 to v0.24).

Three eras: `estimate` (to v0.12.10: `llm/memory.go`), `layout` (v0.12.11 to v0.24: `llm/server.go`) and `llama-server`
(from v0.30: see `ollama_server.py`).  Models that Ollama's own engine runs were measured by that engine from
v0.11.11 on; nothing but that engine knows those figures, so the answer for them is Unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from vramctl.plan.ollama_graph import Graph, Version, graph_size, group_layers, layer_bytes, vision_size
from vramctl.plan.ollama_layout import Layout, Load, build_layout, estimate_layers
from vramctl.records import Device, DeviceUse, HostUse, Model, Placement, Settings, Unknown
from vramctl.units import GIB, MIB

Era = Literal["estimate", "layout", "llama-server"]

_MINIMUM_BYTES = {"cpu": 0, "metal": 512 * MIB}
_CUDA_MINIMUM_BYTES = 457 * MIB
_OWN_ENGINE: tuple[tuple[Version, frozenset[str]], ...] = (
    (
        (0, 11, 11),
        frozenset({"gemma3", "gemma3n", "gpt-oss", "gptoss", "llama4", "mistral3", "mllama", "qwen25vl"}),
    ),
    ((0, 12, 6), frozenset({"qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe"})),
    ((0, 13, 3), frozenset({"bert", "deepseek2", "deepseekocr", "nomic-bert", "olmo3"})),
    (
        (0, 17, 0),
        frozenset(
            {
                "gemma4", "glm4moelite", "glmocr", "laguna", "lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe",
                "nemotron_h_omni", "qwen35", "qwen35moe", "qwen3next",
            }
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OllamaEstimate:
    """Ollama's figures for one load, all in bytes, as its log prints them.

    `layers_per_device` counts repeating layers and the output layer. `allocations` is `memory.required.allocations`;
    `required_full_bytes` adds what found no place. In the layout era, which prints no `required` line, both are
    the sums that the `model weights`, `kv cache` and `compute graph` lines add up to.
    `placement` shows the same bytes by kind; its overhead is what Ollama keeps free (457 MiB on CUDA and one
    layer's size), which only the estimate era charges to the device.
    """

    version: str
    era: Era
    layers_on_gpu: int
    layers_total: int
    layers_per_device: tuple[int, ...]
    allocations: tuple[int, ...]
    required_full_bytes: int
    required_partial_bytes: int
    kv_bytes: int
    graph_full_bytes: int
    graph_partial_bytes: int
    weights_repeating_bytes: int
    weights_nonrepeating_bytes: int
    placement: Placement
    because: tuple[str, ...]


def parse_version(text: str) -> Version:
    """The release of `v0.12.10` or `0.33.0-rc2` as three numbers; ValueError for anything else."""
    match = re.match(r"^v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an Ollama version such as 0.12.10")
    return int(match[1]), int(match[2]), int(match[3])


def ollama_era(version: str) -> Era:
    """Who places layers in this release: `EstimateGPULayers`, `createLayout` or llama-server's `--fit`."""
    release = parse_version(version)
    if release < (0, 12, 11):
        return "estimate"
    return "layout" if release < (0, 30, 0) else "llama-server"


def default_num_ctx(version: str, total_bytes: int) -> int:
    """The tokens per sequence that this release takes where nobody asks, on GPUs of `total_bytes` together.

    2048 before v0.6.7 (`api/types.go`), 4096 before v0.17 (`envconfig/config.go`), then by total memory
    (`server/routes.go`, read at v0.17.0 and v0.33.0-rc2).
    """
    release = parse_version(version)
    if release < (0, 17, 0):
        return 2048 if release < (0, 6, 7) else 4096
    if total_bytes >= 47 * GIB:
        return 262144
    return 32768 if total_bytes >= 23 * GIB else 4096


def runs_in_own_engine(architecture: str, version: str) -> bool:
    """Whether Ollama's own engine, not llama.cpp, runs this architecture and measures it (v0.11.11 to v0.24).

    `OllamaEngineRequired` of `fs/ggml/ggml.go` at v0.11.10, v0.12.10, v0.13.5 and v0.24.0; the releases between are
    taken to agree with the next older list.
    """
    release = parse_version(version)
    if release >= (0, 30, 0):
        return False
    return any(release >= since and architecture in names for since, names in _OWN_ENGINE)


def _flash(settings: Settings, model: Model, release: Version) -> bool:
    """Whether the estimator reckons with flash attention: as asked, else by the model since v0.11.8."""
    key, value = model.meta("attention.key_length"), model.meta("attention.value_length")
    if model.meta("pooling_type") is not None or model.architecture == "gemma2" or key != value:
        return False
    if settings.flash_attn in ("on", "off"):
        return settings.flash_attn == "on"
    on_by_default = {"gptoss", "gpt-oss"} if release < (0, 12, 4) else {
        "gemma3", "gptoss", "gpt-oss", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe",
    }  # fmt: skip
    return release >= (0, 11, 8) and model.architecture in on_by_default


def _graph(model: Model, settings: Settings, release: Version, devices: int, metal: bool) -> Graph | Unknown:
    """The graph and cache figures after the corrections of the caller of `GraphSize`."""
    parallel, context = settings.n_parallel or 1, settings.n_ctx or 0
    if (0, 7, 1) <= release < (0, 11, 5) or (settings.mmproj is not None and release < (0, 11, 5)):
        context = max(context, 2048)
    batch = settings.n_batch or 512
    if model.meta("pooling_type") is not None and release >= (0, 12, 11):
        batch = max(batch, context // parallel)
    flash = _flash(settings, model, release)
    graph = graph_size(
        model,
        version=release,
        context=context,
        batch=min(context if release < (0, 11, 5) else context // parallel, batch),
        parallel=parallel,
        kv_type=settings.type_k or "f16" if flash else "f16",
        flash=flash,
    )
    if isinstance(graph, Unknown):
        return graph
    if metal:
        return Graph(graph.kv_bytes, graph.full_bytes, graph.full_bytes)
    if devices > 1 and release < (0, 12, 11):
        return Graph(graph.kv_bytes, graph.partial_bytes, graph.partial_bytes)
    return graph


def _load(
    model: Model, graph: Graph, settings: Settings, kind: str, release: Version, projector: int, reserve: int
) -> Load | Unknown:
    """The load as the estimator sees it; an encoder inside the file goes with the output layer since v0.7.1."""
    groups = group_layers(model)
    weights = tuple(layer_bytes(groups.get(f"blk.{layer}")) for layer in range(len(graph.kv_bytes)))
    if not weights[0]:
        return Unknown("the file has no tensors named blk.0, so Ollama's estimator knows no layer size")
    output = groups.get("output") or groups.get("token_embd")
    requested = settings.n_gpu_layers
    vision = sum(vision_size(model)) if not projector and (0, 6, 0) <= release < (0, 12, 11) else 0
    if release < (0, 7, 1):
        projector, vision = projector + vision, 0
    return Load(
        weights=weights,
        kv=graph.kv_bytes,
        output_bytes=layer_bytes(groups.get("output_norm")) + layer_bytes(output),
        vision_bytes=vision,
        graph_full=graph.full_bytes,
        graph_partial=graph.partial_bytes,
        requested=-1 if requested is None else requested,
        projector_bytes=projector,
        minimum_bytes=_MINIMUM_BYTES.get(kind, _CUDA_MINIMUM_BYTES),
        reserve_bytes=reserve,
        buffer_bytes=weights[0] + graph.kv_bytes[0],
    )


def _smallest_set(free: tuple[int, ...], release: Version) -> list[tuple[int, ...]]:
    """The sets of GPUs that are tried for a full fit, in order: the freest first, then more; all of them last."""
    order = sorted(range(len(free)), key=lambda gpu: free[gpu], reverse=True)
    if release < (0, 11, 5):
        single: list[tuple[int, ...]] = [(gpu,) for gpu in order]
        return [*single, tuple(order)] if len(order) > 1 else single
    return [tuple(order[: count + 1]) for count in range(len(order))]


def _estimate_era(
    model: Model, settings: Settings, devices: tuple[Device, ...], release: Version, projector: int, reserve: int
) -> tuple[Layout, Load] | Unknown:
    """The layout on the smallest set of GPUs that holds the whole model, else on all of them."""
    free = tuple(device.free_bytes for device in devices)
    kind = devices[0].backend if devices else "cpu"
    tried = [*_smallest_set(free, release), tuple(range(len(free)))]
    found: tuple[Layout, Load] | None = None
    for chosen in tried:
        graph = _graph(model, settings, release, len(chosen), kind == "metal")
        if isinstance(graph, Unknown):
            return graph
        load = _load(model, graph, settings, kind, release, projector, reserve)
        if isinstance(load, Unknown):
            return load
        found = _spread(estimate_layers(load, tuple(free[gpu] for gpu in chosen), release), chosen, len(free)), load
        if sum(map(len, found[0].layers)) >= len(load.weights) + 1:
            break
    return found if found is not None else Unknown("no device was given")


def _spread(layout: Layout, chosen: tuple[int, ...], devices: int) -> Layout:
    """The layout of some GPUs as a layout of all of them."""
    layers: list[tuple[int, ...]] = [()] * devices
    allocations, graph = [0] * devices, [0] * devices
    for place, gpu in enumerate(chosen):
        layers[gpu], allocations[gpu], graph[gpu] = layout.layers[place], layout.allocations[place], layout.graph[place]
    return Layout(tuple(layers), tuple(allocations), tuple(graph), layout.overflow_bytes)


def _placement(layout: Layout, load: Load, devices: tuple[Device, ...]) -> Placement:
    """The layout's bytes by kind; what is on no GPU is on the host."""
    sizes, caches = (*load.weights, load.output_bytes), (*load.kv, 0)
    uses = []
    for device, layers, allocated, graph in zip(devices, layout.layers, layout.allocations, layout.graph, strict=True):
        weights, kv = sum(sizes[layer] for layer in layers), sum(caches[layer] for layer in layers)
        uses.append(DeviceUse(device.name, weights, kv, graph, allocated - weights - kv - graph))
    placed = {layer for layers in layout.layers for layer in layers}
    rest = [layer for layer in range(len(sizes)) if layer not in placed]
    host = HostUse(sum(sizes[layer] for layer in rest), sum(caches[layer] for layer in rest), 0, 0)
    everything = "mixed" if rest and placed else "gpu" if placed else "cpu"
    return Placement(tuple(uses), host, everything)


def ollama_estimate(
    model: Model,
    settings: Settings,
    devices: tuple[Device, ...],
    *,
    version: str,
    projector_bytes: int = 0,
    reserve_bytes: int = 0,
) -> OllamaEstimate | Unknown:
    """What this release of Ollama expects to put where, in bytes; Unknown where no formula of Ollama's says it.

    `settings.n_ctx` counts all sequences (num_ctx x num_parallel), `n_gpu_layers` is num_gpu. `projector_bytes` is the
    sum of the projector file's tensors, `reserve_bytes` OLLAMA_GPU_OVERHEAD.
    Read from `llm/memory.go` and `llm/server.go` at the tags that `ollama_layout.py` names.
    """
    era, release = ollama_era(version), parse_version(version)
    if era == "llama-server":
        return Unknown(f"Ollama {version} has no estimator of its own: llama-server's --fit places the layers")
    if runs_in_own_engine(model.architecture, version):
        return Unknown(
            f"Ollama {version} runs {model.architecture} in its own engine, which measures itself while loading"
        )
    if not devices:
        return Unknown("no device was given")
    if settings.n_ctx is None:
        per_sequence = default_num_ctx(version, sum(device.total_bytes for device in devices))
        if not isinstance(model.train_ctx, Unknown):
            per_sequence = min(per_sequence, model.train_ctx)
        settings = replace(settings, n_ctx=per_sequence * (settings.n_parallel or 1))
    if era == "estimate":
        answer = _estimate_era(model, settings, devices, release, projector_bytes, reserve_bytes)
        if isinstance(answer, Unknown):
            return answer
        layout, load = answer
        source = "llm/memory.go EstimateGPULayers, GraphSize (read at v0.12.10 and earlier tags)"
    else:
        graph = _graph(model, settings, release, len(devices), devices[0].backend == "metal")
        if isinstance(graph, Unknown):
            return graph
        built = _load(model, graph, settings, devices[0].backend, release, projector_bytes, reserve_bytes)
        if isinstance(built, Unknown):
            return built
        load, layout = built, build_layout(built, tuple(device.free_bytes for device in devices))
        source = "llm/server.go createLayout, GraphSize (read at v0.13.5 and v0.24.0)"
    return _record(version, era, layout, load, devices, source)


def _record(
    version: str, era: Era, layout: Layout, load: Load, devices: tuple[Device, ...], source: str
) -> OllamaEstimate:
    per_device = tuple(len(layers) for layers in layout.layers)
    return OllamaEstimate(
        version=version,
        era=era,
        layers_on_gpu=sum(per_device),
        layers_total=len(load.weights) + 1,
        layers_per_device=per_device,
        allocations=layout.allocations,
        required_full_bytes=sum(layout.allocations) + layout.overflow_bytes,
        required_partial_bytes=sum(layout.allocations),
        kv_bytes=sum(load.kv),
        graph_full_bytes=load.graph_full,
        graph_partial_bytes=load.graph_partial,
        weights_repeating_bytes=sum(load.weights),
        weights_nonrepeating_bytes=load.output_bytes,
        placement=_placement(layout, load, devices),
        because=(source, "Ollama's graph is its own polynomial: llama.cpp allocates another, mostly smaller, buffer"),
    )
