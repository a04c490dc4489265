"""Attention in llama.cpp's graphs: its inputs, caches read and written, with and without flash attention.

Follows src/llama-graph.cpp `build_attn`, `build_attn_mha` and src/llama-kv-cache.cpp of llama.cpp 0c1e57098 and b11434.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vramctl.ggml_types import QUANTISED
from vramctl.plan import graph_tensor as g
from vramctl.plan.graph_build import Builder
from vramctl.plan.graph_tensor import Node


@dataclass(slots=True)
class AttentionInput:
    """The inputs one attention cache needs: positions to write, mask, and rotations of a quantised cache."""

    k_idxs: Node
    v_idxs: Node | None
    mask: Node
    k_rot: Node | None
    v_rot: Node | None
    cells: int


def attention_input(b: Builder, *, windowed: bool = False, keys_only: bool = False) -> AttentionInput:
    """Inputs of the full or the sliding-window cache."""
    hp, batch, options = b.hp, b.batch, b.options
    layers = [i for i, a in enumerate(hp.attends) if a and hp.swa[i] == windowed]
    held = b.cells.windowed if windowed else b.cells.per_stream
    streams = 1 if options.unified else batch.sequences
    k_idxs = g.graph_input("I64", (batch.tokens,), "k_idxs")
    width = hp.v_width_max if options.values_transposed else 1
    v_idxs = None if keys_only else g.graph_input("I64", (batch.tokens * width,), "v_idxs")
    mask = g.graph_input("F16" if options.flash else "F32", (held, batch.tokens // streams, 1, streams), "mask")
    k_rot = v_rot = None
    if layers and not keys_only:
        k_rot, v_rot = _rotations(b, layers, windowed)
    return AttentionInput(k_idxs, v_idxs, mask, k_rot, v_rot, held)


def _rotations(b: Builder, layers: Sequence[int], windowed: bool) -> tuple[Node | None, Node | None]:
    """Hadamard matrices that a quantised cache is rotated with (llama-kv-cache.cpp: attn_rot_k/v)."""
    hp = b.hp
    head_k = hp.head_k_swa if windowed else hp.head_k
    head_v = hp.head_v_swa if windowed else hp.head_v
    k_rot = v_rot = None
    first_k = hp.head_k_swa if hp.swa[0] else hp.head_k
    first_v = hp.head_v_swa if hp.swa[0] else hp.head_v
    if b.options.type_k in QUANTISED and first_k % 64 == 0 and head_k > 0:
        size = 128
        while head_k % size == 0:
            size *= 2
        k_rot = g.graph_input("F32", (size // 2, size // 2), "k_rot")
    if b.options.type_v in QUANTISED and first_v % 64 == 0 and head_v > 0:
        v_rot = g.graph_input("F32", (64, 64), "v_rot")
    return k_rot, v_rot


def _rotate(b: Builder, cur: Node, rotation: Node) -> Node:
    size = rotation.ne[0]
    rows = cur.elements() // size
    flat = g.reshape(cur, size, rows) if cur.contiguous() else g.cont(cur, size, rows)
    return g.reshape(g.mul_mat(rotation, flat), *cur.ne)


def _store_k(b: Builder, k: Node, idxs: Node, layer: int) -> None:
    held = b.cache("k", layer)
    flat = g.view(k, (k.ne[0] * k.ne[1], k.ne[2]), (k.nb[2],))
    target = held if b.cells.streams == 1 else g.reshape(held, held.ne[0], held.ne[1] * held.ne[2])
    b.graph.expand(g.over("SET_ROWS", target, flat, idxs, target))


def _store_v(b: Builder, v: Node, idxs: Node, layer: int) -> None:
    held = b.cache("v", layer)
    width = v.ne[0] * v.ne[1]
    if not b.options.values_transposed:
        flat = g.view(v, (width, v.ne[2]), (v.nb[2],))
        target = held if b.cells.streams == 1 else g.reshape(held, held.ne[0], held.ne[1] * held.ne[2])
        b.graph.expand(g.over("SET_ROWS", target, flat, idxs, target))
        return
    flat = g.reshape(v, width, v.ne[2]) if g.row_bytes(v.type, width) == v.nb[2] else g.cont(v, width, v.ne[2])
    if width < held.ne[0]:
        flat = g.made("PAD", flat.type, (held.ne[0], flat.ne[1]), flat)
    target = g.reshape(held, 1, held.elements())
    b.graph.expand(g.over("SET_ROWS", target, g.reshape(flat, 1, flat.elements()), idxs, target))


def _read_k(b: Builder, layer: int) -> Node:
    hp, held, kind = b.hp, b.cache("k", layer), b.options.type_k
    head = hp.head_k_swa if hp.swa[layer] else hp.head_k
    steps = (g.row_bytes(kind, head), g.row_bytes(kind, held.ne[0]), g.row_bytes(kind, held.ne[0] * held.ne[1]))
    return g.view(held, (head, hp.heads_kv[layer], held.ne[1], b.cells.streams), steps)


def _read_v(b: Builder, layer: int) -> Node:
    hp, held, kind = b.hp, b.cache("v", layer), b.options.type_v
    head = hp.head_v_swa if hp.swa[layer] else hp.head_v
    rows, whole = held.ne[1], g.row_bytes(kind, held.ne[0] * held.ne[1])
    if not b.options.values_transposed:
        steps = (g.row_bytes(kind, head), g.row_bytes(kind, held.ne[0]), whole)
        return g.view(held, (head, hp.heads_kv[layer], rows, b.cells.streams), steps)
    steps = (g.row_bytes(kind, rows * head), g.row_bytes(kind, rows), whole)
    return g.view(held, (rows, hp.heads_kv[layer], head, b.cells.streams), steps)


def attention(
    b: Builder, layer: int, inp: AttentionInput, q: Node, k: Node | None, v: Node | None, *,
    out: str | None = "attn_output", sinks: Node | None = None, windowed: bool = False, source: int | None = None,
) -> Node:  # fmt: skip
    """build_attn over a cache of keys and values; `windowed` graphs order keys and values the other way.

    `source` is the layer whose cache is read where it is not this one's (shared keys and values).
    """
    if inp.k_rot is not None:
        q = _rotate(b, q, inp.k_rot)
        k = _rotate(b, k, inp.k_rot) if k is not None else None
    if inp.v_rot is not None and v is not None:
        v = _rotate(b, v, inp.v_rot)
    for part in (q, k, v) if windowed else (q, v, k):
        if part is not None:
            b.graph.expand(part)
    if k is not None:
        _store_k(b, k, inp.k_idxs, layer)
    if v is not None and inp.v_idxs is not None:
        _store_v(b, v, inp.v_idxs, layer)
    held = layer if source is None else source
    cur = _heads(b, layer, q, _read_k(b, held), _read_v(b, held), inp.mask, sinks=sinks)
    if inp.v_rot is not None:
        cur = _rotate(b, cur, inp.v_rot)
    return b.linear(layer, out, cur) if out else cur


def latent_attention(b: Builder, layer: int, inp: AttentionInput, q: Node, k: Node, v: Node, decompress: Node) -> Node:
    """build_attn over a cache of compressed keys (MLA), values being their first part."""
    for part in (q, v, k):
        b.graph.expand(part)
    _store_k(b, k, inp.k_idxs, layer)
    keys = _read_k(b, layer)
    values = g.view(keys, (v.ne[0], *keys.ne[1:]), keys.nb[1:])
    cur = _heads(b, layer, q, keys, values, inp.mask, decompress=decompress)
    return b.linear(layer, "attn_output", cur)


def _heads(b: Builder, layer: int, q: Node, k: Node, v: Node, mask: Node, *, sinks: Node | None = None,
           decompress: Node | None = None) -> Node:  # fmt: skip
    """build_attn_mha."""
    transposed = v.nb[1] > v.nb[2]
    streams = k.ne[3]
    per = q.ne[2] // streams
    q = g.view(q, (q.ne[0], q.ne[1], per, streams), (q.nb[1], q.nb[2], q.nb[2] * per))
    q, k, v = (g.permute(x, 0, 2, 1, 3) for x in (q, k, v))
    if b.options.flash:
        cur = _flash(b, layer, q, k, v, mask, sinks, decompress)
    else:
        cur = _plain(b, layer, q, k, v, mask, sinks, decompress, transposed=transposed)
    b.graph.expand(cur)
    return cur


def _flash(b: Builder, layer: int, q: Node, k: Node, v: Node, mask: Node, sinks: Node | None,
           decompress: Node | None) -> Node:  # fmt: skip
    k, v = (g.made("CPY", "F16", x.ne, x) if x.type == "F32" else x for x in (k, v))
    cur = g.made("FLASH_ATTN_EXT", "F32", (v.ne[0], q.ne[2], q.ne[1], q.ne[3]), q, k, v, mask, sinks)
    b.attended.append((layer, cur))
    if decompress is not None:
        cur = g.mul_mat(decompress, g.permute(cur, 0, 2, 1, 3))
        cur = g.cont(g.permute(cur, 0, 2, 1, 3))
    return g.reshape(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])


def _plain(b: Builder, layer: int, q: Node, k: Node, v: Node, mask: Node, sinks: Node | None,
           decompress: Node | None, *, transposed: bool) -> Node:  # fmt: skip
    kq = g.mul_mat(k, q)
    if b.hp.soft_cap:
        kq = g.like("SCALE", g.like("UNARY", g.like("SCALE", kq)))
    kq = g.like("SOFT_MAX", kq, mask, sinks)
    b.attended.append((layer, kq))
    if not transposed:
        v = g.cont(g.transpose(v))
    kqv = g.mul_mat(v, kq)
    if decompress is not None:
        kqv = g.mul_mat(decompress, kqv)
    cur = g.permute(kqv, 0, 2, 1, 3)
    cur = g.cont(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])
    if b.options.pins and not b.options.offload_kqv:
        cur.device = b.host
    return cur
