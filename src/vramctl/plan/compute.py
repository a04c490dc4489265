"""The compute buffer of each device: the reserved prompt graph, run through ggml's scheduler and allocator.

Follows src/llama-context.cpp `sched_reserve` and `graph_reserve` of llama.cpp 0c1e57098 and b11434. The graphs are in
`graph_*.py`; an architecture without one is Unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from vramctl.ggml_types import QUANTISED
from vramctl.plan import graph_delta, graph_dense, graph_gemma4, graph_latent, graph_recurrent
from vramctl.plan import graph_tensor as g
from vramctl.plan.graph_alloc import Arena, buffer_sizes
from vramctl.plan.graph_build import Batch, Builder, Graph, NoGraph, Options
from vramctl.plan.graph_fusion import kept_tensors
from vramctl.plan.graph_hparams import Hparams
from vramctl.plan.graph_sched import Scheduler, schedule
from vramctl.plan.kv_cache import Cells, LayerCache, cells, layer_caches, values_transposed
from vramctl.plan.layer_split import LayerSplit
from vramctl.plan.weights import GPU_ALIGNMENT, HOST_ALIGNMENT, PlacedTensor, has_overrides
from vramctl.records import Device, Settings, Unknown

GRAPHS: dict[str, Callable[[Builder], Graph]] = {
    "llama": graph_dense.plain, "qwen2": graph_dense.plain, "qwen3": graph_dense.plain,
    "qwen3moe": graph_dense.plain, "gemma2": graph_dense.gemma, "gemma3": graph_dense.gemma,
    "gpt-oss": graph_dense.gpt_oss, "deepseek2": graph_latent.deepseek2,
    "granitehybrid": graph_recurrent.granite_hybrid, "falcon-h1": graph_recurrent.falcon_h1,
    "lfm2": graph_recurrent.lfm2, "lfm2moe": graph_recurrent.lfm2,
    "mamba": graph_recurrent.mamba, "mamba2": graph_recurrent.mamba, "jamba": graph_recurrent.jamba,
    "nemotron_h": graph_recurrent.nemotron_h, "nemotron_h_moe": graph_recurrent.nemotron_h,
    "qwen3next": graph_delta.delta_net, "qwen35": graph_delta.delta_net, "qwen35moe": graph_delta.delta_net,
    "phi3": graph_dense.phi3, "phimoe": graph_dense.phi3, "cohere2": graph_dense.cohere2,
    "glm4moe": graph_dense.glm4_moe, "llama4": graph_dense.llama4, "gemma4": graph_gemma4.gemma4,
}  # fmt: skip
_MAX_COPIES = 4  # ggml-backend.cpp: GGML_SCHED_MAX_COPIES


def _weight_leaves(placed: Sequence[PlacedTensor]) -> dict[str, g.Node]:
    leaves: dict[str, g.Node] = {}
    for p in placed:
        node = g.leaf(p.tensor.type, p.tensor.shape, home=p.device, weight=True)
        node.name = p.tensor.name
        if p.tensor.name.startswith("rope_"):
            leaves[f"{p.tensor.name}@{p.device}"] = node
        elif p.tensor.name == "token_embd.weight" and p.tensor.name in leaves:
            leaves["output.weight"] = node
        else:
            leaves[p.tensor.name] = node
    if "output.weight" not in leaves and "token_embd.weight" in leaves:
        leaves["output.weight"] = leaves["token_embd.weight"]
    return leaves


def _batches(settings: Settings, count: Cells) -> tuple[Batch, Batch]:
    """The prompt's micro-batch and one token per sequence: the graphs that a context reserves."""
    tokens = min(count.n_ctx, count.n_ubatch)
    outputs = min(tokens, settings.n_outputs_max or count.n_batch)
    tokens = -(-tokens // count.sequences) * count.sequences
    each = count.sequences
    return Batch(tokens, each, outputs), Batch(each, each, each)


def pipeline_copies(settings: Settings, split: LayerSplit) -> int:
    """How many copies of the inputs the scheduler keeps: 4 for pipeline parallelism, else 1."""
    pipelined = (
        len(split.used) > 1 and split.full and settings.split_mode in (None, "layer")
        and settings.offload_kqv is not False and not has_overrides(settings)
    )  # fmt: skip
    return _MAX_COPIES if pipelined else 1


def _vector_tokens(device: Device) -> int:
    """How many tokens a quantised cache is still read without F16 copies for (fattn.cu)."""
    capability = device.compute_capability
    if isinstance(capability, Unknown):
        return 1
    major, _, minor = capability.partition(".")
    return 2 if major.isdigit() and (int(major), int(minor or 0)) >= (8, 9) else 1


@dataclass(frozen=True, slots=True)
class ComputePlan:
    """Bytes of each GPU's compute buffer and, last, the host's.

    `flash` is whether flash attention runs; `kv_operations` where attention over the cache runs in decoding: gpu, cpu
    or mixed.
    """

    sizes: tuple[int, ...]
    flash: bool
    kv_operations: str


class _Planner:
    """Builds and places the graphs of one context."""

    def __init__(self, hp: Hparams, settings: Settings, split: LayerSplit, placed: Sequence[PlacedTensor],
                 devices: Sequence[Device], caches: Sequence[LayerCache | None]) -> None:  # fmt: skip
        self.hp, self.settings, self.split, self.placed = hp, settings, split, placed
        self.devices, self.caches = devices, caches
        self.count = cells(hp, settings)
        self.gpus = len(devices)

    def options(self, *, flash: bool, newer: bool, pins: bool) -> Options:
        settings = self.settings
        return Options(
            flash=flash, values_transposed=values_transposed(settings), unified=self.count.streams == 1,
            offload_kqv=settings.offload_kqv is not False, type_k=(settings.type_k or "f16").upper(),
            type_v=(settings.type_v or "f16").upper(), full_offload=self.split.full, newer=newer, pins=pins,
        )  # fmt: skip

    def build(self, batch: Batch, options: Options) -> tuple[Graph, list[tuple[int, g.Node]]]:
        """The graph, and its attention operations with their layers."""
        weights = _weight_leaves(self.placed)
        builder = Builder(self.hp, batch, options, self.count, weights, self.caches, self.split.layers, self.gpus)
        return GRAPHS[self.hp.arch](builder), builder.attended

    def scheduler(self) -> Scheduler:
        settings, used = self.settings, self.split.used
        return Scheduler(self.gpus, offload_to=used[0] if used and settings.op_offload is not False else None,
                         copies=pipeline_copies(settings, self.split))  # fmt: skip

    def flash(self, options: Options) -> bool:
        """What `auto` resolves to: on for a quantised V, else off where the operation leaves its layer's device."""
        if self.settings.flash_attn != "auto" or options.type_v in QUANTISED:
            return self.settings.flash_attn != "off"
        each = self.count.sequences
        graph, attended = self.build(Batch(each, each, each), options)
        self.scheduler().assign(graph.nodes, graph.leaves)
        layers = self.split.layers
        return all(node.device == (self.gpus if layers[i] < 0 else layers[i]) for i, node in attended)

    def sizes(self, batch: Batch, options: Options, *, fusion: bool) -> tuple[tuple[int, ...], set[int]]:
        """Bytes per buffer, and the devices that attention runs on."""
        graph, attended = self.build(batch, options)
        optimise = partial(kept_tensors, newer=options.newer) if fusion else None
        nodes, leaves = schedule(graph.nodes, graph.leaves, self.scheduler(), optimise)
        arenas = {i: Arena(GPU_ALIGNMENT) for i in range(self.gpus)} | {self.gpus: Arena(HOST_ALIGNMENT)}
        rules: dict[int, Callable[[g.Node], int]] = {self.gpus: g.Node.data_bytes}
        for i, device in enumerate(self.devices):
            rules[i] = partial(g.device_bytes, vector_tokens=_vector_tokens(device))
        found = buffer_sizes(nodes, leaves, arenas, rules)
        return tuple(found[i] for i in range(self.gpus + 1)), {node.device or 0 for _, node in attended}


def plan_compute(
    hp: Hparams, settings: Settings, split: LayerSplit, placed: Sequence[PlacedTensor], devices: Sequence[Device], *,
    newer: bool = True, fusion: bool = True, pins: bool = True,
) -> ComputePlan | Unknown:  # fmt: skip
    """The compute buffers of a context; Unknown for an architecture without a graph here.

    `newer` is for xllamacpp's b11549, otherwise 0c1e57098. `fusion` and `pins` are what llama.cpp's own no_alloc mode
    leaves out: CUDA's graph optimiser, and norms kept on their layer's device.
    """
    if hp.arch not in GRAPHS:
        return Unknown(f"no formula for the compute graph of {hp.arch}")
    caches = layer_caches(hp, settings, split)
    if isinstance(caches, Unknown):
        return caches
    planner = _Planner(hp, settings, split, placed, devices, caches)
    try:
        flash = planner.flash(planner.options(flash=True, newer=newer, pins=True))
        if not flash and (settings.type_v or "f16").upper() in QUANTISED:
            return Unknown("llama.cpp refuses a quantised V cache without flash attention")
        options = planner.options(flash=flash, newer=newer, pins=pins)
        prompt, token = _batches(settings, planner.count)
        largest, _ = planner.sizes(prompt, options, fusion=fusion)
        decode, where = planner.sizes(token, options, fusion=fusion)
    except NoGraph as missing:
        return Unknown(f"{missing}, which the graph of {hp.arch} needs")
    except (ZeroDivisionError, IndexError, KeyError) as error:
        return Unknown(f"the header's sizes make no graph of {hp.arch} ({error!r})")
    found = tuple(max(a, b) for a, b in zip(largest, decode, strict=True))
    host = planner.gpus
    place = "cpu" if where <= {host} else "gpu" if host not in where else "mixed"
    return ComputePlan(found, flash, place)
