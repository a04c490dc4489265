"""Recurrent layers: the states they continue from, Mamba and Mamba 2.

Follows src/models/mamba-base.cpp and src/llama-graph.cpp `build_rs` of llama.cpp 0c1e57098 and b11434.
"""

from __future__ import annotations

from collections.abc import Callable

from vramctl.plan import graph_tensor as g
from vramctl.plan.graph_build import Builder
from vramctl.plan.graph_tensor import Node


class States:
    """The recurrent caches' input: which state each sequence continues from."""

    def __init__(self, b: Builder) -> None:
        self.b = b
        count = b.batch.sequences
        self.ids = g.graph_input("I32", (count,), "s_copy")
        self.main = g.view(self.ids, (count,))
        self.extra = g.view(self.ids, (0,))
        self.tail = g.view(self.ids, (count - 1,))

    def rows(self, kind: str, layer: int, take: Callable[[Node, Node], Node] | None = None) -> Node:
        """build_rs: the sequences' states, `take` reading them straight from the cache."""
        b, graph = self.b, self.b.graph
        held = b.cache(kind, layer)
        states = g.reshape(held, held.ne[0], held.ne[1])
        zero = g.view(states, (held.ne[0],))
        graph.expand(g.over("SCALE", zero, zero))
        nothing = g.view(held, (held.ne[0], 0), (held.nb[1],))
        if b.options.newer:
            gathered = g.get_rows(states, self.tail if take else self.ids)
            out = (
                take(states, self.main)
                if take
                else g.view(gathered, (held.ne[0], b.batch.sequences), (gathered.nb[1],))
            )
            graph.expand(out)
            graph.expand(g.over("CPY", nothing, g.view(gathered, (held.ne[0], 0), (gathered.nb[1],)), nothing))
            return out
        out = take(states, self.main) if take else g.get_rows(states, self.main)
        graph.expand(out)
        graph.expand(g.over("CPY", nothing, g.get_rows(states, self.extra), nothing))
        return out


def store(b: Builder, source: Node, target: Node) -> None:
    """Copies a state into its cache."""
    b.graph.expand(g.over("CPY", target, source, target))


def mamba2(b: Builder, layer: int, cur: Node, states: States) -> Node:
    """build_mamba2_layer."""
    hp, per, count = b.hp, b.batch.per_sequence, b.batch.sequences
    head, heads, groups, state = hp.ssm_inner // hp.ssm_rank, hp.ssm_rank, hp.ssm_groups, hp.ssm_state
    channels = hp.ssm_inner + 2 * groups * state
    conv = g.reshape(states.rows("r", layer), hp.ssm_conv - 1, channels, count)
    joint = b.linear(layer, "ssm_in", cur)
    joint = g.reshape(joint, joint.ne[0], per, count)
    z = g.view(joint, (head, heads, per, count), (4 * head, joint.nb[1], joint.nb[2]))
    x_bc = g.view(joint, (channels, per, count), joint.nb[1:3])
    dt = g.view(joint, (heads, per, count), joint.nb[1:3])
    conv = g.concat(conv, g.transpose(x_bc))
    held = b.cache("r", layer)
    size = (hp.ssm_conv - 1) * channels
    store(b, g.view(conv, (hp.ssm_conv - 1, channels, count), conv.nb[1:3]), g.view(held, (size, count), (held.nb[1],)))
    x_bc = _convolved(b, layer, conv)
    x = g.view(x_bc, (head, heads, per, count), (4 * head, x_bc.nb[1], x_bc.nb[2]))
    keys, queries = (g.view(x_bc, (state, groups, per, count), (4 * state, x_bc.nb[1], x_bc.nb[2])) for _ in range(2))
    dt = g.like("ADD", g.cont(dt), b.need(layer, "ssm_dt.bias"))
    decay = b.need(layer, "ssm_a")

    def scan(all_states: Node, ids: Node) -> Node:
        s = g.reshape(all_states, state, head, heads, all_states.ne[1])
        return _scan(s, x, dt, decay, keys, queries, ids)

    out = states.rows("s", layer, scan)
    held = b.cache("s", layer)
    inner = state * hp.ssm_inner
    target = g.view(held, (inner, count, 1), (held.nb[1], 4 * inner * count))
    store(b, g.view(out, (inner, count, 1), (4 * inner, 4 * inner * count)), target)
    y = g.view(out, (head, heads, per, count), (x.nb[1], heads * x.nb[1], per * heads * x.nb[1]))
    y = g.like("ADD", y, g.like("MUL", x, b.need(layer, "ssm_d")))
    y = g.like("GLU", g.cont(z), y)
    if (weight := b.w(layer, "ssm_norm.weight")) is not None:
        y = b.norm(g.reshape(y, hp.ssm_inner // groups, groups, per, count), weight, layer)
    return b.linear(layer, "ssm_out", g.reshape(y, hp.ssm_inner, per * count))


def mamba1(b: Builder, layer: int, cur: Node, states: States) -> Node:
    """build_mamba_layer."""
    hp, per, count = b.hp, b.batch.per_sequence, b.batch.sequences
    inner, state, rank = hp.ssm_inner, hp.ssm_state, hp.ssm_rank
    conv = g.reshape(states.rows("r", layer), hp.ssm_conv - 1, inner, count)
    joint = b.linear(layer, "ssm_in", g.reshape(cur, cur.ne[0], per, count))
    x = g.view(joint, (inner, per, count), joint.nb[1:3])
    z = g.view(joint, (inner, per, count), joint.nb[1:3])
    conv = g.concat(conv, g.transpose(x))
    held = b.cache("r", layer)
    store(
        b,
        g.view(conv, (hp.ssm_conv - 1, inner, count), conv.nb[1:3]),
        g.view(held, ((hp.ssm_conv - 1) * inner * count,)),
    )
    x = _convolved(b, layer, conv)
    joint = g.mul_mat(b.need(layer, "ssm_x.weight"), x)
    dt = g.view(joint, (rank, per, count), joint.nb[1:3])
    keys, queries = (g.view(joint, (state, 1, per, count), (4 * state, *joint.nb[1:3])) for _ in range(2))
    if (weight := b.w(layer, "ssm_dt_norm.weight")) is not None:
        dt = b.norm(dt, weight, layer)
        keys = b.norm(keys, b.need(layer, "ssm_b_norm.weight"), layer)
        queries = b.norm(queries, b.need(layer, "ssm_c_norm.weight"), layer)
    else:
        dt = g.cont(dt)
    dt = b.linear(layer, "ssm_dt", dt)
    cur, x = x, g.reshape(x, 1, inner, per, count)
    decay = b.need(layer, "ssm_a")

    def scan(all_states: Node, ids: Node) -> Node:
        return _scan(g.reshape(all_states, state, 1, inner, all_states.ne[1]), x, dt, decay, keys, queries, ids)

    out = states.rows("s", layer, scan)
    held = b.cache("s", layer)
    store(b, g.view(out, (state * inner * count,)), g.view(held, (state * inner * count,)))
    y = g.view(out, (inner, per, count), x.nb[2:4])
    y = g.like("ADD", y, g.like("MUL", cur, b.need(layer, "ssm_d")))
    cur = b.linear(layer, "ssm_out", g.like("GLU", g.cont(z), y))
    return g.reshape(cur, cur.ne[0], per * count)


def _convolved(b: Builder, layer: int, conv: Node) -> Node:
    out = ssm_conv(conv, b.need(layer, "ssm_conv1d.weight"))
    if (bias := b.w(layer, "ssm_conv1d.bias")) is not None:
        out = g.like("ADD", out, bias)
    return g.like("UNARY", out)


def ssm_conv(conv: Node, kernel: Node) -> Node:
    """ggml_ssm_conv: [channels, tokens, sequences]."""
    return g.made("SSM_CONV", "F32", (kernel.ne[1], conv.ne[0] - kernel.ne[0] + 1, conv.ne[2]), conv, kernel)


def _scan(s: Node, x: Node, dt: Node, decay: Node, keys: Node, queries: Node, ids: Node) -> Node:
    size = x.elements() + s.ne[0] * s.ne[1] * s.ne[2] * ids.ne[0]
    return g.made("SSM_SCAN", "F32", (size,), s, x, dt, decay, keys, queries, ids)
