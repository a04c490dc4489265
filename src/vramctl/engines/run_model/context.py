"""One loaded model with its context, through the C API: decode steps and what the engine says of itself."""

from __future__ import annotations

import ctypes as C
import os
import time
from typing import Any

from vramctl.engines.dry_run import breakdown
from vramctl.engines.dry_run.layouts import LayoutUnknown
from vramctl.engines.dry_run.library import Big, Library

P = C.c_void_p
KINDS = {0: "cpu", 1: "gpu", 2: "igpu", 3: "accel"}  # ggml_backend_dev_type
EMPTY_CALLS = 400
_MULTIPLIER, _INCREMENT, _MODULUS, _SHIFT = 1103515245, 12345, 1 << 31, 8  # a shift: the lowest bits repeat soon


class EngineFailed(Exception):
    """The engine said no; the text is what it returned, its words are in the log."""


class Context:
    """A model and a context of it. Tokens are invented, the same ones in every run; nothing is sampled.

    As llama-bench does (tools/llama-bench/llama-bench.cpp, b11434): a prompt is random tokens in batches of n_batch, a
    decode step is one random token and a wait for the device.
    """

    def __init__(self, library: Library, path: str, model_params: Big, make_context_params: Any) -> None:
        self.lib, f = library, library.function
        self._decode = f("llama_decode", C.c_int32, P, Big)
        self._synchronize = f("llama_synchronize", None, P)
        self._batch_of = f("llama_batch_get_one", Big, C.POINTER(C.c_int32), C.c_int32)
        self._context: int | None = None
        self._seed = 1
        started = time.monotonic()
        self._model: int | None = f("llama_model_load_from_file", P, C.c_char_p, Big)(os.fsencode(path), model_params)
        self.load_seconds = time.monotonic() - started
        if not self._model:
            raise EngineFailed("the model could not be loaded")
        started = time.monotonic()
        self._context = f("llama_init_from_model", P, P, Big)(self._model, make_context_params())
        self.context_seconds = time.monotonic() - started
        if not self._context:
            f("llama_model_free", None, P)(self._model)
            raise EngineFailed("the context could not be created")
        self._memory = f("llama_get_memory", P, P)(self._context)
        if not self._memory:
            self.free()
            raise EngineFailed("the model has no cache, as models of embeddings: it does not generate token by token")
        vocabulary = f("llama_model_get_vocab", P, P)(self._model)
        self.n_vocab = int(f("llama_vocab_n_tokens", C.c_int32, P)(vocabulary))
        adds = f("llama_vocab_get_add_bos", C.c_bool, P)(vocabulary)
        self._bos: int | None = f("llama_vocab_bos", C.c_int32, P)(vocabulary) if adds else None
        self.held = 0

    def number(self, name: str) -> int:
        """What one of the `llama_n_*` functions returns for this context."""
        return int(self.lib.function(name, C.c_uint32, P)(self._context))

    def set_threads(self, count: int) -> None:
        """How many threads compute, for one token and for many."""
        self.lib.function("llama_set_n_threads", None, P, C.c_int32, C.c_int32)(self._context, count, count)

    def capacity(self) -> int:
        """How many tokens one sequence can hold."""
        if self.lib.has("llama_n_ctx_seq"):
            return self.number("llama_n_ctx_seq")
        return self.number("llama_n_ctx") // max(1, self.number("llama_n_seq_max"))

    def reach(self, depth: int) -> None:
        """Leaves exactly `depth` tokens in the cache: takes away what is too much, computes what is missing."""
        if self.held > depth and not self._shrink(depth):
            self.clear()
        if self.held < depth:
            self.prompt(depth - self.held)

    def clear(self) -> None:
        """Empties the cache."""
        self.lib.function("llama_memory_clear", None, P, C.c_bool)(self._memory, False)
        self.held = 0

    def _shrink(self, depth: int) -> bool:
        """Whether the cache could be cut to `depth`: recurrent states and windows that moved on cannot."""
        if depth == 0 or self.lib.function("llama_memory_seq_pos_min", C.c_int32, P, C.c_int32)(self._memory, 0) != 0:
            return False
        cut = self.lib.function("llama_memory_seq_rm", C.c_bool, P, C.c_int32, C.c_int32, C.c_int32)
        if not cut(self._memory, 0, depth, -1):
            return False
        self.held = depth
        return True

    def prompt(self, n_tokens: int) -> float:
        """Seconds that `n_tokens` more tokens take, in batches of n_batch."""
        size = self.number("llama_n_batch")
        parts = []
        for start in range(0, n_tokens, size):
            count = min(size, n_tokens - start)
            tokens = (C.c_int32 * count)(*(self._token() for _ in range(count)))
            if start == 0 and self.held == 0 and self._bos is not None:
                tokens[0] = self._bos
            parts.append((tokens, self._batch_of(tokens, count)))
        started = time.monotonic()
        for _, batch in parts:
            self._check(self._decode(self._context, batch))
        self._synchronize(self._context)
        seconds = time.monotonic() - started
        self.held += n_tokens
        return seconds

    def steps(self, n_tokens: int) -> list[float]:
        """Seconds of each of `n_tokens` decode steps of one token."""
        decode, synchronize, context, clock = self._decode, self._synchronize, self._context, time.monotonic
        token = (C.c_int32 * 1)(self._token())
        batch = self._batch_of(token, 1)
        found = []
        for _ in range(n_tokens):
            started = clock()
            status = decode(context, batch)
            synchronize(context)
            found.append(clock() - started)
            self._check(status)
            self.held += 1
            token[0] = self._token()
        return found

    def empty_step_seconds(self) -> float:
        """What measuring adds to a step: the median of a step whose two calls do nothing, in seconds."""
        nothing = self.lib.function("llama_n_ctx", C.c_uint32, P, Big)  # a caller's spare argument is never looked at
        still = self.lib.function("llama_n_ctx", C.c_uint32, P)
        context, clock = self._context, time.monotonic
        batch = self._batch_of((C.c_int32 * 1)(0), 1)
        found = []
        for _ in range(EMPTY_CALLS):
            started = clock()
            nothing(context, batch)
            still(context)
            found.append(clock() - started)
        return sorted(found)[EMPTY_CALLS // 2]

    def buffers(self) -> list[list[Any]]:
        """[name, device, is host, weights, KV, compute] of each buffer type, bytes."""
        f = self.lib.function
        device_of, is_host = f("ggml_backend_buft_get_device", P, P), f("ggml_backend_buft_is_host", C.c_bool, P)
        found = []
        for buft, sizes in breakdown.walk(self.lib.breakdown(), self._context or 0):
            device = device_of(buft)
            name = f("ggml_backend_dev_name", C.c_char_p, P)(device) if device else b""
            found.append([(self.lib.buft_name(buft) or b"?").decode(), name.decode(), bool(is_host(buft)), *sizes])
        return found

    def free(self) -> float:
        """Frees context and model; the seconds that took."""
        started = time.monotonic()
        self.lib.function("llama_free", None, P)(self._context)
        self.lib.function("llama_model_free", None, P)(self._model)
        self._context = self._model = None
        return time.monotonic() - started

    def _token(self) -> int:
        self._seed = (self._seed * _MULTIPLIER + _INCREMENT) % _MODULUS
        return (self._seed >> _SHIFT) % self.n_vocab

    def _check(self, status: int) -> None:
        if status != 0:
            self.clear()
            raise EngineFailed(f"llama_decode returned {status}")


def check_effect(wanted: dict[str, Any], says: dict[str, int]) -> None:
    """LayoutUnknown where the engine runs with other sizes than were written into its parameters."""
    for name, value in wanted.items():
        got = says.get(name)
        if got is None:
            continue
        fits = {"n_ctx": got >= value, "n_seq_max": got == value}.get(name, 0 < got <= value)
        if not fits and value:
            raise LayoutUnknown(
                f"{name} was set to {value}, and the engine runs with {got}: its parameters are laid out anew"
            )


def devices(library: Library) -> list[list[Any]]:
    """[name, description, kind, total bytes, free bytes] of each device that the engine lists."""
    f = library.function
    get, name, said = (
        f("ggml_backend_dev_get", P, C.c_size_t),
        f("ggml_backend_dev_name", C.c_char_p, P),
        f("ggml_backend_dev_description", C.c_char_p, P),
    )
    kind = f("ggml_backend_dev_type", C.c_int, P)
    memory = f("ggml_backend_dev_memory", None, P, C.POINTER(C.c_size_t), C.POINTER(C.c_size_t))
    found = []
    for index in range(f("ggml_backend_dev_count", C.c_size_t)()):
        device, free, total = get(index), C.c_size_t(), C.c_size_t()
        memory(device, C.byref(free), C.byref(total))
        words = [(text or b"").decode("utf-8", "replace") for text in (name(device), said(device))]
        found.append([*words, KINDS.get(kind(device), "other"), total.value, free.value])
    return found
