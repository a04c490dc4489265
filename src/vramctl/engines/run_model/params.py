"""Settings written into the by-value parameter structs of a loaded library; pointers in them are kept alive here."""

from __future__ import annotations

import ctypes as C
from typing import Any

from vramctl.engines.dry_run.layouts import LayoutUnknown, Offsets
from vramctl.engines.dry_run.library import Big, Library
from vramctl.engines.dry_run.session import Override

P = C.c_void_p
MOST_DEVICES = 128
NO_MMAP, MMAP = 0, 1  # LLAMA_LOAD_MODE_NONE, LLAMA_LOAD_MODE_MMAP


class Params:
    """Makes the structs for `llama_model_load_from_file` and `llama_init_from_model`."""

    def __init__(self, library: Library) -> None:
        self._lib = library
        self._model, self._model_layout, self._context, self._context_layout = library.default_params()
        self._keep: list[object] = []

    def model(self, wanted: dict[str, Any]) -> Big:
        """llama_model_params; LayoutUnknown where this build has no such parameter or no such buffer type."""
        raw, layout, given = bytearray(self._model), self._model_layout, dict(wanted)
        self._keep = []
        split = given.pop("tensor_split", None)
        if split:
            values = (C.c_float * MOST_DEVICES)(*split)
            self._keep.append(values)
            layout.write(raw, "tensor_split", C.addressof(values))
        overrides = given.pop("overrides", None)
        if overrides:
            layout.write(raw, "overrides", self._overrides(overrides))
        if given.get("n_gpu_layers", 0) < 0:
            del given["n_gpu_layers"]  # "all" is the engine's own default: -1, and 999 before 2026
        mmap = given.pop("use_mmap", None)
        if mmap is not None:
            _write_mmap(raw, layout, mmap)
        for name, value in given.items():
            layout.write(raw, name, value)
        return _struct(raw)

    def context(self, wanted: dict[str, Any]) -> Big:
        """llama_context_params; LayoutUnknown where this build has no such parameter."""
        raw, layout = bytearray(self._context), self._context_layout
        for name, value in wanted.items():
            if name == "n_outputs_max" and name not in layout.fields:
                continue  # older builds always keep n_batch rows
            layout.write(raw, name, value)
        return _struct(raw)

    def _overrides(self, pairs: list[list[str]]) -> int:
        known = buffer_types(self._lib)
        table = (Override * (len(pairs) + 1))()
        for entry, (pattern, name) in zip(table, pairs, strict=False):
            if name not in known:
                raise LayoutUnknown(f"this build has no buffer type {name}; it has {', '.join(sorted(known))}")
            entry.pattern = pattern.encode()
            entry.buft = known[name]
        self._keep.append(table)
        return C.addressof(table)


def _write_mmap(raw: bytearray, layout: Offsets, mmap: bool) -> None:
    if "load_mode" in layout.fields:
        layout.write(raw, "load_mode", MMAP if mmap else NO_MMAP)
    else:
        layout.write(raw, "use_mmap", mmap)


def buffer_types(library: Library) -> dict[str, int]:
    """Each device's buffer types by name: its own (`CUDA0`, `CPU`) and its pinned host memory (`CUDA_Host`)."""
    found: dict[str, int] = {}
    count = library.function("ggml_backend_dev_count", C.c_size_t)()
    device = library.function("ggml_backend_dev_get", P, C.c_size_t)
    for name in ("ggml_backend_dev_buffer_type", "ggml_backend_dev_host_buffer_type"):
        buffer_type = library.function(name, P, P)
        for index in range(count):
            buft = buffer_type(device(index))
            if buft:
                found.setdefault((library.buft_name(buft) or b"?").decode(), buft)
    return found


def _struct(raw: bytearray) -> Big:
    made = Big()
    C.memmove(C.addressof(made), bytes(raw[:512]), min(len(raw), 512))
    return made
