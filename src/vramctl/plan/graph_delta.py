"""Graphs of gated delta nets beside gated attention: qwen3next, qwen35, qwen35moe.

Follows src/models/{qwen3next,qwen35,qwen35moe,delta-net-base}.cpp of llama.cpp 0c1e57098 and b11434, with the fused
delta-net operation that CUDA has.
"""

from __future__ import annotations

from vramctl.plan import graph_tensor as g
from vramctl.plan.graph_attention import AttentionInput, attention, attention_input
from vramctl.plan.graph_build import Builder, Graph
from vramctl.plan.graph_experts import SOFTMAX, experts
from vramctl.plan.graph_mamba import States
from vramctl.plan.graph_tensor import Node


def _gated_attention(b: Builder, layer: int, cur: Node, inp: AttentionInput) -> Node:
    """Full attention whose queries come with a gate of the same size."""
    hp, tokens, heads = b.hp, b.batch.tokens, b.hp.heads[layer]
    both, k, v = (b.linear(layer, f"attn_{part}", cur) for part in "qkv")
    step = (4 * 2 * hp.head_k, 4 * 2 * hp.head_k * heads)
    if hp.arch == "qwen3next":
        both = g.reshape(both, 2 * hp.head_k, heads, tokens, 1)
    q = g.view(both, (hp.head_k, heads, tokens), step)
    gate = g.view(both, (hp.head_k, heads, tokens), step)
    k = g.reshape(k, hp.head_k, hp.heads_kv[layer], tokens)
    v = g.reshape(v, hp.head_v, hp.heads_kv[layer], tokens)
    q = b.rope(b.norm(q, b.need(layer, "attn_q_norm.weight"), layer))
    k = b.rope(b.norm(k, b.need(layer, "attn_k_norm.weight"), layer))
    cur = attention(b, layer, inp, q, k, v, out=None)
    gate = g.like("UNARY", g.cont(gate, hp.head_k * heads, tokens))
    return b.linear(layer, "attn_output", g.like("MUL", cur, gate))


def _beta_and_decay(b: Builder, layer: int, cur: Node) -> tuple[Node, Node]:
    hp, per, count, heads = b.hp, b.batch.per_sequence, b.batch.sequences, b.hp.ssm_rank
    if hp.arch == "qwen3next":
        groups = hp.ssm_groups
        joint = g.mul_mat(b.need(layer, "ssm_ba.weight"), cur)
        joint = g.reshape(joint, 2 * heads // groups, groups, per, count)
        beta, alpha = (g.view(joint, (heads // groups, groups, per, count), joint.nb[1:]) for _ in range(2))
        beta = g.reshape(g.like("UNARY", g.cont(beta)), 1, heads, per, count)
        alpha = g.cont(alpha, heads, per, count)
    else:
        beta = g.reshape(b.linear(layer, "ssm_beta", cur), 1, heads, per, count)
        beta = g.like("UNARY", beta)
        alpha = g.reshape(b.linear(layer, "ssm_alpha", cur), heads, per, count)
    alpha = g.like("UNARY", g.like("ADD", alpha, b.need(layer, "ssm_dt.bias")))
    decay = g.like("MUL", alpha, b.need(layer, "ssm_a"))
    return beta, g.reshape(decay, 1, heads, per, count)


def _convolution(b: Builder, layer: int, mixed: Node, states: States) -> Node:
    """build_conv_state: the kept columns and the new ones."""
    hp, count = b.hp, b.batch.sequences
    channels = hp.ssm_inner + 2 * hp.ssm_groups * hp.ssm_state
    columns = hp.ssm_conv - 1
    kept = g.reshape(states.rows("r", layer), columns, channels, count)
    conv = g.concat(kept, g.transpose(mixed))
    held = b.cache("r", layer)
    target = g.view(held, (columns * channels, count), (held.nb[1],))
    last = g.view(conv, (columns, channels, count), conv.nb[1:3])
    b.graph.expand(g.over("CPY", target, last, target))
    return conv


def _unit(node: Node) -> Node:
    return g.like("SCALE", g.like("RMS_NORM", node))


def _delta(b: Builder, layer: int, cur: Node, states: States) -> Node:
    """build_layer_attn_linear."""
    hp, per, count = b.hp, b.batch.per_sequence, b.batch.sequences
    heads_k, heads_v, size_k = hp.ssm_groups, hp.ssm_rank, hp.ssm_state
    size_v = hp.ssm_inner // heads_v
    mixed = b.linear(layer, "attn_qkv", cur)
    mixed = g.reshape(mixed, mixed.ne[0], per, count)
    z = b.linear(layer, "attn_gate", cur)
    beta, decay = _beta_and_decay(b, layer, cur)
    conv = _convolution(b, layer, mixed, states)
    state = g.reshape(states.rows("s", layer), size_v, size_v, heads_v, count)
    kernel = b.need(layer, "ssm_conv1d.weight")
    out = g.made("SSM_CONV", "F32", (kernel.ne[1], conv.ne[0] - kernel.ne[0] + 1, count), conv, kernel)
    out = g.like("UNARY", out)
    step = 4 * (2 * size_k * heads_k + size_v * heads_v)
    q, k = (_unit(g.view(out, (size_k, heads_k, per, count), (4 * size_k, step, step * per))) for _ in range(2))
    v = g.view(out, (size_v, heads_v, per, count), (4 * size_v, step, step * per))
    if hp.arch == "qwen3next" and heads_k != heads_v:
        q, k = (_spread(x, size_k, heads_k, heads_v // heads_k, per, count) for x in (q, k))
    result = g.made(
        "GATED_DELTA_NET", "F32", (size_v * heads_v, per * count + size_v * count), q, k, v, decay, beta, state
    )
    row = 4 * size_v
    output = g.view(result, (size_v, heads_v, per, count), (row, row * heads_v, row * heads_v * per))
    fresh = g.view(result, (size_v, size_v, heads_v, count), (row, row * size_v, row * size_v * heads_v))
    held = b.cache("s", layer)
    target = g.view(held, (held.ne[0], count), (held.nb[1],))
    b.graph.expand(g.over("CPY", target, fresh, target))
    normed = b.norm(output, b.need(layer, "ssm_norm.weight"), layer)
    cur = g.like("MUL", normed, g.like("UNARY", g.reshape(z, size_v, heads_v, per, count)))
    cur = b.linear(layer, "ssm_out", g.reshape(cur, size_v * heads_v, per, count))
    return g.reshape(cur, hp.embd, per * count)


def _spread(node: Node, size: int, heads: int, factor: int, per: int, count: int) -> Node:
    rows = g.reshape(node, size, 1, heads, per * count)
    return g.reshape(
        g.made("REPEAT", "F32", (size, factor, heads, per * count), rows), size, heads * factor, per, count
    )


def _feed_forward(b: Builder, layer: int, cur: Node) -> Node:
    if b.w(layer, "ffn_gate_inp.weight") is None:
        return b.feed_forward(layer, cur)
    routed = experts(b, layer, cur, gating=SOFTMAX, normalise=True)
    if b.w(layer, "ffn_up_shexp.weight") is None:
        return routed
    shared = b.feed_forward(layer, cur, suffix="_shexp")
    gate = g.like("UNARY", g.mul_mat(b.need(layer, "ffn_gate_inp_shexp.weight"), cur))
    return g.like("ADD", routed, g.like("MUL", shared, gate))


def delta_net(b: Builder) -> Graph:
    """qwen3next, qwen35 and qwen35moe."""
    hp = b.hp
    cur = b.embeddings()
    states, inp = States(b), attention_input(b)
    b.position_input(1 if hp.arch == "qwen3next" else 4)
    ids = b.output_ids()
    for layer in range(hp.layers):
        residual = cur
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        b.graph.expand(cur)
        cur = _delta(b, layer, cur, states) if hp.recurrent[layer] else _gated_attention(b, layer, cur, inp)
        if layer == hp.layers - 1 and b.options.newer:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        middle = g.like("ADD", cur, residual)
        cur = _feed_forward(b, layer, b.norm(middle, b.need(layer, "post_attention_norm.weight"), layer))
        cur = g.like("ADD", cur, middle)
    return b.finish(b.logits(cur, rows=None if b.options.newer else ids))
