"""How many operations per second a device reaches in matrix products, on the engine's own kernels.

Public functions of ggml/include/ggml.h and ggml-backend.h only, the same from ggml 0.9.4 to 0.26.0.
"""

from __future__ import annotations

import ctypes as C
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vramctl.engines.dry_run.layouts import TENSOR_BUFFER
from vramctl.engines.dry_run.library import Library
from vramctl.engines.run_model.context import KINDS, EngineFailed
from vramctl.formats.weights import Fill, make_tile
from vramctl.formats.weights_blocks import BLOCKS
from vramctl.ggml_types import BY_NAME

P = C.c_void_p
HOST = "host"
_NUMBERS = ("F32", "F16", "BF16")
_TILE_BYTES = 1 << 20
_SIZES = C.c_int64, C.c_int64
# Shapes of an 8B's feed-forward matrices and a square one: [row length, rows]. A processor gets fewer rows, see `_rows`.
_ON_GPU = ((4096, 14336), (8192, 8192))
_ON_HOST = 4096
_FEWEST_ROWS, _MOST_ROWS = 256, 14336
_PRODUCTS = 4  # in one graph, so that its launch is a small part
_ROUND_SECONDS = 0.03
_HOST_ROUND_SECONDS = 0.008  # short, so that other processes leave some rounds alone


class _Init(C.Structure):
    """ggml_init_params, which goes by value."""

    _fields_ = [("mem_size", C.c_size_t), ("mem_buffer", P), ("no_alloc", C.c_bool)]


@dataclass(frozen=True, slots=True)
class Best:
    """The highest rate of some rounds in operations per second (a product and a sum are two), and with what."""

    flops_per_second: float
    shape: tuple[int, int, int]
    buffer: str


def best_rate(library: Library, device: str, type_name: str, columns: int, *, threads: int, seconds: float) -> Best:
    """The best that `device` reaches in products of [row length x rows] of a type and [row length x columns] of F32.

    `device` is the engine's name, or `host` for the processor: there every buffer type that llama.cpp may choose for weights
    is tried (some hold them repacked), and libraries such as BLAS.  Takes about `seconds`, and some more for warming up.
    EngineFailed where nothing could be measured.
    """
    if type_name not in BLOCKS and type_name not in _NUMBERS:
        raise EngineFailed(f"weights of the type {type_name} cannot be invented")
    engine = _Engine(library)
    places = tuple(engine.places(device))
    if not places:
        raise EngineFailed(f"the engine has no device {device}")
    found: list[Best] = []
    for place in places:
        with engine.backend(place.device, threads) as backend:
            found += engine.measured(backend, place, type_name, columns, seconds=seconds / len(places))
    if not found:
        raise EngineFailed(f"{device} could not be measured with {type_name}: no memory, or no such product")
    return max(found, key=lambda best: best.flops_per_second)


@dataclass(frozen=True, slots=True)
class _Place:
    """A device that computes, and the buffer type that its weights are in (addresses)."""

    device: int
    buffer_type: int
    is_host: bool
    extra: bool


class _Engine:
    """The functions of ggml that this takes."""

    def __init__(self, library: Library) -> None:
        self.lib, self._f = library, library.function

    def places(self, name: str) -> Iterator[_Place]:
        """Where weights can be and be multiplied, for a device of this name or for the processor."""
        f = self._f
        count, get = f("ggml_backend_dev_count", C.c_size_t)(), f("ggml_backend_dev_get", P, C.c_size_t)
        kind, buffer_type = f("ggml_backend_dev_type", C.c_int, P), f("ggml_backend_dev_buffer_type", P, P)
        called = f("ggml_backend_dev_name", C.c_char_p, P)
        for device in [get(index) for index in range(count)]:
            on_host = KINDS.get(kind(device)) in ("cpu", "accel")
            if on_host if name == HOST else (called(device) or b"").decode("utf-8", "replace") == name:
                yield _Place(device, buffer_type(device), on_host, extra=False)
                yield from (_Place(device, buft, on_host, extra=True) for buft in self._extra(device) if on_host)

    def _extra(self, device: int) -> Iterator[int]:
        """The device's buffer types that hold weights in another order."""
        address = self._proc(device, b"ggml_backend_dev_get_extra_bufts")
        if address:
            table = C.CFUNCTYPE(C.POINTER(P), P)(address)(device)
            index = 0
            while table and table[index]:
                yield table[index]
                index += 1

    def _proc(self, device: int, name: bytes) -> int | None:
        registry = self._f("ggml_backend_dev_backend_reg", P, P)(device)
        found: int | None = self._f("ggml_backend_reg_get_proc_address", P, P, C.c_char_p)(registry, name)
        return found

    @contextmanager
    def backend(self, device: int, threads: int) -> Iterator[int]:
        """The device ready to compute, with so many threads where it is a processor."""
        made = self._f("ggml_backend_dev_init", P, P, C.c_char_p)(device, None)
        if not made:
            raise EngineFailed("the device could not be started")
        try:
            address = self._proc(device, b"ggml_backend_set_n_threads")
            if address:
                C.CFUNCTYPE(None, P, C.c_int)(address)(made, threads)
            yield made
        finally:
            self._f("ggml_backend_free", None, P)(made)

    @contextmanager
    def _context(self) -> Iterator[int]:
        """Room for the descriptions of some tensors and a graph."""
        size = 64 * self._f("ggml_tensor_overhead", C.c_size_t)() + self._f("ggml_graph_overhead", C.c_size_t)()
        context = self._f("ggml_init", P, _Init)(_Init(size, None, True))
        if not context:
            raise EngineFailed("no memory for a graph")
        try:
            yield context
        finally:
            self._f("ggml_free", None, P)(context)

    @contextmanager
    def _allocated(self, context: int, buffer_type: int) -> Iterator[int | None]:
        """The buffer of all tensors of a context; None where there is no memory for it."""
        buffer = self._f("ggml_backend_alloc_ctx_tensors_from_buft", P, P, P)(context, buffer_type)
        try:
            yield buffer
        finally:
            if buffer:
                self._f("ggml_backend_buffer_free", None, P)(buffer)

    def measured(self, backend: int, place: _Place, type_name: str, columns: int, *, seconds: float) -> Iterator[Best]:
        """The best rate of each shape; `seconds` are shared among them, setting up comes on top."""
        if not place.is_host:
            for width, rows in _ON_GPU:
                yield from self._shape(
                    backend, place, type_name, (width, rows, columns), seconds=seconds / len(_ON_GPU)
                )
            return
        small = (_ON_HOST, _FEWEST_ROWS, columns)
        first = next(self._shape(backend, place, type_name, small, seconds=seconds / 2), None)
        if first is None:
            return
        yield first
        rows = _rows(first)
        if rows > _FEWEST_ROWS:
            yield from self._shape(backend, place, type_name, (_ON_HOST, rows, columns), seconds=seconds / 2)

    def _shape(
        self, backend: int, place: _Place, type_name: str, shape: tuple[int, int, int], *, seconds: float
    ) -> Iterator[Best]:
        """The best rate with one shape, nothing where the device cannot do that."""
        f, (width, rows, columns) = self._f, shape
        tensor, multiply = f("ggml_new_tensor_2d", P, P, C.c_int, *_SIZES), f("ggml_mul_mat", P, P, P, P)
        with self._context() as weights_context, self._context() as context:
            weights = tensor(weights_context, BY_NAME[type_name].id, width, rows)
            inputs = tensor(context, BY_NAME["F32"].id, width, columns)
            products = 1 if place.is_host else _PRODUCTS
            results = [multiply(context, weights, inputs) for _ in range(products)]
            if not self._supported(place, weights, results[0]):
                return
            graph = f("ggml_new_graph", P, P)(context)
            for result in results:
                f("ggml_build_forward_expand", None, P, P)(graph, result)
            usual = f("ggml_backend_get_default_buffer_type", P, P)(backend)
            with (
                self._allocated(weights_context, place.buffer_type) as held,
                self._allocated(context, usual) as buffer,
            ):
                if not held or not buffer:
                    return
                self._fill(weights, type_name, width * rows)
                self._fill(inputs, "F32", width * columns)
                took = self._fastest(backend, graph, seconds=seconds, on_host=place.is_host)
                name = (self.lib.buft_name(place.buffer_type) or b"?").decode()
                yield Best(2.0 * width * rows * columns * products / took, shape, name)

    def _supported(self, place: _Place, weights: int, result: int) -> bool:
        """Whether the device multiplies weights that are in this buffer type (src/llama-model-loader.cpp asks the same way)."""
        f = self._f
        empty = f("ggml_backend_buft_alloc_buffer", P, P, C.c_size_t)(place.buffer_type, 0)
        slot = C.c_void_p.from_address(weights + TENSOR_BUFFER)
        slot.value = empty
        found = bool(f("ggml_backend_dev_supports_op", C.c_bool, P, P)(place.device, result))
        slot.value = None
        if empty:
            f("ggml_backend_buffer_free", None, P)(empty)
        return found

    def _fill(self, tensor: int, type_name: str, elements: int) -> None:
        """Invented values for a whole tensor, at once: repacking buffers take it no other way."""
        kind = BY_NAME[type_name]
        blocks = elements // kind.block
        tile = make_tile(type_name, Fill(0.02), blocks=min(blocks, _TILE_BYTES // kind.size), seed=b"multiply")
        size = blocks * kind.size
        data = bytes(tile * -(-size // len(tile)))[:size]
        self._f("ggml_backend_tensor_set", None, P, C.c_char_p, C.c_size_t, C.c_size_t)(tensor, data, 0, size)

    def _fastest(self, backend: int, graph: int, *, seconds: float, on_host: bool) -> float:
        """The shortest time of one graph, in seconds."""
        compute = self._f("ggml_backend_graph_compute_async", C.c_int, P, P)
        wait = self._f("ggml_backend_synchronize", None, P)
        run = _runner(compute, wait, backend, graph)
        once = min(run(1), run(1))
        until = time.monotonic() + seconds
        count = 1 if on_host else max(1, min(256, int(_ROUND_SECONDS / once)))
        best = once if on_host else run(count) / count
        while time.monotonic() + best * count < until:
            best = min(best, run(count) / count)
        return best


def _runner(compute: Callable[..., int], wait: Callable[..., None], backend: int, graph: int) -> Callable[[int], float]:
    """A function that gives the seconds of so many graphs in a row."""

    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            status = compute(backend, graph)
            if status != 0:
                raise EngineFailed(f"the device could not compute: status {status}")
        wait(backend)
        return max(time.perf_counter() - began, 1e-9)

    return run


def _rows(first: Best) -> int:
    """How many rows a product gets so that a round is short."""
    each = 2.0 * _ON_HOST * first.shape[2] / first.flops_per_second
    return min(int(_HOST_ROUND_SECONDS / each) // _FEWEST_ROWS * _FEWEST_ROWS, _MOST_ROWS)
