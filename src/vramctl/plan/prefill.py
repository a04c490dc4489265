"""How fast a prompt can be computed at most: the operations of its matrix products, and one reading of the weights a ubatch.

An upper bound: what is left out (norms, states of recurrent layers, copies, attention with compressed keys) takes time too.
Only the last token's logits are asked for, as `llama_batch_get_one` means it: the output matrix and the last layer's
feed-forward part are computed for one token a batch (`inp_out_ids` in src/models/*.cpp, llama.cpp b11434).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vramctl.plan.graph_hparams import Hparams, hparams
from vramctl.plan.layer_split import HOST, LayerSplit, layer_split
from vramctl.plan.roofline import EXPERTS, Bound, expert_share, used_weights
from vramctl.records import Device, Model, Settings, Tensor, Unknown

ATTENTION = (
    "attention"  # products of keys and values, in kernels of their own: never measured, taken as fast as the fastest
)
_ATTENTION_ON_GPU = "F16"  # what those kernels compute in there, so that it is measured too
_ATTENTION_ON_HOST = ("F16", "Q4_K")  # measured for it where a processor computes nothing else
N_UBATCH, N_BATCH = 512, 2048  # llama.cpp's own (src/llama-context.cpp)
_SMALL_PART = 0.02
LEAST_OFFLOADED = 32  # tokens from which on a GPU computes with weights of system memory (ggml-cuda.cu, op_offload)
_LEAST_SIDE = 16  # below: states and filters, which are no matrix products
_BLOCK = re.compile(r"^blk\.(\d+)\.(.*)")
_BEFORE_ROWS = re.compile(r"^(attn_|ssm_|shortconv|time_mix|kda_|indexer)")
_KEYS = re.compile(r"^attn_[kv](_norm)?\.weight$")


@dataclass(slots=True)
class Work:
    """What a prompt asks of one device: operations by weight type (a product and a sum are two), and bytes of weights.

    `read_bytes` are in the device's memory, `copied_bytes` come from system memory.
    """

    flops: dict[str, float] = field(default_factory=dict)
    read_bytes: float = 0.0
    copied_bytes: float = 0.0

    def add(self, type_name: str, flops: float, *, read_bytes: float = 0.0, copied_bytes: float = 0.0) -> None:
        """Adds products with weights of a type."""
        self.flops[type_name] = self.flops.get(type_name, 0.0) + flops
        self.read_bytes += read_bytes
        self.copied_bytes += copied_bytes


@dataclass(frozen=True, slots=True)
class PromptWork:
    """The work of a prompt of `tokens` tokens by device name; `at_once`: GPUs can compute parts of it at the same time.

    `left_out` says what is not counted.
    """

    tokens: int
    columns: int
    by_device: Mapping[str, Work]
    at_once: bool
    left_out: tuple[str, ...] = ()

    def types(self, most: int) -> tuple[tuple[str, str], ...]:
        """(device, weight type) of at most so many types on each device, those with most operations; on GPUs always F16.

        Types with a very small part are left out.
        """
        found: list[tuple[str, str]] = []
        for name, work in self.by_device.items():
            always = [] if name == "host" else [_ATTENTION_ON_GPU]
            least = _SMALL_PART * sum(work.flops.values())
            weights = [
                kind for kind, count in work.flops.items() if count >= least and kind not in (ATTENTION, *always)
            ]
            largest = sorted(weights, key=lambda kind: -work.flops[kind])[: most - len(always)]
            found += [(name, kind) for kind in (*largest, *always) or _ATTENTION_ON_HOST]
        return tuple(found)


def prompt_work(
    model: Model, settings: Settings, devices: Sequence[Device], *, tokens: int, depth: int
) -> PromptWork | Unknown:
    """What `tokens` tokens of a prompt ask of each device with `depth` tokens in the cache before."""
    hp, share = hparams(model), expert_share(model)
    if isinstance(hp, Unknown):
        return hp
    if isinstance(share, Unknown):
        return share
    if settings.split_mode in ("row", "tensor") and len(devices) > 1:
        return Unknown(f"split mode {settings.split_mode}: GPUs share each product, and wait for each other")
    split = layer_split(model.layers, settings, devices)
    helper = devices[split.used[0]].name if split.used and settings.op_offload is not False else None
    columns = min(tokens, settings.n_ubatch or N_UBATCH, settings.n_batch or N_BATCH)
    ubatches, batches = -(-tokens // columns), -(-tokens // (settings.n_batch or N_BATCH))
    copies = tokens // columns + (tokens % columns >= LEAST_OFFLOADED)  # a short rest is computed where the weights are
    names = {HOST: "host", **{index: device.name for index, device in enumerate(devices)}}
    work: dict[str, Work] = {}
    for placed in used_weights(model, settings, devices, split):
        tensor = placed.tensor
        part = share if EXPERTS.search(tensor.name) else 1.0
        times = _times(tensor, hp, tokens, batches)
        if not times:
            continue
        size, flops = tensor.data_bytes * part, 2.0 * _elements(tensor) * part * times
        if placed.device == HOST and helper and times == tokens and columns >= LEAST_OFFLOADED:
            work.setdefault(helper, Work()).add(tensor.type, flops, copied_bytes=size * copies)
        else:
            reads = ubatches if times == tokens else batches
            work.setdefault(names[placed.device], Work()).add(tensor.type, flops, read_bytes=size * reads)
    left_out = _add_attention(work, hp, settings, split, names, tokens=tokens, depth=depth)
    gpus = [name for name in work if name != "host"]
    return PromptWork(tokens, columns, work, at_once=len(gpus) > 1 and ubatches > 1, left_out=left_out)


def prefill_bound(
    work: PromptWork, rates: Mapping[tuple[str, str], float | Unknown], bandwidths: Mapping[str, float | Unknown]
) -> Bound | Unknown:
    """The bound for this work at each (device, type)'s operations per second and each device's bytes per second.

    A type that was not measured is taken to be as fast as the fastest that was.  Computing, reading and copying can go on at
    the same time, so the longest counts; a bandwidth that is not known is left out, but Unknown where weights are copied.
    """
    seconds: dict[str, float] = {}
    by: dict[str, str] = {}
    for name, one in work.by_device.items():
        compute = _compute_seconds(name, one, rates)
        if isinstance(compute, Unknown):
            return compute
        bandwidth = bandwidths.get(name)
        reading = one.read_bytes / bandwidth if isinstance(bandwidth, float | int) and bandwidth > 0 else 0.0
        copying = _copy_seconds(name, one, bandwidths)
        if isinstance(copying, Unknown):
            return copying
        seconds[name], by[name] = max(
            (compute, f"compute of {name}"), (reading, f"memory bandwidth of {name}"),
            (copying, f"copying weights to {name}"), key=lambda part: part[0],
        )  # fmt: skip
    if not any(seconds.values()):
        return Unknown("nothing is computed")
    slowest = max(seconds, key=lambda name: seconds[name])
    total = max(seconds.values()) if work.at_once else sum(seconds.values())
    return Bound(work.tokens / total, by[slowest], seconds)


def _compute_seconds(
    name: str, work: Work, rates: Mapping[tuple[str, str], float | Unknown]
) -> float | Unknown:  # fmt: skip
    found = {kind: rate for (device, kind), rate in rates.items() if device == name}
    known = {kind: rate for kind, rate in found.items() if isinstance(rate, float | int) and rate > 0}
    if not known:
        reasons = [rate.reason for rate in found.values() if isinstance(rate, Unknown)]
        return Unknown(reasons[0] if reasons else f"how fast {name} computes is not known")
    best = max(known.values())
    return sum(flops / known.get(kind, best) for kind, flops in work.flops.items())


def _copy_seconds(name: str, work: Work, bandwidths: Mapping[str, float | Unknown]) -> float | Unknown:
    if not work.copied_bytes:
        return 0.0
    rate = bandwidths.get(copy_name(name), Unknown("it was not measured"))
    if isinstance(rate, Unknown):
        return Unknown(
            f"prompts need weights copied to {name} (op_offload), and the speed of that is not known: {rate.reason}"
        )
    return work.copied_bytes / rate if rate > 0 else Unknown(f"copying to {name} goes at {rate} bytes a second")


def copy_name(device: str) -> str:
    """What the bandwidth from system memory to a device is called among bandwidths."""
    return f"host to {device}"


def _elements(tensor: Tensor) -> int:
    count = 1
    for size in tensor.shape:
        count *= size
    return count


def _times(tensor: Tensor, hp: Hparams, tokens: int, batches: int) -> int:
    """For how many tokens of the prompt a weight is multiplied; 0 for what is no matrix product."""
    if not tensor.name.endswith(".weight") or len(tensor.shape) < 2 or min(tensor.shape[:2]) < _LEAST_SIDE:
        return 0
    block = _BLOCK.match(tensor.name)
    if block is None:
        return tokens if tensor.name.startswith("per_layer_model_proj") else batches
    layer, part = int(block[1]), block[2]
    if layer < hp.layers_all and not hp.attends[layer] and not hp.recurrent[layer] and _KEYS.match(part):
        return 0  # a layer that looks into another's cache
    if layer >= hp.layers - 1 and not _BEFORE_ROWS.match(part):
        return batches
    return tokens


def _add_attention(
    work: dict[str, Work], hp: Hparams, settings: Settings, split: LayerSplit, names: Mapping[int, str], *,
    tokens: int, depth: int,
) -> tuple[str, ...]:  # fmt: skip
    """Adds the products with keys and values: a token's with each one before it, or those in its layer's window."""
    if hp.mla:
        return ("attention over compressed keys",)
    for layer in range(hp.layers):
        if not hp.attends[layer]:
            continue
        window = hp.window if hp.swa[layer] else 0
        size = (hp.head_k_swa if hp.swa[layer] else hp.head_k), (hp.head_v_swa if hp.swa[layer] else hp.head_v)
        device = split.layers[layer] if settings.offload_kqv is not False else HOST
        flops = 2.0 * hp.heads[layer] * sum(size) * _contexts(tokens, depth, window)
        work.setdefault(names[device], Work()).add(ATTENTION, flops)
    return ("states of recurrent layers",) if any(hp.recurrent) else ()


def _contexts(tokens: int, depth: int, window: int) -> int:
    """Over all tokens of the prompt, the number of tokens that each looks at, itself included."""
    if not window or depth + tokens <= window:
        return tokens * depth + tokens * (tokens + 1) // 2
    growing = max(0, min(tokens, window - depth))
    return growing * depth + growing * (growing + 1) // 2 + (tokens - growing) * window
