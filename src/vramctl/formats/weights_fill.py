"""Which values a tensor gets, by its name: so that activations stay finite, differ, and routing spreads.

Names are those of llama.cpp's `LLM_TENSOR_NAMES` (src/llama-arch.cpp, b11434).  What layers add to the
residual stream is kept about as small as the embeddings, and what attention adds, which mixes tokens, smaller still: then
every token keeps a state of its own through all layers, and a router sees as many directions as there are tokens.  With
weights of one size for all, the mean over the context would drown the token after a few layers, and all tokens would go
to the same experts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from vramctl.formats.weights import Fill
from vramctl.records.model import MetadataValue

_EMBEDDING = 0.02
_ATTENTION, _FEED_FORWARD = 0.005, 0.05  # of what a layer adds, where its input is 1
_SMALL = Fill(0.02)
_TINY = Fill(0.001)
_ONE = Fill(0.0, mean=1.0)
_NORM = Fill(0.05, mean=1.0)


@dataclass(frozen=True, slots=True)
class Traits:
    """What the values depend on beside a tensor's name.

    `output` is the matrix whose rows are the tokens' logits.  `flipped` is the last norm where that matrix is the
    embedding too, else empty: with both signs in it a token does not predict itself for ever.  `experts`: tables of
    experts' indices count below it.  `sandwich`: `post_attention_norm` norms what attention adds to the stream, and is not
    the feed-forward's first norm.  `louder`: how much larger embeddings are made than what layers add.
    """

    output: str
    flipped: str
    experts: int
    sandwich: bool
    louder: float


def traits_of(names: Collection[str], metadata: Mapping[str, MetadataValue]) -> Traits:
    """The traits of a model with these tensors."""
    architecture = metadata.get("general.architecture")
    tied = "output.weight" not in names
    last = "output_norm.weight" if "output_norm.weight" in names else "token_embd_norm.weight"
    experts = metadata.get(f"{architecture}.expert_count", 0)
    louder = _factor(metadata.get(f"{architecture}.embedding_scale"))
    quieter = _factor(metadata.get(f"{architecture}.residual_scale"))
    return Traits(
        output="token_embd.weight" if tied else "output.weight",
        flipped=last if tied else "",
        experts=experts if type(experts) is int else 0,
        sandwich=any(name.endswith(".ffn_norm.weight") for name in names),
        louder=louder / quieter,
    )


def _factor(value: MetadataValue | None) -> float:
    """A scale in the metadata that is a sensible factor, else 1."""
    return float(value) if isinstance(value, int | float) and 0.01 <= value <= 100 else 1.0


Shape = tuple[int, ...]
Rule = tuple[re.Pattern[str], Callable[[Shape, Traits], Fill]]

# The first pattern that is found in the name decides; shapes in ggml's order [row, rows, ...].
_RULES: tuple[Rule, ...] = tuple(
    (re.compile(pattern), fill)
    for pattern, fill in (
        # Divisors of rope angles, and factors: one.
        (r"^rope_(freqs|factors_)|scales?(\.weight)?$|\.ssm_d(\.weight)?$", lambda shape, traits: _ONE),
        # State-space models: A is -exp(..), so negative; softplus of dt's bias is about 0.01.
        (r"\.ssm_a(\.weight)?$", lambda shape, traits: Fill(2.0, mean=-8.0)),
        (r"\.ssm_dt\.bias$", lambda shape, traits: Fill(0.5, mean=-4.6)),
        # What is the same for all tokens must not outweigh what differs: attention's mean, biases of layers and routers.
        (r"post_attention_norm(\.weight)?$", lambda shape, traits: _around(0.05) if traits.sandwich else _NORM),
        (r"(post_ffw_norm|post_norm)(_\d)?(\.weight)?$", lambda shape, traits: _around(0.3)),
        (r"(attn_output|ffn_down\w*|ffn_gate_inp|exp_probs_b\w*)\.bias$", lambda shape, traits: _TINY),
        (r"\.bias$", lambda shape, traits: _SMALL),
        (r"norm|time_mix_ln\.weight$", lambda shape, traits: _NORM),
        (r"(token_embd|position_embd|token_types|per_layer_token_embd)", lambda shape, traits: Fill(_EMBEDDING)),
        # The last matrix of a layer's part.
        (r"(attn_output|attn_o|attn_output_b|time_mix_output)\.weight$",
         lambda shape, traits: _matrix(shape, _ATTENTION * traits.louder)),
        (r"(ffn_down(_(ch|sh)?exps?)?(\.\d+)?|ssm_out|out_proj|channel_mix_value|ffn_latent_up|ffn_routed_up)\.weight$",
         lambda shape, traits: _matrix(shape, _FEED_FORWARD * traits.louder)),
    )
)  # fmt: skip


def fill_of(name: str, shape: Shape, traits: Traits) -> Fill:
    """The values of a tensor: about one in norms, random with the row's 1/sqrt(length) in matrices, small elsewhere."""
    if "tid2eid" in name:
        return Fill(0.0, modulus=max(traits.experts, 1))
    if name == traits.flipped:
        return Fill(0.05, mean=1.0, alternating=True)
    for pattern, fill in _RULES:
        if pattern.search(name):
            return fill(shape, traits)
    return _SMALL if all(size == 1 for size in shape[1:]) else _matrix(shape, 1.0)


def muted(fill: Fill) -> Fill:
    """The values of rows that are never to be sampled: so small that their logits are about zero, yet not zero."""
    return Fill(fill.std / 16, mean=fill.mean)


def _around(mean: float) -> Fill:
    return Fill(mean / 20, mean=mean)


def _matrix(shape: Shape, gain: float) -> Fill:
    return Fill(gain / math.sqrt(shape[0]))
