"""The graph of gemma4: heads of two sizes, shared caches, per-layer embeddings, experts beside a dense feed-forward.

Follows src/models/gemma4.cpp of llama.cpp 0c1e57098 and b11434.
"""

from __future__ import annotations

from vramctl.plan import graph_tensor as g
from vramctl.plan.graph_attention import AttentionInput, attention, attention_input
from vramctl.plan.graph_build import Builder, Graph
from vramctl.plan.graph_experts import SOFTMAX, experts
from vramctl.plan.graph_tensor import Node


def _layer_rows(b: Builder) -> Node:
    """build_inp_per_layer: each token's row of the per-layer table."""
    ids = g.graph_input("I32", (b.batch.tokens,), "inp_per_layer_tokens")
    rows = g.get_rows(b.top("per_layer_token_embd.weight"), ids)
    if not b.options.newer:
        rows = g.like("SCALE", g.reshape(rows, b.hp.embd_per_layer, b.hp.layers, b.batch.tokens))
    b.graph.expand(rows)
    return rows


def _layer_inputs(b: Builder, embedded: Node, rows: Node) -> Node:
    """project_per_layer_inputs: [per layer, tokens, layers]."""
    shape = (b.hp.embd_per_layer, b.hp.layers, b.batch.tokens)
    if b.options.newer:
        rows = g.reshape(g.like("SCALE", rows), *shape)
    projected = g.like("SCALE", g.mul_mat(b.top("per_layer_model_proj.weight"), embedded))
    projected = b.norm(g.reshape(projected, *shape), b.top("per_layer_proj_norm.weight"), -1)
    both = g.like("SCALE", g.like("ADD", projected, rows))
    return g.cont(g.permute(both, 0, 2, 1, 3))


def _attend(b: Builder, layer: int, cur: Node, inp: AttentionInput) -> Node:
    hp, tokens = b.hp, b.batch.tokens
    swa = hp.swa[layer]
    head = hp.head_k_swa if swa else hp.head_k
    heads, heads_kv = hp.heads[layer], hp.heads_kv[layer]
    factors = None if swa else b.rope_factors(layer)
    q = g.reshape(g.mul_mat(b.need(layer, "attn_q.weight"), cur), head, heads, tokens)
    q = b.rope(b.norm(q, b.need(layer, "attn_q_norm.weight"), layer), factors)
    if 0 <= hp.kv_from_start <= layer:
        source = hp.kv_from_start - (2 if swa else 1)
        return attention(b, layer, inp, q, None, None, windowed=True, source=source)
    k = g.mul_mat(b.need(layer, "attn_k.weight"), cur)
    weight = b.w(layer, "attn_v.weight")
    v = k if weight is None else g.mul_mat(weight, cur)
    k, v = g.reshape(k, head, heads_kv, tokens), g.reshape(v, head, heads_kv, tokens)
    k = b.norm(k, b.need(layer, "attn_k_norm.weight"), layer)
    v = g.like("RMS_NORM", v)
    return attention(b, layer, inp, q, b.rope(k, factors), v, windowed=True)


def _feed_forward(b: Builder, layer: int, cur: Node) -> Node:
    dense = b.feed_forward(layer, b.norm(cur, b.need(layer, "ffn_norm.weight"), layer))
    if b.w(layer, "ffn_gate_inp.weight") is None:
        return dense
    dense = b.norm(dense, b.need(layer, "post_ffw_norm_1.weight"), layer)
    routed = b.norm(cur, b.need(layer, "pre_ffw_norm_2.weight"), layer)
    logits = g.like("MUL", g.like("SCALE", g.like("RMS_NORM", cur)), b.need(layer, "ffn_gate_inp.scale"))
    logits = g.mul_mat(b.need(layer, "ffn_gate_inp.weight"), logits)
    routed = experts(b, layer, routed, gating=SOFTMAX, normalise=True, logits=logits, scaled=False)
    return g.like("ADD", dense, b.norm(routed, b.need(layer, "post_ffw_norm_2.weight"), layer))


def gemma4(b: Builder) -> Graph:
    """gemma4 in all sizes."""
    hp, tokens = b.hp, b.batch.tokens
    early = _layer_rows(b) if hp.embd_per_layer and b.options.newer else None
    cur = b.embeddings(scaled=True)
    b.position_input()
    full, local = attention_input(b), attention_input(b, windowed=True)
    ids = b.output_ids()
    per_layer = _layer_inputs(b, cur, early or _layer_rows(b)) if hp.embd_per_layer else None
    for layer in range(hp.layers):
        residual = cur
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        cur = _attend(b, layer, cur, local if hp.swa[layer] else full)
        last = layer == hp.layers - 1 and b.options.newer
        if last:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        cur = b.norm(cur, b.need(layer, "post_attention_norm.weight"), layer)
        middle = g.like("ADD", cur, residual)
        cur = b.norm(_feed_forward(b, layer, middle), b.need(layer, "post_ffw_norm.weight"), -1)
        cur = g.like("ADD", cur, middle)
        if per_layer is not None:
            gate = g.like("UNARY", g.mul_mat(b.need(layer, "inp_gate.weight"), cur))
            part = g.view(per_layer, (hp.embd_per_layer, tokens), (4 * hp.embd_per_layer,))
            part = g.get_rows(part, ids) if last else part
            gate = g.mul_mat(b.need(layer, "proj.weight"), g.like("MUL", gate, part))
            cur = g.like("ADD", cur, b.norm(gate, b.need(layer, "post_norm.weight"), layer))
        if (scale := b.w(layer, "layer_output_scale.weight")) is not None:
            cur = g.like("MUL", cur, scale)
    out = b.logits(cur, rows=None if b.options.newer else ids)
    return b.finish(g.like("SCALE", g.like("UNARY", g.like("SCALE", out))) if hp.final_soft_cap else out)
