"""Where the tensors of a graph would lie in each device's compute buffer, and so how large it must be.

A re-implementation of ggml's graph allocator (ggml/src/ggml-alloc.c, llama.cpp 0c1e57098 and b11434: the same): nodes
in order, results over their sources where the operation allows it, best-fitting free block, blocks joined when freed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vramctl.plan.graph_tensor import IN_PLACE, Node

_ENDLESS = 1 << 62


class Arena:
    """One device's buffer: its free blocks in address order and the highest byte ever used."""

    def __init__(self, alignment: int) -> None:
        self.alignment = alignment
        self.free: list[list[int]] = [[0, _ENDLESS]]
        self.peak = 0

    def take(self, size: int) -> int:
        """The offset of the best-fitting free block (the last one, which is endless, only if no other fits)."""
        best, best_size = -1, _ENDLESS
        blocks = self.free
        for i in range(len(blocks) - 1):
            if size <= blocks[i][1] <= best_size:
                best, best_size = i, blocks[i][1]
        block = blocks[best]
        offset = block[0]
        block[0] += size
        block[1] -= size
        if block[1] == 0:
            del blocks[best]
        if offset + size > self.peak:
            self.peak = offset + size
        return offset

    def give(self, offset: int, size: int) -> None:
        """Frees `size` bytes at `offset`, joining neighbours as ggml does."""
        blocks = self.free
        for i, block in enumerate(blocks):
            if block[0] + block[1] == offset:
                block[1] += size
                if i + 1 < len(blocks) and block[0] + block[1] == blocks[i + 1][0]:
                    block[1] += blocks[i + 1][1]
                    del blocks[i + 1]
                return
            if offset + size == block[0]:
                block[0] = offset
                block[1] += size
                if i > 0 and blocks[i - 1][0] + blocks[i - 1][1] == offset:
                    blocks[i - 1][1] += block[1]
                    del blocks[i]
                return
        at = 0
        while at < len(blocks) and blocks[at][0] < offset:
            at += 1
        blocks.insert(at, [offset, size])


class _Allocation:
    """One pass over a scheduled graph."""

    def __init__(self, arenas: Mapping[int, Arena], sizes: Mapping[int, Callable[[Node], int]]) -> None:
        self.arenas = arenas
        self.sizes = sizes

    def size_of(self, node: Node, slot: int) -> int:
        if node.size < 0:
            align = self.arenas[slot].alignment
            size = self.sizes[slot](node)
            node.size = -(-size // align) * align
        return node.size

    def place(self, node: Node, slot: int) -> None:
        if node.home is not None or node.owned or node.root is not None:
            return
        node.owned = True
        if node.op in IN_PLACE and self._over_source(node):
            return
        node.slot = slot
        node.offset = self.arenas[slot].take(self.size_of(node, slot))

    def _over_source(self, node: Node) -> bool:
        for parent in node.src:
            if not parent.owned or parent.is_output or (parent.root is not None and parent.root.is_output):
                continue
            if parent.type != node.type or parent.ne != node.ne or parent.nb != node.nb:
                continue
            if parent.children != 1 or parent.views != 0:
                continue
            node.slot, node.offset = parent.slot, parent.offset
            parent.owned = False
            before, after = self.size_of(parent, parent.slot), self.size_of(node, node.slot)
            if before > after:
                self.arenas[node.slot].give(node.offset + after, before - after)
            return True
        return False

    def release(self, node: Node) -> None:
        if node.is_output:
            return
        self.arenas[node.slot].give(node.offset, self.size_of(node, node.slot))
        node.owned = False


def _used(work: _Allocation, parent: Node) -> None:
    parent.children -= 1
    if parent.children or parent.views:
        return
    root = parent.root
    if root is not None:
        root.views -= 1
        if root.views == 0 and root.children == 0 and root.owned:
            work.release(root)
    elif parent.owned:
        work.release(parent)


def buffer_sizes(
    nodes: Sequence[tuple[Node, int]], leaves: Sequence[tuple[Node, int]], arenas: Mapping[int, Arena],
    sizes: Mapping[int, Callable[[Node], int]],
) -> dict[int, int]:  # fmt: skip
    """Bytes of each buffer that the graph needs (ggml_gallocr_alloc_graph_impl).

    `nodes` and `leaves` come with the buffer each belongs to; `sizes` gives each buffer's bytes for a tensor.
    """
    work = _Allocation(arenas, sizes)
    for node, slot in leaves:
        work.place(node, slot)
    for node, slot in nodes:
        if node.root is not None and node.op != "NONE":
            node.root.views += 1
        if node.is_input:
            work.place(node, slot)
        for src in node.src:
            src.children += 1
            if src.is_input:
                work.place(src, slot)
    for node, slot in nodes:
        for parent in node.src:
            work.place(parent, slot)
        work.place(node, slot)
        for parent in node.src:
            _used(work, parent)
    return {slot: arena.peak for slot, arena in arenas.items()}
