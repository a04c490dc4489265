"""A Hugging Face model folder (plain, EXL2, EXL3, GPTQ, AWQ) to one Model.

What is quantised how: `quantization_config` of config.json, or, for older files, the tensors' own names.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vramctl.errors import BadInput
from vramctl.records import ArrayInfo, Model, Tensor, Unknown
from vramctl.records.model import MetadataValue

MAX_KEYS, MAX_DEPTH, MAX_TUPLE, MAX_TEXT = 10_000, 8, 4096, 65536
MAX_LAYERS = 4096
# Where multimodal models keep the language model's part.
_TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
_TOP_ONLY = ("architectures", "model_type", "quantization_config")
# Suffixes of tensors that only describe how others are quantised.
_SIDE = (
    ".q_scale", ".q_scale_max", ".q_groups", ".q_invperm", ".q_perm", ".q_group_map", ".suh", ".svh", ".su", ".sv",
    ".mcg", ".mul1", ".scales", ".qzeros", ".g_idx", ".weight_scale", ".weight_scale_inv", ".input_scale",
    ".weight_scale_2", ".weight_zero_point", ".weight_shape", ".weight_g_idx", "_scales", ".absmax", ".quant_map",
    ".nested_absmax", ".nested_quant_map", ".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4",
)  # fmt: skip


def flatten(config: Mapping[str, Any], prefix: str = "hf.") -> dict[str, MetadataValue]:
    """The configuration as dotted keys (`hf.num_hidden_layers`, `hf.quantization_config.bits`).

    The language model's own part (`text_config`) is lifted to the top, where it wins.
    """
    flat: dict[str, MetadataValue] = {}
    _flatten_into(flat, config, prefix, 0)
    part: Any = config
    for _ in range(2):  # thinker_config holds a text_config of its own
        part = next((part[key] for key in _TEXT_PARTS if isinstance(part.get(key), dict)), None)
        if part is None:
            break
        lifted = {key: value for key, value in part.items() if key not in _TOP_ONLY or prefix + key not in flat}
        _flatten_into(flat, lifted, prefix, 0)
    return flat


def _flatten_into(flat: dict[str, MetadataValue], config: Mapping[str, Any], prefix: str, depth: int) -> None:
    for key, value in config.items():
        name = prefix + key
        if len(flat) >= MAX_KEYS:
            return
        if isinstance(value, dict):
            if depth < MAX_DEPTH:
                _flatten_into(flat, value, name + ".", depth + 1)
        elif isinstance(value, list):
            plain = len(value) <= MAX_TUPLE and all(isinstance(one, str | int | float) for one in value)
            flat[name] = tuple(value) if plain else ArrayInfo("json", len(value))
        elif isinstance(value, str):
            flat[name] = value[:MAX_TEXT]
        elif isinstance(value, bool | int | float):
            flat[name] = value


def describe(
    reference: str,
    *,
    name: str,
    config: Mapping[str, Any],
    tensors: tuple[Tensor, ...],
    file_bytes: int,
    files: tuple[str, ...],
) -> Model:
    """The Model of a folder: its flattened configuration, its tensors, and what they are quantised with."""
    metadata = flatten(config)
    kind = _kind(metadata, tensors)
    return Model(
        reference=reference,
        kind=kind,
        name=name,
        architecture=_architecture(metadata, name),
        parameters=_parameters(tensors, metadata),
        quantization=_quantization(kind, metadata, tensors),
        file_bytes=file_bytes,
        layers=_layers(metadata, name),
        train_ctx=_first_count(
            metadata, ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length")
        )
        or Unknown("config.json has no max_position_embeddings"),
        metadata=metadata,
        tensors=tensors,
        files=files,
    )


def _kind(metadata: Mapping[str, MetadataValue], tensors: Sequence[Tensor]) -> str:
    """exl2, exl3, gptq, awq or safetensors (everything else that is kept in safetensors)."""
    method = metadata.get("hf.quantization_config.quant_method")
    if method in ("exl2", "exl3", "gptq", "awq"):
        return str(method)
    endings = {tensor.name.rpartition(".")[2] for tensor in tensors}
    if "trellis" in endings:
        return "exl3"
    if {"q_weight", "q_scale"} <= endings:
        return "exl2"
    if {"qweight", "qzeros"} <= endings:
        return "gptq" if "g_idx" in endings else "awq"
    return "safetensors"


def _architecture(metadata: Mapping[str, MetadataValue], name: str) -> str:
    listed = metadata.get("hf.architectures")
    for value in (metadata.get("hf.model_type"), listed[0] if isinstance(listed, tuple) and listed else None):
        if isinstance(value, str) and value and value.isprintable() and len(value) <= 64:
            return value
    raise BadInput(
        "hf-no-architecture",
        f"{name} does not say which architecture it is.",
        because=("config.json has neither model_type nor architectures",),
        fix="Download the folder again, with the config.json of the model itself.",
    )


def _first_count(metadata: Mapping[str, MetadataValue], keys: Iterable[str]) -> int:
    """The first positive whole number among the keys, 0 where there is none."""
    for key in keys:
        value = metadata.get(f"hf.{key}")
        if type(value) is int and value > 0:
            return value
    return 0


def _layers(metadata: Mapping[str, MetadataValue], name: str) -> int:
    count = _first_count(metadata, ("num_hidden_layers", "n_layer", "num_layers", "n_layers"))
    if 0 < count <= MAX_LAYERS:
        return count
    raise BadInput(
        "hf-no-layers",
        f"{name} does not describe a language model: it has no usable layer count.",
        because=(f"config.json says num_hidden_layers {count}" if count else "config.json has no num_hidden_layers",),
        fix="Give a language model's folder; image and speech models are not planned.",
    )


def _bits(metadata: Mapping[str, MetadataValue]) -> float | None:
    """Bits per weight that the quantisation config states."""
    for key in ("bits", "w_bit", "config_groups.group_0.weights.num_bits"):
        value = metadata.get(f"hf.quantization_config.{key}")
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 32:
            return value
    return None


def _parameters(tensors: Sequence[Tensor], metadata: Mapping[str, MetadataValue]) -> int:
    """How many weights the model has, packed or not."""
    rows = {
        tensor.name.removesuffix(".q_invperm"): tensor.shape for tensor in tensors if tensor.name.endswith(".q_invperm")
    }
    return sum(_weights(tensor, rows, metadata) for tensor in tensors)


def _weights(tensor: Tensor, rows: Mapping[str, tuple[int, ...]], metadata: Mapping[str, MetadataValue]) -> int:
    """How many of the model's weights a tensor stores; 0 for scales and the like. `rows` are EXL2's permutations."""
    name, shape = tensor.name, tensor.shape
    elements = math.prod(shape)
    if name.endswith(_SIDE):
        return 0
    if name.endswith(".q_weight"):  # EXL2 mixes widths: the permutation has one entry an input row
        invperm = rows.get(name.removesuffix(".q_weight"), ())
        return math.prod(invperm) * shape[-1] if invperm and shape else 0
    if name.endswith(".trellis") and len(shape) == 3:  # [in/16, out/16, 16 K], exllamav3 1.6.5 modules/quant/exl3.py
        return shape[0] * shape[1] * 256
    if name.endswith((".qweight", ".weight_packed")) and tensor.type == "I32":
        return round(elements * 32 / (_bits(metadata) or 4))
    if name.endswith("_blocks") and tensor.type == "U8":  # MXFP4 of gpt-oss: two weights a byte
        return 2 * elements
    if tensor.type == "U8" and metadata.get("hf.quantization_config.load_in_4bit") is True:
        return 2 * elements
    return elements


def _quantization(kind: str, metadata: Mapping[str, MetadataValue], tensors: Sequence[Tensor]) -> str | Unknown:
    """`4.00 bpw` (EXL2, EXL3), `4 bit, group 128` (GPTQ, AWQ), the method's name, or the usual tensor type."""
    bits = _bits(metadata)
    if kind in ("exl2", "exl3"):
        bits = bits or _bits_per_weight(tensors, metadata)
        return Unknown("no quantised layer found") if bits is None else f"{bits:.2f} bpw"
    if kind in ("gptq", "awq"):
        group = metadata.get("hf.quantization_config.group_size", metadata.get("hf.quantization_config.q_group_size"))
        shown = f", group {group}" if type(group) is int and group > 0 else ""
        return Unknown("config.json does not say how many bits") if bits is None else f"{bits:g} bit{shown}"
    method = metadata.get("hf.quantization_config.quant_method")
    if isinstance(method, str):
        return method[:40] if bits is None else f"{method[:40]} {bits:g} bit"
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.type] += tensor.data_bytes
    return sizes.most_common(1)[0][0] if sizes else Unknown("there are no tensors")


def _bits_per_weight(tensors: Sequence[Tensor], metadata: Mapping[str, MetadataValue]) -> float | None:
    """Bits a weight of the quantised layers takes with its scales, the output layer left out as the makers do."""
    quantised = {
        tensor.name.rpartition(".")[0]
        for tensor in tensors
        if tensor.name.endswith((".q_weight", ".trellis")) and "lm_head" not in tensor.name
    }
    parts = [tensor for tensor in tensors if tensor.name.rpartition(".")[0] in quantised]
    weights = _parameters([tensor for tensor in parts if not tensor.name.endswith(".bias")], metadata)
    return 8 * sum(tensor.data_bytes for tensor in parts) / weights if weights else None
