"""Where each tensor of a GGUF goes, and how many bytes that makes per device.

Follows src/llama-model-loader.cpp `create_tensor`, src/llama-arch.cpp `LLM_TENSOR_INFOS` and ggml-cuda.cu
`get_alloc_size` of llama.cpp 0c1e57098 and b11434. Exact for every architecture whose loader follows the common
rules; tensors are placed by their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vramctl.errors import BadInput
from vramctl.ggml_types import BY_NAME, QUANTISED
from vramctl.plan.layer_split import HOST, LayerSplit
from vramctl.records import Device, Model, Settings, Tensor
from vramctl.units import pad

GPU_ALIGNMENT, HOST_ALIGNMENT = 128, 32
_BLOCK = re.compile(r"^blk\.(\d+)\.")
_INPUT = frozenset(("token_embd", "position_embd", "token_types", "per_layer_token_embd"))
_FIRST_LAYER = frozenset(("token_embd_norm", "per_layer_model_proj", "per_layer_proj_norm"))
_PER_LAYER = frozenset(("rope_freqs", "rope_factors_long", "rope_factors_short"))
# Encoders without a language head: token_embd is not used again as the output matrix.
_NO_OUTPUT = frozenset((
    "bert", "jina-bert-v2", "jina-bert-v3", "nomic-bert", "nomic-bert-moe", "neo-bert", "eurobert", "modern-bert",
    "wavtokenizer-dec", "llama-embed", "clip", "t5encoder",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlacedTensor:
    """A tensor on one device (HOST or the GPU's index), with the bytes it takes there, alignment included."""

    tensor: Tensor
    device: int
    stored_bytes: int


def stored_bytes(tensor: Tensor, device: int) -> int:
    """Bytes a weight takes in a device's buffer: aligned, and on CUDA rows of quantised types padded to 512."""
    if device == HOST:
        return pad(tensor.data_bytes, HOST_ALIGNMENT)
    size, width = tensor.data_bytes, tensor.shape[0] if tensor.shape else 1
    if tensor.type in QUANTISED and width % 512:
        kind = BY_NAME[tensor.type]
        size += kind.size * (512 - width % 512) // kind.block
    return pad(size, GPU_ALIGNMENT)


def override_patterns(settings: Settings, devices: Sequence[Device]) -> list[tuple[re.Pattern[str], int]]:
    """Tensor overrides as (pattern, device), the user's first, then the experts of the first `n_cpu_moe` layers.

    The expert pattern is common/common.h's `LLM_FFN_EXPS_REGEX`.
    """
    names = {device.name: i for i, device in enumerate(devices)}
    rules = [(pattern, names.get(buffer, HOST)) for pattern, buffer in settings.tensor_overrides or ()]
    layers = range(settings.n_cpu_moe or 0)
    rules += [(rf"blk\.{layer}\.ffn_(up|down|gate|gate_up)_(ch|)exps", HOST) for layer in layers]
    compiled = []
    for pattern, device in rules:
        try:
            compiled.append((re.compile(pattern), device))
        except re.error as error:
            raise BadInput(
                "bad-tensor-override", f"{pattern!r} is not a regular expression.",
                because=(str(error),), fix="Write the override as REGEX=BUFFER, for example 'ffn_.*_exps=CPU'.",
            ) from error  # fmt: skip
    return compiled


def has_overrides(settings: Settings) -> bool:
    """Whether any tensor's place was set by hand (llama.cpp then runs without pipeline parallelism)."""
    return bool(settings.tensor_overrides) or bool(settings.n_cpu_moe)


def _rotated(model: Model, split: LayerSplit) -> list[int]:
    """The devices that hold rope factors: gemma4 uses them in layers without a window only."""
    pattern = model.meta("attention.sliding_window_pattern")
    windowed = pattern if model.architecture == "gemma4" and isinstance(pattern, tuple) else ()
    return sorted({place for i, place in enumerate(split.layers) if i >= len(windowed) or not windowed[i]})


def _homes(tensor: Tensor, model: Model, split: LayerSplit) -> list[int]:
    """The devices a tensor is loaded to before overrides; none for MTP blocks, which are not loaded."""
    stem = tensor.name.split(".")[0]
    block = _BLOCK.match(tensor.name)
    if block is not None:
        layer = int(block[1])
        mtp = model.meta("nextn_predict_layers")
        loaded = model.layers - (mtp if isinstance(mtp, int) else 0)
        return [split.layers[layer]] if layer < loaded else []
    if stem in _INPUT:
        return [HOST]
    if stem in _PER_LAYER:
        return _rotated(model, split)
    if stem in _FIRST_LAYER and not (stem == "token_embd_norm" and model.architecture.startswith("lfm2")):
        return [split.layers[0]] if split.layers else [HOST]
    return [split.output]


def place_weights(
    model: Model, settings: Settings, devices: Sequence[Device], split: LayerSplit
) -> tuple[PlacedTensor, ...]:
    """Every tensor where llama.cpp loads it, a tied output matrix and shared rope factors once per device."""
    rules = override_patterns(settings, devices)
    placed: list[PlacedTensor] = []

    def put(tensor: Tensor, home: int, *, twice: bool = False) -> None:
        device = next((where for rule, where in rules if rule.search(tensor.name)), home)
        if twice or not any(p.device == device and p.tensor.name == tensor.name for p in placed[-8:]):
            placed.append(PlacedTensor(tensor, device, stored_bytes(tensor, device)))

    tied = model.architecture not in _NO_OUTPUT and not any(t.name == "output.weight" for t in model.tensors)
    for tensor in model.tensors:
        for home in _homes(tensor, model, split):
            put(tensor, home)
        if tied and tensor.name == "token_embd.weight":
            # gemma4 makes the output matrix before the embeddings, so that one device may hold both
            put(tensor, split.output, twice=model.architecture == "gemma4")
    return tuple(placed)


def weights_bytes(placed: Sequence[PlacedTensor], device: int) -> int:
    """Bytes of weights on one device (HOST or the GPU's index)."""
    return sum(p.stored_bytes for p in placed if p.device == device)
