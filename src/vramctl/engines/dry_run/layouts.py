"""Memory layouts of ggml's and llama.cpp's private and by-value structs, chosen by version and checked.

Interface tables (ggml/src/ggml-backend-impl.h) were read at ggml 0.9.4 to 0.26.0 and are chosen by what the build's own
objects show (proofs.py); the by-value parameter structs (include/llama.h) changed too often for a table, so they are
*found*: the bytes that `llama_*_default_params()` returns are searched for the documented defaults, and anything
unexpected is an error instead of a guess.  What was found is then tried (self_test.py).
"""

from __future__ import annotations

import ctypes as C
import struct
from dataclasses import dataclass

P = C.c_void_p


class LayoutUnknown(Exception):
    """This build's structs are not ones we can prove to know."""


def _pointers(name: str, fields: str) -> type[C.Structure]:
    return type(name, (C.Structure,), {"_fields_": [(field, P) for field in fields.split()]})


# ggml_tensor (ggml/include/ggml.h): unchanged from ggml 0.9.4 to 0.26.0.
TENSOR_TYPE, TENSOR_BUFFER, TENSOR_NE, TENSOR_NB = 0, 8, 16, 48
TENSOR_OP, TENSOR_PARAMS, TENSOR_FLAGS, TENSOR_SRC = 80, 84, 148, 152
TENSOR_VIEW_SRC, TENSOR_VIEW_OFFS, TENSOR_DATA, TENSOR_NAME = 232, 240, 248, 256
FLAG_OUTPUT, FLAG_COMPUTE = 2, 16

# ggml_cgraph (ggml/src/ggml-impl.h): int size, n_nodes, n_leafs; then pointers nodes, grads, grad_accs, leafs,
# use_counts; then the hash set {size, used, keys}.
GRAPH_N_NODES, GRAPH_NODES, GRAPH_USES = 4, 16, 48
GRAPH_HASH_SIZE, GRAPH_HASH_USED, GRAPH_HASH_KEYS = 56, 64, 72


class Props(C.Structure):
    """ggml_backend_dev_props; caps has grown at its end (mmap_support since 2026-08), so it is over-long here."""

    _fields_ = [
        ("name", C.c_char_p),
        ("description", C.c_char_p),
        ("memory_free", C.c_size_t),
        ("memory_total", C.c_size_t),
        ("type", C.c_int),
        ("device_id", C.c_char_p),
        ("caps", C.c_bool * 5),
    ]


class Reg(C.Structure):
    """ggml_backend_reg."""

    _fields_ = [("api", C.c_int)] + [(n, P) for n in ("name", "count", "get", "proc", "context")]


Device = _pointers(
    "Device",
    "name description memory type props init buft host_buft from_host_ptr supports_op supports_buft offload_op "
    "event_new event_free event_synchronize reg context",
)


@dataclass(frozen=True)
class Interfaces:
    """The function tables of one range of ggml versions.

    `optimizes`: graph_optimize takes the alloc-dependency callback. `groups_experts`: ggml-cuda moves shared experts.
    `copies_kv`: flash attention's f16 copies of a quantised cache are in the compute buffer, not in CUDA's pool.
    """

    api: int
    buft: type[C.Structure]
    buffer: type[C.Structure]
    backend: type[C.Structure]
    optimizes: bool
    groups_experts: bool
    copies_kv: bool


@dataclass(frozen=True)
class Facts:
    """What a loaded build's own objects show of its private structs, counted in pointers (see proofs.py).

    `api` is the CPU backend's API version; `buffer` and `backend` are how many functions their interfaces have;
    `device` likewise; `buft_nulls` is which of the first eight pointers of the CPU's buffer type are set (`xxx..x..`).
    """

    api: int
    buffer: int
    backend: int
    device: int
    buft: str
    tensor_bytes: int


_BUFT_2 = _pointers("Buft2", "name alloc align max_size alloc_size is_host device context")
_BUFT_3 = _pointers("Buft3", "name alloc alloc_n align max_size alloc_size alloc_size_n is_host device context")
_BUFFER_1D = _pointers("Buffer1d", "free base init memset set get cpy clear reset")
_BUFFER_2D = _pointers("Buffer2d", "free base init memset set get set_2d get_2d cpy clear reset")
_BACKEND_1D = _pointers(
    "Backend1d",
    "guid name free set get cpy synchronize plan_create plan_free plan_update plan_compute compute "
    "event_record event_wait graph_optimize device context",
)
_BACKEND_2D = _pointers(
    "Backend2d",
    "guid name free set get set_2d get_2d cpy synchronize plan_create plan_free plan_update plan_compute compute "
    "event_record event_wait graph_optimize device context",
)


# (API version, functions of a buffer, of a backend) to the tables; the versions are those whose headers were read.
_TABLES = {
    (2, 9, 14): (_BUFT_2, _BUFFER_1D, _BACKEND_1D),  # ggml 0.9.4 to 0.9.11
    (2, 11, 16): (_BUFT_2, _BUFFER_2D, _BACKEND_2D),  # ggml 0.10.0 to 0.25.3
    (3, 11, 16): (_BUFT_3, _BUFFER_2D, _BACKEND_2D),  # ggml 0.26.0
}
_BUFT_SHAPES = {2: "xxx..x..", 3: "xx.x...x"}
_DEVICE_FUNCTIONS, _TENSOR_BYTES = 15, 336
OLDEST, NEWEST = (0, 9, 4), (0, 26)


def interfaces(ggml_version: str, facts: Facts) -> Interfaces:
    """The interface tables of a build, proved by its own objects; what they cannot show is chosen by version.

    A ggml newer than 0.26 is taken as 0.26 as long as every fact is the same. LayoutUnknown where one is not.
    """
    version = _version(ggml_version)
    if version < OLDEST:
        raise LayoutUnknown(f"ggml {ggml_version} is older than 0.9.4, the oldest whose layouts were read")
    tables = _TABLES.get((facts.api, facts.buffer, facts.backend))
    if tables is None:
        raise LayoutUnknown(
            f"ggml {ggml_version} (backend API {facts.api}) has {facts.buffer} buffer and {facts.backend} backend"
            " functions, which is no layout that was read (ggml 0.9.4 to 0.26.x)"
        )
    if facts.buft != _BUFT_SHAPES[facts.api]:
        raise LayoutUnknown(f"ggml {ggml_version}: a buffer type is laid out as {facts.buft}, which was never read")
    if facts.device != _DEVICE_FUNCTIONS:
        raise LayoutUnknown(f"ggml {ggml_version}: a device has {facts.device} functions, not {_DEVICE_FUNCTIONS}")
    if facts.tensor_bytes != _TENSOR_BYTES:
        raise LayoutUnknown(f"ggml {ggml_version}: a tensor takes {facts.tensor_bytes} bytes, not {_TENSOR_BYTES}")
    return Interfaces(
        facts.api,
        *tables,
        optimizes=version >= (0, 22),
        groups_experts=version >= (0, 26),
        copies_kv=version >= (0, 14),
    )


def was_read(ggml_version: str) -> bool:
    """Whether this ggml's headers and CUDA rules were read, not only found to be laid out like one that was."""
    version = _version(ggml_version)
    return version >= OLDEST and version[:2] <= NEWEST


def _version(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split("-")[0].split("+")[0].split(".")[:3])
    except ValueError as error:
        raise LayoutUnknown(f"ggml calls its version {text!r}") from error


@dataclass(frozen=True)
class Offsets:
    """Where the fields of a by-value struct are: name to (byte offset, struct format)."""

    size: int
    fields: dict[str, tuple[int, str]]

    def write(self, raw: bytearray, name: str, value: float) -> None:
        """Sets one field; LayoutUnknown where this build has no such field."""
        if name not in self.fields:
            raise LayoutUnknown(f"this build has no parameter {name}")
        offset, fmt = self.fields[name]
        struct.pack_into("<" + fmt, raw, offset, value)

    def read(self, raw: bytes | bytearray, name: str) -> int:
        """One field's value."""
        offset, fmt = self.fields[name]
        value: int = struct.unpack_from("<" + fmt, raw, offset)[0]
        return value


def _u32(raw: bytes, offset: int) -> int:
    value: int = struct.unpack_from("<I", raw, offset)[0]
    return value


_MODEL_HEAD = {"devices": (0, "Q"), "overrides": (8, "Q"), "n_gpu_layers": (16, "i"), "split_mode": (20, "i")}


def model_params(raw: bytes) -> Offsets:
    """The layout of llama_model_params, found in the bytes of its defaults (llama.h of 2025-12 to 2026-11).

    Three shapes exist: {..., load_mode, lazy_mode, main_gpu, tensor_split*, ...} with booleans vocab_only, check_tensors,
    use_extra_bufts, no_host, no_alloc, load_mtp; one without lazy_mode; and the older {..., main_gpu, tensor_split*, ...}
    with booleans vocab_only, use_mmap, [use_direct_io,] use_mlock, check_tensors, use_extra_bufts, no_host, no_alloc.
    """
    if _u32(raw, 20) != 1:  # LLAMA_SPLIT_MODE_LAYER
        raise LayoutUnknown("llama_model_params: split_mode is not where it is known to be")
    fields = dict(_MODEL_HEAD)
    new = raw[72:78]
    if raw[40:72] == bytes(32) and new[:3] == b"\0\0\1" and new[3:5] == b"\0\0" and new[5] <= 1 and _u32(raw, 32) == 0:
        fields |= {"load_mode": (24, "i"), "main_gpu": (32, "i"), "tensor_split": (40, "Q")}
        names: tuple[str, ...] = ("vocab_only", "check_tensors", "use_extra_bufts", "no_host", "no_alloc", "load_mtp")
        return Offsets(80, fields | {name: (72 + i, "?") for i, name in enumerate(names)})
    if raw[32:64] == bytes(32) and raw[64:69] == b"\0\0\1\0\0":
        fields |= {"load_mode": (24, "i"), "main_gpu": (28, "i"), "tensor_split": (32, "Q")}
        names = ("vocab_only", "check_tensors", "use_extra_bufts", "no_host", "no_alloc")
        return Offsets(72, fields | {name: (64 + i, "?") for i, name in enumerate(names)})
    old = raw[64:72]
    fields |= {"main_gpu": (24, "i"), "tensor_split": (32, "Q")}
    if old[:2] == b"\0\1" and old[2:] == b"\0\0\0\1\0\0":
        names = ("vocab_only", "use_mmap", "use_direct_io", "use_mlock", "check_tensors", "use_extra_bufts",
                 "no_host", "no_alloc")  # fmt: skip
        return Offsets(72, fields | {name: (64 + i, "?") for i, name in enumerate(names)})
    if old[:7] == b"\0\1\0\0\1\0\0":  # December 2025; without no_alloc it looks the same, but then its symbols differ
        names = ("vocab_only", "use_mmap", "use_mlock", "check_tensors", "use_extra_bufts", "no_host", "no_alloc")
        return Offsets(72, fields | {name: (64 + i, "?") for i, name in enumerate(names)})
    raise LayoutUnknown(f"llama_model_params: booleans are {new.hex()} / {old.hex()}, not a known set of defaults")


def context_params(raw: bytes) -> Offsets:
    """The layout of llama_context_params, found in the bytes of its defaults (include/llama.h).

    Starts with n_ctx=512, n_batch=2048, n_ubatch=512, n_seq_max=1. The KV types are two ints 1, 1 (F16) after
    {defrag_thold, cb_eval, cb_eval_user_data}; the booleans embeddings=0, offload_kqv=1, no_perf, op_offload=1,
    swa_full=1, kv_unified=0 follow two or three null pointers.
    """
    head = struct.unpack_from("<4I", raw, 0)
    if head != (512, 2048, 512, 1):
        raise LayoutUnknown(
            f"llama_context_params starts with {head}, not with n_ctx 512, n_batch 2048, n_ubatch 512, 1"
        )
    fields: dict[str, tuple[int, str]] = {
        "n_ctx": (0, "I"), "n_batch": (4, "I"), "n_ubatch": (8, "I"), "n_seq_max": (12, "I"),
    }  # fmt: skip
    types = next(
        (
            at
            for at in range(72, 136, 8)
            if struct.unpack_from("<2i", raw, at) == (1, 1) and raw[at - 16 : at] == bytes(16)
        ),
        None,
    )
    if types is None:
        raise LayoutUnknown("llama_context_params: no two KV types F16, F16 where they are known to be")
    fields |= {"type_k": (types, "i"), "type_v": (types + 4, "i")}
    # Back from the KV types: cb_eval and its data, defrag_thold, yarn_orig_ctx, five floats (ext, attn, fast, slow) and
    # the two rope floats, then flash_attn_type, attention_type, pooling_type, rope_scaling_type, [ctx_type,] threads.
    floats = next((at for at in range(20, 80, 4) if struct.unpack_from("<3f", raw, at) == (0.0, 0.0, -1.0)), None)
    if floats is None or struct.unpack_from("<3i", raw, floats - 12) != (-1, -1, -1):
        raise LayoutUnknown("llama_context_params: pooling, attention and flash attention types are not all -1")
    fields["flash_attn"] = (floats - 4, "i")
    n_threads = struct.unpack_from("<2i", raw, 16)
    if floats - 36 >= 16 and n_threads == (0, 0):  # n_rs_seq, n_outputs_max, [per seq,] n_threads, ...
        fields |= {"n_rs_seq": (16, "I"), "n_outputs_max": (20, "I")}
    for pointers in (2, 3, 4):
        at = types + 8 + 8 * pointers
        flags = raw[at : at + 6]
        if raw[types + 8 : at] == bytes(8 * pointers) and flags[:2] == b"\0\1" and flags[3:6] == b"\1\1\0":
            names = ("embeddings", "offload_kqv", "no_perf", "op_offload", "swa_full", "kv_unified")
            fields |= {name: (at + i, "?") for i, name in enumerate(names)}
            return Offsets(256, fields)
    raise LayoutUnknown("llama_context_params: the booleans are not at any known place")
