"""Tensors of a compute graph: sizes, strides and sources, without data.

The shapes, strides and in-place rules follow ggml/src/ggml.c and ggml-alloc.c of llama.cpp 0c1e57098 (ggml 0.25.3)
and b11434 (ggml 0.26.0), which agree in all that is used here.
"""

from __future__ import annotations

from collections.abc import Sequence

from vramctl.ggml_types import BY_NAME, QUANTISED

Shape = tuple[int, int, int, int]

# Ops that may write their result over a source (ggml-alloc.c: ggml_op_can_inplace).
IN_PLACE = frozenset(
    "FILL SCALE ADD ADD_ID SUB MUL DIV SQR SQRT LOG UNARY ROPE RMS_NORM CLAMP SOFT_MAX".split()  # noqa: SIM905
)
VIEW_OPS = frozenset(("VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"))
HOST = -1  # `home` of a tensor in system memory


def row_bytes(type_name: str, width: int) -> int:
    """Bytes of a row of `width` elements (ggml_row_size)."""
    kind = BY_NAME[type_name]
    return kind.size * width // kind.block


def shape4(dims: Sequence[int]) -> Shape:
    """Dimensions padded with ones to four."""
    padded = (*dims, 1, 1, 1)
    return padded[0], padded[1], padded[2], padded[3]


def strides(type_name: str, ne: Shape) -> Shape:
    """Byte strides of a contiguous tensor."""
    kind = BY_NAME[type_name]
    nb1 = kind.size * ne[0] // kind.block
    return kind.size, nb1, nb1 * ne[1], nb1 * ne[1] * ne[2]


class Node:
    """One tensor: an operation's result, an input, a weight or a cache.

    `home` is None where the graph allocator must find room, else the device (HOST or the GPU's index) that holds
    the weight or cache. `device` is where the scheduler puts it. `root` is the tensor a view looks into.
    """

    __slots__ = (
        "children", "copies", "device", "home", "is_input", "is_output", "is_weight", "name", "nb", "ne",
        "offset", "op", "owned", "root", "size", "slot", "src", "type", "views",
    )  # fmt: skip

    def __init__(self, op: str, type_name: str, ne: Shape, src: Sequence[Node] = (), *, nb: Shape | None = None,
                 root: Node | None = None) -> None:  # fmt: skip
        self.op = op
        self.type = type_name
        self.ne = ne
        self.nb = strides(type_name, ne) if nb is None else nb
        self.src = list(src)
        self.root = root
        self.name = ""
        self.home: int | None = None
        self.is_weight = False
        self.is_input = False
        self.is_output = False
        self.device: int | None = None
        self.copies: dict[int, list[Node]] | None = None
        self.children = 0
        self.views = 0
        self.owned = False
        self.slot = 0
        self.offset = 0
        self.size = -1

    def elements(self) -> int:
        """How many elements the tensor has."""
        ne = self.ne
        return ne[0] * ne[1] * ne[2] * ne[3]

    def data_bytes(self) -> int:
        """Bytes from the first to the last element (ggml_nbytes)."""
        ne, nb = self.ne, self.nb
        if 0 in ne:
            return 0
        kind = BY_NAME[self.type]
        rest = (ne[1] - 1) * nb[1] + (ne[2] - 1) * nb[2] + (ne[3] - 1) * nb[3]
        if kind.block == 1:
            return kind.size + (ne[0] - 1) * nb[0] + rest
        return ne[0] * nb[0] // kind.block + rest

    def contiguous(self) -> bool:
        """Whether the elements follow each other without gaps (ggml_is_contiguous)."""
        kind = BY_NAME[self.type]
        step = kind.size
        if self.ne[0] != kind.block and self.nb[0] != step:
            return False
        step = step * self.ne[0] // kind.block
        for i in (1, 2, 3):
            if self.ne[i] != 1:
                if self.nb[i] != step:
                    return False
                step *= self.ne[i]
        return True


def _vector_kernel(query: Node, key: Node, most_tokens: int) -> bool:
    """Whether flash attention reads a quantised cache as it is (fattn.cu: BEST_FATTN_KERNEL_VEC)."""
    head = query.ne[0]
    return query.ne[1] <= most_tokens and head <= 256 and head % 64 == 0 and head != 192 and key.ne[1] % 256 == 0


def device_bytes(node: Node, vector_tokens: int = 1) -> int:
    """Bytes a CUDA buffer sets aside for a tensor.

    ggml-cuda.cu `get_alloc_size`: rows of quantised tensors are padded to 512 elements; fattn.cu
    `ggml_cuda_flash_attn_ext_get_alloc_size`: flash attention adds F16 copies of a K and V of another type, but for
    `vector_tokens` tokens or fewer (2 from compute capability 8.9 on, else 1).
    """
    size = node.data_bytes()
    if node.op == "FLASH_ATTN_EXT":
        q, k, v = node.src[:3]
        if (k.type in QUANTISED or v.type in QUANTISED) and _vector_kernel(q, k, vector_tokens):
            return size
        for kv in (k,) if v.root is not None and v.root is k.root else (k, v):
            if kv.type != "F16":
                size = -(-size // 128) * 128 + 2 * kv.elements()
        return size
    if node.type in QUANTISED and node.ne[0] % 512:
        size += row_bytes(node.type, 512 - node.ne[0] % 512)
    return size


def leaf(type_name: str, dims: Sequence[int], *, home: int | None = None, weight: bool = False) -> Node:
    """A tensor that no operation makes: a weight or cache (with `home`) or an input."""
    node = Node("NONE", type_name, shape4(dims))
    node.home = home
    node.is_weight = weight
    return node


def graph_input(type_name: str, dims: Sequence[int], name: str = "") -> Node:
    """A tensor that the program fills before each run."""
    node = leaf(type_name, dims)
    node.is_input = True
    node.name = name
    return node


def like(op: str, a: Node, *others: Node | None) -> Node:
    """The result of an operation that keeps the first operand's shape."""
    return Node(op, a.type, a.ne, [a, *(o for o in others if o is not None)])


def _view(op: str, a: Node, ne: Shape, nb: Shape) -> Node:
    return Node(op, a.type, ne, (a,), nb=nb, root=a.root or a)


def view(a: Node, dims: Sequence[int], steps: Sequence[int] = ()) -> Node:
    """A window of `dims` elements into `a`; `steps` are the byte strides from the second dimension on."""
    ne = shape4(dims)
    nb = list(strides(a.type, ne))
    for i in (1, 2, 3):
        if i <= len(steps):
            nb[i] = steps[i - 1]
        elif i > 1:
            nb[i] = nb[i - 1] * ne[i - 1]
    return _view("VIEW", a, ne, (nb[0], nb[1], nb[2], nb[3]))


def reshape(a: Node, *dims: int) -> Node:
    """`a` with other dimensions (contiguous)."""
    ne = shape4(dims)
    return _view("RESHAPE", a, ne, strides(a.type, ne))


def permute(a: Node, *axes: int) -> Node:
    """`a` with dimension i moved to place `axes[i]`."""
    ne, nb = [0] * 4, [0] * 4
    for i, axis in enumerate(axes):
        ne[axis], nb[axis] = a.ne[i], a.nb[i]
    return _view("PERMUTE", a, (ne[0], ne[1], ne[2], ne[3]), (nb[0], nb[1], nb[2], nb[3]))


def transpose(a: Node) -> Node:
    """`a` with the first two dimensions swapped."""
    return _view("TRANSPOSE", a, (a.ne[1], a.ne[0], a.ne[2], a.ne[3]), (a.nb[1], a.nb[0], a.nb[2], a.nb[3]))


def over(op: str, target: Node, *src: Node) -> Node:
    """An operation that writes into `target` (set_rows, cpy): its result is a view of it."""
    return Node(op, target.type, target.ne, src, nb=target.nb, root=target.root or target)


def made(op: str, type_name: str, dims: Sequence[int], *src: Node | None) -> Node:
    """The result of an operation with its own shape."""
    return Node(op, type_name, shape4(dims), [s for s in src if s is not None])


def mul_mat(a: Node, b: Node) -> Node:
    """Matrix product: [a.ne1, b.ne1, b.ne2, b.ne3] in F32."""
    return Node("MUL_MAT", "F32", (a.ne[1], b.ne[1], b.ne[2], b.ne[3]), (a, b))


def mul_mat_id(experts: Node, b: Node, ids: Node) -> Node:
    """Product with the chosen experts' matrices: [rows, chosen, tokens]."""
    return Node("MUL_MAT_ID", "F32", (experts.ne[1], ids.ne[0], b.ne[2], 1), (experts, b, ids))


def get_rows(a: Node, ids: Node) -> Node:
    """The rows of `a` that `ids` name, in F32."""
    kind = "I32" if a.type == "I32" else "F32"
    return Node("GET_ROWS", kind, (a.ne[0], ids.ne[0], ids.ne[1], ids.ne[2]), (a, ids))


def cont(a: Node, *dims: int) -> Node:
    """A contiguous copy, with other dimensions if given."""
    return Node("CONT", a.type, shape4(dims) if dims else a.ne, (a,))


def concat(a: Node, b: Node) -> Node:
    """`a` and `b` joined along the first dimension."""
    return Node("CONCAT", a.type, (a.ne[0] + b.ne[0], a.ne[1], a.ne[2], a.ne[3]), (a, b))


def top_k(a: Node, k: int) -> Node:
    """The indices of the `k` largest of each row: a view into a whole argsort."""
    order = Node("ARGSORT", "I32", a.ne, (a,))
    return view(order, (k, *a.ne[1:]), order.nb[1:])
