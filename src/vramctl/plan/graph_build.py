"""The parts that llama.cpp's graphs are made of: weights, caches, inputs, norms, feed-forward, logits.

Follows src/llama-graph.cpp of llama.cpp 0c1e57098 and b11434, node by node and in the same
order, because the allocator's result depends on both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vramctl.plan import graph_tensor as g
from vramctl.plan.graph_hparams import Hparams
from vramctl.plan.graph_tensor import Node
from vramctl.plan.kv_cache import Cells, LayerCache


class NoGraph(Exception):
    """The file lacks what the architecture's graph needs; the text says what."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The micro-batch a graph is reserved for."""

    tokens: int
    sequences: int
    outputs: int

    @property
    def per_sequence(self) -> int:
        """Tokens of each sequence."""
        return self.tokens // self.sequences


@dataclass(frozen=True, slots=True)
class Options:
    """What of the settings shapes a graph."""

    flash: bool
    values_transposed: bool
    unified: bool
    offload_kqv: bool
    type_k: str
    type_v: str
    full_offload: bool
    newer: bool
    pins: bool


@dataclass(slots=True)
class Graph:
    """Nodes and leaves in evaluation order (ggml_build_forward_expand)."""

    nodes: list[Node] = field(default_factory=list)
    leaves: list[Node] = field(default_factory=list)
    seen: set[Node] = field(default_factory=set)

    def expand(self, node: Node) -> None:
        """Adds a node after everything it needs."""
        seen, nodes, leaves = self.seen, self.nodes, self.leaves
        if node in seen:
            return
        stack = [(node, 0)]
        seen.add(node)
        while stack:
            top, at = stack.pop()
            src = top.src
            while at < len(src) and src[at] in seen:
                at += 1
            if at < len(src):
                stack.append((top, at + 1))
                seen.add(src[at])
                stack.append((src[at], 0))
            elif top.op == "NONE":
                leaves.append(top)
            else:
                nodes.append(top)


class Builder:
    """Builds one graph.

    `weights` maps tensor names to their leaves, `caches` is per layer, `host` is the scheduler's number for the host.
    """

    def __init__(self, hp: Hparams, batch: Batch, options: Options, cells: Cells,
                 weights: Mapping[str, Node], caches: Sequence[LayerCache | None],
                 layer_device: Sequence[int], host: int) -> None:  # fmt: skip
        self.hp, self.batch, self.options, self.cells = hp, batch, options, cells
        self.weights, self.caches, self.layer_device, self.host = weights, caches, layer_device, host
        self.graph = Graph()
        self.attended: list[tuple[int, Node]] = []
        self.positions: Node | None = None
        self._states: dict[tuple[str, int], Node] = {}

    # ---- weights and caches

    def w(self, layer: int, name: str) -> Node | None:
        """The layer's weight (`attn_q.weight`), None where the file has none; some are stored without `.weight`."""
        return self.weights.get(f"blk.{layer}.{name}") or self.weights.get(
            f"blk.{layer}.{name.removesuffix('.weight')}"
        )

    def need(self, layer: int, name: str) -> Node:
        """The layer's weight; NoGraph where the file has none."""
        found = self.w(layer, name)
        if found is None:
            raise NoGraph(f"the file has no blk.{layer}.{name}")
        return found

    def top(self, name: str) -> Node:
        """A weight outside the layers; NoGraph where the file has none."""
        found = self.weights.get(name)
        if found is None:
            raise NoGraph(f"the file has no {name}")
        return found

    def cache(self, kind: str, layer: int) -> Node:
        """The leaf of a layer's cache: k, v, r (convolution state) or s (scan state)."""
        key = (kind, layer)
        if key not in self._states:
            held = self.caches[layer]
            if held is None:
                raise NoGraph(f"layer {layer} has no cache")
            rows, streams = self.cells.sequences, self.cells.streams
            type_name, dims = {
                "k": (self.options.type_k, (held.k_width, held.cells, streams)),
                "v": (self.options.type_v, (held.v_width, held.cells, streams)),
                "r": ("F32", (held.conv_state, rows)),
                "s": ("F32", (held.scan_state, rows)),
            }[kind]
            self._states[key] = g.leaf(type_name, dims, home=held.device)
        return self._states[key]

    def on_layer_device(self, node: Node, layer: int) -> None:
        """Pins a norm to its layer's device, as llama_context::graph_get_cb does."""
        if layer >= 0 and self.options.pins and (self.batch.tokens < 32 or self.options.full_offload):
            device = self.layer_device[layer]
            node.device = device if device >= 0 else self.host

    def rope_factors(self, layer: int) -> Node | None:
        """The rope factors of the layer's device (long and short ones have the same size)."""
        device = self.layer_device[layer]
        for name in ("rope_freqs", "rope_factors_short"):
            found = self.weights.get(f"{name}.weight@{device}")
            if found is not None:
                return found
        return None

    # ---- inputs

    def embeddings(self, *, scaled: bool = False) -> Node:
        """build_inp_embd: token rows, with the raw-embedding input beside them; `scaled` as gemma's are."""
        table, tokens = self.top("token_embd.weight"), self.batch.tokens
        ids = g.graph_input("I32", (tokens,), "inp_tokens")
        raw = g.graph_input("F32", (self.hp.embd, tokens), "inp_embd")
        cur = g.get_rows(table, ids)
        self.graph.expand(cur)
        self.graph.expand(raw)
        if self.options.newer:
            self._mixed(table)
        if self.hp.embedding_scale:
            cur = g.like("SCALE", cur)
        if scaled and self.options.newer:
            cur = g.like("MUL", cur, g.graph_input("F32", (1, tokens), "inp_scale_rows"))
        self.graph.expand(cur)
        return g.like("SCALE", cur) if scaled and not self.options.newer else cur

    def _mixed(self, table: Node) -> None:
        """b11434: rows for batches that mix tokens and embeddings, built though not run."""
        tokens = self.batch.tokens
        ids = g.graph_input("I32", (tokens,), "inp_mixed_tokens")
        slots = g.graph_input("I64", (tokens,), "inp_mixed_slots")
        raw = g.graph_input("F32", (self.hp.embd, tokens), "inp_mixed_embd")
        copy = g.like("DUP", raw)
        self.graph.expand(g.over("SET_ROWS", copy, g.get_rows(table, ids), slots, copy))

    def position_input(self, per_token: int = 1) -> Node:
        """build_inp_pos."""
        self.positions = g.graph_input("I32", (self.batch.tokens * per_token,), "inp_pos")
        return self.positions

    def output_ids(self) -> Node:
        """build_inp_out_ids."""
        return g.graph_input("I32", (self.batch.outputs,), "out_ids")

    # ---- small parts

    def norm(
        self, cur: Node, weight: Node | None, layer: int, *, bias: Node | None = None, op: str = "RMS_NORM"
    ) -> Node:
        """build_norm."""
        cur = g.like(op, cur)
        if weight is not None or bias is not None:
            self.on_layer_device(cur, layer)
        if weight is not None:
            cur = g.like("MUL", cur, weight)
        if bias is not None:
            cur = g.like("ADD", cur, bias)
        return cur

    def rope(self, cur: Node, factors: Node | None = None) -> Node:
        """ggml_rope_ext."""
        assert self.positions is not None
        return g.like("ROPE", cur, self.positions, factors)

    def linear(self, layer: int, name: str, cur: Node) -> Node:
        """A matrix product with the layer's weight, its scale and bias where the file has them."""
        out = g.mul_mat(self.need(layer, f"{name}.weight"), cur)
        scale, bias = self.w(layer, f"{name}.scale"), self.w(layer, f"{name}.bias")
        if scale is not None:
            out = g.like("MUL", out, scale)
        if bias is not None:
            out = g.like("ADD", out, bias)
        return out

    def qkv(self, layer: int, cur: Node, head_k: int, heads: int, heads_kv: int, head_v: int | None = None,
            ) -> tuple[Node, Node, Node]:  # fmt: skip
        """build_qkv: queries, keys and values as [head size, heads, tokens]."""
        tokens, head_v = self.batch.tokens, head_k if head_v is None else head_v
        if self.w(layer, "attn_qkv.weight") is not None:
            joint = self.linear(layer, "attn_qkv", cur)
            parts = ((head_k, heads), (head_k, heads_kv), (head_v, heads_kv))
            q, k, v = (g.view(joint, (size, count, tokens), (4 * size, joint.nb[1])) for size, count in parts)
            return q, k, v
        q, k, v = (self.linear(layer, f"attn_{part}", cur) for part in "qkv")
        return (
            g.reshape(q, head_k, heads, tokens), g.reshape(k, head_k, heads_kv, tokens),
            g.reshape(v, head_v, heads_kv, tokens),
        )  # fmt: skip

    def feed_forward(self, layer: int, cur: Node, *, suffix: str = "", activation: str = "GLU") -> Node:
        """build_ffn with a parallel gate (`ffn_up`, `ffn_gate`, `ffn_down`, `suffix` for shared experts).

        Without a gate, GLU halves the width (phi3) and RELU_SQR is squared ReLU.
        """
        up = self.linear(layer, f"ffn_up{suffix}", cur)
        if self.w(layer, f"ffn_gate{suffix}.weight") is not None:
            act = g.like("GLU", self.linear(layer, f"ffn_gate{suffix}", cur), up)
        elif activation == "RELU_SQR":
            act = g.like("SQR", g.like("UNARY", up))
        else:
            act = g.made("GLU", up.type, (up.ne[0] // 2, *up.ne[1:]), up)
        return self.linear(layer, f"ffn_down{suffix}", act)

    # ---- the end

    def logits(self, cur: Node, *, norm: str = "output_norm", op: str = "RMS_NORM", rows: Node | None = None) -> Node:
        """The last norm and the output matrix; `rows` picks the output rows between them."""
        cur = self.norm(cur, self.weights.get(f"{norm}.weight"), -1, bias=self.weights.get(f"{norm}.bias"), op=op)
        cur.is_output = True
        if rows is not None:
            cur = g.get_rows(cur, rows)
            cur.is_output = True
        return self.head(cur)

    def head(self, cur: Node) -> Node:
        """The output matrix alone."""
        out = g.mul_mat(self.top("output.weight"), cur)
        if (bias := self.weights.get("output.bias")) is not None:
            out = g.like("ADD", out, bias)
        return out

    def finish(self, cur: Node) -> Graph:
        """Marks the logits as output and returns the graph."""
        cur.is_output = True
        self.graph.expand(cur)
        return self.graph
