"""What ggml's CUDA backend answers to the scheduler: sizes, supported ops, offloading, lifetimes.

Written after reading ggml/src/ggml-cuda (ggml-cuda.cu, fattn.cu, fattn-common.cuh, topk-moe.cu) of llama.cpp 0c1e57098
(ggml 0.25.3) and b11434 (ggml 0.26.0); checked against real H200 figures in `benchmarks/results/`. Only those answers
are modelled that change where bytes go.
"""

from __future__ import annotations

import ctypes as C
import struct
from typing import NamedTuple

from vramctl.engines.dry_run import layouts as L
from vramctl.engines.dry_run.library import Library

ROW_PADDING = 512  # MATRIX_ROW_PADDING, ggml-cuda/common.cuh
OFFLOAD_MIN_BATCH = 32  # GGML_OP_OFFLOAD_MIN_BATCH
MAX_REDUCED_EXPERTS = 15  # MOE_WEIGHTED_REDUCTION_MAX_EXPERTS, ggml-cuda.cu
KQ_STRIDE = 256  # FATTN_KQ_STRIDE
F32, F16, BF16, I32 = 0, 1, 30, 26
FATTN_KV_TYPES = frozenset((F32, F16, BF16, 2, 3, 6, 7, 8))  # f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0
_TENSOR = struct.Struct("<i4xQ4q4Qi16ii10QQQ")


class Tensor(NamedTuple):
    """The fields of one ggml_tensor, read at once."""

    at: int
    type: int
    buffer: int
    ne: tuple[int, ...]
    nb: tuple[int, ...]
    op: int
    params: tuple[int, ...]
    flags: int
    src: tuple[int, ...]
    view_src: int
    view_offs: int


def tensor(at: int) -> Tensor:
    """The ggml_tensor at an address of this process."""
    v = _TENSOR.unpack(C.string_at(at, _TENSOR.size))
    return Tensor(at, v[0], v[1], v[2:6], v[6:10], v[10], v[11:27], v[27], v[28:38], v[38], v[39])


class CudaRules:
    """The answers for one device. `cc` is the compute capability times 100 (860), as ggml counts it."""

    def __init__(self, library: Library, cc: int) -> None:
        self.lib = library
        self.cc = cc
        self.cuda_bufts: dict[int, int] = {}  # buffer type address to device index, of all phantom devices
        self.index = 0
        self._op_cache: dict[int, str] = {}

    # ---- sizes

    def alloc_size(self, at: int) -> int:
        """Bytes a tensor takes in CUDA memory (ggml_backend_cuda_buffer_type_get_alloc_size)."""
        size: int = self.lib.nbytes(at)
        kind = C.c_int.from_address(at).value
        op = C.c_int.from_address(at + L.TENSOR_OP).value
        if self.lib.tables.copies_kv and op and self.lib.op_name(op) == "FLASH_ATTN_EXT":
            size = self._flash_attention_size(tensor(at), size)
        if kind > F16 and self.lib.is_quantized(kind):
            row = C.c_int64.from_address(at + L.TENSOR_NE).value
            if row % ROW_PADDING:
                size += self.lib.row_size(kind, ROW_PADDING - row % ROW_PADDING)
        return size

    def _flash_attention_size(self, out: Tensor, size: int) -> int:
        """Adds the f16 copies of K and V that the chosen kernel needs (ggml_cuda_flash_attn_ext_get_alloc_size)."""
        kernel = self.flash_attention_kernel(out)
        if kernel in ("none", "vec"):
            need = kernel == "vec"
            need_k = need and C.c_int.from_address(out.src[1]).value == F32
            need_v = need and C.c_int.from_address(out.src[2]).value == F32
        else:
            need_k = need_v = True
        k, v = tensor(out.src[1]), tensor(out.src[2])
        if need_k and k.type != F16:
            size = -(-size // 128) * 128 + 2 * self.lib.nelements(k.at)
        same = v.view_src and (v.view_src == k.at or (v.view_src == k.view_src and v.view_offs == k.view_offs))
        if need_v and v.type != F16 and not same:
            size = -(-size // 128) * 128 + 2 * self.lib.nelements(v.at)
        return size

    def flash_attention_kernel(self, out: Tensor) -> str:
        """Which kernel CUDA would run: none, vec, tile or mma (ggml_cuda_get_best_fattn_kernel, NVIDIA branches)."""
        q, k, v = (tensor(at) for at in out.src[:3])
        mask = tensor(out.src[3]) if out.src[3] else None
        ratio = q.ne[2] // k.ne[2]
        max_bias = struct.unpack("<f", struct.pack("<i", out.params[1]))[0]
        gqa = ratio >= 2 and mask is not None and max_bias == 0.0 and k.ne[1] % KQ_STRIDE == 0
        for t in (q, k, v, mask):
            if t is not None and not self.lib.is_quantized(t.type) and any(n % 16 for n in t.nb[1:]):
                gqa = False
        if not self._head_size_known(k.ne[0], v.ne[0], ratio, gqa):
            return "none"
        if k.type not in FATTN_KV_TYPES or v.type not in FATTN_KV_TYPES or (mask is not None and mask.ne[2] != 1):
            return "none"
        head, tokens = q.ne[0], q.ne[1]
        vector = head <= 256 and head % 64 == 0 and head != 192 and k.ne[1] % KQ_STRIDE == 0
        quantised = self.lib.is_quantized(k.type) or self.lib.is_quantized(v.type)
        if self.cc >= 750 and head not in (40, 72):
            if vector:
                if not quantised:
                    wide = ratio > 4 and (head >= 256 or k.ne[1] >= 8192)
                    if self.cc >= 890 and tokens == 1 and q.ne[3] == 1 and not wide:
                        return "vec"
                elif tokens <= (2 if self.cc >= 890 else 1):
                    return "vec"
                if not gqa and tokens == 1:
                    return "vec"
            return "mma"
        if self.cc == 700 and head not in (40, 72):
            return self._volta_kernel(head, tokens, ratio, vector, max_bias)
        if vector and ((quantised and tokens <= 2) or (not quantised and tokens == 1 and not gqa)):
            return "vec"
        return "tile"

    @staticmethod
    def _head_size_known(k: int, v: int, ratio: int, gqa: bool) -> bool:
        if k in (40, 64, 72, 80, 96, 112, 128, 256):
            return v == k
        if k == 192:
            return v == 128 and gqa and ratio % 8 == 0
        if k == 320:
            return v == 256 and gqa and ratio % 32 == 0
        if k == 512:
            return v == k and gqa
        return k == 576 and v == 512 and gqa

    @staticmethod
    def _volta_kernel(head: int, tokens: int, ratio: int, vector: bool, max_bias: float) -> str:
        most = 32 if head == 320 else 16 if head in (576, 192) else 8
        effective = 1
        while max_bias == 0.0 and ratio % (2 * effective) == 0 and effective < most:
            effective *= 2
        if vector and tokens * effective <= 2:
            return "vec"
        return "tile" if tokens * effective <= 16 else "mma"

    # ---- where ops may run

    def supports(self, at: int) -> bool:
        """Whether CUDA runs this op (ggml_backend_cuda_device_supports_op, the cases met in llama.cpp's graphs)."""
        check = _SUPPORT.get(self.lib.op_name(C.c_int.from_address(at + L.TENSOR_OP).value))
        if check is None and len(self.cuda_bufts) < 2:
            return True
        t = tensor(at)
        if len(self.cuda_bufts) > 1:
            for source in t.src:
                if source:
                    buffer = C.c_uint64.from_address(source + L.TENSOR_BUFFER).value
                    if buffer and self.cuda_bufts.get(self.lib.buffer_type(buffer), self.index) != self.index:
                        return False
        return True if check is None else check(self, t)

    def _get_rows(self, t: Tensor) -> bool:
        kind, row = C.c_int.from_address(t.src[0]).value, C.c_int64.from_address(t.src[0] + L.TENSOR_NE).value
        if kind in (20, 39):  # IQ4_NL, MXFP4
            return row % 256 == 0
        return kind in _ROW_TYPES

    def _mul_mat(self, t: Tensor) -> bool:
        a, b = tensor(t.src[0]), tensor(t.src[1])
        if a.nb[0] != self.lib.type_size(a.type) or b.nb[0] != self.lib.type_size(b.type):
            return False
        return not (b.type == F16 and a.type != F16)

    def _flash(self, t: Tensor) -> bool:
        return self.flash_attention_kernel(t) != "none"

    def _ssm_scan(self, t: Tensor) -> bool:
        states, dt = tensor(t.src[0]), tensor(t.src[3])
        if dt.ne[0] == 1:
            return states.ne[0] in (96, 128, 256) and states.ne[1] % 16 == 0
        groups = tensor(t.src[4]).ne[1]
        return states.ne[0] == 16 and states.ne[1] == 1 and states.ne[2] % 128 == 0 and groups == 1

    def _ssm_conv(self, t: Tensor) -> bool:
        return tensor(t.src[0]).ne[1] % 128 == 0

    def offloads(self, at: int) -> bool:
        """Whether an op on host weights is worth copying them over (get_op_batch_size >= 32)."""
        t = tensor(at)
        op = self.lib.op_name(t.op)
        if op == "GET_ROWS":
            return False
        if op == "MUL_MAT":
            batch = t.ne[1]
        elif op in ("MUL_MAT_ID", "ROPE", "ROPE_BACK"):
            batch = t.ne[2]
        else:
            batch = self.lib.nrows(at)
        return batch >= OFFLOAD_MIN_BATCH


_ROW_TYPES = frozenset((F32, F16, BF16, I32, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 29, 41, 42))
_SUPPORT = {
    "GET_ROWS": CudaRules._get_rows,
    "MUL_MAT": CudaRules._mul_mat,
    "MUL_MAT_ID": CudaRules._mul_mat,
    "FLASH_ATTN_EXT": CudaRules._flash,
    "SSM_SCAN": CudaRules._ssm_scan,
    "SSM_CONV": CudaRules._ssm_conv,
}
