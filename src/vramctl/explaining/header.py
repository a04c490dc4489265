"""A Model from what a log prints of it: the header's numbers where they are there, else a built-in shape that they fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from vramctl.ggml_types import FILE_TYPES
from vramctl.records import ArrayInfo, Model, Unknown
from vramctl.records.load import Load
from vramctl.shapes.build import model_of_shape, quants
from vramctl.shapes.catalogue import SHAPES
from vramctl.shapes.dense import llama, phi3, qwen2, qwen3, qwen3moe
from vramctl.shapes.layout import Config, ConfigValue, Layout
from vramctl.shapes.shape import Shape

# Architectures whose tensors follow from the header's numbers alone.
_BUILT: dict[str, Callable[[Config], Layout]] = {
    "llama": llama,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "qwen3moe": qwen3moe,
    "phi3": phi3,
}
# A key of the header (without `<architecture>.`) and the publisher's name for it.
_KEYS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "context_length": "max_position_embeddings",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "attention.sliding_window": "sliding_window",
    "rope.scaling.original_context_length": "original_max_position_embeddings",
}
# Weights whose printed size differs more than this from what the shape has are of another model.
_SIZE_APART, _ROUNDED = 0.35, 0.005
_EQUAL_SIZE = 0.002
_SMALLER = ("Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q3_K_S", "IQ3_XXS", "Q2_K", "IQ2_M")
_WORTH_CHANGING = 0.97


def model_of_log(load: Load) -> Model | Unknown:
    """The model of a load, its weights as many bytes as the log prints; Unknown where too little is printed."""
    if not isinstance(load.model.architecture, str):
        return Unknown("the log does not print the model's architecture")
    for shape in _candidates(load):
        quant = _quantization(load)
        if isinstance(quant, Unknown):
            return quant
        model = model_of_shape(shape, quant)
        if _same_model(model, load):
            return _as_printed(model, load)
    return Unknown(f"no built-in shape is this {load.model.architecture} model, and its header says too little of it")


def smaller(load: Load) -> Iterator[Model]:
    """The same model in the usual smaller file types, largest first."""
    for shape in _candidates(load):
        if not _same_parameters(model_of_shape(shape, "Q8_0"), load):
            continue
        now = load.model.file_bytes
        models = (model_of_shape(shape, quant) for quant in _SMALLER)
        yield from (one for one in models if isinstance(now, int) and one.file_bytes < _WORTH_CHANGING * now)
        return


def _candidates(load: Load) -> Iterator[Shape]:
    """Built-in shapes of this architecture with these layers and widths, then one made from the header."""
    header = _own(load)
    layers = header.get("block_count", load.model.layers)
    for shape in SHAPES:
        config = Config(shape.config)
        if layers != shape.config.get("num_hidden_layers"):
            continue
        width = header.get("embedding_length")
        if width is not None and width != shape.config.get("hidden_size"):
            continue
        heads = header.get("attention.head_count")
        if isinstance(heads, int) and heads != shape.config.get("num_attention_heads"):
            continue
        if shape.layout(config).architecture == load.model.architecture:
            yield shape
    yield from _from_header(load, header)


def _own(load: Load) -> dict[str, object]:
    """The header's values without the architecture in front."""
    prefix = f"{load.model.architecture}."
    return {key.removeprefix(prefix): value for key, value in load.header.items() if key.startswith(prefix)}


def _from_header(load: Load, header: Mapping[str, object]) -> Iterator[Shape]:
    """Shapes that have this very header: with an output matrix of its own, and with a tied one."""
    layout = _BUILT.get(str(load.model.architecture))
    vocabulary = header.get("vocab_size") or load.header.get("tokenizer.ggml.tokens")
    if layout is None or not isinstance(vocabulary, int):
        return
    values: dict[str, ConfigValue] = {"vocab_size": vocabulary, "rms_norm_eps": 1e-5}
    for key, name in _KEYS.items():
        value = header.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            values[name] = value
    experts = header.get("expert_count")
    if isinstance(experts, int) and experts:
        values["num_experts" if layout is qwen3moe else "num_local_experts"] = experts
    if not {"num_hidden_layers", "hidden_size", "num_attention_heads"} <= values.keys():
        return
    for tied in (False, True):
        config = {**values, "tie_word_embeddings": tied}
        yield Shape("of-the-log", str(load.model.name), "dense", "the log", layout, config)


def _quantization(load: Load) -> str | Unknown:
    """The file type by llama-quantize's name: as the header numbers it, else as the loader words it."""
    number = load.header.get("general.file_type")
    if isinstance(number, int) and FILE_TYPES.get(number) in quants():
        return FILE_TYPES[number]
    words = str(load.model.quantization).upper() if isinstance(load.model.quantization, str) else ""
    for long, short in ((" - SMALL", "_S"), (" - MEDIUM", "_M"), (" - LARGE", "_L"), (" ", "_")):
        words = words.replace(long, short)
    if words in quants():
        return words
    parameters, size = load.model.parameters, load.model.file_bytes
    if isinstance(parameters, int) and isinstance(size, int) and parameters > 0:
        bits = size * 8 / parameters
        table = (("Q2_K", 3.2), ("Q3_K_M", 4.2), ("Q4_K_M", 5.2), ("Q5_K_M", 6.0), ("Q6_K", 7.5), ("Q8_0", 12.0))
        return next((name for name, most in table if bits < most), "F16")
    return Unknown("the log does not print the model's file type")


def _same_model(model: Model, load: Load) -> bool:
    """Whether parameters, and bytes within what another mixture of types can make, are those of the log."""
    size = load.model.file_bytes
    if isinstance(size, int) and abs(model.file_bytes - size) > _SIZE_APART * size:
        return False
    return _same_parameters(model, load)


def _same_parameters(model: Model, load: Load) -> bool:
    """Whether the count of parameters is the printed one, which has two decimals of a billion (or million)."""
    printed = load.model.parameters
    if not isinstance(printed, int):
        return bool(load.header)
    unit = 1_000_000_000 if printed >= 1_000_000_000 else 1_000_000
    return abs(model.parameters - printed) <= _ROUNDED * unit * 1.2


def _as_printed(model: Model, load: Load) -> Model:
    """The model with weights of the printed size: mixtures made with an importance matrix differ by some percent."""
    size = load.model.file_bytes
    weights = sum(tensor.data_bytes for tensor in model.tensors)
    tokens = load.header.get("tokenizer.ggml.tokens")
    metadata = dict(model.metadata)
    if isinstance(tokens, int):
        metadata["tokenizer.ggml.tokens"] = ArrayInfo("str", tokens)
    if not isinstance(size, int) or abs(weights - size) <= _EQUAL_SIZE * size:
        return replace(model, metadata=metadata)
    share = size / weights
    tensors = tuple(replace(tensor, data_bytes=round(tensor.data_bytes * share)) for tensor in model.tensors)
    return replace(model, metadata=metadata, tensors=tensors, file_bytes=size)
