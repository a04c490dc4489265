"""One loaded library: asks it for one placement after another."""

from __future__ import annotations

import ctypes as C
import time
from typing import Any

from vramctl.engines.dry_run import breakdown, layouts, self_test
from vramctl.engines.dry_run.hooks import RealReserve
from vramctl.engines.dry_run.library import Big, Library
from vramctl.engines.dry_run.phantom import Phantoms

P = C.c_void_p
LOG_LINES = 400
DEBUG = 1  # GGML_LOG_LEVEL_DEBUG: thousands of lines about single tensors


class Failed(Exception):
    """The engine said no; the text is its own words."""


class Override(C.Structure):
    """llama_model_tensor_buft_override."""

    _fields_ = [("pattern", C.c_char_p), ("buft", P)]


class Session:
    """Answers jobs on one build. A job names a model file, devices and parameters (see `ask`)."""

    def __init__(self, files: list[str], *, max_devices: int, backends_from: str | None = None) -> None:
        self.lib = Library(files)
        self.log: list[str] = []
        self._silence()
        self.lib.function("llama_backend_init")()
        if backends_from is not None:
            self.lib.function("ggml_backend_load_all_from_path", None, C.c_char_p)(backends_from.encode())
        self.lib.prove()
        self.phantoms = Phantoms(self.lib, max_devices)
        self.hook = RealReserve(self.lib)
        self._model_key: object = None
        self._model: int | None = None
        self._keep: list[object] = []
        self._load = self.lib.function("llama_model_load_from_file", P, C.c_char_p, Big)
        self._init = self.lib.function("llama_init_from_model", P, P, Big)
        self._free_context = self.lib.function("llama_free", None, P)
        self._free_model = self.lib.function("llama_model_free", None, P)
        self._breakdown = self.lib.breakdown()
        self._defaults = self.lib.default_params()
        self._test_seconds = 0.0
        if max_devices:  # without phantoms a session is for real devices, whose loads prove themselves
            self._test(max_devices)

    def describe(self) -> dict[str, Any]:
        """What this build is: ggml's version and whether the scheduler's real path is used."""
        return {
            "ggml": self.lib.ggml_version,
            "layouts_read": layouts.was_read(self.lib.ggml_version),
            "real_reserve": self.hook.installed,
            "context": self._defaults[3].fields,
            "self_test_seconds": self._test_seconds,
        }

    def _test(self, max_devices: int) -> None:
        started = time.perf_counter()
        try:
            self_test.check(self.ask, fields=self._defaults[3].fields, cards=max_devices)
        except Failed as error:
            raise layouts.LayoutUnknown(f"self-test: the engine refuses a model that it must take: {error}") from error
        finally:
            self.close_model()
            self.log.clear()
        self._test_seconds = time.perf_counter() - started

    def _silence(self) -> None:
        callback = C.CFUNCTYPE(None, C.c_int, C.c_char_p, P)

        def keep(level: int, text: bytes | None, _: int) -> None:
            if text and level != DEBUG and len(self.log) < LOG_LINES:
                self.log.append(text.decode("utf-8", "replace").rstrip("\n"))

        self._logger = callback(keep)
        self.lib.function("llama_log_set", None, callback, P)(self._logger, None)

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """Bytes per buffer type `{name: [weights, kv, compute]}` for one job, in the engine's own count.

        The job's keys: model, devices [{total, free, cc}], model_params, context_params, real (use the devices that the
        library itself has, and allocate).
        """
        started = time.perf_counter()
        self.log.clear()
        context: int | None = None
        try:
            model = self._model_for(job)
            loaded = time.perf_counter()
            self.hook.start()
            context = self._init(model, self._context_params(job["context_params"]))
            if not context:
                raise Failed(self._last_words("the context could not be created"))
            buffers = self._walk(context)
        finally:
            if context:
                self._free_context(context)
        return {
            "buffers": buffers,
            "log": [line for line in self.log if _worth_keeping(line)],
            "load_seconds": loaded - started,
            "context_seconds": time.perf_counter() - loaded,
        }

    def _last_words(self, otherwise: str) -> str:
        bad = [line for line in self.log if "error" in line.lower() or "failed" in line.lower() or "not supp" in line]
        return "; ".join(bad[-3:]) or (self.log[-1] if self.log else otherwise)

    def _model_for(self, job: dict[str, Any]) -> int:
        key = (job["model"], repr(job["devices"]), repr(job["model_params"]), job.get("real", False))
        if key == self._model_key and self._model:
            return self._model
        self.close_model()
        real = job.get("real", False)
        if not real:
            for index, card in enumerate(job["devices"]):
                self.phantoms.set(index, total=card["total"], free=card["free"], cc=card["cc"])
        self._model = self._load(job["model"].encode(), self._model_params(job, real=real))
        if not self._model:
            raise Failed(self._last_words("the model could not be loaded"))
        self._model_key = key
        return self._model

    def close_model(self) -> None:
        """Frees the model that is kept for the next job."""
        if self._model:
            self._free_model(self._model)
        self._model, self._model_key = None, None

    def _model_params(self, job: dict[str, Any], *, real: bool) -> Big:
        raw, layout = bytearray(self._defaults[0]), self._defaults[1]
        wanted = dict(job["model_params"])
        self._keep = []
        if not real:
            count = len(job["devices"])
            chosen = (P * (count + 1))(*[C.addressof(d) for d in self.phantoms.devices[:count]], None)
            self._keep.append(chosen)
            layout.write(raw, "devices", C.addressof(chosen))
            layout.write(raw, "no_alloc", True)
            layout.write(raw, "use_extra_bufts", False)
            if "load_mode" in layout.fields:
                layout.write(raw, "load_mode", 0)
            else:
                layout.write(raw, "use_mmap", False)
        split = wanted.pop("tensor_split", None)
        if split:
            values = (C.c_float * 128)(*split)
            self._keep.append(values)
            layout.write(raw, "tensor_split", C.addressof(values))
        overrides = wanted.pop("overrides", None)
        if overrides:
            layout.write(raw, "overrides", self._overrides(overrides))
        if wanted.get("n_gpu_layers", 0) < 0:
            del wanted["n_gpu_layers"]  # "all" is the engine's own default: -1, and 999 before 2026
        for name, value in wanted.items():
            layout.write(raw, name, value)
        return _struct(raw)

    def _overrides(self, pairs: list[list[str]]) -> int:
        bufts = {f"CUDA{i}": C.addressof(b) for i, b in enumerate(self.phantoms.bufts)}
        table = (Override * (len(pairs) + 1))()
        for entry, (pattern, name) in zip(table, pairs, strict=False):
            entry.pattern = pattern.encode()
            entry.buft = bufts.get(name) or self.lib.cpu_buft()
        self._keep.append(table)
        return C.addressof(table)

    def _context_params(self, wanted: dict[str, Any]) -> Big:
        raw, layout = bytearray(self._defaults[2]), self._defaults[3]
        for name, value in wanted.items():
            if name == "n_outputs_max" and name not in layout.fields:
                continue  # older builds always keep n_batch rows
            layout.write(raw, name, value)
        return _struct(raw)

    def _walk(self, context: int) -> dict[str, list[int]]:
        """Bytes [weights, KV, compute] by the name of the buffer type."""
        found: dict[str, list[int]] = {}
        for buft, sizes in breakdown.walk(self._breakdown, context):
            name = (self.lib.buft_name(buft) or b"?").decode()
            total = found.setdefault(name, [0, 0, 0])
            found[name] = [a + b for a, b in zip(total, sizes, strict=True)]
        return found


def _struct(raw: bytearray) -> Big:
    made = Big()
    C.memmove(C.addressof(made), bytes(raw[:512]), min(len(raw), 512))
    return made


def _worth_keeping(line: str) -> bool:
    return any(
        mark in line
        for mark in (
            "buffer size",
            "KV",
            "lash attention",
            "Flash",
            "not supported",
            "sched copies",
            "offloaded",
            "warn",
        )
    )
