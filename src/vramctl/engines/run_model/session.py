"""Answers jobs on one library: load, prefill, generate, answer, memory, multiply, unload."""

from __future__ import annotations

import ctypes as C
import os
import time
from collections.abc import Callable
from typing import Any

from vramctl.engines.dry_run.library import Library, open_library
from vramctl.engines.run_model.context import Context, EngineFailed, check_effect, devices
from vramctl.engines.run_model.log_file import LogFile
from vramctl.engines.run_model.multiply import best_rate
from vramctl.engines.run_model.params import Params

_PROC_STATM_PAGES = 1  # resident pages are the second number


class Session:
    """One library, and at most one model loaded in it."""

    def __init__(self, files: list[str], *, backends_from: str | None, log: LogFile) -> None:
        self._needs_gomp = False
        for file in files:
            try:
                C.CDLL(file, mode=os.RTLD_NOW | os.RTLD_GLOBAL)
            except OSError as error:
                self._needs_gomp = str(error).startswith("libgomp.so")
                if not self._needs_gomp:
                    raise
                open_library(file)  # its stand-in has one thread
        self.lib = Library(files)
        self._log = log  # the library calls into it for as long as it is loaded
        log.listen(self.lib.function)
        self.lib.function("llama_backend_init")()
        if backends_from is not None:
            self.lib.function("ggml_backend_load_all_from_path", None, C.c_char_p)(backends_from.encode())
        self._params = Params(self.lib)
        self._context: Context | None = None
        self._jobs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "load": self._load, "prefill": self._prefill, "generate": self._generate, "answer": self._answer,
            "memory": self._memory, "multiply": self._multiply, "unload": self._unload,
        }  # fmt: skip

    def describe(self) -> dict[str, Any]:
        """ggml's version and commit, processor features, and the devices (asking makes each GPU's driver context)."""
        info = self.lib.function("llama_print_system_info", C.c_char_p)() or b""
        return {
            "ggml": self.lib.ggml_version,
            "commit": self._commit(),
            "system_info": info.decode("utf-8", "replace").strip(),
            "devices": devices(self.lib),
            "one_thread": self._needs_gomp,
        }

    def _commit(self) -> str:
        """The commit that the library was built from, "" where it does not say."""
        if not self.lib.has("ggml_commit"):
            return ""
        said = (self.lib.function("ggml_commit", C.c_char_p)() or b"").decode("utf-8", "replace").strip()
        return "" if said == "unknown" else said

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """The answer to one job; EngineFailed or LayoutUnknown where there is none."""
        return self._jobs[job["do"]](job)

    def _load(self, job: dict[str, Any]) -> dict[str, Any]:
        context = Context(
            self.lib, job["model"], self._params.model(job["model_params"]),
            lambda: self._params.context(job["context_params"]),
        )  # fmt: skip
        if self._needs_gomp or job.get("threads"):
            context.set_threads(1 if self._needs_gomp else job["threads"])
        says = {name: context.number(f"llama_{name}") for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max")}
        check_effect(job["context_params"], says)
        self._context = context
        return says | {
            "n_ctx_seq": context.capacity(),
            "n_threads": context.number("llama_n_threads"),
            "load_seconds": context.load_seconds,
            "context_seconds": context.context_seconds,
            "buffers": context.buffers(),
            "harness_seconds": context.empty_step_seconds(),
        }

    def _ready(self, tokens: int, depth: int) -> Context:
        if self._context is None:
            raise EngineFailed("no model is loaded")
        if tokens + depth > self._context.capacity():
            raise EngineFailed(
                f"{tokens} tokens on top of {depth} do not fit into a sequence of {self._context.capacity()} tokens"
            )
        return self._context

    def _prefill(self, job: dict[str, Any]) -> dict[str, Any]:
        context = self._ready(job["tokens"], job["depth"])
        context.reach(job["depth"])
        started = time.process_time()
        seconds = context.prompt(job["tokens"])
        return {"seconds": seconds, "cpu_seconds": time.process_time() - started}

    def _generate(self, job: dict[str, Any]) -> dict[str, Any]:
        context = self._ready(job["tokens"], job["depth"])
        context.reach(job["depth"])
        started = time.process_time()
        steps = context.steps(job["tokens"])
        return {"token_seconds": steps, "cpu_seconds": time.process_time() - started}

    def _answer(self, job: dict[str, Any]) -> dict[str, Any]:
        """The first token needs no decode step of its own: its logits come with the prompt."""
        context = self._ready(job["prompt"] + job["tokens"], 0)
        context.clear()
        started = time.monotonic()
        prompt = context.prompt(job["prompt"])
        gaps = context.steps(job["tokens"] - 1)
        return {"prompt_seconds": prompt, "gap_seconds": gaps, "total_seconds": time.monotonic() - started}

    def _memory(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"devices": devices(self.lib), "resident_bytes": resident_bytes(), "at": time.monotonic()}

    def _multiply(self, job: dict[str, Any]) -> dict[str, Any]:
        """How fast one device multiplies matrices of one type; no model is needed for that."""
        threads = 1 if self._needs_gomp else job["threads"]
        best = best_rate(self.lib, job["device"], job["type"], job["columns"], threads=threads, seconds=job["seconds"])
        return {"flops_per_second": best.flops_per_second, "shape": best.shape, "buffer": best.buffer}

    def _unload(self, _: dict[str, Any]) -> dict[str, Any]:
        context, self._context = self._context, None
        return {"seconds": context.free() if context else 0.0}


def resident_bytes() -> int | None:
    """Bytes of this process in system memory, None where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[_PROC_STATM_PAGES]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
