"""The dry run's child process with raw jobs: llama.cpp's own parameters in, its own buffer names out."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from vramctl.engines.llama_cpp import DryRun
from vramctl.records import Build, Unknown


class RawRun:
    """A dry run that takes `model_params` and `context_params` as llama.h names them (see `dry_run/session.py`)."""

    def __init__(self, build: Build, *, max_devices: int) -> None:
        self._run = DryRun(build, max_devices=max_devices)

    def __enter__(self) -> RawRun:
        self._run.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run.__exit__(kind, value, trace)

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """The child's answer: `ok` and `buffers` {name: [weights, kv, compute]}, or `error`."""
        found = self._run.send(job)
        return {"ok": False, "error": found.reason} if isinstance(found, Unknown) else found
