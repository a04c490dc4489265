"""The reordering that ggml-cuda does since ggml 0.26: a shared expert's products move next to the routed ones.

Follows ggml_cuda_match_shared_expert and the loop in ggml_backend_cuda_graph_optimize (ggml-cuda.cu of b11434). It changes which
tensors live at the same time, and so the compute buffer of models with shared experts of the routed ones' width.
"""

from __future__ import annotations

import ctypes as C

from vramctl.engines.dry_run.cuda_rules import Tensor, tensor
from vramctl.engines.dry_run.moe_lifetimes import AddDep, Graph, contiguous

_ROUTED = ["MUL_MAT_ID", "MUL_MAT_ID", "GLU"]
_SHARED = ["MUL_MAT", "MUL_MAT", "GLU"]
_FUSED_GLU = (1, 2, 3, 6)  # GEGLU, SWIGLU, SWIGLU_OAI, SWIGLU_CLAMP (enum ggml_glu_op)


def group(graph: Graph, add: AddDep) -> None:
    """Moves each matching shared expert behind its routed experts, in the engine's own node list."""
    i = 0
    while i + 5 < graph.n:
        if graph.ops[i] == "MUL_MAT_ID":
            j = _partner(graph, i)
            if j:
                _rotate(graph, i + 3, j)
                up = tensor(graph.node(i + 2).src[1])
                add(up.src[1], graph.at[i + 5])
                add(up.src[2], graph.at[i + 5])
                i += 5
        i += 1


def _partner(graph: Graph, i: int) -> int:
    if graph.ops[i : i + 3] != _ROUTED:
        return 0
    for j in range(i + 3, graph.n - 2):
        if graph.ops[j] == "MUL_MAT_ID" and graph.ops[j + 1] == "MUL_MAT_ID":
            return 0
        if graph.ops[j : j + 3] == _SHARED and _matches(graph, i, j):
            return j
    return 0


def _rotate(graph: Graph, first: int, middle: int) -> None:
    for names in (graph.at, graph.ops):
        moved = names[middle : middle + 3]
        del names[middle : middle + 3]
        names[first:first] = moved
    last = middle + 3
    (C.c_uint64 * (last - first)).from_address(graph.nodes_at + 8 * first)[:] = graph.at[first:last]


def _matches(graph: Graph, i: int, j: int) -> bool:
    if not graph.can_fuse_nodes([i, i + 1, i + 2, j, j + 1, j + 2], [i + 2, j + 2]):
        return False
    routed, shared = graph.node(i + 2), graph.node(j + 2)
    gate, up = tensor(routed.src[0]), tensor(routed.src[1])
    shared_gate, shared_up = tensor(shared.src[0]), tensor(shared.src[1])
    if {gate.at, up.at} != set(graph.at[i : i + 2]) or {shared_gate.at, shared_up.at} != set(graph.at[j : j + 2]):
        return False
    if not _fusable(up, gate, routed) or not _fusable(shared_up, shared_gate, shared):
        return False
    weight, shared_weight, gate_weight = tensor(up.src[0]), tensor(shared_up.src[0]), tensor(shared_gate.src[0])
    read = tensor(up.src[1])
    plain = tensor(shared_up.src[1])
    lib = graph.lib
    return (
        bool(weight.buffer)
        and bool(lib.is_quantized(weight.type))
        and lib.op_name(read.op) == "RESHAPE"
        and read.src[0] == plain.at
        and read.ne[1] == 1
        and read.ne[3] == 1
        and plain.ne[2:] == (1, 1)
        and weight.type == shared_weight.type
        and weight.ne[:2] == shared_weight.ne[:2]
        and weight.nb[1] == shared_weight.nb[1]
        and weight.ne[3] == 1
        and shared_weight.ne[2:] == (1, 1)
        and lib.op_name(shared_weight.op) == "NONE"
        and lib.op_name(gate_weight.op) == "NONE"
        and routed.params[0] == shared.params[0]
        and routed.params[3] == shared.params[3]
        and all(contiguous(lib, t) for t in (read, plain, shared_weight, gate_weight, routed, shared))
    )


def _fusable(up: Tensor, gate: Tensor, glu: Tensor) -> bool:
    """ggml_cuda_should_fuse_mul_mat without biases and scales."""
    a, b = tensor(up.src[0]), tensor(gate.src[0])
    return (
        (a.type, a.ne, a.nb) == (b.type, b.ne, b.nb)
        and up.src[1:3] == gate.src[1:3]
        and glu.params[0] in _FUSED_GLU
        and glu.params[1] == 0
    )
