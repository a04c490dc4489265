"""Tensors that ggml's CUDA graph optimiser keeps allocated longer, so that experts can be fused.

Follows ggml_backend_cuda_graph_optimize and its matchers (ggml-cuda.cu of 0c1e57098 and b11434): the weighted sum over
experts keeps the experts' outputs and router weights until its result; the top-k router keeps its whole chain. Without this
a plan for Qwen3-30B-A3B is 41 MiB too low.
"""

from __future__ import annotations

import ctypes as C
from collections import Counter
from collections.abc import Callable, Sequence

from vramctl.engines.dry_run import layouts as L
from vramctl.engines.dry_run.cuda_rules import F32, MAX_REDUCED_EXPERTS, Tensor, tensor
from vramctl.engines.dry_run.library import Library

AddDep = Callable[[int, int], None]
SIGMOID, SOFTPLUS = 7, 15  # ggml_unary_op


class Graph:
    """A view of one ggml_cgraph split: nodes on demand, and how often each is used in the whole graph."""

    def __init__(self, library: Library, at: int) -> None:
        self.lib = library
        self.n = C.c_int.from_address(at + L.GRAPH_N_NODES).value
        self.nodes_at = C.c_uint64.from_address(at + L.GRAPH_NODES).value
        self.at = list((C.c_uint64 * self.n).from_address(self.nodes_at)) if self.n else []
        self._uses = C.c_uint64.from_address(at + L.GRAPH_USES).value
        self._size = C.c_uint64.from_address(at + L.GRAPH_HASH_SIZE).value
        self._keys = C.c_uint64.from_address(at + L.GRAPH_HASH_KEYS).value
        self._used = C.c_uint64.from_address(at + L.GRAPH_HASH_USED).value
        self.ops = [library.op_name(C.c_int.from_address(node + L.TENSOR_OP).value) for node in self.at]
        self._read: dict[int, Tensor] = {}

    def node(self, i: int) -> Tensor:
        """The i-th node's fields."""
        return self.tensor(self.at[i])

    def tensor(self, at: int) -> Tensor:
        """The fields of a tensor, read once per graph."""
        found = self._read.get(at)
        if found is None:
            found = self._read[at] = tensor(at)
        return found

    def uses(self, at: int) -> int:
        """How many nodes of the whole graph use a tensor (ggml_node_get_use_count: open addressing on address >> 4)."""
        if not self._size:
            return 0
        slot = (at >> 4) % self._size
        for _ in range(self._size):
            word = C.c_uint32.from_address(self._used + 4 * (slot >> 5)).value
            if not word >> (slot & 31) & 1:
                return 0
            if C.c_uint64.from_address(self._keys + 8 * slot).value == at:
                return C.c_int32.from_address(self._uses + 4 * slot).value
            slot = (slot + 1) % self._size
        return 0

    def can_fuse(self, start: int, count: int, outputs: Sequence[int]) -> bool:
        """ggml_can_fuse_subgraph: no node but the outputs is seen from outside [start, start + count)."""
        return self.can_fuse_nodes(range(start, start + count), outputs)

    def can_fuse_nodes(self, indices: Sequence[int], outputs: Sequence[int]) -> bool:
        """ggml_can_fuse_subgraph_ext: the same for nodes that need not follow each other."""
        if indices[-1] >= self.n:
            return False
        inside = [self.at[i] for i in indices]
        keep = {self.at[i] for i in outputs}
        nodes = [self.tensor(at) for at in inside]
        used = Counter(source for t in nodes for source in t.src if source)
        for t in nodes:
            if not t.flags & L.FLAG_COMPUTE:
                return False
            if t.at in keep:
                continue
            if t.flags & L.FLAG_OUTPUT:
                return False
            if used[t.at] != self.uses(t.at):
                return False
            view = t.view_src
            while view:
                if view not in inside:
                    return False
                view = C.c_uint64.from_address(view + L.TENSOR_VIEW_SRC).value
        return True


def keep_alive(graph: Graph, add: AddDep) -> None:
    """Calls `add(tensor, until)` for each lifetime that CUDA's graph optimiser extends in this split."""
    i = 0
    while i < graph.n:
        if graph.ops[i] == "MUL" and graph.ops[i + 1 : i + 2] in (["VIEW"], ["MUL"]):  # anything else cannot match
            kept = _weighted_sum(graph, i)
            if kept is not None:
                tensors, dst, count = kept
                for at in tensors:
                    add(at, dst)
                i += count - 1
        if graph.ops[i] in ("UNARY", "SOFT_MAX", "ARGSORT"):
            length = _router(graph, i)
            if length:
                _keep_chain(graph, i, length, add)
                i += length - 1
        i += 1


def _keep_chain(graph: Graph, start: int, length: int, add: AddDep) -> None:
    # add_alloc_deps(i, i + ops.size()): until the node *after* the fused chain, which upstream also indexes
    last = start + length
    if last >= graph.n:
        return
    for j in range(start, last):
        add(graph.at[j], graph.at[last])
        for source in graph.node(j).src:
            if source:
                add(source, graph.at[last])


def contiguous(library: Library, t: Tensor) -> bool:
    """ggml_is_contiguous."""
    expect = library.type_size(t.type)
    if t.ne[0] != library.block_size(t.type) and t.nb[0] != expect:
        return False
    expect *= t.ne[0] // library.block_size(t.type)
    for size, stride in zip(t.ne[1:], t.nb[1:], strict=False):
        if size != 1:
            if stride != expect:
                return False
            expect *= size
    return True


def _split_mul(graph: Graph, mul: Tensor) -> tuple[int, int] | None:
    """(experts, weights) of a product of an [embd, experts, tokens] tensor with [1, experts, tokens], else None."""
    for full, broadcast in ((mul.src[0], mul.src[1]), (mul.src[1], mul.src[0])):
        if not full or not broadcast:
            continue
        a, b = tensor(full), tensor(broadcast)
        if (
            a.type == F32
            and a.ne == mul.ne
            and b.type == F32
            and b.ne == (1, *mul.ne[1:])
            and contiguous(graph.lib, a)
            and contiguous(graph.lib, b)
        ):
            return full, broadcast
    return None


def _weighted_sum(graph: Graph, i: int) -> tuple[list[int], int, int] | None:
    """(tensors kept, result, node count) where `i` starts a weighted sum over experts."""
    first = graph.node(i)
    if first.type != F32 or not contiguous(graph.lib, first):
        return None
    weighted, muls, kept = first, 1, None
    if i + 1 < graph.n and graph.ops[i + 1] == "MUL":
        second = graph.node(i + 1)
        outer = _split_mul(graph, second) if second.type == F32 else None
        inner = _split_mul(graph, first) if outer and outer[0] == first.at else None
        if outer and inner:
            weighted, muls, kept = second, 2, [inner[0], outer[1], inner[1]]
    if kept is None:
        plain = _split_mul(graph, first)
        if plain is None:
            return None
        kept = list(plain)
    used = weighted.ne[1]
    count = 2 * used + muls - 1
    if not 2 <= used <= MAX_REDUCED_EXPERTS or i + count > graph.n:
        return None
    if not _is_sum_of_views(graph, i + muls, i + count, weighted):
        return None
    return (kept, graph.at[i + count - 1], count) if graph.can_fuse(i, count, [i + count - 1]) else None


def _is_sum_of_views(graph: Graph, start: int, end: int, weighted: Tensor) -> bool:
    views: list[int] = []
    adds, previous = 0, 0
    tokens = weighted.ne[2] * weighted.ne[3]
    for j in range(start, end):
        t = graph.node(j)
        if graph.ops[j] == "VIEW":
            if (
                t.src[0] != weighted.at
                or t.view_src != weighted.at
                or t.ne != (weighted.ne[0], tokens, 1, 1)
                or t.nb[1] != weighted.nb[2]
                or t.view_offs != len(views) * weighted.nb[1]
            ):
                return False
            views.append(t.at)
            continue
        if graph.ops[j] != "ADD" or len(views) < 2 or adds + 1 >= len(views):
            return False
        if t.src[0] != (views[0] if adds == 0 else previous) or t.src[1] != views[adds + 1]:
            return False
        previous = t.at
        adds += 1
    return len(views) == weighted.ne[1] and adds == len(views) - 1


def _router(graph: Graph, i: int) -> int:
    """How many nodes from `i` CUDA fuses as a top-k router, 0 where none (gating before the top-k only)."""
    ops, start = graph.ops, i
    first = graph.node(i)
    if ops[i] == "ARGSORT":
        return 0  # softmax over the selected experts: matched upstream, but adds no lifetime there
    if ops[i] == "UNARY":
        kind = first.params[0]
        if kind == SOFTPLUS and i + 1 < graph.n and ops[i + 1] == "SQRT" and graph.node(i + 1).src[0] == first.at:
            i += 1
        elif kind != SIGMOID:
            return 0
    gate = i
    chain = ["RESHAPE"]
    if gate + 2 < graph.n and ops[gate + 2] == "ADD" and graph.node(gate + 2).src[0] == graph.at[gate]:
        chain.append("ADD")
    bias = len(chain) == 2
    chain += ["ARGSORT", "VIEW", "GET_ROWS"]
    end = gate + 1 + len(chain)
    if end > graph.n or ops[gate + 1 : end] != chain:
        return 0
    at = graph.at
    reshape, sort, view, rows = gate + 1, end - 3, end - 2, end - 1
    if graph.node(reshape).src[0] != at[gate] or graph.node(view).src[0] != at[sort]:
        return 0
    if graph.node(sort).src[0] != at[gate + 2 if bias else gate]:
        return 0
    if graph.node(rows).src[:2] != (at[reshape], at[view]):
        return 0
    end = _norm_and_scale(graph, end)
    if not _topk_kernel_exists(
        graph, first, tensor(at[end - 1]), tensor(first.src[0]), tensor(at[rows]), tensor(at[sort])
    ):
        return 0
    return end - start if graph.can_fuse(start, end - start, [rows - 1, end - 1]) else 0


def _norm_and_scale(graph: Graph, end: int) -> int:
    norm = ["RESHAPE", "SUM_ROWS", "CLAMP", "DIV", "RESHAPE"]
    if graph.ops[end : end + 5] == norm:
        sources = [graph.node(end + j).src for j in range(5)]
        at = graph.at
        if (
            all(sources[j][0] == at[end + j - 1] for j in (0, 1, 2, 4))
            and sources[3][1] == at[end + 2]
            and sources[3][0] == at[end]
        ):
            end += 5
    if end < graph.n and graph.ops[end] == "SCALE" and graph.node(end).src[0] == graph.at[end - 1]:
        end += 1
    return end


def _topk_kernel_exists(graph: Graph, gate: Tensor, weights: Tensor, logits: Tensor, ids: Tensor, sort: Tensor) -> bool:
    experts = sort.ne[0]
    if ((experts & (experts - 1)) or experts > 512) and experts not in (288, 576):
        return False
    if not contiguous(graph.lib, weights) or not contiguous(graph.lib, logits):
        return False
    if graph.lib.op_name(gate.op) == "SOFT_MAX":
        return gate.params[0] == 0x3F800000 and gate.params[1] == 0 and not gate.src[1] and not gate.src[2]
    return True
