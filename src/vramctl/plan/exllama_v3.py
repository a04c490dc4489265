"""ExLlamaV3 1.6.5: bytes per module, cache, and how the loader spreads modules over GPUs.

Read from the wheel's `cache/fp16.py`, `cache/quant.py`, `cache/cache.py`, `modules/linear.py`, `modules/attn.py`,
`modules/sliding_attn.py`, `modules/quant/exl3.py`, `loader/safetensors.py`, `model/model_ls.py` and
`util/memory.py`.  Weights and cache are the tensors that it allocates; what a forward pass takes in between is an
estimate, except the staging of a quantised cache.
"""

from __future__ import annotations

from vramctl.plan.exllama_parts import Config, Filled, Groups, Held, Part, Shared, numel
from vramctl.records import Tensor, Unknown
from vramctl.units import GIB, MIB, pad

MAX_CHUNK = 2048
OUTPUT_ROWS = 32
STATE_SLOTS = 16
DEFAULT_RESERVE_BYTES = GIB // 2
MARGIN_BYTES = 256 * MIB
_STAGING_PAGES, _PAGE = 256, 256
_SLAB_TENSOR_BYTES = 16 * MIB
_RING_OVERLAP = 2 * _PAGE

# Every attention layer has a cache of full length in these, whatever their sliding windows (`modules/attn.py`).
_FULL_CACHE = frozenset(
    {
        "ApertusForCausalLM", "ArceeForCausalLM", "Cohere2ForCausalLM", "CohereForCausalLM",
        "Dots1ForCausalLM", "Ernie4_5_ForCausalLM", "Ernie4_5_MoeForCausalLM", "Exaone4ForCausalLM",
        "Gemma2ForCausalLM", "Gemma3ForCausalLM", "Gemma3ForConditionalGeneration", "Glm4ForCausalLM",
        "Glm4MoeForCausalLM", "Glm4vForConditionalGeneration", "Glm4vMoeForConditionalGeneration",
        "HyperCLOVAXForCausalLM", "IQuestCoderForCausalLM", "LlamaForCausalLM", "MiMoForCausalLM",
        "MiniMaxM2ForCausalLM", "Ministral3ForCausalLM", "MistralForCausalLM", "MixtralForCausalLM",
        "Olmo3ForCausalLM", "Phi3ForCausalLM", "Qwen2ForCausalLM", "Qwen2_5_VLForConditionalGeneration",
        "Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "Qwen3VLForConditionalGeneration",
        "Qwen3VLMoeForConditionalGeneration", "SeedOssForCausalLM", "SmolLM3ForCausalLM", "SolarOpenForCausalLM",
    }
)  # fmt: skip
# Layers of type sliding_attention keep a ring per sequence slot in these (`modules/sliding_attn.py`).
_RINGS = frozenset({"GptOssForCausalLM"})


def cache_bits(text: str | None, other: str | None) -> tuple[int, int] | None:
    """Bits of K and V for `8,4`, or `8` and `4`, None for fp16; ValueError for anything else."""
    whole = (None, "fp16", "f16")
    if text in whole and other in whole:
        return None
    given = [text or ""] if "," in (text or "") else [text or "", other or text or ""]
    bits = [part.strip().lower().removeprefix("q") for part in ",".join(given).split(",")]
    if len(bits) != 2 or not all(part.isdecimal() and 2 <= int(part) <= 8 for part in bits):
        said = ",".join(given)
        raise ValueError(f"{said!r} is not fp16 or two numbers of bits from 2 to 8 such as 8,4")
    return int(bits[0]), int(bits[1])


def cache_bytes_per_token(config: Config, bits: tuple[int, int] | None) -> int:
    """Bytes of one layer's K and V per token of max_num_tokens: F16, or packed bits and two F16 scales per 32."""
    elements = config.kv_heads * config.head_dim
    if bits is None:
        return 4 * elements
    return elements // 32 * (4 * bits[0] + 4 * bits[1] + 4)


def ring_bytes(config: Config) -> int:
    """Bytes of a sliding-window layer's K and V for 16 sequence slots (`Cache(max_batch_size=16)`)."""
    cells = pad(config.sliding_window - 1 + _RING_OVERLAP, _PAGE)
    return STATE_SLOTS * cells * config.kv_heads * config.head_dim * 4


def cache_kind(config: Config) -> str | Unknown:
    """`full` or `rings`; Unknown for architectures whose cache has another geometry or is not known here."""
    if config.architecture in _FULL_CACHE:
        return "full"
    if config.architecture in _RINGS and config.layer_types and config.sliding_window:
        return "rings"
    return Unknown(f"{config.architecture} keeps a cache of its own kind in ExLlamaV3 (latent, recurrent or ring)")


def staging_bytes(config: Config, rows: int) -> int:
    """Bytes that the loader sets aside on a GPU for reading a quantised cache (`autosplit_extra_measure`)."""
    width = 1 << (config.head_dim - 1).bit_length()
    window = 2 * _STAGING_PAGES * _PAGE * config.kv_heads * config.head_dim * 2
    return window + pad(rows, 128) * config.heads * width * 4


def tensor_bytes(name: str, tensor: Tensor, *, padded: bool) -> int:
    """Bytes on the GPU of one tensor: EXL3's as in the file, others as F16, fp16 matrices padded to 128 a side."""
    if name in ("mcg", "mul1"):
        return 0
    if name in ("su", "sv") and tensor.type == "I16":
        return 2 * 16 * numel(tensor)
    if name in ("trellis", "suh", "svh"):
        return tensor.data_bytes
    if padded and len(tensor.shape) == 2:
        return 2 * pad(tensor.shape[0], 128) * pad(tensor.shape[1], 128)
    return 2 * numel(tensor)


def _module(name: str, tensors: dict[str, Tensor]) -> tuple[int, int]:
    """A module's bytes, and those in tensors small enough for the loader's slabs."""
    padded = not name.endswith(("gate", "router", "shared_expert_gate"))
    sizes = [tensor_bytes(last, tensor, padded=padded) for last, tensor in tensors.items()]
    return sum(sizes), sum(size for size in sizes if size <= _SLAB_TENSOR_BYTES)


def parts_v3(c: Config, groups: Groups, *, rows: int, bits: tuple[int, int] | None, kind: str) -> list[Part]:
    """The modules in load order; one part a layer, as the loader moves whole blocks. The embedding is not on a GPU."""
    per_token = cache_bytes_per_token(c, bits)
    ring = ring_bytes(c) if kind == "rings" else 0
    work = max(_work(c, rows), staging_bytes(c, rows) if bits is not None else 0)
    parts = []
    for layer, modules in enumerate(groups.layers):
        sizes = [_module(name, tensors) for name, tensors in modules.items()]
        slides = kind == "rings" and layer < len(c.layer_types) and c.layer_types[layer] == "sliding_attention"
        parts.append(
            Part(
                f"model.layers.{layer}",
                layer,
                sum(size for size, _ in sizes),
                sum(small for _, small in sizes),
                0 if slides else per_token,
                ring if slides else 0,
                transient_bytes=work,
                attention=True,
            )
        )
    norm, head = _module("norm", groups.norm), _module("lm_head", groups.head or groups.embedding)
    state = 4 * rows * c.hidden
    parts.append(Part("model.norm", None, norm[0], norm[1], transient_bytes=state + state // 2))
    logits = 2 * min(OUTPUT_ROWS, rows) * pad(c.vocab, 128)
    parts.append(Part("lm_head", None, head[0], head[1], transient_bytes=logits))
    return parts


def _work(c: Config, rows: int) -> int:
    """An estimate of a block's passing bytes for one chunk: F32 states, gate and up, and one matrix made F16 again."""
    wide, narrow = c.heads * c.head_dim, c.kv_heads * c.head_dim
    attention = rows * (2 * c.hidden + 4 * c.hidden + 2 * (2 * wide + 2 * narrow)) + 2 * c.hidden * wide
    active = c.intermediate if c.experts <= 1 else c.intermediate * 2
    mlp = rows * (2 * c.hidden + 4 * c.hidden + 10 * active) + 2 * c.hidden * c.intermediate
    return max(attention, mlp)


def fill_split(parts: list[Part], limits: tuple[int, ...], tokens: int, shared: Shared) -> Filled:
    """Where the loader puts the parts when GPU i may hold `limits[i]` bytes, CUDA context and largest pass included.

    `_load_autosplit` of `model/model_ls.py` 1.6.5: GPUs fill in order, and a GPU is closed when what it holds and the
    largest transient seen on it exceed its budget. A limit of 0 excludes a GPU.
    """
    device_of: list[int] = []
    device, held = 0, Held()
    for part in parts:
        while True:
            tried = held.plus(part, tokens)
            if tried.total(shared, tokens) + tried.transient <= limits[device]:
                held = tried
                device_of.append(device)
                break
            if device + 1 >= len(limits):
                return Filled((*device_of, *([device] * (len(parts) - len(device_of)))), False, part.name)
            device, held = device + 1, Held()
    return Filled(tuple(device_of), True, None)
