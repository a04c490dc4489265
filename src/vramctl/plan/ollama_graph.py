"""What Ollama's own estimator expects of a model: cache bytes per layer and compute graph bytes.

Read from `fs/ggml/ggml.go` (`GraphSize`, before v0.5.8 `llm/ggml.go`) at the tags v0.3.7, v0.5.4, v0.6.8, v0.9.6,
v0.11.4, v0.11.10, v0.12.10, v0.13.5 and v0.24.0.  These are Ollama's guesses, not what llama.cpp allocates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vramctl.records import ArrayInfo, Model, Tensor, Unknown
from vramctl.units import MIB

Version = tuple[int, int, int]

_CACHE_BYTES_PER_ELEMENT = {"q8_0": 1.0, "q4_0": 0.5, "f32": 4.0}


@dataclass(frozen=True, slots=True)
class Graph:
    """Ollama's bytes for one load: cache per layer `[layers]`, graph when all or only some layers are on GPUs."""

    kv_bytes: tuple[int, ...]
    full_bytes: int
    partial_bytes: int


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The header's numbers that the polynomials use; `heads_kv` is the largest over the layers."""

    layers: int
    embedding: int
    heads: int
    heads_kv: int
    heads_per_layer: tuple[int, ...]
    heads_kv_per_layer: tuple[int, ...]
    vocab: int
    head: int
    head_k: int
    head_v: int


def group_layers(model: Model) -> dict[str, dict[str, Tensor]]:
    """The tensors by layer name (`blk.0`, `output`, `token_embd`), as `Tensors.GroupLayers` groups them."""
    groups: dict[str, dict[str, Tensor]] = {}
    for tensor in model.tensors:
        parts = tensor.name.split(".")
        marks = [place for place, part in enumerate(parts) if part in ("blk", "mm")]
        if marks and len(parts) > marks[0] + 2:
            cut = marks[0] + 2
            parts = [".".join(parts[:cut]), *parts[cut:]]
        groups.setdefault(parts[0], {})[".".join(parts[1:])] = tensor
    return groups


def layer_bytes(group: Mapping[str, Tensor] | None) -> int:
    """The bytes of one group of tensors, 0 for a group that the file does not have."""
    return sum(tensor.data_bytes for tensor in group.values()) if group else 0


def _number(model: Model, key: str, default: int) -> int:
    value = model.meta(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _numbers(model: Model, key: str, default: int, layers: int) -> tuple[int, ...]:
    """A value per layer `[layers]`: an array of the header, or its one number repeated."""
    value = model.meta(key)
    if isinstance(value, tuple):
        given = [int(item) for item in value if isinstance(item, (int, float))]
        fill = given[0] if len(given) == 1 else default
        return tuple(given[:layers]) + (fill,) * (layers - len(given))
    number = value if isinstance(value, int) and not isinstance(value, bool) else default
    return (number,) * layers


def _sizes(model: Model) -> _Sizes | Unknown:
    tokens = model.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, ArrayInfo):
        vocab = tokens.count
    elif isinstance(tokens, tuple):
        vocab = len(tokens)
    else:  # a built-in shape has no list, but says how long it would be
        size = model.meta("vocab_size")
        if not isinstance(size, int):
            return Unknown("the header has no tokenizer.ggml.tokens, which Ollama's estimator counts")
        vocab = size
    layers = _number(model, "block_count", 0)
    embedding = _number(model, "embedding_length", 0)
    if not layers or not embedding:
        return Unknown("the header has no block_count or embedding_length")
    heads = _numbers(model, "attention.head_count", 1, layers)
    heads_kv = _numbers(model, "attention.head_count_kv", 1, layers)
    head = embedding // min(heads) if min(heads) > 0 else 0
    return _Sizes(
        layers, embedding, max(heads), max(heads_kv), heads, heads_kv, vocab, head,
        _number(model, "attention.key_length", head), _number(model, "attention.value_length", head),
    )  # fmt: skip


def _attention_kv(model: Model, s: _Sizes, context: int, element: float, version: Version) -> list[int]:
    """Cache bytes per layer before the special cases; layers without heads are recurrent since v0.11.11."""
    if version < (0, 11, 11):
        return [int(float(context * (s.head_k + s.head_v) * s.heads_kv) * element)] * s.layers
    conv, state = _number(model, "ssm.conv_kernel", 0), _number(model, "ssm.state_size", 0)
    inner, groups = _number(model, "ssm.inner_size", 0), _number(model, "ssm.group_count", 0)
    rolling = (conv - 1) * (inner + 2 * groups * state) if conv > 0 else 0
    return [
        int(float(context * (s.head_k + s.head_v) * heads_kv) * element)
        if heads > 0 and heads_kv > 0
        else (rolling + state * inner) * 4
        for heads, heads_kv in zip(s.heads_per_layer, s.heads_kv_per_layer, strict=True)
    ]


def _llama(s: _Sizes, b: int, c: int, blk0: Mapping[str, Tensor], ff: int, version: Version) -> tuple[int, int]:
    e, v, h, hk, d = s.embedding, s.vocab, s.heads, s.heads_kv, s.head
    full = 4 * b * (1 + 4 * e + c * (1 + h))
    if version >= (0, 3, 10):
        full = max(full, 4 * b * (e + v))
    partial = 4 * b * e + max(
        4 * b * (1 + e + max(c, e)) + e * e * 9 // 16 + 4 * c * (b * h + d * hk),
        4 * b * (e + v) + e * v * 105 // 128,
    )
    if experts := blk0.get("ffn_gate_exps.weight"):
        partial = max(
            3 * experts.data_bytes + 4 * b * (2 * ff + hk + e + c + d * hk),
            4 * (c * b * h + c * d * hk + b * 1024 + d * hk * b),
        )
    elif gate := blk0.get("ffn_gate.0.weight"):
        width = gate.shape[1]
        full = 4 * b * (2 + 3 * e + c * (1 + h) + 2 * hk + width)
        partial = max(
            4 * b * (3 + d * hk + e + c * (1 + h) + width) + (e * e + 3 * e * hk * width) * 9 // 16,
            4 * b * (1 + 2 * e + c * (1 + h)) + e * (6 * c * hk // h + e * 9 // 16),
        )
    return full, partial


def _gemma(s: _Sizes, b: int, c: int) -> tuple[int, int]:
    e, v, h, k = s.embedding, s.vocab, s.heads, s.head_k
    full = max(4 * b * (e + v), 4 * b * (2 + c + c * h + 2 * e + 2 * k * h))
    partial = max(
        4 * e * b + e * v * 105 // 128 + 4 * v * b,
        4 * b * (2 * e + 1 + 2 * k * h + c + c * h) + 4 * k * c * 8 + e * k * h * 9 // 16,
    )
    return full, partial


def _chatglm(s: _Sizes, b: int, c: int, blk0: Mapping[str, Tensor]) -> tuple[int, int]:
    e, v, h, k = s.embedding, s.vocab, s.heads, s.head_k
    full, partial = 4 * b * (e + v), 4 * b * (e + v) + e * v * 105 // 128
    if bias := blk0.get("attn_qkv.bias"):
        qkv = bias.shape[0]
        full = max(full, 4 * b * (2 + 2 * e + c + c * h + k * h + qkv))
        partial = max(partial, 4 * b * (1 + 2 * e + k * h + c + c * h) + 8 * k * c + 4 * qkv)
    return full, partial


def _polynomials(arch: str, s: _Sizes, b: int, c: int) -> tuple[int, int]:
    """Graph bytes (all layers offloaded, some) of the architectures that need only the sizes; 0, 0 for the rest."""
    e, v, h, hk, k = s.embedding, s.vocab, s.heads, s.heads_kv, s.head_k
    logits = 4 * b * (e + v)
    head = e * v * 105 // 128
    if arch == "command-r":
        scores = 4 * b * (1 + 2 * e + c * (1 + h)) + 4 * e * c + e * e * 9 // 16
        return max(logits, 4 * b * (2 + 4 * e + c * (1 + h))), max(logits + head, scores)
    if arch == "qwen2":
        scores = 4 * (b * (1 + 2 * e + c * (1 + h)) + e * (1 + c))
        return max(logits, 4 * b * (1 + 2 * e + c + c * h)), max(logits + head, scores)
    if arch == "phi2":
        scores = 4 * b * (2 + 3 * e + c + c * h)
        return max(logits, 4 * b * (1 + 4 * e + c + c * h)), max(4 * b * (2 * e + v) + head, scores)
    if arch == "stablelm":
        full = 4 * b * (c * (1 + h) + 3 * e + 2)
        return full, max(4 * b * (v + 2 * e), full)
    if arch == "deepseek2":
        wide = 4 * b * (3 * e + v)
        scores = 4 * b * (2 * e + 1 + 2 * k * hk + c + c * hk) + 4 * k * c * hk + e * k * hk * 9 // 16
        return max(wide, 4 * b * (3 * e + 2 + c * (1 + hk) + 2 * k * hk)), max(wide + head, scores)
    return 0, 0


def _gpt_oss(s: _Sizes, kv: list[int], element: float, b: int, c: int, parallel: int, flash: bool,
             version: Version) -> tuple[list[int], int, int]:  # fmt: skip
    before = sum(kv)
    token = int(float((s.head_k + s.head_v) * s.heads_kv) * element)
    cells = [parallel * 4096 + b if layer % 2 == 0 else c for layer in range(s.layers)]
    grouped = s.heads // (min(s.heads_kv_per_layer) or 1)
    if version < (0, 11, 5):
        full = 4 * grouped * before // 6
        return [token * n for n in cells], full, full
    partial = (4 * parallel + (c >> 10) + 110) * MIB if flash and version >= (0, 11, 8) else 2 * grouped * before // 6
    return [token * n for n in cells], 0, partial


def graph_size(
    model: Model, *, version: Version, context: int, batch: int, parallel: int, kv_type: str, flash: bool
) -> Graph | Unknown:
    """Ollama's cache bytes per layer and graph bytes for `context` tokens of all sequences together.

    `GraphSize` of `fs/ggml/ggml.go` v0.12.10 and the earlier tags named above.  Where an architecture has no
    polynomial the partial graph is `grouped heads x cache / 6`, and the full graph is the same (`llm/memory.go`).
    """
    arch = model.architecture
    if arch == "mllama":
        return Unknown("Ollama's estimate for mllama's cross attention is not modelled")
    s = _sizes(model)
    if isinstance(s, Unknown):
        return s
    element = _CACHE_BYTES_PER_ELEMENT.get(kv_type, 2.0)
    kv = _attention_kv(model, s, context, element, version)
    if version < (0, 6, 3):
        kv = [sum(kv) // s.layers] * s.layers
    blk0 = group_layers(model).get("blk.0", {})
    if arch == "llama" or (arch == "llama4" and version >= (0, 6, 7)):
        full, partial = _llama(s, batch, context, blk0, _number(model, "feed_forward_length", 0), version)
    elif arch in ("gemma", "gemma2", "gemma3", "gemma3n"):
        full, partial = _gemma(s, batch, context)
        if arch == "gemma3n":
            full, partial = full * 4, partial * 4
        if arch == "gemma3" and version >= (0, 6, 3):
            window = parallel * _number(model, "attention.sliding_window", 0) + batch
            local = int(float(window * (s.head_k + s.head_v) * s.heads_kv) * element)
            kv = [cells if (layer + 1) % 6 == 0 else local for layer, cells in enumerate(kv)]
    elif arch == "chatglm":
        full, partial = _chatglm(s, batch, context, blk0)
    elif arch in ("gptoss", "gpt-oss"):
        kv, full, partial = _gpt_oss(s, kv, element, batch, context, parallel, flash, version)
    else:
        full, partial = _polynomials(arch, s, batch, context)
    if partial == 0:
        partial = s.heads // (min(s.heads_kv_per_layer) or 1) * sum(kv) // 6
    return Graph(tuple(kv), full or partial, partial)


def vision_size(model: Model) -> tuple[int, int]:
    """Bytes of the weights and the graph of a vision encoder inside the model file, (0, 0) without one.

    `VisionGraphSize` of `fs/ggml/ggml.go` v0.9.6 and v0.12.10; other architectures than these have no graph there.
    """
    if not _number(model, "vision.block_count", 0):
        return 0, 0
    groups = group_layers(model)
    weights = sum(layer_bytes(group) for name, group in groups.items() if name == "v" or name.startswith("v."))
    image, patch = _number(model, "vision.image_size", 0), _number(model, "vision.patch_size", 0)
    heads, width = _number(model, "vision.attention.head_count", 0), _number(model, "vision.embedding_length", 0)
    channels = _number(model, "vision.num_channels", 0)
    if not patch:
        return weights, 0
    if model.architecture in ("gemma3", "mistral3"):
        patches = (image // patch) ** 2 + (1 if "class_embd" in groups.get("v", {}) else 0)
        return weights, 4 * (image * image * channels + width * patch + patches * patches * heads)
    if model.architecture == "qwen25vl":
        pixels = _number(model, "vision.max_pixels", 28 * 28 * 1280)
        patches = pixels // (patch * patch)
        stored = 2 * pixels * channels + patches * channels * patch * patch
        return weights, 4 * (stored + patches * patches * heads + width * patches)
    return weights, 0
