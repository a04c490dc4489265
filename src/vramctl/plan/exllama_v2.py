"""ExLlamaV2 0.3.2: bytes per module, cache, scratch and the two ways it spreads modules over GPUs.

Read from the wheel's `cache.py`, `model.py`, `module.py`, `linear.py`, `attn.py`, `mlp.py`, `moe_mlp.py`, `device.py`
and `ext.py`.  Sizes of weights, cache, staging, scratch and RoPE tables are the tensors that it allocates; what a
forward pass takes in between is an estimate.
"""

from __future__ import annotations

from vramctl.plan.exllama_parts import Config, Filled, Groups, Held, Part, Shared, numel
from vramctl.records import Tensor
from vramctl.units import MIB, pad

MAX_INPUT_LEN = 2048
_MAX_DQ_ELEMENTS = 512 * MIB
MINIMUM_RESERVE_BYTES = 256 * MIB
_PARALLEL_BLOCKS = frozenset({"CohereForCausalLM", "Cohere2ForCausalLM"})
_TWO_ROPE_TABLES = frozenset({"Gemma3ForConditionalGeneration"})
_TIED_BY_DESIGN = frozenset(
    {
        "GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForConditionalGeneration", "Starcoder2ForCausalLM",
        "GemmoeForCausalLM", "CohereForCausalLM", "Cohere2ForCausalLM", "GPTBigCodeForCausalLM", "Glm4ForCausalLM",
    }
)  # fmt: skip
_CACHE_BYTES: dict[str, tuple[int, int, int]] = {
    # per element of K and V: eighths of a byte of K, of V, and of the scales of both
    "fp16": (16, 16, 0), "fp8": (8, 8, 0), "q8": (8, 8, 1), "q6": (8, 4, 1), "q4": (4, 4, 1),
}  # fmt: skip
CACHE_NAMES = tuple(_CACHE_BYTES)


def cache_bytes_per_token(config: Config, cache: str) -> int:
    """Bytes of one layer's K and V (and scales) per token of max_seq_len; `cache.py` 0.3.2.

    Scales are one F16 per 32 elements of K and of V: an eighth of a byte for each pair of elements.
    """
    keys, values, scales = _CACHE_BYTES[cache]
    elements = config.kv_heads * config.head_dim
    return elements * (keys + values + scales) // 8


def staging_bytes_per_token(config: Config, cache: str) -> int:
    """Bytes per token of the F16 K and V of one layer that every GPU with a quantized cache keeps (`touch_device`)."""
    return 0 if cache == "fp16" else 4 * config.kv_heads * config.head_dim


def rope_bytes_per_token(config: Config) -> int:
    """Bytes per token of the sine and cosine tables on every GPU (`device.py` `prepare_sincos`)."""
    tables = 2 if config.architecture in _TWO_ROPE_TABLES else 1
    return tables * 4 * int(config.head_dim * config.rotary_share)


def linear_bytes(tensors: dict[str, Tensor], *, keeps_permutation: bool = True) -> int:
    """Bytes on the GPU of one linear layer or norm (`module.py` `load_weight`, `ext.py` `make_q_matrix`).

    EXL2: q_perm and q_invperm become 2 bytes a row each (none for the down projection of a dense MLP, which is
    folded into its neighbours) and a group map of 4 bytes a row is added. GPTQ with g_idx adds the same two
    permutations. Everything else is held as F16, output rows padded to 32.
    """
    if "q_weight" in tensors:
        rows = numel(tensors["q_invperm"]) if "q_invperm" in tensors else 0
        kept = sum(
            t.data_bytes
            for name, t in tensors.items()
            if name in ("q_weight", "q_scale", "q_scale_max", "q_groups", "bias")
        )
        return kept + rows * (8 if keeps_permutation else 4)
    if "qweight" in tensors:
        kept = sum(t.data_bytes for name, t in tensors.items() if name in ("qweight", "qzeros", "g_idx", "bias"))
        scales = 2 * numel(tensors["scales"]) if "scales" in tensors else 0
        return kept + scales + (4 * numel(tensors["g_idx"]) if "g_idx" in tensors else 0)
    return sum(_half_bytes(t) for name, t in tensors.items() if name in ("weight", "bias"))


def _half_bytes(tensor: Tensor) -> int:
    if len(tensor.shape) < 2:
        return 2 * numel(tensor)
    rows, *rest = tensor.shape
    columns = numel(tensor) // rows if rest and rows else 0
    return 2 * pad(rows, 32) * columns


def _quantized(module: dict[str, Tensor]) -> bool:
    return "q_weight" in module or "qweight" in module


def _dq(inner: int, outer: int) -> int:
    return 2 * min(inner * outer, _MAX_DQ_ELEMENTS)


def attention_scratch_bytes(c: Config, rows: int) -> int:
    """`scratch_space_fixed` of an attention block: one hidden state and the largest dequantised matrix."""
    wide, narrow = c.heads * c.head_dim, c.kv_heads * c.head_dim
    state = rows * max(wide, c.hidden) * 2 + 128
    return state + max(_dq(c.hidden, pad(wide, 32)), _dq(c.hidden, pad(narrow, 32)), _dq(wide, pad(c.hidden, 32)))


def mlp_scratch_bytes(c: Config, rows: int) -> int:
    """`scratch_space_fixed` of an MLP (`mlp.py`) or of a mixture of experts (`moe_mlp.py`)."""
    inner = pad(c.intermediate, 32)
    dq = max(_dq(c.hidden, inner), _dq(c.intermediate, pad(c.hidden, 32)))
    state = rows * c.hidden * 2 + 128
    if c.experts > 1:
        return 2 * state + 2 * (rows * c.intermediate * 2 + 128) + rows * c.experts * 2 + 128 + dq
    return state + 2 * (rows * max(c.hidden, c.intermediate) * 2 + 128) + dq


def head_scratch_bytes(c: Config) -> int:
    """`scratch_space_fixed` of the output layer: its dequantised matrix, at most 1 GiB."""
    return _dq(c.hidden, pad(c.vocab, 32))


def uses_embedding_as_head(c: Config, groups: Groups) -> bool:
    """Whether the output layer is a second, F16 copy of the embedding table on a GPU (`architecture.py`)."""
    return not groups.head and (c.tied or c.architecture in _TIED_BY_DESIGN)


def parts_v2(c: Config, groups: Groups, *, rows: int, flash_attn: bool, cache: str, last_row_only: bool) -> list[Part]:
    """The modules in load order, the embedding (which stays in system memory) left out."""
    parts: list[Part] = []
    per_token = cache_bytes_per_token(c, cache)
    for layer, modules in enumerate(groups.layers):
        attention, mlp = _split_layer(modules)
        quantized = any(_quantized(module) for module in modules.values())
        head, tail = _block(c, attention), _block(c, mlp)
        scratch_a, scratch_m = attention_scratch_bytes(c, rows), mlp_scratch_bytes(c, rows)
        work_a, work_m = _attention_work(c, rows, flash_attn), _mlp_work(c, rows, quantized)
        name = f"model.layers.{layer}"
        if c.architecture in _PARALLEL_BLOCKS:
            both = Part(
                name,
                layer,
                head + tail,
                0,
                per_token,
                0,
                max(scratch_a, scratch_m),
                max(work_a, work_m),
                True,
                quantized,
            )
            parts.append(both)
            continue
        parts.append(Part(f"{name}.self_attn", layer, head, 0, per_token, 0, scratch_a, work_a, True, quantized))
        parts.append(Part(f"{name}.mlp", layer, tail, 0, 0, 0, scratch_m, work_m, False, quantized))
    parts.append(Part("model.norm", None, linear_bytes(groups.norm), transient_bytes=4 * rows * c.hidden))
    logits = (1 if last_row_only else rows) * pad(c.vocab, 32) * 2
    head_bytes = linear_bytes(groups.head or groups.embedding)
    parts.append(
        Part(
            "lm_head",
            None,
            head_bytes,
            scratch_bytes=head_scratch_bytes(c),
            transient_bytes=2 * rows * c.hidden + logits,
            quantized=_quantized(groups.head),
        )
    )
    return parts


def _split_layer(
    modules: dict[str, dict[str, Tensor]],
) -> tuple[dict[str, dict[str, Tensor]], dict[str, dict[str, Tensor]]]:
    """A layer's modules that belong to attention, and those of the MLP, norms with the one that owns them."""
    after = "post_attention_layernorm" if "pre_feedforward_layernorm" in modules else "post_self_attn_layernorm"
    with_attention = ("self_attn", "attention", "input_layernorm", "ln_1", "ln1", "attention_norm", after)
    first = {name: module for name, module in modules.items() if name.split(".")[0] in with_attention}
    return first, {name: module for name, module in modules.items() if name not in first}


def _block(c: Config, modules: dict[str, dict[str, Tensor]]) -> int:
    """Bytes of a block; the down projection of a dense MLP keeps no permutation."""
    return sum(
        linear_bytes(module, keeps_permutation=not (name.endswith("down_proj") and c.experts <= 1))
        for name, module in modules.items()
    )


def _attention_work(c: Config, rows: int, flash_attn: bool) -> int:
    """An estimate of an attention block's passing bytes for one chunk: states and, without flash-attn, its scores."""
    wide, narrow = c.heads * c.head_dim, c.kv_heads * c.head_dim
    states = 2 * rows * (c.hidden + 2 * wide + 2 * narrow)
    return states + (0 if flash_attn else 4 * 2 * rows * rows * c.heads)


def _mlp_work(c: Config, rows: int, quantized: bool) -> int:
    """An estimate of an MLP's passing bytes for one chunk: quantised ones work inside the scratch space."""
    return 2 * rows * c.hidden + (0 if quantized else 2 * rows * (3 * c.intermediate + c.hidden))


def fill_autosplit(parts: list[Part], limits: tuple[int, ...], tokens: int, shared: Shared) -> Filled:
    """Where `load_autosplit` puts the parts when GPU i may hold `limits[i]` bytes, its CUDA context included.

    GPUs fill in index order; a module that does not fit with its cache moves on and all later ones follow it
    (`model.py` 0.3.2).
    """
    device_of: list[int] = []
    device, held = 0, Held()
    for part in parts:
        while True:
            tried = held.plus(part, tokens)
            if tried.total(shared, tokens) + part.transient_bytes <= limits[device]:
                held = tried
                device_of.append(device)
                break
            if device + 1 >= len(limits):
                return Filled((*device_of, *([device] * (len(parts) - len(device_of)))), False, part.name)
            device, held = device + 1, Held()
    return Filled(tuple(device_of), True, None)


def fill_manual(
    parts: list[Part], split: tuple[int, ...], c: Config, tokens: int, *, rows: int, flash_attn: bool
) -> Filled:
    """Where `load(gpu_split)` puts the parts: weights and buffers within `split` bytes a GPU, the cache on top.

    `set_device_map` of `model.py` 0.3.2, `scratch_space` and `temp_attn_size` of `attn.py`. The loader counts a
    quantised layer's permutation as it is in the file, 4 bytes a row less than it takes.
    """
    room = [size - (4 * c.head_dim * tokens + 2 * c.hidden * rows + 2 * rows * rows) for size in split]
    scratch, scores = [0] * len(split), [0] * len(split)
    wide, narrow = c.heads * c.head_dim, c.kv_heads * c.head_dim
    expanded = 4 * tokens * wide + 128 if c.heads != c.kv_heads else 0
    beside = 2 * rows * (wide + 2 * narrow) + 3 * 128 + expanded
    largest = min(rows * rows, tokens * tokens)
    attention = 4 * (int(largest // (rows / 190)) if flash_attn else largest) * c.heads + 128
    device_of: list[int] = []
    device = 0
    for part in parts:
        wants = part.scratch_bytes + (beside if part.attention else 0), attention if part.attention else 0
        while part.weights_bytes + max(wants[0], scratch[device]) + max(wants[1], scores[device]) > room[device]:
            device += 1
            if device >= len(room):
                return Filled((*device_of, *([len(room) - 1] * (len(parts) - len(device_of)))), False, part.name)
        scratch[device], scores[device] = max(wants[0], scratch[device]), max(wants[1], scores[device])
        room[device] -= part.weights_bytes
        device_of.append(device)
    return Filled(tuple(device_of), True, None)
