"""Experts in llama.cpp's graphs: the router's choice, the chosen experts' matrices, their weighted sum.

Follows src/llama-graph.cpp `build_moe_ffn` of llama.cpp 0c1e57098 and b11434.
"""

from __future__ import annotations

from vramctl.plan import graph_tensor as g
from vramctl.plan.graph_build import Builder
from vramctl.plan.graph_tensor import Node

SOFTMAX, SIGMOID, SOFTMAX_WEIGHT, SQRT_SOFTPLUS = 1, 2, 3, 4


def experts(b: Builder, layer: int, cur: Node, *, gating: int, normalise: bool, probs_bias: bool = False,
            logits: Node | None = None, activation: str = "GLU", weigh_first: bool = False,
            scaled: bool = True) -> Node:  # fmt: skip
    """build_moe_ffn; `logits` where the router ran elsewhere, `weigh_first` for llama 4."""
    embd, tokens = cur.ne[0], cur.ne[1]
    logits, probs = _router(b, layer, cur, gating, logits)
    chosen = _choose(b, layer, logits if weigh_first else probs, probs_bias=probs_bias)
    weights = g.get_rows(g.reshape(probs, 1, b.hp.experts, tokens), chosen)
    weights = _weigh(b, weights, gating=gating, normalise=normalise, scaled=scaled)
    b.graph.expand(weights)
    cur = g.reshape(cur, embd, 1, tokens)
    if weigh_first:
        cur = g.like("MUL", g.made("REPEAT", cur.type, (embd, b.hp.experts_used, tokens), cur), weights)
    cur = _expert_rows(b, layer, cur, chosen, activation)
    out = _by_expert(b, layer, "ffn_down_exps", cur, chosen)
    return _sum_of_experts(b, out if weigh_first else g.like("MUL", out, weights))


def _router(b: Builder, layer: int, cur: Node, gating: int, logits: Node | None) -> tuple[Node, Node]:
    if logits is None:
        logits = g.mul_mat(b.need(layer, "ffn_gate_inp.weight"), cur)
    if (bias := b.w(layer, "ffn_gate_inp.bias")) is not None:
        logits = g.like("ADD", logits, bias)
    if gating == SOFTMAX_WEIGHT:
        return logits, logits
    if gating == SQRT_SOFTPLUS:
        return logits, g.like("SQRT", g.like("UNARY", logits))
    probs = g.like("SOFT_MAX" if gating == SOFTMAX else "UNARY", logits)
    probs.name = "softmax" if gating == SOFTMAX else "sigmoid"
    return logits, probs


def _sum_of_experts(b: Builder, out: Node) -> Node:
    b.graph.expand(out)
    embd, used, tokens = out.ne[0], out.ne[1], out.ne[2]
    parts = [g.view(out, (embd, tokens), (out.nb[2],)) for _ in range(used)]
    for part in parts:
        b.graph.expand(part)
    total = parts[0]
    for part in parts[1:]:
        total = g.like("ADD", total, part)
        b.graph.expand(total)
    return g.cont(total) if used == 1 else total


def _choose(b: Builder, layer: int, probs: Node, *, probs_bias: bool) -> Node:
    hp, tokens = b.hp, probs.ne[1]
    bias = b.w(layer, "exp_probs_b.bias") if probs_bias else None
    scores = g.like("ADD", probs, bias) if bias is not None else probs
    if hp.expert_groups > 1:
        size = hp.experts // hp.expert_groups
        groups = g.reshape(scores, size, hp.expert_groups, tokens)
        best = g.top_k(groups, 2)
        best = g.get_rows(g.reshape(groups, 1, *groups.ne[:3]), best)
        flat = g.reshape(best, *best.ne[1:4])
        sums = g.made("SUM_ROWS", "F32", (1, *flat.ne[1:]), flat)
        kept = g.top_k(g.reshape(sums, sums.ne[1], sums.ne[2]), hp.groups_used)
        rows = g.get_rows(groups, kept)
        blank = g.like("FILL", groups)
        scores = g.reshape(g.over("SET_ROWS", blank, rows, kept, blank), hp.experts, tokens)
    return g.top_k(scores, hp.experts_used)


def _weigh(b: Builder, weights: Node, *, gating: int, normalise: bool, scaled: bool) -> Node:
    used, tokens = weights.ne[1], weights.ne[2]
    if gating == SOFTMAX_WEIGHT:
        weights = g.reshape(g.like("SOFT_MAX", g.reshape(weights, used, tokens)), 1, used, tokens)
    if normalise:
        flat = g.reshape(weights, used, tokens)
        total = g.like("CLAMP", g.made("SUM_ROWS", "F32", (1, tokens), flat))
        weights = g.reshape(g.like("DIV", flat, total), 1, used, tokens)
    if scaled and b.hp.weights_scale not in (0.0, 1.0):
        weights = g.like("SCALE", weights)
    return weights


def _by_expert(b: Builder, layer: int, name: str, cur: Node, chosen: Node) -> Node:
    out = g.mul_mat_id(b.need(layer, f"{name}.weight"), cur, chosen)
    if (scale := b.w(layer, f"{name}.scale")) is not None:
        s = g.reshape(scale, 1, scale.ne[0], 1)
        s = g.made("REPEAT", s.type, (1, scale.ne[0], cur.ne[2]), s)
        out = g.like("MUL", out, g.get_rows(s, chosen))
    if (bias := b.w(layer, f"{name}.bias")) is not None:
        out = g.like("ADD_ID", out, bias, chosen)
    return out


def _expert_rows(b: Builder, layer: int, cur: Node, chosen: Node, activation: str) -> Node:
    if b.w(layer, "ffn_gate_up_exps.weight") is not None:
        both = _by_expert(b, layer, "ffn_gate_up_exps", cur, chosen)
        half = both.ne[0] // 2
        parts = [g.view(both, (half, both.ne[1], both.ne[2]), both.nb[1:3]) for _ in range(2)]
        return g.like("GLU", parts[0], parts[1])
    up = _by_expert(b, layer, "ffn_up_exps", cur, chosen)
    if b.w(layer, "ffn_gate_exps.weight") is None:
        act = g.like("UNARY", up)
        return g.like("SQR", act) if activation == "RELU_SQR" else act
    return g.like("GLU", _by_expert(b, layer, "ffn_gate_exps", cur, chosen), up)
