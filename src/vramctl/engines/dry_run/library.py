"""Loads a llama.cpp library (a wheel's single file or a folder of libraries) and gives its C functions."""

from __future__ import annotations

import ctypes as C
import os
import re
import tempfile
from pathlib import Path

from vramctl.engines.dry_run import layouts, no_openmp, proofs

P = C.c_void_p
# llama_get_memory_breakdown(const llama_context *), and before April 2026 llama_context::memory_breakdown() const: both
# return a std::map through a hidden pointer and take the context next.
BREAKDOWNS = ("_Z26llama_get_memory_breakdownPK13llama_context", "_ZNK13llama_context16memory_breakdownEv")


class Library:
    """The functions of one loaded build; `prove` before using `tables`. The functions may all be in one file."""

    def __init__(self, files: list[str]) -> None:
        handles = [open_library(file) for file in files]
        self.files = files
        self._handles = handles
        self.llama_file = next(
            (f for f, h in zip(files, handles, strict=False) if _has(h, "llama_backend_init")), files[-1]
        )
        self._refuse()
        self.ggml_version = (self.function("ggml_version", C.c_char_p)() or b"").decode()
        self.tables: layouts.Interfaces
        self._declare()

    def _refuse(self) -> None:
        """LayoutUnknown where a missing symbol says in advance that no dry run is possible."""
        if not self.has("llama_backend_init") or not self.has("ggml_backend_dev_count"):
            names = ", ".join(Path(file).name for file in self.files)
            raise layouts.LayoutUnknown(f"{names} is no llama.cpp library, or one from before 2025")
        if not self.has("ggml_backend_sched_reserve_size"):
            raise layouts.LayoutUnknown(
                "this llama.cpp is older than December 2025: it has no no_alloc mode, and the layout of its parameters is not"
                " known here"
            )
        if not any(self.has(name) for name in BREAKDOWNS):
            raise layouts.LayoutUnknown("this build does not export llama_get_memory_breakdown, which says the sizes")

    def prove(self) -> None:
        """Chooses the interface tables by what the build's own objects show; call once its CPU backend is there."""
        self.tables = layouts.interfaces(self.ggml_version, proofs.look(self.function))
        self.buffer_init = self.function(
            "ggml_backend_buffer_init", P, P, self.tables.buffer, P, C.c_size_t
        )  # the table goes by value

    def breakdown(self) -> C._NamedFuncPointer:
        """The function that fills a std::map with bytes per buffer type: (map's address, context)."""
        name = next(name for name in BREAKDOWNS if self.has(name))
        return self.function(name, P, P, P)

    def function(self, name: str, restype: object = None, *argtypes: object) -> C._NamedFuncPointer:
        """One exported function with its types; LayoutUnknown where the build does not export it."""
        for handle in self._handles:
            if _has(handle, name):
                found = handle[name]
                found.restype = restype  # type: ignore[assignment]
                found.argtypes = argtypes  # type: ignore[assignment]
                return found
        raise layouts.LayoutUnknown(f"this build does not export {name}")

    def has(self, name: str) -> bool:
        """Whether the build exports a symbol."""
        return any(_has(handle, name) for handle in self._handles)

    def _declare(self) -> None:
        f = self.function
        self.nbytes = f("ggml_nbytes", C.c_size_t, P)
        self.nelements = f("ggml_nelements", C.c_int64, P)
        self.nrows = f("ggml_nrows", C.c_int64, P)
        self.row_size = f("ggml_row_size", C.c_size_t, C.c_int, C.c_int64)
        self.is_quantized = f("ggml_is_quantized", C.c_bool, C.c_int)
        self.type_size = f("ggml_type_size", C.c_size_t, C.c_int)
        self.block_size = f("ggml_blck_size", C.c_int64, C.c_int)
        self.buft_name = f("ggml_backend_buft_name", C.c_char_p, P)
        self.buffer_type = f("ggml_backend_buffer_get_type", P, P)
        self.sched_reserve = f("ggml_backend_sched_reserve", C.c_bool, P, P)
        self.sched_split = f("ggml_backend_sched_split_graph", None, P, P)
        self.sched_n_backends = f("ggml_backend_sched_get_n_backends", C.c_int, P)
        self.sched_backend = f("ggml_backend_sched_get_backend", P, P, C.c_int)
        self.sched_size = f("ggml_backend_sched_get_buffer_size", C.c_size_t, P, P)
        self.cpu_buft = f("ggml_backend_cpu_buffer_type", P)
        self.buft_alloc = f("ggml_backend_buft_alloc_buffer", P, P, C.c_size_t)
        self._op_name = f("ggml_op_name", C.c_char_p, C.c_int)
        self._op_names: dict[int, str] = {}

    def op_name(self, number: int) -> str:
        """ggml's name of an op number that was seen in a graph (`MUL_MAT`); numbers differ between versions."""
        name = self._op_names.get(number)
        if name is None:
            name = self._op_names[number] = self._op_name(number).decode()
        return name

    def default_params(self) -> tuple[bytearray, layouts.Offsets, bytearray, layouts.Offsets]:
        """The bytes and layouts of llama_model_params and llama_context_params as this build fills them."""
        raw_model = _by_value(self.function("llama_model_default_params"))
        raw_context = _by_value(self.function("llama_context_default_params"))
        return (
            raw_model,
            layouts.model_params(bytes(raw_model)),
            raw_context,
            layouts.context_params(bytes(raw_context)),
        )


class Big(C.Structure):
    """Room for any of the by-value parameter structs; the callee reads only its own length."""

    _fields_ = [("raw", C.c_uint8 * 512)]


def _by_value(function: C._NamedFuncPointer) -> bytearray:
    function.restype = Big
    function.argtypes = ()
    return bytearray(bytes(function().raw))


def _has(handle: C.CDLL, name: str) -> bool:
    try:
        handle[name]
    except AttributeError:
        return False
    return True


def find_files(folder: Path) -> list[str]:
    """The libraries of a build folder in load order: ggml-base, ggml, llama; empty where there is no libllama."""
    names = sorted(p for p in folder.iterdir() if re.search(r"\.so(\.[\d.]+)?$|\.dylib$|\.dll$", p.name))
    found = []
    for stem in ("ggml-base", "ggml-cpu", "ggml", "llama"):
        pattern = re.compile(rf"^(lib)?{stem}(\.[\w.]*)?\.(so(\.[\d.]+)?|dylib|dll)$")
        match = [p for p in names if pattern.match(p.name)]
        if match:
            found.append(str(min(match, key=lambda p: len(p.name))))
    return found if any(re.search(r"(lib)?llama\.[^/\\]*$", f) for f in found) else []


def open_library(file: str) -> C.CDLL:
    """The library, loaded for all to see; with a stand-in for libgomp where the machine has none."""
    mode = os.RTLD_NOW | os.RTLD_GLOBAL
    try:
        return C.CDLL(file, mode=mode)
    except OSError as error:
        stand_in = no_openmp.shared_object() if str(error).startswith(no_openmp.SONAME) else None
        if stand_in is None:
            raise
    with tempfile.NamedTemporaryFile(suffix=".so") as out:
        out.write(stand_in)
        out.flush()
        C.CDLL(out.name, mode=mode)
    return C.CDLL(file, mode=mode)
