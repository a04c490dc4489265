"""What a loaded build's own objects show of ggml's private structs: evidence for or against a layout.

ggml's backend structs have no version of their own: the two 2d functions of ggml 0.10 came without a new API version.
So the structs are counted on live objects: a device ends its functions with its registry's address, a backend with its
device's, a buffer with its buffer type's.
"""

from __future__ import annotations

import ctypes as C
from collections.abc import Callable
from typing import Any

from vramctl.engines.dry_run.layouts import Facts, LayoutUnknown

P = C.c_void_p
_CPU = 0  # GGML_BACKEND_DEVICE_TYPE_CPU
_MARK = 0x5EED0
_OBJECT_BYTES = 32  # GGML_OBJECT_SIZE: ggml_tensor_overhead() counts it


class _Functions(C.Structure):
    """Room for any interface that is passed by value, each slot marked."""

    _fields_ = [("slots", C.c_uint64 * 32)]


def look(function: Callable[..., Any]) -> Facts:
    """The facts of a loaded library; `function(name, restype, *argtypes)` gives its functions."""
    cpu = function("ggml_backend_dev_by_type", P, C.c_int)(_CPU)
    if not cpu:
        raise LayoutUnknown("this build has no CPU backend (its backend libraries are not beside it)")
    registry = function("ggml_backend_dev_backend_reg", P, P)(cpu)
    backend = function("ggml_backend_dev_init", P, P, C.c_char_p)(cpu, None)
    buft = function("ggml_backend_cpu_buffer_type", P)()
    facts = Facts(
        api=C.c_int.from_address(registry).value,
        buffer=_buffer_functions(function, buft),
        backend=_index(backend, cpu, 20) - 1,  # its first word is the guid
        device=_index(cpu, registry, 20),
        buft="".join("x" if word else "." for word in _words(buft, 8)),
        tensor_bytes=function("ggml_tensor_overhead", C.c_size_t)() - _OBJECT_BYTES,
    )
    function("ggml_backend_free", None, P)(backend)
    return facts


def _buffer_functions(function: Callable[..., Any], buft: int) -> int:
    """How many functions ggml_backend_buffer_init copies before the buffer type's address (the buffer is never freed)."""
    marked = _Functions()
    marked.slots[:] = range(_MARK, _MARK + 32)
    made = function("ggml_backend_buffer_init", P, P, _Functions, P, C.c_size_t)(buft, marked, None, 1)
    count = _index(made, buft, 13)
    if _words(made, count) != list(range(_MARK, _MARK + count)):
        raise LayoutUnknown("a buffer does not begin with its functions")
    return count


def _index(at: int, value: int, most: int) -> int:
    words = _words(at, most)
    return words.index(value) if value in words else -1


def _words(at: int, count: int) -> list[int]:
    return list((C.c_uint64 * count).from_address(at)) if count > 0 else []
