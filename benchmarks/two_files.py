"""Speed of two files of the same model in one process of the engine, in turn: prefill, then decode steps; JSON on stdout.

    python benchmarks/two_files.py OURS THEIRS --libraries JSON [--rounds N] [--threads N] [--layers N]

Used by stand_in_speed.py, in a process that has loaded nothing else: numpy's libraries and a build with a C++ runtime of its own
disturb each other.
"""

from __future__ import annotations

import argparse
import ctypes as C
import json
import os
import random
import statistics
import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vramctl.engines.dry_run.library import Big, Library

P = C.c_void_p
WARM_UP, LOADS = 1, 4


class Batch(C.Structure):
    """llama_batch."""

    _fields_ = [("n", C.c_int32), *((name, P) for name in ("token", "embd", "pos", "n_seq", "seq", "logits"))]


class Loaded:
    """A model and a context of one engine."""

    def __init__(self, lib: Library, path: Path, options: argparse.Namespace) -> None:
        f = lib.function
        raw_model, model_at, raw_context, context_at = lib.default_params()
        model_at.write(raw_model, "n_gpu_layers", options.layers)
        self._function, self._prompt, self._steps = f, options.prompt, options.steps
        model = f("llama_model_load_from_file", P, C.c_char_p, Big)(str(path).encode(), by_value(raw_model))
        self._model = model
        for name, value in {"n_ctx": 1024, "n_batch": options.prompt, "n_ubatch": options.prompt}.items():
            context_at.write(raw_context, name, value)
        self.context = f("llama_init_from_model", P, P, Big)(model, by_value(raw_context))
        f("llama_set_n_threads", None, P, C.c_int32, C.c_int32)(self.context, options.threads, options.threads)
        vocab = f("llama_model_get_vocab", P, P)(model)
        self.tokens = f("llama_vocab_n_tokens", C.c_int32, P)(vocab)
        self._decode = f("llama_decode", C.c_int32, P, Batch)
        self._one = f("llama_batch_get_one", Batch, P, C.c_int32)
        self._sync = f("llama_synchronize", None, P)
        self._clear = f("llama_memory_clear", None, P, C.c_bool)
        self._memory = f("llama_get_memory", P, P)

    def close(self) -> None:
        """Free both."""
        self._function("llama_free", None, P)(self.context)
        self._function("llama_model_free", None, P)(self._model)

    def rates(self, feed: Sequence[int]) -> list[float]:
        """Tokens a second of one prefill and of the steps after it, by the clock and by processor time.

        All tokens are given, none is sampled.
        """
        self._clear(self._memory(self.context), True)
        prompt = array("i", (token % (self.tokens - 600) + 300 for token in feed))
        times = [(time.perf_counter(), time.thread_time())]
        self._feed(prompt[: self._prompt])
        times.append((time.perf_counter(), time.thread_time()))
        for step in range(self._steps):
            self._feed(prompt[self._prompt + step : self._prompt + step + 1])
        times.append((time.perf_counter(), time.thread_time()))
        return [
            count / (times[index + 1][kind] - times[index][kind])
            for index, count in enumerate((self._prompt, self._steps))
            for kind in (0, 1)
        ]

    def _feed(self, tokens: array[int]) -> None:
        if self._decode(self.context, self._one(tokens.buffer_info()[0], len(tokens))):
            raise SystemExit("the engine cannot decode")
        self._sync(self.context)


def by_value(raw: bytearray) -> Big:
    """A parameter struct to pass by value."""
    made = Big()
    C.memmove(C.addressof(made), bytes(raw[:512]), min(len(raw), 512))
    return made


def compare(lib: Library, options: argparse.Namespace) -> dict[str, Any]:
    """Both files in turn; rates and the ratio of ours to theirs.

    They are loaded `LOADS` times, each first in half of them: two copies of one file differ by 2 % as well, by where their
    pages happen to lie, and the one that was loaded first is the slower one.
    """
    files, rounds = (options.ours, options.theirs), options.rounds
    draw = random.Random(3)
    kept: list[tuple[list[float], list[float]]] = []
    for load in range(LOADS):
        for path in files:
            forget(path)
        order = (0, 1) if load % 2 else (1, 0)
        loaded = {which: Loaded(lib, files[which], options) for which in order}
        for turn in range(-(-rounds // LOADS) + WARM_UP):
            feed = [draw.randrange(1 << 30) for _ in range(options.prompt + options.steps)]
            rates = {which: loaded[which].rates(feed) for which in ((0, 1) if turn % 2 else (1, 0))}
            if turn >= WARM_UP:
                kept.append((rates[0], rates[1]))
        for one in loaded.values():
            one.close()
    found: dict[str, Any] = {"rounds": len(kept), "loads": LOADS}
    for index, name in enumerate(("prefill_clock", "prefill_processor", "decode_clock", "decode_processor")):
        ratios = [ours[index] / theirs[index] for ours, theirs in kept]
        found[name] = {
            "stand_in_tokens_per_second": round(statistics.median(ours[index] for ours, _ in kept), 2),
            "independent_tokens_per_second": round(statistics.median(theirs[index] for _, theirs in kept), 2),
            "ratio": round(statistics.median(ratios), 4),
            "ci95": [round(bound, 4) for bound in interval(ratios)],
            "ratios": [round(ratio, 4) for ratio in ratios],
        }
    return found


def forget(path: Path) -> None:
    """Put the file out of the page cache: pages that were written there are smaller than those that are read from disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median, by bootstrap."""
    draw = random.Random(5)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(4000))
    return medians[100], medians[-101]


def main() -> int:
    """Both files; the ratios of the first to the second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=Path)
    parser.add_argument("theirs", type=Path)
    parser.add_argument("--libraries", required=True)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--layers", type=int, default=0, help="on a GPU")
    options = parser.parse_args()
    lib = Library(json.loads(options.libraries))
    lib.function("llama_backend_init")()
    found = compare(lib, options)
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
