"""The graph of deepseek2: compressed keys and values (MLA), dense first layers, shared experts.

Follows src/models/deepseek2.cpp of llama.cpp 0c1e57098 and b11434.
"""

from __future__ import annotations

from vramctl.plan import graph_tensor as g
from vramctl.plan.graph_attention import AttentionInput, attention, attention_input, latent_attention
from vramctl.plan.graph_build import Builder, Graph
from vramctl.plan.graph_experts import SOFTMAX, experts
from vramctl.plan.graph_tensor import Node


def _queries(b: Builder, layer: int, cur: Node) -> Node:
    hp = b.hp
    if b.w(layer, "attn_q.weight") is not None:
        q = g.mul_mat(b.need(layer, "attn_q.weight"), cur)
    else:
        q = g.mul_mat(b.need(layer, "attn_q_a.weight"), cur)
        q = b.norm(q, b.need(layer, "attn_q_a_norm.weight"), layer)
        q = g.mul_mat(b.need(layer, "attn_q_b.weight"), q)
    return g.reshape(q, hp.head_k_mla or hp.head_k, hp.heads[layer], b.batch.tokens)


def _absorbed(b: Builder, layer: int, inp: AttentionInput, q: Node, kv: Node, k_pe: Node, scale: Node | None) -> Node:
    """Attention over the compressed cache: queries are mapped into the compressed space."""
    hp, tokens = b.hp, b.batch.tokens
    plain = hp.head_k_mla - hp.rot
    q_plain = g.view(q, (plain, hp.heads[layer], tokens), q.nb[1:3])
    q_pe = b.rope(g.view(q, (hp.rot, hp.heads[layer], tokens), q.nb[1:3]))
    q_plain = g.mul_mat(b.need(layer, "attn_k_b.weight"), g.permute(q_plain, 0, 2, 1, 3))
    q = g.concat(g.permute(q_plain, 0, 2, 1, 3), q_pe)
    values = g.reshape(kv, hp.lora_kv, 1, tokens)
    keys = g.concat(values, k_pe)
    if scale is not None:
        q = g.like("MUL", q, scale)
    return latent_attention(b, layer, inp, q, keys, values, b.need(layer, "attn_v_b.weight"))


def _unpacked(b: Builder, layer: int, inp: AttentionInput, q: Node, kv: Node, k_pe: Node, scale: Node | None) -> Node:
    """Attention with keys and values written out (files made before MLA was supported)."""
    hp, tokens, heads = b.hp, b.batch.tokens, b.hp.heads[layer]
    plain, width = hp.head_k - hp.rot, hp.head_v
    both = g.mul_mat(b.need(layer, "attn_kv_b.weight"), kv)
    steps = (4 * (plain + width), 4 * (plain + width) * heads)
    k_plain = g.view(both, (plain, heads, tokens), steps)
    v = g.cont(g.view(both, (width, heads, tokens), steps))
    q = b.rope(q)
    k = g.concat(k_plain, g.made("REPEAT", "F32", (hp.rot, heads, tokens), k_pe))
    if scale is not None:
        q = g.like("MUL", q, scale)
    return attention(b, layer, inp, q, k, v)


def deepseek2(b: Builder) -> Graph:
    """deepseek2: DeepSeek V2 and V3, Kimi K2, GLM 4.7 Flash."""
    hp, tokens = b.hp, b.batch.tokens
    cur = b.embeddings()
    scale = g.graph_input("F32", (1, 1, tokens), "attn_scale") if hp.attn_temp else None
    b.position_input()
    inp = attention_input(b, keys_only=hp.mla)
    ids = b.output_ids()
    attend = _absorbed if hp.mla else _unpacked
    for layer in range(hp.layers):
        residual = cur
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        q = _queries(b, layer, cur)
        joint = g.mul_mat(b.need(layer, "attn_kv_a_mqa.weight"), cur)
        step = 4 * (hp.lora_kv + hp.rot)
        kv = g.view(joint, (hp.lora_kv, tokens), (step,))
        k_pe = b.rope(g.view(joint, (hp.rot, 1, tokens), (step, step)))
        kv = b.norm(kv, b.need(layer, "attn_kv_a_norm.weight"), layer)
        cur = attend(b, layer, inp, q, kv, k_pe, scale)
        if layer == hp.layers - 1:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        middle = g.like("ADD", cur, residual)
        cur = b.norm(middle, b.need(layer, "ffn_norm.weight"), layer)
        if layer < hp.dense_lead:
            cur = b.feed_forward(layer, cur)
        else:
            routed = experts(b, layer, cur, gating=hp.gating or SOFTMAX, normalise=hp.norm_weights, probs_bias=True)
            cur = g.like("ADD", routed, b.feed_forward(layer, cur, suffix="_shexp"))
        cur = g.like("ADD", cur, middle)
    cur = b.norm(cur, b.top("output_norm.weight"), -1)
    cur.is_output = True
    return b.finish(g.mul_mat(b.top("output.weight"), cur))
