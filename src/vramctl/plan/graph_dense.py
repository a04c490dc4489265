"""Graphs of decoders with ordinary attention: llama, qwen2, qwen3, gemma, gpt-oss, with and without experts.

Follows src/models/{llama,qwen2,qwen3,qwen3moe,gemma2,gemma3,openai-moe}.cpp of llama.cpp 0c1e57098 and b11434.
"""

from __future__ import annotations

from vramctl.plan import graph_tensor as g
from vramctl.plan.graph_attention import AttentionInput, attention, attention_input
from vramctl.plan.graph_build import Builder, Graph
from vramctl.plan.graph_experts import SIGMOID, SOFTMAX, SOFTMAX_WEIGHT, experts
from vramctl.plan.graph_tensor import Node


def _attend(b: Builder, layer: int, cur: Node, inp: AttentionInput, *, head_norms: bool, factors: Node | None) -> Node:
    """Queries, keys and values with their norms and rotation, then attention and its output matrix."""
    hp = b.hp
    q, k, v = b.qkv(layer, cur, hp.head_k, hp.heads[layer], hp.heads_kv[layer], hp.head_v)
    if head_norms:
        q = b.norm(q, b.w(layer, "attn_q_norm.weight"), layer)
        q = b.rope(q, factors)
        k = b.norm(k, b.w(layer, "attn_k_norm.weight"), layer)
        k = b.rope(k, factors)
    else:
        q, k = b.rope(q, factors), b.rope(k, factors)
    return attention(b, layer, inp, q, k, v)


def plain(b: Builder) -> Graph:
    """llama, qwen2, qwen3, qwen3moe, mixtral: norm, attention, norm, feed-forward or experts."""
    hp = b.hp
    cur = b.embeddings()
    b.position_input()
    inp = attention_input(b)
    ids = b.output_ids()
    head_norms = hp.arch.startswith("qwen3")
    for layer in range(hp.layers):
        residual = cur
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        factors = b.rope_factors(layer) if hp.arch == "llama" else None
        cur = _attend(b, layer, cur, inp, head_norms=head_norms, factors=factors)
        if layer == hp.layers - 1:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        middle = g.like("ADD", cur, residual)
        cur = b.norm(middle, b.need(layer, "ffn_norm.weight"), layer)
        if b.w(layer, "ffn_gate_inp.weight") is None:
            cur = b.feed_forward(layer, cur)
        else:
            cur = experts(b, layer, cur, gating=SOFTMAX, normalise=True)
        cur = g.like("ADD", cur, middle)
    return b.finish(b.logits(cur))


def gemma(b: Builder) -> Graph:
    """gemma2 and gemma3: scaled embeddings, norms after attention and feed-forward, soft caps."""
    hp = b.hp
    cur = b.embeddings(scaled=True) if hp.arch == "gemma3" else g.like("SCALE", b.embeddings())
    b.position_input()
    full = attention_input(b)
    local = attention_input(b, windowed=True) if hp.window else full
    ids = b.output_ids()
    for layer in range(hp.layers):
        residual = cur
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        q, k, v = b.qkv(layer, cur, hp.head_k, hp.heads[layer], hp.heads_kv[layer], hp.head_v)
        if hp.arch == "gemma3":
            q = b.rope(b.norm(q, b.need(layer, "attn_q_norm.weight"), layer))
            k = b.rope(b.norm(k, b.need(layer, "attn_k_norm.weight"), layer))
        else:
            q, k = b.rope(q), b.rope(k)
        q = g.like("SCALE", q)
        cur = attention(b, layer, local if hp.swa[layer] else full, q, k, v, windowed=bool(hp.window))
        if layer == hp.layers - 1:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        cur = b.norm(cur, b.need(layer, "post_attention_norm.weight"), layer)
        middle = g.like("ADD", cur, residual)
        cur = b.norm(middle, b.need(layer, "ffn_norm.weight"), layer)
        cur = b.feed_forward(layer, cur)
        cur = b.norm(cur, b.need(layer, "post_ffw_norm.weight"), -1)
        cur = g.like("ADD", cur, middle)
    out = b.logits(cur)
    if hp.final_soft_cap:
        out = g.like("SCALE", g.like("UNARY", g.like("SCALE", out)))
    return b.finish(out)


def gpt_oss(b: Builder) -> Graph:
    """gpt-oss: sliding windows, attention sinks, experts in every layer, output rows chosen at the end."""
    hp = b.hp
    cur = b.embeddings()
    b.position_input()
    full, local = attention_input(b), attention_input(b, windowed=True)
    ids = b.output_ids()
    for layer in range(hp.layers):
        residual = cur
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        q, k, v = b.qkv(layer, cur, hp.rot, hp.heads[layer], hp.heads_kv[layer])
        q, k = b.rope(q), b.rope(k)
        inp = local if hp.swa[layer] else full
        cur = attention(b, layer, inp, q, k, v, sinks=b.w(layer, "attn_sinks.weight"), windowed=True)
        if layer == hp.layers - 1 and b.options.newer:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        middle = g.like("ADD", cur, residual)
        cur = b.norm(middle, b.need(layer, "post_attention_norm.weight"), layer)
        cur = experts(b, layer, cur, gating=SOFTMAX_WEIGHT, normalise=False)
        cur = g.like("ADD", cur, middle)
    cur.is_output = True
    return b.finish(b.logits(cur if b.options.newer else g.get_rows(cur, ids)))


def phi3(b: Builder) -> Graph:
    """phi3 and phimoe: joint queries, keys and values, joint gate and up."""
    hp = b.hp
    cur = b.embeddings()
    b.position_input()
    inp = attention_input(b)
    ids = b.output_ids()
    for layer in range(hp.layers):
        residual = cur
        normed = b.norm(cur, b.need(layer, "attn_norm.weight"), layer, bias=b.w(layer, "attn_norm.bias"))
        q, k, v = b.qkv(layer, normed, hp.head_k, hp.heads[layer], hp.heads_kv[layer], hp.head_v)
        factors = b.rope_factors(layer)
        q, k = g.like("SCALE", b.rope(q, factors)), b.rope(k, factors)
        cur = attention(b, layer, inp, q, k, v)
        if layer == hp.layers - 1:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        middle = g.like("ADD", cur, residual)
        cur = b.norm(middle, b.need(layer, "ffn_norm.weight"), layer, bias=b.w(layer, "ffn_norm.bias"))
        if b.w(layer, "ffn_gate_inp.weight") is None:
            cur = b.feed_forward(layer, cur)
        else:
            cur = experts(b, layer, cur, gating=SOFTMAX, normalise=True)
        cur = g.like("ADD", middle, cur)
    return b.finish(b.logits(cur))


def cohere2(b: Builder) -> Graph:
    """cohere2: attention and feed-forward side by side, rotation in windowed layers only."""
    hp = b.hp
    cur = b.embeddings()
    b.position_input()
    full, local = attention_input(b), attention_input(b, windowed=True)
    ids = b.output_ids()
    for layer in range(hp.layers):
        residual = cur
        normed = b.norm(cur, b.need(layer, "attn_norm.weight"), layer, op="NORM")
        q, k, v = b.qkv(layer, normed, hp.head_k, hp.heads[layer], hp.heads_kv[layer], hp.head_v)
        if hp.swa[layer]:
            factors = b.rope_factors(layer)
            q, k = b.rope(q, factors), b.rope(k, factors)
        attended = attention(b, layer, local if hp.swa[layer] else full, q, k, v, windowed=True)
        if layer == hp.layers - 1:
            attended, residual, normed = (g.get_rows(x, ids) for x in (attended, residual, normed))
        cur = b.feed_forward(layer, normed)
        cur = g.like("ADD", g.like("ADD", cur, residual), attended)
    out = b.logits(cur, op="NORM")
    return b.finish(g.like("SCALE", out) if hp.logit_scale else out)


def glm4_moe(b: Builder) -> Graph:
    """glm4moe: dense first layers, then experts with shared ones."""
    hp = b.hp
    cur = b.embeddings()
    b.position_input(4 if hp.rope_sections else 1)
    inp = attention_input(b)
    ids = b.output_ids()
    for layer in range(hp.layers):
        residual = cur
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        q, k, v = b.qkv(layer, cur, hp.head_k, hp.heads[layer], hp.heads_kv[layer], hp.head_v)
        if (weight := b.w(layer, "attn_q_norm.weight")) is not None:
            q = b.norm(q, weight, layer)
        if (weight := b.w(layer, "attn_k_norm.weight")) is not None:
            k = b.norm(k, weight, layer)
        cur = attention(b, layer, inp, b.rope(q), b.rope(k), v)
        if layer == hp.layers - 1:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        middle = g.like("ADD", cur, residual)
        cur = b.norm(middle, b.need(layer, "post_attention_norm.weight"), layer)
        if layer < hp.dense_lead:
            cur = b.feed_forward(layer, cur)
        else:
            routed = experts(b, layer, cur, gating=hp.gating or SIGMOID, normalise=hp.norm_weights, probs_bias=True)
            cur = g.like("ADD", routed, b.feed_forward(layer, cur, suffix="_shexp"))
        cur = g.like("ADD", cur, middle)
    return b.finish(b.logits(cur))


def llama4(b: Builder) -> Graph:
    """llama4: chunked attention in three layers of four, one expert with a shared one."""
    hp = b.hp
    cur = b.embeddings()
    b.position_input()
    scale = g.graph_input("F32", (1, 1, b.batch.tokens), "attn_scale")
    full = attention_input(b)
    local = attention_input(b, windowed=True) if hp.window else full
    ids = b.output_ids()
    for layer in range(hp.layers):
        residual = cur
        rotate = not hp.window or (layer + 1) % 4 != 0
        cur = b.norm(cur, b.need(layer, "attn_norm.weight"), layer)
        q, k, v = b.qkv(layer, cur, hp.head_k, hp.heads[layer], hp.heads_kv[layer], hp.head_v)
        if rotate:
            factors = b.rope_factors(layer)
            q, k = b.rope(q, factors), b.rope(k, factors)
            if hp.experts <= 16:
                q, k = g.like("RMS_NORM", q), g.like("RMS_NORM", k)
        else:
            q = g.like("MUL", q, scale)
        cur = attention(b, layer, local if hp.swa[layer] else full, q, k, v, windowed=bool(hp.window))
        if layer == hp.layers - 1:
            cur, residual = g.get_rows(cur, ids), g.get_rows(residual, ids)
        middle = g.like("ADD", cur, residual)
        cur = b.norm(middle, b.need(layer, "ffn_norm.weight"), layer)
        if b.w(layer, "ffn_gate_inp.weight") is None:
            cur = b.feed_forward(layer, cur)
        else:
            routed = experts(b, layer, cur, gating=SIGMOID, normalise=False, weigh_first=True)
            cur = g.like("ADD", routed, b.feed_forward(layer, cur, suffix="_shexp"))
        cur = g.like("ADD", cur, middle)
    return b.finish(b.logits(cur))
