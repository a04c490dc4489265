"""From a model's published configuration to GGUF metadata and a tensor table, as llama.cpp's converter writes them.

`common` follows `TextModel.set_gguf_parameters` (conversion/base.py of llama.cpp 0c1e57098).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vramctl.formats.gguf_write import Entry
from vramctl.records.model import Scalar

ConfigValue = int | float | bool | str | None | Sequence[int] | Sequence[str] | Mapping[str, int | float | bool | str]
ConfigValues = Mapping[str, ConfigValue]


@dataclass(frozen=True, slots=True)
class Config:
    """A published config.json, the keys that shape the file; names are the publisher's own."""

    values: Mapping[str, ConfigValue]

    def __contains__(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.values.get(key) is not None

    def integer(self, key: str, default: int | None = None) -> int:
        """The whole number under `key`; KeyError where there is neither a value nor a default."""
        value = self.values.get(key)
        if isinstance(value, int):
            return int(value)
        if default is None:
            raise KeyError(key)
        return default

    def number(self, key: str, default: float | None = None) -> float:
        """The number under `key`; KeyError where there is neither a value nor a default."""
        value = self.values.get(key)
        if isinstance(value, (int, float)):
            return float(value)
        if default is None:
            raise KeyError(key)
        return default

    def flag(self, key: str, default: bool = False) -> bool:
        """Whether `key` is true."""
        value = self.values.get(key)
        return value if isinstance(value, bool) else default

    def text(self, key: str, default: str = "") -> str:
        """The string under `key`."""
        value = self.values.get(key)
        return value if isinstance(value, str) else default

    def integers(self, key: str) -> tuple[int, ...]:
        """The list of whole numbers under `key`, empty where there is none."""
        value = self.values.get(key)
        if not isinstance(value, Sequence) or isinstance(value, str):
            return ()
        return tuple(item for item in value if isinstance(item, int))

    def part(self, key: str) -> Config:
        """The nested object under `key`, empty where there is none."""
        value = self.values.get(key)
        return Config(value if isinstance(value, Mapping) else {})

    @property
    def hidden(self) -> int:
        """The width of the residual stream."""
        return self.integer("hidden_size")

    @property
    def blocks(self) -> range:
        """The numbers of the repeating layers."""
        return range(self.integer("num_hidden_layers"))

    @property
    def head_dim(self) -> int:
        """The width of one attention head."""
        return self.integer("head_dim", self.hidden // self.integer("num_attention_heads"))

    @property
    def q_width(self) -> int:
        """All query heads together."""
        return self.head_dim * self.integer("num_attention_heads")

    @property
    def kv_width(self) -> int:
        """All key (or value) heads together."""
        return self.head_dim * self.integer("num_key_value_heads", self.integer("num_attention_heads"))


@dataclass(slots=True)
class Layout:
    """A header in the making: metadata without the `<architecture>.` prefix, tensors as (name, [ne0, ne1, ...])."""

    architecture: str
    entries: list[Entry] = field(default_factory=list)
    tensors: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)

    def put(self, kind: str, **values: Scalar | Sequence[Scalar]) -> None:
        """Set metadata under the architecture; `__` in a name stands for the dot. A later value replaces an earlier."""
        for name, value in values.items():
            key = f"{self.architecture}.{name.replace('__', '.')}"
            self.entries = [entry for entry in self.entries if entry.key != key]
            self.entries.append(Entry(key, kind, value))

    def weight(self, name: str, *shape: int) -> None:
        """Add `name.weight`."""
        self.tensors.append((f"{name}.weight", shape))

    def bias(self, name: str, *shape: int) -> None:
        """Add `name.bias`."""
        self.tensors.append((f"{name}.bias", shape))

    def plain(self, name: str, *shape: int) -> None:
        """Add a tensor without a suffix."""
        self.tensors.append((name, shape))

    def linear(self, name: str, inputs: int, outputs: int, *, bias: bool) -> None:
        """Add a matrix and, where there is one, its bias."""
        self.weight(name, inputs, outputs)
        if bias:
            self.bias(name, outputs)

    def embeddings(self, config: Config) -> None:
        """Add the token embedding, the final norm and, unless it is tied, the output matrix."""
        self.weight("token_embd", config.hidden, config.integer("vocab_size"))
        self.weight("output_norm", config.hidden)
        if not config.flag("tie_word_embeddings"):
            self.weight("output", config.hidden, config.integer("vocab_size"))

    def norms(self, block: str, width: int, *names: str) -> None:
        """Add norm weights of one width to a block."""
        for name in names:
            self.weight(f"{block}.{name}", width)

    def attention(self, block: str, config: Config, *, bias: bool = False, qk_norm: bool = False) -> None:
        """Add separate q, k, v and output matrices, with their biases (not the output's) or q/k norms."""
        self.linear(f"{block}.attn_q", config.hidden, config.q_width, bias=bias)
        self.linear(f"{block}.attn_k", config.hidden, config.kv_width, bias=bias)
        self.linear(f"{block}.attn_v", config.hidden, config.kv_width, bias=bias)
        self.weight(f"{block}.attn_output", config.q_width, config.hidden)
        if qk_norm:
            self.norms(block, config.head_dim, "attn_q_norm", "attn_k_norm")

    def feed_forward(self, block: str, hidden: int, width: int, suffix: str = "") -> None:
        """Add gate, up and down matrices (`suffix` `_shexp` for a shared expert)."""
        self.weight(f"{block}.ffn_gate{suffix}", hidden, width)
        self.weight(f"{block}.ffn_up{suffix}", hidden, width)
        self.weight(f"{block}.ffn_down{suffix}", width, hidden)

    def experts(self, block: str, hidden: int, width: int, count: int) -> None:
        """Add the router and the experts' gate, up and down matrices."""
        self.weight(f"{block}.ffn_gate_inp", hidden, count)
        self.weight(f"{block}.ffn_gate_exps", hidden, width, count)
        self.weight(f"{block}.ffn_up_exps", hidden, width, count)
        self.weight(f"{block}.ffn_down_exps", width, hidden, count)


def blocks(config: Config) -> Iterator[tuple[int, str]]:
    """Each repeating layer's number and the prefix of its tensors."""
    for il in config.blocks:
        yield il, f"blk.{il}"


def common(layout: Layout, config: Config) -> None:
    """Set the metadata that most architectures share."""
    layout.put("u32", block_count=config.integer("num_hidden_layers"))
    for key, names in {
        "context_length": ("max_position_embeddings",), "embedding_length": ("hidden_size",),
        "feed_forward_length": ("intermediate_size",), "attention__head_count": ("num_attention_heads",),
        "attention__head_count_kv": ("num_key_value_heads",),
        "expert_count": ("num_local_experts", "num_experts", "n_routed_experts"),
        "expert_used_count": ("num_experts_per_tok", "moe_topk"),
        "expert_group_count": ("n_group",), "expert_group_used_count": ("topk_group",),
        "attention__key_length": ("head_dim",), "attention__value_length": ("head_dim",),
    }.items():  # fmt: skip
        for name in names:
            if name in config:
                layout.put("u32", **{key: config.integer(name)})
    for key, names in {
        "attention__layer_norm_rms_epsilon": ("rms_norm_eps", "norm_eps"),
        "attention__layer_norm_epsilon": ("layer_norm_eps", "layer_norm_epsilon"),
        "rope__freq_base": ("rope_theta",), "rope__freq_base_swa": ("rope_local_base_freq",),
    }.items():  # fmt: skip
        for name in names:
            if name in config:
                layout.put("f32", **{key: config.number(name)})
    gates = {"softmax": 1, "sigmoid": 2}
    if config.text("scoring_func") in gates:
        layout.put("u32", expert_gating_func=gates[config.text("scoring_func")])
    layout.put("u32", vocab_size=config.integer("vocab_size"))
    rope_scaling(layout, config.part("rope_scaling"))


def rope_scaling(layout: Layout, scaling: Config) -> None:
    """Set how positions beyond the original context are scaled."""
    kind = scaling.text("rope_type") or scaling.text("type")
    if kind in ("linear", "yarn") and "factor" in scaling:
        layout.put("str", rope__scaling__type=kind)
        layout.put("f32", rope__scaling__factor=scaling.number("factor"))
    if kind == "yarn":
        original = scaling.integer("original_max_position_embeddings")
        layout.put("u32", rope__scaling__original_context_length=original)
        for name in ("beta_fast", "beta_slow"):
            if name in scaling:
                layout.put("f32", **{f"rope__scaling__yarn_{name}": scaling.number(name)})
    if kind in ("longrope", "su"):
        layout.put("str", rope__scaling__type="longrope")
