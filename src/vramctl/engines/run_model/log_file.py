"""The engine's log with the time of each line, on a file that outlives this process whatever ends it."""

from __future__ import annotations

import ctypes as C
import os
import time
from collections.abc import Callable
from typing import Any

CONTINUED = 5  # GGML_LOG_LEVEL_CONT: goes on where the last text stopped
# One line a tensor and graph: thousands that no reader of a log wants.
NOISE = ("llama_graph_n_input_tensors:", "create_tensor: loading tensor")
LEVELS = {0: "", 1: "debug", 2: "info", 3: "warn", 4: "error"}


class LogFile:
    """Takes the log callback of a library and writes `seconds<TAB>level<TAB>text` lines to a descriptor.

    Seconds are of CLOCK_MONOTONIC, which parent and child share. A line is stamped when its first piece comes.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._pending, self._level, self._stamp = "", 0, 0.0
        self._callback: Any = None

    def listen(self, function: Callable[..., Any]) -> None:
        """Becomes the library's log callback; `function(name, restype, *argtypes)` gives its functions."""
        kind = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)
        self._callback = kind(self._take)
        function("llama_log_set", None, kind, C.c_void_p)(self._callback, None)

    def _take(self, level: int, text: bytes | None, _: int) -> None:
        if not text:
            return
        if not self._pending:
            self._stamp = time.monotonic()
            self._level = level if level != CONTINUED else self._level
        elif level != CONTINUED:  # a line that was never finished
            self._write(self._pending)
            self._pending, self._level, self._stamp = "", level, time.monotonic()
        *lines, self._pending = (self._pending + text.decode("utf-8", "replace")).split("\n")
        for line in lines:
            self._write(line)

    def _write(self, line: str) -> None:
        if line.startswith(NOISE):
            return
        text = f"{self._stamp:.6f}\t{LEVELS.get(self._level, '')}\t{line}\n".encode()
        while text:  # the descriptor appends; what does not fit on a full disk is lost, the run is not
            try:
                text = text[os.write(self._number, text) :]
            except OSError:
                return
