"""Which type each tensor of a file gets: the converter's 16-bit rule and llama-quantize's mixtures.

Read from src/llama-quant.cpp (`tensor_allows_quantization`, `llama_tensor_get_type_impl`, `tensor_type_fallback`)
and conversion/base.py (`prepare_tensors`) of llama.cpp 0c1e57098; compared with `llama_model_quantize(dry_run=True)`
of that build in benchmarks/shapes_vs_quantize.py.  Mixtures are those without an importance matrix (with one, IQ4_XS,
IQ4_NL, Q4_0 and Q5_0 differ in the first ffn_down tensors), except for IQ3_XXS, which cannot be made without: its rule
is the one with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vramctl.ggml_types import BY_NAME

TensorShape = tuple[str, tuple[int, ...]]

# File type: the type that most tensors get (`llama_ftype_get_default_type`).
DEFAULT_TYPE: Mapping[str, str] = {
    "F32": "F32", "F16": "F16", "BF16": "BF16", "Q4_0": "Q4_0", "Q4_1": "Q4_1", "Q5_0": "Q5_0", "Q5_1": "Q5_1",
    "Q8_0": "Q8_0", "Q2_K": "Q2_K", "Q2_K_S": "Q2_K", "Q3_K_S": "Q3_K", "Q3_K_M": "Q3_K", "Q3_K_L": "Q3_K",
    "Q4_K_S": "Q4_K", "Q4_K_M": "Q4_K", "Q5_K_S": "Q5_K", "Q5_K_M": "Q5_K", "Q6_K": "Q6_K",
    "IQ1_S": "IQ1_S", "IQ1_M": "IQ1_M", "IQ2_XXS": "IQ2_XXS", "IQ2_XS": "IQ2_XS", "IQ2_S": "IQ2_XS",
    "IQ2_M": "IQ2_S", "IQ3_XXS": "IQ3_XXS", "IQ3_XS": "IQ3_S", "IQ3_S": "IQ3_S", "IQ3_M": "IQ3_S",
    "IQ4_NL": "IQ4_NL", "IQ4_XS": "IQ4_XS", "TQ1_0": "TQ1_0", "TQ2_0": "TQ2_0", "MXFP4_MOE": "MXFP4",
}  # fmt: skip
UNQUANTISED = frozenset({"F32", "F16", "BF16"})

# Rows that are no whole number of blocks get the right-hand type instead.
_FALLBACK = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    **dict.fromkeys(("Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
}  # fmt: skip
# Parts of names whose tensors llama-quantize leaves as the converter wrote them.
_LEFT_ALONE = (
    "_norm.weight", "ffn_gate_inp.weight", "altup", "laurel", "per_layer_model_proj", "ssm_conv1d",
    "shortconv.conv.weight",
    "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight",
    "time_mix_v1.weight", "time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight",
    "time_mix_g1.weight", "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight", "attn_rel_b.weight",
)  # fmt: skip
# Weights that the converter writes as F32 whatever the file type is.
_ALWAYS_F32 = (
    "ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight", "ssm_conv1d.weight", "shortconv.conv.weight",
    "time_mix_first.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight",
)  # fmt: skip
_LAYER = re.compile(r"blk\.(\d+)\.")
_NO_MATRIX_IQ = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"})


@dataclass(frozen=True, slots=True)
class Traits:
    """What llama-quantize looks at besides names and shapes.

    `layers` counts MTP blocks too, `gqa` is the first layer's heads over its KV heads (0 without KV heads), `is_70b`
    llama.cpp's own size class; `native` are types that the release itself has and every published file keeps
    (gpt-oss's MXFP4 experts).
    """

    layers: int
    experts: int
    gqa: int
    is_70b: bool
    native: Mapping[str, str] = field(default_factory=dict)


def file_order(name: str) -> tuple[int, str]:
    """Sort key of llama.cpp's loader (`weight_name_comparer`): outer tensors first, then block by block, by name."""
    match = _LAYER.match(name)
    return (int(match[1]) if match else -1, name)


def converted_type(name: str, shape: tuple[int, ...], file_type: str) -> str:
    """The type the converter writes for an `F32`, `F16` or `BF16` file."""
    fixed = name in ("position_embd.weight", "token_types.weight") or name.endswith(_ALWAYS_F32)
    if len(shape) < 2 or name.endswith("_norm.weight") or not name.endswith(".weight") or fixed:
        return "F32"
    return file_type


def pick_types(tensors: Sequence[TensorShape], traits: Traits, file_type: str) -> Iterator[str]:
    """The type of each tensor, given in `file_order`, as llama-quantize makes it from the converter's BF16 file."""
    source = file_type if file_type in UNQUANTISED else "BF16"
    mixture = _Mixture(file_type, traits, tensors)
    for name, shape in tensors:
        native = traits.native.get(name.split(".", 2)[-1])
        if native:
            yield native
        elif file_type in UNQUANTISED or not _quantisable(name, shape):
            yield converted_type(name, shape, source)
        else:
            yield _whole_blocks(mixture.choose(name, shape), shape[0])


def _quantisable(name: str, shape: tuple[int, ...]) -> bool:
    if sum(size > 1 for size in shape[1:]) == 0:  # ggml_n_dims drops trailing ones
        return False
    if name in ("position_embd.weight", "token_types.weight") or not name.endswith("weight"):
        return False
    return not any(part in name for part in _LEFT_ALONE)


def _whole_blocks(wanted: str, width: int) -> str:
    if width % BY_NAME[wanted].block == 0:
        return wanted
    smaller = _FALLBACK.get(wanted, wanted)
    return smaller if width % BY_NAME[smaller].block == 0 else "F16"


def _category(name: str) -> str:
    if name == "output.weight":
        return "output"
    if name in ("token_embd.weight", "per_layer_token_embd.weight"):
        return "embedding"
    for part, category in (
        ("attn_qkv.weight", "v"), ("attn_kv_b.weight", "v"), ("attn_v.weight", "v"), ("attn_k.weight", "k"),
        ("attn_q.weight", "q"), ("attn_output.weight", "attn_out"), ("ffn_up", "up"), ("ffn_gate", "gate"),
        ("ffn_down", "down"),
    ):  # fmt: skip
        if part in name:
            return category
    return "other"


class _Mixture:
    """One file's choices: they depend on how many tensors of a kind went before."""

    def __init__(self, file_type: str, traits: Traits, tensors: Sequence[TensorShape]) -> None:
        self.file_type = file_type
        self.traits = traits
        self.base = DEFAULT_TYPE[file_type]
        categories = [_category(name) for name, _ in tensors]
        self.tied = "output" not in categories
        self.n_v = categories.count("v")
        self.seen = dict.fromkeys(("v", "down", "gate", "up"), 0)

    def choose(self, name: str, shape: tuple[int, ...]) -> str:
        """The type before the fall-back for part blocks; call once per tensor, in file order."""
        category = _category(name)
        if category == "output" or (self.tied and category == "embedding"):
            return self._output(shape[0])
        if self.file_type == "MXFP4_MOE":
            return "MXFP4" if len(shape) > 2 and shape[2] > 1 else "Q8_0"
        if category == "embedding":
            return self._embedding()
        index = self.seen.get(category, 0)
        if category in self.seen:
            self.seen[category] += 1
        if category in ("down", "gate", "up") and self.traits.experts > 1:
            index = file_order(name)[0]
        if self.file_type in _NO_MATRIX_IQ:
            return self._two_bits(category, index)
        choices = {"v": self._v, "down": self._down, "gate": self._middle, "up": self._middle}
        if category in choices:
            return choices[category](index)
        return {"k": self._k, "q": self._q, "attn_out": self._attn_out}.get(category, lambda: self.base)()

    def _more_bits(self, index: int, count: int) -> bool:
        return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2

    def _output(self, width: int) -> str:
        if self.file_type == "MXFP4_MOE" or width % BY_NAME[self.base].block:
            return "Q8_0"
        if self.file_type in _NO_MATRIX_IQ or self.file_type == "IQ3_XXS":
            return "Q5_K"
        return "Q8_0" if self.base == "Q8_0" else "Q6_K"

    def _embedding(self) -> str:
        special = {
            **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"), "Q2_K"),
            **dict.fromkeys(("IQ2_S", "IQ2_M", "IQ3_XXS"), "IQ3_S"),
            **dict.fromkeys(("TQ1_0", "TQ2_0"), "Q4_K"),
        }
        return special.get(self.file_type, self.base)

    def _two_bits(self, category: str, index: int) -> str:
        """The mixtures around one and two bits: IQ1_S, IQ1_M and the IQ2 family."""
        better = "IQ3_S" if self.file_type in ("IQ2_S", "IQ2_M") else "Q2_K"
        eight = self.traits.experts == 8
        if category == "v":
            return "Q4_K" if self.traits.gqa >= 4 or self.traits.experts >= 4 else better
        if category == "k" and eight:
            return "Q4_K"
        if category == "down" and self.seen["down"] - 1 < self.traits.layers // 8:
            return better
        if category == "attn_out":
            if eight:
                return "Q5_K"
            output = {"IQ1_S": "IQ2_XXS", "IQ1_M": "IQ2_XXS", "IQ2_S": "IQ3_S", "IQ2_M": "IQ3_S"}
            return output.get(self.file_type, self.base)
        return self.base

    def _v(self, index: int) -> str:
        kind, many = self.file_type, self.traits.gqa >= 4
        chosen = self.base
        if kind == "Q2_K":
            chosen = "Q4_K" if many else "Q3_K"
        elif (kind in ("Q2_K_S", "IQ3_XXS", "IQ3_XS", "IQ3_S") and many) or kind == "IQ3_M":
            chosen = "Q4_K"
        elif kind == "Q3_K_M":
            chosen = "Q5_K" if index < 2 else "Q4_K"
        elif kind == "Q3_K_L" or (kind in ("IQ4_NL", "IQ4_XS") and many) or (kind == "Q4_K_S" and index < 4):
            chosen = "Q5_K"
        elif kind in ("Q4_K_M", "Q5_K_M") and self._more_bits(index, self.n_v):
            chosen = "Q6_K"
        if self.traits.is_70b and chosen in ("Q3_K", "Q4_K"):
            chosen = "Q5_K"
        return "Q8_0" if self.traits.experts == 8 else chosen

    def _k(self) -> str:
        if self.traits.experts == 8:
            return "Q8_0"
        return self._q()

    def _q(self) -> str:
        return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(self.file_type, self.base)

    def _down(self, index: int) -> str:
        kind, layers = self.file_type, self.traits.layers
        early = index < layers // 8
        if kind in ("Q2_K", "Q3_K_L"):
            return {"Q2_K": "Q3_K", "Q3_K_L": "Q5_K"}[kind]
        if kind == "Q3_K_M":
            return "Q5_K" if index < layers // 16 else "Q4_K"
        if kind == "Q2_K_S" and early:
            return "Q4_K"
        if kind == "IQ3_M" and (early or (self.traits.experts == 8 and self._more_bits(index, layers))):
            return "Q4_K"
        if kind in ("Q4_K_M", "Q5_K_M") and self._more_bits(index, layers):
            return "Q6_K"
        if kind in ("IQ4_NL", "IQ4_XS", "Q4_K_S") and early:
            return "Q5_K"
        return self.base

    def _middle(self, index: int) -> str:
        layers = self.traits.layers
        inner = layers // 8 <= index < 7 * layers // 8
        return "IQ3_XXS" if self.file_type == "IQ3_XS" and inner else self.base

    def _attn_out(self) -> str:
        if self.traits.experts == 8:
            better = (
                "Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M",
                "IQ4_XS",
            )  # fmt: skip
            return "Q5_K" if self.file_type in better else self.base
        better_by_type = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}
        return better_by_type.get(self.file_type, self.base)
