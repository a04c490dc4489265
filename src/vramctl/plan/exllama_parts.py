"""What ExLlamaV2 and ExLlamaV3 move around as one piece, and the header's numbers that both need."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from vramctl.records import Model, Tensor, Unknown
from vramctl.units import MIB, pad

CONTEXT_BYTES = 618 * MIB
"""What a process's CUDA context takes outside torch's allocator: measured on an H200, torch 2.11.0+cu130."""
PAGE_TOKENS = 256
SLAB_BYTES = 128 * MIB


@dataclass(frozen=True, slots=True)
class Config:
    """The numbers of a model's config.json that sizes depend on."""

    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    max_tokens: int
    experts: int
    tied: bool
    sliding_window: int
    layer_types: tuple[str, ...]
    rotary_share: float


@dataclass(frozen=True, slots=True)
class Part:
    """One module as a loader places it, in bytes; sizes of the cache are per token.

    `layer` is None outside the repeating layers. `fixed_cache_bytes` does not grow with the cache (recurrent rings);
    `scratch_bytes` is ExLlamaV2's `scratch_space_fixed`; `transient_bytes` an estimate of what its forward pass of
    one chunk needs beside everything resident; `small_bytes` the part of the weights in tensors of up to 16 MiB.
    """

    name: str
    layer: int | None
    weights_bytes: int
    small_bytes: int = 0
    cache_bytes_per_token: int = 0
    fixed_cache_bytes: int = 0
    scratch_bytes: int = 0
    transient_bytes: int = 0
    attention: bool = False
    quantized: bool = False


@dataclass(frozen=True, slots=True)
class Filled:
    """Where each part went `[parts]` (device index, the last one for those that did not fit), and whether all fit."""

    device_of: tuple[int, ...]
    fits: bool
    failed_at: str | None


def _value(model: Model, *keys: str) -> object:
    for key in keys:
        for prefix in ("hf.", "hf.text_config."):
            found = model.metadata.get(prefix + key)
            if found is not None:
                return found
    return None


def _whole(model: Model, default: int, *keys: str) -> int:
    found = _value(model, *keys)
    return int(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else default


def read_config(model: Model) -> Config | Unknown:
    """The config of an EXL2, EXL3, GPTQ or plain HF folder; Unknown with the key that is missing."""
    needed = {
        "num_hidden_layers": _whole(model, 0, "num_hidden_layers", "n_layers", "n_layer"),
        "hidden_size": _whole(model, 0, "hidden_size", "d_model", "n_embd"),
        "num_attention_heads": _whole(model, 0, "num_attention_heads", "n_heads", "n_head"),
        "vocab_size": _whole(model, 0, "vocab_size"),
    }
    missing = [key for key, value in needed.items() if value <= 0]
    if missing:
        return Unknown(f"config.json has no {missing[0]}, which the sizes depend on")
    heads, hidden = needed["num_attention_heads"], needed["hidden_size"]
    names, types, tied = (
        _value(model, "architectures"),
        _value(model, "layer_types"),
        _value(model, "tie_word_embeddings"),
    )
    share = _value(model, "partial_rotary_factor")
    experts = _whole(model, 0, "num_local_experts", "num_experts", "n_routed_experts")
    dense = _whole(model, 4 * hidden, "intermediate_size", "n_inner")
    return Config(
        architecture=str(names[0]) if isinstance(names, tuple) and names else model.architecture,
        layers=needed["num_hidden_layers"],
        hidden=hidden,
        heads=heads,
        kv_heads=_whole(model, heads, "num_key_value_heads"),
        head_dim=_whole(model, hidden // heads, "head_dim"),
        intermediate=_whole(model, dense, "moe_intermediate_size") if experts > 1 else dense,
        vocab=needed["vocab_size"],
        max_tokens=_whole(model, 2048, "max_position_embeddings", "max_sequence_length", "n_positions"),
        experts=experts,
        tied=tied is True,
        sliding_window=_whole(model, 0, "sliding_window"),
        layer_types=tuple(str(kind) for kind in types) if isinstance(types, tuple) else (),
        rotary_share=float(share) if isinstance(share, (int, float)) and not isinstance(share, bool) else 1.0,
    )


def numel(tensor: Tensor) -> int:
    """How many elements a tensor has."""
    return math.prod(tensor.shape)


@dataclass(frozen=True, slots=True)
class Groups:
    """A folder's tensors by module name: the repeating layers `[layers]`, embedding, final norm and output head.

    Each is a mapping from the module's own name (`self_attn.q_proj`) to its tensors by last name (`q_weight`).
    """

    layers: tuple[dict[str, dict[str, Tensor]], ...]
    embedding: dict[str, Tensor]
    norm: dict[str, Tensor]
    head: dict[str, Tensor]
    others_bytes: int


def group_tensors(model: Model, config: Config) -> Groups | Unknown:
    """The tensors as Llama-like checkpoints name them, under any prefix; Unknown where they are named otherwise."""
    anchor = next((t.name for t in model.tensors if re.search(r"(^|\.)embed_tokens\.(weight|trellis)$", t.name)), None)
    if anchor is None:
        return Unknown("the folder has no embed_tokens tensor: its naming is not modelled")
    stem = anchor[: anchor.rindex("embed_tokens")]
    outer = stem.removesuffix("model.")
    layer_name = re.compile(re.escape(stem) + r"layers\.(\d+)\.(?:(.+)\.)?([^.]+)$")
    layers: list[dict[str, dict[str, Tensor]]] = [{} for _ in range(config.layers)]
    single: dict[str, dict[str, Tensor]] = {stem + "embed_tokens": {}, stem + "norm": {}, outer + "lm_head": {}}
    others = 0
    for tensor in model.tensors:
        owner, _, last = tensor.name.rpartition(".")
        match = layer_name.match(tensor.name)
        if match is not None and int(match[1]) < config.layers:
            layers[int(match[1])].setdefault(match[2] or "", {})[last] = tensor
        elif owner in single:
            single[owner][last] = tensor
        elif not tensor.name.endswith("rotary_emb.inv_freq"):
            others += tensor.data_bytes
    if not all(layers):
        return Unknown(f"layer {[bool(layer) for layer in layers].index(False)} has no tensors in the folder")
    embedding, norm, head = single.values()
    return Groups(tuple(layers), embedding, norm, head, others)


@dataclass(frozen=True, slots=True)
class Shared:
    """What a GPU holds once, whatever the number of its modules, in bytes.

    `staging_per_token` where it holds cache, `rope_per_token` where it holds attention or quantised modules,
    `scratch_bytes` where it holds quantised modules, `context_bytes` always.
    """

    staging_per_token: int = 0
    rope_per_token: int = 0
    scratch_bytes: int = 0
    context_bytes: int = CONTEXT_BYTES


@dataclass(slots=True)
class Held:
    """A running sum of what one GPU holds, in bytes."""

    weights: int = 0
    small: int = 0
    cache: int = 0
    transient: int = 0
    attention: bool = False
    quantized: bool = False

    def plus(self, part: Part, tokens: int) -> Held:
        """The sum with one more part, whose cache is for `tokens` tokens."""
        return Held(
            self.weights + part.weights_bytes,
            self.small + part.small_bytes,
            self.cache + part.cache_bytes_per_token * tokens + part.fixed_cache_bytes,
            max(self.transient, part.transient_bytes),
            self.attention or part.attention,
            self.quantized or part.quantized,
        )

    def staging(self, shared: Shared, tokens: int) -> int:
        """Bytes of the F16 copy of one layer's cache."""
        return shared.staging_per_token * tokens if self.attention else 0

    def buffers(self, shared: Shared, tokens: int) -> int:
        """Bytes of RoPE tables and scratch space."""
        tables = shared.rope_per_token * tokens if self.attention or self.quantized else 0
        return tables + (shared.scratch_bytes if self.quantized else 0)

    def slack(self) -> int:
        """Bytes by which ExLlamaV3's 128 MiB slabs for small tensors exceed those tensors."""
        return pad(self.small, SLAB_BYTES) - self.small

    def total(self, shared: Shared, tokens: int) -> int:
        """All resident bytes, the CUDA context included."""
        resident = self.weights + self.slack() + self.cache + self.staging(shared, tokens)
        return resident + self.buffers(shared, tokens) + shared.context_bytes


def largest_cache(fits: Callable[[int], bool], most: int = 1 << 24) -> int:
    """The most tokens, a multiple of 256, for which `fits` holds; 0 where not even 256 do."""
    low, high = 0, most // PAGE_TOKENS
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle * PAGE_TOKENS):
            low = middle
        else:
            high = middle - 1
    return low * PAGE_TOKENS
