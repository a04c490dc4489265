"""Graphs with recurrent layers, alone or beside attention: Mamba, Mamba 2, short convolutions.

Follows src/models/{mamba,jamba,granite-hybrid,nemotron-h,falcon-h1,lfm2}.cpp of llama.cpp 0c1e57098 and b11434.
"""

from __future__ import annotations

from vramctl.plan import graph_tensor as g
from vramctl.plan.graph_attention import AttentionInput, attention, attention_input
from vramctl.plan.graph_build import Builder, Graph
from vramctl.plan.graph_experts import SIGMOID, SOFTMAX, experts
from vramctl.plan.graph_mamba import States, mamba1, mamba2, ssm_conv, store
from vramctl.plan.graph_tensor import Node


def _mamba_attention(b: Builder, layer: int, cur: Node, inp: AttentionInput, *, rotate: bool) -> Node:
    hp = b.hp
    q, k, v = b.qkv(layer, cur, hp.head_k, hp.heads[layer], hp.heads_kv[layer], hp.head_v)
    if rotate:
        q, k = b.rope(q), b.rope(k)
    return attention(b, layer, inp, q, k, v)


def granite_hybrid(b: Builder) -> Graph:
    """granitehybrid: Mamba 2 or attention, then feed-forward or experts with shared ones; scaled residuals."""
    hp = b.hp
    cur = b.embeddings()
    states, inp = States(b), attention_input(b)
    ids = b.output_ids()
    if hp.rope_finetuned:
        b.position_input()
    for layer in range(hp.layers):
        residual = cur
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        if hp.recurrent[layer]:
            cur = mamba2(b, layer, cur, states)
        else:
            cur = _mamba_attention(b, layer, cur, inp, rotate=hp.rope_finetuned)
        if layer == hp.layers - 1:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        cur = _granite_feed_forward(b, layer, cur, residual)
    out = b.logits(cur)
    return b.finish(g.like("SCALE", out) if hp.logit_scale else out)


def _granite_feed_forward(b: Builder, layer: int, cur: Node, residual: Node) -> Node:
    hp = b.hp
    middle = g.like("ADD", g.like("SCALE", cur) if hp.residual_scale else cur, residual)
    cur = b.norm(middle, b.need(layer, "ffn_norm.weight"), layer)
    if b.w(layer, "ffn_gate_inp.weight") is None:
        cur = b.feed_forward(layer, cur)
    else:
        routed = experts(b, layer, cur, gating=SOFTMAX, normalise=True)
        cur = g.like("ADD", routed, b.feed_forward(layer, cur, suffix="_shexp")) if hp.ff_shexp else routed
    return g.like("ADD", g.like("SCALE", cur) if hp.residual_scale else cur, middle)


def falcon_h1(b: Builder) -> Graph:
    """falcon-h1: attention and Mamba 2 side by side in every layer."""
    hp = b.hp
    cur = b.embeddings()
    b.position_input()
    states, inp = States(b), attention_input(b)
    ids = b.output_ids()
    for layer in range(hp.layers):
        residual = cur
        normed = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        attended = _mamba_attention(b, layer, normed, inp, rotate=True)
        scanned = mamba2(b, layer, b.norm(cur, b.need(layer, "attn_norm.weight"), layer), states)
        middle = g.like("ADD", g.like("ADD", attended, scanned), residual)
        if layer == hp.layers - 1:
            middle = g.get_rows(middle, ids)
        cur = b.feed_forward(layer, b.norm(middle, b.need(layer, "ffn_norm.weight"), layer))
        cur = g.like("ADD", cur, middle)
    return b.finish(b.logits(cur))


def lfm2(b: Builder) -> Graph:
    """lfm2 and lfm2moe: short convolutions or attention."""
    hp = b.hp
    cur = b.embeddings()
    states, inp = States(b), attention_input(b, windowed=bool(hp.window))
    b.position_input()
    ids = b.output_ids()
    for layer in range(hp.layers):
        residual = cur
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        cur = (
            _short_convolution(b, layer, cur, states) if hp.recurrent[layer] else _normed_attention(b, layer, cur, inp)
        )
        if layer == hp.layers - 1:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        cur = g.like("ADD", residual, cur)
        normed = b.norm(cur, b.need(layer, "ffn_norm.weight"), layer)
        if b.w(layer, "ffn_gate_inp.weight") is None:
            out = b.feed_forward(layer, normed)
        else:
            out = experts(b, layer, normed, gating=hp.gating or SOFTMAX, normalise=True, probs_bias=True)
        cur = g.like("ADD", cur, out)
    norm = "token_embd_norm" if "token_embd_norm.weight" in b.weights else "output_norm"
    return b.finish(b.logits(cur, norm=norm))


def _normed_attention(b: Builder, layer: int, cur: Node, inp: AttentionInput) -> Node:
    hp = b.hp
    q, k, v = b.qkv(layer, cur, hp.head_k, hp.heads[layer], hp.heads_kv[layer], hp.head_v)
    q = b.norm(q, b.need(layer, "attn_q_norm.weight"), layer)
    k = b.norm(k, b.need(layer, "attn_k_norm.weight"), layer)
    q, k = b.rope(q), b.rope(k)
    return attention(b, layer, inp, q, k, v, windowed=bool(hp.window))


def _short_convolution(b: Builder, layer: int, cur: Node, states: States) -> Node:
    hp, per, count = b.hp, b.batch.per_sequence, b.batch.sequences
    columns = hp.shortconv - 1
    joint = b.linear(layer, "shortconv.in_proj", g.reshape(cur, cur.ne[0], per, count))
    size = joint.ne[0] // 3
    left, gate, x = (g.view(joint, (size, per, count), joint.nb[1:3]) for _ in range(3))
    bx = g.transpose(g.like("MUL", left, x))
    conv = g.concat(g.reshape(states.rows("r", layer), columns, hp.embd, count), bx)
    held = b.cache("r", layer)
    target = g.view(held, (columns * hp.embd, count), (held.nb[1],))
    store(b, g.view(conv, (columns, *conv.ne[1:3]), conv.nb[1:3]), target)
    y = g.like("MUL", gate, ssm_conv(conv, b.need(layer, "shortconv.conv.weight")))
    y = b.linear(layer, "shortconv.out_proj", y)
    return g.reshape(y, y.ne[0], per * count)


def mamba(b: Builder) -> Graph:
    """mamba and mamba2: recurrent layers only."""
    hp = b.hp
    cur = b.embeddings()
    states = States(b)
    ids = b.output_ids()
    block = mamba2 if hp.arch == "mamba2" else mamba1
    for layer in range(hp.layers):
        residual = cur
        cur = block(b, layer, b.norm(cur, b.need(layer, "attn_norm.weight"), layer), states)
        if layer == hp.layers - 1:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        cur = g.like("ADD", cur, residual)
    return b.finish(b.logits(cur))


def jamba(b: Builder) -> Graph:
    """jamba: Mamba or attention without rotation, then feed-forward or experts."""
    hp = b.hp
    cur = b.embeddings()
    states, inp = States(b), attention_input(b)
    ids = b.output_ids()
    for layer in range(hp.layers):
        residual = cur
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        if hp.recurrent[layer]:
            cur = mamba1(b, layer, cur, states)
        else:
            cur = _mamba_attention(b, layer, cur, inp, rotate=False)
        if layer == hp.layers - 1:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        middle = g.like("ADD", residual, cur)
        cur = b.norm(middle, b.need(layer, "ffn_norm.weight"), layer)
        if b.w(layer, "ffn_gate_inp.weight") is None:
            cur = b.feed_forward(layer, cur)
        else:
            cur = experts(b, layer, cur, gating=SOFTMAX, normalise=False)
        cur = g.like("ADD", middle, cur)
    return b.finish(b.logits(cur))


def nemotron_h(b: Builder) -> Graph:
    """nemotron_h and nemotron_h_moe: each layer is Mamba 2, attention, or a feed-forward (with experts)."""
    hp = b.hp
    cur = b.embeddings()
    states, inp = States(b), attention_input(b)
    ids = b.output_ids()
    for layer in range(hp.layers):
        residual = cur
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        if hp.recurrent[layer]:
            cur = mamba2(b, layer, cur, states)
        elif hp.ff[layer] == 0:
            cur = _mamba_attention(b, layer, cur, inp, rotate=False)
        elif b.w(layer, "ffn_gate_inp.weight") is None:
            cur = b.feed_forward(layer, cur, activation="RELU_SQR")
        else:
            cur = _nemotron_experts(b, layer, cur)
        if layer == hp.layers - 1 and b.options.newer:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        cur = g.like("ADD", cur, residual)
    return b.finish(b.logits(cur, rows=None if b.options.newer else ids))


def _nemotron_experts(b: Builder, layer: int, cur: Node) -> Node:
    down, up = b.w(layer, "ffn_latent_down.weight"), b.w(layer, "ffn_latent_up.weight")
    latent = g.mul_mat(down, cur) if down is not None else cur
    logits = g.mul_mat(b.need(layer, "ffn_gate_inp.weight"), cur)
    routed = experts(b, layer, latent, gating=SIGMOID, normalise=b.hp.norm_weights, probs_bias=True, logits=logits,
                       activation="RELU_SQR")  # fmt: skip
    if up is not None:
        routed = g.mul_mat(up, routed)
    return g.like("ADD", routed, b.feed_forward(layer, cur, suffix="_shexp", activation="RELU_SQR"))
