"""Tensors that CUDA's graph optimiser keeps longer, so that it can run several operations as one.

Follows ggml-cuda.cu `ggml_backend_cuda_graph_optimize`, `ggml_cuda_match_moe_weighted_reduction`,
`ggml_cuda_topk_moe_fusion`, `ggml_cuda_match_shared_expert` (b11434) and topk-moe.cu
`ggml_cuda_should_use_topk_moe` of llama.cpp 0c1e57098 and b11434. Experts are what
it is about: their outputs may then not be overwritten in place.
"""

from __future__ import annotations

from collections.abc import Sequence

from vramctl.ggml_types import QUANTISED
from vramctl.plan.graph_tensor import Node

_MAX_REDUCED = 15  # ggml-cuda.cu: MOE_WEIGHTED_REDUCTION_MAX_EXPERTS
_ODD_EXPERTS = (288, 576)


def _keep(deps: dict[Node, list[Node]], until: Node, *kept: Node) -> None:
    held = deps.setdefault(until, [])
    for node in kept:
        if node not in held:
            held.append(node)


def _reduction(nodes: Sequence[Node], at: int) -> tuple[Node, Node, Node, int] | None:
    """Experts' outputs times router weights, summed: (experts, weights, sum, nodes matched) from `at` on."""
    mul = nodes[at]
    used = mul.ne[1]
    count = 2 * used
    if not 2 <= used <= _MAX_REDUCED or at + count > len(nodes) or mul.type != "F32":
        return None
    experts, weights = mul.src[0], mul.src[1]
    if experts.ne != mul.ne or weights.ne != (1, *mul.ne[1:]):
        return None
    rest = nodes[at + 1 : at + count]
    views, sums = rest[:used], rest[used:]
    if any(v.op != "VIEW" or v.src[0] is not mul for v in views):
        return None
    total = views[0]
    for i, add in enumerate(sums):
        if add.op != "ADD" or add.src[0] is not total or add.src[1] is not views[i + 1]:
            return None
        total = add
    return experts, weights, total, count


def _fits(experts: int) -> bool:
    return (experts & (experts - 1) == 0 and experts <= 512) or experts in _ODD_EXPERTS


def _top_k(nodes: Sequence[Node], at: int) -> int:
    """How many nodes from `at` on are one choice of experts (softmax or sigmoid up to their weights); 0 if none."""
    probs = nodes[at]

    def op(i: int) -> str:
        return nodes[i].op if i < len(nodes) else ""

    i = at + 1
    if op(i) != "RESHAPE" or nodes[i].src[0] is not probs:
        return 0
    reshaped, scores = nodes[i], probs
    i += 1
    if op(i) == "ADD" and nodes[i].src[0] is probs:
        scores = nodes[i]
        i += 1
    if op(i) != "ARGSORT" or nodes[i].src[0] is not scores:
        return 0
    i += 1
    if op(i) != "VIEW" or nodes[i].src[0] is not nodes[i - 1]:
        return 0
    i += 1
    if op(i) != "GET_ROWS" or nodes[i].src[0] is not reshaped or nodes[i].src[1] is not nodes[i - 1]:
        return 0
    i += 1
    if [op(j) for j in range(i, i + 5)] == ["RESHAPE", "SUM_ROWS", "CLAMP", "DIV", "RESHAPE"]:
        i += 5
    if op(i) == "SCALE" and nodes[i].src[0] is nodes[i - 1]:
        i += 1
    return i - at if _fits(probs.ne[0]) else 0


def _gates_experts(node: Node) -> bool:
    return (node.op == "SOFT_MAX" and len(node.src) == 1) or (node.op == "UNARY" and node.name == "sigmoid")


def _gated_pair(nodes: Sequence[Node], at: int, op: str) -> tuple[Node, Node] | None:
    """Gate and up of two products and their GLU from `at` on."""
    first, second, glu = nodes[at : at + 3]
    if (first.op, second.op, glu.op) != (op, op, "GLU") or len(glu.src) != 2:
        return None
    gate, up = glu.src
    if {gate, up} != {first, second} or gate.src[1:] != up.src[1:]:
        return None
    same = gate.src[0].type == up.src[0].type and gate.src[0].ne == up.src[0].ne and gate.src[0].nb == up.src[0].nb
    return (gate, up) if same else None


def _same_work(routed: Node, shared: Node) -> bool:
    """Whether a shared expert's product may run with the routed experts' (ggml_cuda_match_shared_expert)."""
    weight, own, given = routed.src[0], shared.src[0], routed.src[1]
    if (
        not weight.is_weight
        or weight.type not in QUANTISED
        or given.op != "RESHAPE"
        or given.src[0] is not shared.src[1]
    ):
        return False
    return own.op == "NONE" and weight.type == own.type and weight.ne[:2] == own.ne[:2] and own.ne[2:] == (1, 1)


def _group_shared_experts(nodes: list[Node], deps: dict[Node, list[Node]]) -> None:
    """From ggml 0.26 on: moves a shared expert's gate and up beside the routed ones, and keeps their input."""
    i = 0
    while i + 5 < len(nodes):
        routed = _gated_pair(nodes, i, "MUL_MAT_ID") if nodes[i].op == "MUL_MAT_ID" else None
        j = i + 3
        while nodes[i].op == "MUL_MAT_ID" and j + 2 < len(nodes):
            if nodes[j].op == nodes[j + 1].op == "MUL_MAT_ID":
                break
            shared = _gated_pair(nodes, j, "MUL_MAT") if routed and nodes[j].op == "MUL_MAT" else None
            if routed and shared and _same_work(routed[1], shared[1]):
                nodes[i + 3 : j + 3] = nodes[j : j + 3] + nodes[i + 3 : j]
                _keep(deps, nodes[i + 5], routed[1].src[1], routed[1].src[2])
                i += 5
                break
            j += 1
        i += 1


def kept_tensors(nodes: list[Node], *, newer: bool = False) -> dict[Node, list[Node]]:
    """For the nodes of one GPU's split: after which node which tensors may be freed at the earliest.

    `newer` (ggml 0.26) also moves shared experts, in `nodes` itself.
    """
    deps: dict[Node, list[Node]] = {}
    if newer:
        _group_shared_experts(nodes, deps)
    i = 0
    while i < len(nodes):
        node = nodes[i]
        if node.op == "MUL" and (found := _reduction(nodes, i)) is not None:
            experts, weights, total, count = found
            _keep(deps, total, experts, weights)
            i += count
            continue
        if _gates_experts(node) and (count := _top_k(nodes, i)):
            if i + count < len(nodes):
                for member in nodes[i : i + count]:
                    _keep(deps, nodes[i + count], member, *member.src)
            i += count
            continue
        i += 1
    return deps
