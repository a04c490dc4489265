"""Which device runs each operation of a graph, and what is copied between devices.

A re-implementation of `ggml_backend_sched_split_graph` (ggml/src/ggml-backend.cpp, llama.cpp 0c1e57098 and b11434: the
same) for GPUs that can run every operation and a host: pass 3, which moves operations a device cannot run, has
nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vramctl.plan.graph_tensor import VIEW_OPS, Node

OFFLOAD_MIN_BATCH = 32  # ggml-cuda.cu: GGML_OP_OFFLOAD_MIN_BATCH
AllocDeps = dict[Node, list[Node]]


@dataclass(slots=True)
class Split:
    """A run of nodes on one device, with the tensors that must be copied there first."""

    device: int
    start: int
    end: int = 0
    inputs: list[Node] = field(default_factory=list)


def _batch(node: Node) -> int:
    """How many rows of input an operation works on (ggml-cuda.cu: get_op_batch_size)."""
    if node.op == "GET_ROWS":
        return 0
    if node.op == "MUL_MAT":
        return node.ne[1]
    if node.op in ("MUL_MAT_ID", "ROPE"):
        return node.ne[2]
    return node.ne[1] * node.ne[2] * node.ne[3]


class Scheduler:
    """Places the nodes of one graph on `gpus` devices and the host, whose number is `gpus`.

    `offload_to` is the GPU that takes large operations on weights of the host, None for none.
    """

    def __init__(self, gpus: int, *, offload_to: int | None, copies: int) -> None:
        self.host = gpus
        self.offload_to = offload_to
        self.copies = copies
        self.splits: list[Split] = []
        self.graph_inputs: list[Node] = []

    def _home(self, node: Node) -> int | None:
        home = node.home if node.root is None else node.root.home
        return None if home is None else self.host if home < 0 else home

    def _settled(self, node: Node) -> int | None:
        home = self._home(node)
        if home is not None:
            return home
        if node.is_input:
            return self.host
        if node.op in ("ROPE", "FLASH_ATTN_EXT"):
            return None
        for src in node.src:
            if src.is_weight:
                where = self.host if src.home is None or src.home < 0 else src.home
                offload = where == self.host and _batch(node) >= OFFLOAD_MIN_BATCH
                return self.offload_to if offload and self.offload_to is not None else where
        return None

    def _spread(self, nodes: Sequence[Node], *, host_too: bool) -> None:
        current: int | None = None
        for node in nodes:
            if node.device is not None:
                current = node.device if host_too or node.device != self.host else None
            elif current is not None:
                node.device = current

    def assign(self, nodes: Sequence[Node], leaves: Sequence[Node]) -> None:
        """Passes 1, 2 and 4: sets `device` of every node and leaf."""
        for node in (*leaves, *nodes):
            if node.device is None:
                node.device = self._settled(node)
        work = [n for n in nodes if n.op not in VIEW_OPS]
        back = work[::-1]
        for host_too in (False, True):
            self._spread(work, host_too=host_too)
            self._spread(back, host_too=host_too)
        for node in nodes:
            if node.root is not None and node.device is None:
                node.device = node.root.device
            for src in node.src:
                if src.device is None:
                    src.device = src.root.device if src.root is not None else node.device
            if node.device is None:
                node.device = 0

    def cut(self, nodes: Sequence[Node]) -> None:
        """Pass 5: the splits, and copies of what they take from other devices."""
        work = [(i, n) for i, n in enumerate(nodes) if n.op not in VIEW_OPS]
        split = Split(work[0][1].device or 0, 0)
        self.splits = [split]
        for i, node in work:
            here = node.device or 0
            again = here == split.device and split.inputs and any(
                s.is_weight and s.device != here for s in node.src
            )  # fmt: skip
            if here != split.device or again:
                split.end = i
                split = Split(here, i)
                self.splits.append(split)
            for j, src in enumerate(node.src):
                if src.device != here:
                    node.src[j] = self._copy(src, here, split)
        split.end = len(nodes)

    def _copy(self, src: Node, device: int, split: Split) -> Node:
        if src.copies is None:
            src.copies = {}
        if device not in src.copies:
            made = []
            for _ in range(self.copies):
                twin = Node("NONE", src.type, src.ne, nb=src.nb)
                twin.device = device
                twin.is_input = twin.is_output = self.copies > 1
                made.append(twin)
            src.copies[device] = made
            split.inputs.append(src)
        return src.copies[device][0]

    def duplicate_inputs(self, leaves: Sequence[Node]) -> None:
        """Pass 6, for pipeline parallelism only: the program's inputs, `copies` times."""
        for leaf in leaves:
            if not leaf.is_input:
                continue
            where = leaf.device if leaf.device is not None else self.host
            if leaf.copies is None:
                leaf.copies = {}
            if where not in leaf.copies:
                twins = [Node("NONE", leaf.type, leaf.ne, nb=leaf.nb) for _ in range(self.copies - 1)]
                for twin in (leaf, *twins):
                    twin.device, twin.is_input, twin.is_output = where, True, True
                leaf.copies[where] = [leaf, *twins]
            self.graph_inputs.append(leaf)


Scheduled = tuple[list[tuple[Node, int]], list[tuple[Node, int]]]


def schedule(
    nodes: list[Node], leaves: Sequence[Node], sched: Scheduler,
    optimise: Callable[[list[Node]], AllocDeps] | None = None,
) -> Scheduled:  # fmt: skip
    """Nodes and leaves in allocation order, each with its device: the copy of the graph that ggml-alloc gets.

    `optimise` names, for the nodes of a GPU's split, tensors that must stay until a node has run; it may reorder them.
    """
    sched.assign(nodes, leaves)
    sched.cut(nodes)
    if sched.copies > 1:
        sched.duplicate_inputs(leaves)
    deps: AllocDeps = {}
    if optimise is not None:
        for split in sched.splits:
            if split.device != sched.host:
                part = nodes[split.start : split.end]
                deps.update(optimise(part))
                nodes[split.start : split.end] = part
    order: list[tuple[Node, int]] = []
    for split in sched.splits:
        for source in split.inputs:
            hold = Node("NONE", source.type, source.ne, (source,), nb=source.nb, root=source.root or source)
            order.append((hold, source.device or 0))
            order.append((_twin(source, split.device), split.device))
        for node in nodes[split.start : split.end]:
            order.append((node, node.device or 0))
            kept = deps.get(node, ())
            for k in range(0, len(kept), 10):
                group = kept[k : k + 10]
                root = group[0].root or group[0]
                order.append((Node("NONE", root.type, root.ne, group, root=root), split.device))
    fixed: list[tuple[Node, int]] = []
    if sched.copies > 1:
        for leaf in sched.graph_inputs:
            where = leaf.device or 0
            fixed += [(twin, where) for twin in (leaf.copies or {})[where]]
        for split in sched.splits:
            for source in split.inputs:
                fixed += [(twin, split.device) for twin in (source.copies or {})[split.device]]
    fixed += [(leaf, leaf.device or 0) for leaf in leaves]
    return order, fixed


def _twin(source: Node, device: int) -> Node:
    assert source.copies is not None
    return source.copies[device][0]
