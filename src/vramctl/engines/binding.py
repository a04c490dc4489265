"""Runs a model in a llama.cpp library through its C API, in a child process: the default way to measure.

The library is whatever build was found (`builds.look_build`): xllamacpp's wheel, llama-cpp-python's, a folder of libraries.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from vramctl.engines import reported
from vramctl.engines.child import Child, Gone
from vramctl.engines.endings import NO_SYSTEM_MEMORY, ended, how_gone, witnessed
from vramctl.engines.engine import LOAD_SECONDS, REQUEST_SECONDS, UNLOAD_SECONDS, Clock, NotRunning, RealClock
from vramctl.engines.llama_cpp import context_params, model_params
from vramctl.engines.stopped import STOPPED_WORDS
from vramctl.records import Build, Settings, Unknown
from vramctl.records.run import (
    KILLED,
    OUT_OF_MEMORY,
    REFUSED,
    TIMEOUT,
    UNLOADED,
    Answer,
    Ended,
    Generation,
    Loaded,
    LogLine,
    Memory,
    Prefill,
)

START_SECONDS, MEMORY_SECONDS = 60.0, 30.0
_NOT_PASSED = ("mmproj", "draft")


def options(settings: Settings) -> dict[str, Any]:
    """The parameters that settings mean, by llama.h's field names: `model_params`, `context_params`, `threads`; pure."""
    model = model_params(settings, ())
    if settings.main_gpu is not None:
        model["main_gpu"] = settings.main_gpu
    if settings.tensor_split:
        model["tensor_split"] = list(settings.tensor_split)
    if settings.use_mmap is not None:
        model["use_mmap"] = settings.use_mmap
    return {"model_params": model, "context_params": context_params(settings), "threads": settings.n_threads}


def default_threads() -> int:
    """The number of physical cores that this process may use: what llama.cpp's programs take (common/common.cpp)."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or usable, usable))


def of_build(build: Build) -> Binding | Unknown:
    """The engine on this build; Unknown where it has no library."""
    return Binding(build) if build.libraries else Unknown(f"{build.name} has programs only, no library")


class Binding:
    """The engine on one build.

    `environ` changes the child's environment (`CUDA_VISIBLE_DEVICES`), `memory_limit_bytes` bounds its address space.
    """

    vehicle = "binding"

    def __init__(
        self,
        build: Build,
        *,
        environ: Mapping[str, str] | None = None,
        memory_limit_bytes: int | None = None,
        start_seconds: float = START_SECONDS,
        unload_seconds: float = UNLOAD_SECONDS,
    ) -> None:
        self.build = build
        self.clock: Clock = RealClock()
        self._environ = dict(os.environ) | {"GGML_NO_BACKTRACE": "1"} | dict(environ or {})
        self._memory_limit_bytes = memory_limit_bytes
        self._start_seconds, self._unload_seconds = start_seconds, unload_seconds

    @contextmanager
    def load(
        self, model: str, settings: Settings, *, timeout_seconds: float = LOAD_SECONDS
    ) -> Iterator[BindingRun | NotRunning]:
        """The model loaded in a child process of its own."""
        if not self.build.libraries:
            yield Unknown(f"{self.build.name} has no library to load a model in")
            return
        try:
            child = self.start_child()
        except OSError as error:
            yield Unknown(f"no process can be started: {error}")
            return
        run = BindingRun(child, self.build, model, settings, unload_seconds=self._unload_seconds)
        try:
            failed = run.start(self._start_seconds, timeout_seconds)
            yield run if failed is None else failed
            run.unload()
        finally:
            child.close()

    def start_child(self) -> Child:
        """A child process with the library in it and no model; OSError where no process can be started."""
        return Child(self._command(), environ=self._environ)

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "vramctl.engines.run_model", *self.build.libraries]
        if self.build.backends_from:
            command += ["--backends-from", self.build.backends_from]
        if self._memory_limit_bytes is not None:
            command += ["--memory-limit", str(self._memory_limit_bytes)]
        return command


class BindingRun:
    """A model in the child process."""

    def __init__(self, child: Child, build: Build, model: str, settings: Settings, *, unload_seconds: float) -> None:
        self._child, self._unload_seconds = child, unload_seconds
        self._zero = time.monotonic()
        self._ended: Ended | None = None
        self._runs = {"prefill": 0, "generate": 0}
        not_applied = tuple(name for name in _NOT_PASSED if getattr(settings, name) is not None)
        self._loaded = Loaded(
            vehicle=Binding.vehicle, engine=build.name, version=Unknown("not started"), model=model, settings=settings,
            not_applied=not_applied, pid=child.pid,
        )  # fmt: skip

    @property
    def loaded(self) -> Loaded:
        """What was loaded, and how."""
        return self._loaded

    def start(self, start_seconds: float, load_seconds: float) -> NotRunning | None:
        """Loads the model; None where that worked."""
        hello = self._child.answer(timeout_seconds=start_seconds)
        if isinstance(hello, Gone):
            return self._gone("start", hello, start_seconds)
        if not hello.get("ready"):
            return Unknown(f"{self._loaded.engine}: {library_missing(str(hello.get('error')))}")
        started, self._zero = self._zero, time.monotonic()
        self._loaded = replace(
            self._loaded, version=_version(hello), start_seconds=self._zero - started,
            facts={"system_info": hello["system_info"]} | one_thread(hello), devices=reported.engine_devices(hello["devices"]),
        )  # fmt: skip
        asked = options(self._loaded.settings)
        asked["threads"] = asked["threads"] or default_threads()
        found = self._ask(
            {"do": "load", "model": str(Path(self._loaded.model).absolute()), **asked}, "load", load_seconds
        )
        if not isinstance(found, dict):
            return found
        seen = witnessed(self.log())
        self._loaded = replace(
            self._loaded,
            **{name: found[name] for name in ("n_ctx", "n_ctx_seq", "n_batch", "n_ubatch", "n_seq_max", "n_threads")},
            load_seconds=found["load_seconds"],
            context_seconds=found["context_seconds"],
            harness_seconds_per_token=found["harness_seconds"],
            graph_splits=reported.graph_splits(seen.events),
            load=seen.load,
            log=seen.log,
            buffers=reported.buffer_uses(found["buffers"]),
        )
        return None

    def prefill(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Prefill | NotRunning:
        """The time around llama_decode of all batches and one llama_synchronize."""
        found = self._ask({"do": "prefill", "tokens": n_tokens, "depth": depth}, "prefill", timeout_seconds)
        if not isinstance(found, dict):
            return found
        return Prefill(
            n_tokens=n_tokens, depth=depth, seconds=found["seconds"], first_run=self._first("prefill"),
            cpu_seconds=found["cpu_seconds"],
        )  # fmt: skip

    def generate(
        self, n_tokens: int, *, depth: int = 0, timeout_seconds: float = REQUEST_SECONDS
    ) -> Generation | NotRunning:
        """The times around llama_decode and llama_synchronize of each token."""
        found = self._ask({"do": "generate", "tokens": n_tokens, "depth": depth}, "generate", timeout_seconds)
        if not isinstance(found, dict):
            return found
        steps = tuple(found["token_seconds"])
        return Generation(
            n_tokens=n_tokens, depth=depth, seconds=sum(steps), token_seconds=steps, first_run=self._first("generate"),
            cpu_seconds=found["cpu_seconds"],
        )  # fmt: skip

    def answer(
        self, prompt_tokens: int, n_tokens: int, *, timeout_seconds: float = REQUEST_SECONDS
    ) -> Answer | NotRunning:
        """A prompt and its answer without sampling: the first token is there when the prompt is computed."""
        found = self._ask({"do": "answer", "prompt": prompt_tokens, "tokens": n_tokens}, "answer", timeout_seconds)
        if not isinstance(found, dict):
            return found
        return Answer(
            prompt_tokens=prompt_tokens,
            n_tokens=n_tokens,
            prompt_seconds=found["prompt_seconds"],
            first_token_seconds=found["prompt_seconds"],
            gap_seconds=tuple(found["gap_seconds"]),
            total_seconds=found["total_seconds"],
        )

    def memory(self) -> Memory | NotRunning:
        """The engine's devices and the child's resident memory."""
        found = self._ask({"do": "memory"}, "idle", MEMORY_SECONDS)
        return reported.memory(found, zero_seconds=self._zero) if isinstance(found, dict) else found

    def log(self) -> tuple[LogLine, ...]:
        """The library's log, then what was written on stderr."""
        lines = reported.timed_lines(self._child.logged(), zero_seconds=self._zero)
        return (*lines, *reported.plain_lines(self._child.said())) or self._loaded.log

    def unload(self) -> Ended:
        """Frees context and model and ends the child."""
        if self._ended is not None:
            return self._ended
        found = self._ask({"do": "unload"}, "unload", self._unload_seconds)
        if isinstance(found, Ended):
            return found
        gone = self._child.finish(timeout_seconds=self._unload_seconds)
        seen = witnessed(self.log())
        seconds = found["seconds"] if isinstance(found, dict) else Unknown("the engine did not say")
        self._ended = Ended(
            how=UNLOADED,
            phase="unload",
            what="unloaded",
            exit_code=gone.code,
            seconds=seconds,
            log=seen.log,
            load=seen.load,
        )
        return self._ended

    def _first(self, what: str) -> bool:
        self._runs[what] += 1
        return self._runs[what] == 1

    def _ask(self, job: dict[str, Any], phase: str, timeout_seconds: float) -> dict[str, Any] | NotRunning:
        if self._ended is not None:
            return self._ended
        found = self._child.ask(job, timeout_seconds=timeout_seconds)
        if isinstance(found, Gone):
            return self._gone(phase, found, timeout_seconds)
        if found["ok"]:
            return found
        error = str(found["error"])
        if found["layout"]:
            return Unknown(f"{self._loaded.engine}: {error}")
        if phase == "load":
            self._ended = ended(REFUSED, phase, seen=witnessed(self.log()), otherwise=error, seconds=self._since())
            return self._ended
        return Unknown(error)

    def _gone(self, phase: str, gone: Gone, timeout_seconds: float) -> Ended:
        how = OUT_OF_MEMORY if gone.out_of_memory else how_gone(gone.code, timed_out=gone.timed_out)
        words = {
            TIMEOUT: STOPPED_WORDS
            if gone.stopped
            else f"no answer within {timeout_seconds:g} s; the process was ended",
            KILLED: "the process was ended from outside",
            OUT_OF_MEMORY: NO_SYSTEM_MEMORY,
        }
        self._ended = ended(
            how, phase, seen=witnessed(self.log()), otherwise=words.get(how, "the engine ended"), seconds=self._since(),
            code=gone.code,
        )  # fmt: skip
        return self._ended

    def _since(self) -> float:
        return time.monotonic() - self._zero


def _version(hello: Mapping[str, Any]) -> str:
    """`ggml 0.25.3, commit 0c1e57098`: what tells two builds in folders of one name apart."""
    return f"ggml {hello['ggml']}" + (f", commit {hello['commit']}" if hello.get("commit") else "")


def one_thread(hello: Mapping[str, Any]) -> dict[str, str]:
    """What is to be said where the machine has no OpenMP runtime."""
    return (
        {"openmp": "libgomp.so.1 is not installed: one thread computes (apt install libgomp1)"}
        if hello.get("one_thread")
        else {}
    )


def library_missing(error: str) -> str:
    """The loader's words, with what to do about a library that Debian does not bring."""
    return f"{error} (install libgomp1)" if error.startswith("libgomp.so") else error
