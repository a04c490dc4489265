"""Is a stand-in as fast as the same model from an independent generator?  Prefill and decode on the CPU, interleaved.

    python benchmarks/stand_in_speed.py [--python INTERPRETER] [--rounds N] [--folder DIR] [--out FILE] [CASE ...]
    python benchmarks/stand_in_speed.py --writing MODEL [--folder DIR] [--out FILE]     how long one takes to be made

The independent file: weights drawn by numpy from N(0, 0.02), written by gguf-py, quantised by gguf-py (Q8_0, Q4_0) or by
llama.cpp's own llama_model_quantize (K mixtures; INTERPRETER has llama-cpp-python, default: this one).  Both files are
loaded in one process by the engine that vramctl finds, and take turns; the order within a turn alternates.  Of each turn
the ratio of the two rates is kept; reported are the median ratio and its 95 % interval (bootstrap over turns).  Rates are per
second of the clock and, with one thread, per second of that thread's processor time, which waiting for other programs does
not count in.
"""

from __future__ import annotations

import argparse
import ctypes as C
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import quantize

from vramctl.engines.builds import look_build
from vramctl.engines.dry_run.library import Big, Library
from vramctl.engines.stand_in_file import look_room, prepare, write_stand_in
from vramctl.ggml_types import FILE_TYPES
from vramctl.probes.models import look_model
from vramctl.records import Model, Unknown
from vramctl.shapes.build import model_of_shape
from vramctl.shapes.catalogue import BY_NAME

P = C.c_void_p
PROMPT, STEPS, WARM_UP, LOADS = 64, 12, 1, 4
EXPERTS_LAYERS = 3


@dataclass(frozen=True)
class Case:
    """A shape in a file type; `layers` cuts it, `by` says who quantises the independent file."""

    shape: str
    quant: str
    by: str
    layers: int | None = None


CASES = {
    "1b-q8_0": Case("llama3.2-1b", "Q8_0", "gguf-py"),
    "1b-q4_0": Case("llama3.2-1b", "Q4_0", "gguf-py"),
    "1b-q4_k_m": Case("llama3.2-1b", "Q4_K_M", "llama-quantize"),
    "1b-iq4_xs": Case("llama3.2-1b", "IQ4_XS", "llama-quantize"),
    "0.5b-f16": Case("qwen2.5-0.5b", "F16", "gguf-py"),
    "30b-a3b-3-layers-q4_k_m": Case("qwen3-30b-a3b", "Q4_K_M", "llama-quantize", layers=EXPERTS_LAYERS),
}


def model_of(case: Case, quant: str) -> Model:
    """The case's model in a file type, with a vocabulary."""
    shape = BY_NAME[case.shape]
    if case.layers is not None:
        shape = replace(shape, config={**shape.config, "num_hidden_layers": case.layers})
    return replace(model_of_shape(shape, quant, vocabulary=True), reference=f"{case.shape}@{quant}")


def write_independent(case: Case, path: Path, python: str, folder: Path) -> None:
    """The case's file by gguf-py, with normally distributed weights."""
    if case.by == "gguf-py":
        write_by_gguf_py(model_of(case, case.quant), path, folder)
        return
    wide = folder / "wide.gguf"
    write_by_gguf_py(model_of(case, "F16"), wide, folder)
    number = next(number for number, name in FILE_TYPES.items() if name == case.quant)
    subprocess.run([python, "-c", QUANTISE, str(wide), str(path), str(number)], check=True, capture_output=True)
    wide.unlink()


QUANTISE = """
import sys
import llama_cpp as engine
engine.llama_backend_init()
params = engine.llama_model_quantize_default_params()
params.ftype, params.nthread = int(sys.argv[3]), 2
sys.exit(engine.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), params))
"""


def write_by_gguf_py(model: Model, path: Path, folder: Path) -> None:
    """A GGUF of the model by gguf-py: metadata read from the header and set anew, every number drawn on its own."""
    head = folder / "head.gguf"
    with head.open("wb") as file:
        file.write(model.header or b"")
        file.truncate(model.file_bytes)
    writer = GGUFWriter(path, model.architecture)
    for field in GGUFReader(head).fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, inner)
    draw = np.random.default_rng(11)
    made = [(tensor, GGMLQuantizationType[tensor.type]) for tensor in model.tensors]
    for tensor, kind in made:
        writer.add_tensor_info(tensor.name, tensor.shape[::-1], np.dtype(np.float32), tensor.data_bytes, kind) if (
            kind in (GGMLQuantizationType.F32, GGMLQuantizationType.F16)
        ) else writer.add_tensor_info(
            tensor.name, byte_shape(tensor.shape, tensor.data_bytes), np.dtype(np.uint8), tensor.data_bytes, kind
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, kind in made:
        writer.write_tensor_data(quantize(weights(tensor.name, tensor.shape, draw), kind))
    writer.close()
    head.unlink()


def byte_shape(shape: tuple[int, ...], data_bytes: int) -> tuple[int, ...]:
    """The shape in bytes, rows last, as gguf-py wants quantised tensors."""
    rows = shape[1:][::-1]
    return (*rows, data_bytes // int(np.prod(rows, dtype=np.int64)))


def weights(name: str, shape: tuple[int, ...], draw: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Ones for norms and rope factors, else numbers from N(0, 0.02)."""
    size = shape[::-1]
    if "norm" in name or name.startswith("rope"):
        return np.ones(size, dtype=np.float32)
    return draw.standard_normal(size, dtype=np.float32) * np.float32(0.02)


class Batch(C.Structure):
    """llama_batch."""

    _fields_ = [("n", C.c_int32), *((name, P) for name in ("token", "embd", "pos", "n_seq", "seq", "logits"))]


class Loaded:
    """A model and a context of one engine."""

    def __init__(self, lib: Library, path: Path, threads: int) -> None:
        f = lib.function
        raw_model, model_at, raw_context, context_at = lib.default_params()
        model_at.write(raw_model, "n_gpu_layers", 0)
        self._function = f
        model = f("llama_model_load_from_file", P, C.c_char_p, Big)(str(path).encode(), by_value(raw_model))
        self._model = model
        for name, value in {"n_ctx": 1024, "n_batch": PROMPT, "n_ubatch": PROMPT}.items():
            context_at.write(raw_context, name, value)
        self.context = f("llama_init_from_model", P, P, Big)(model, by_value(raw_context))
        f("llama_set_n_threads", None, P, C.c_int32, C.c_int32)(self.context, threads, threads)
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
        self._feed(prompt[:PROMPT])
        times.append((time.perf_counter(), time.thread_time()))
        for step in range(STEPS):
            self._feed(prompt[PROMPT + step : PROMPT + step + 1])
        times.append((time.perf_counter(), time.thread_time()))
        return [
            count / (times[index + 1][kind] - times[index][kind])
            for index, count in enumerate((PROMPT, STEPS))
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


def compare(lib: Library, ours: Path, theirs: Path, rounds: int, threads: int) -> dict[str, Any]:
    """Both files in turn; rates and the ratio of ours to theirs.

    They are loaded `LOADS` times, each first in half of them: two copies of one file differ by 2 % as well, by where their
    pages happen to lie, and the one that was loaded first is the slower one.
    """
    draw = random.Random(3)
    kept: list[tuple[list[float], list[float]]] = []
    for load in range(LOADS):
        for path in (ours, theirs):
            forget(path)
        order = (0, 1) if load % 2 else (1, 0)
        loaded = {which: Loaded(lib, (ours, theirs)[which], threads) for which in order}
        for turn in range(rounds // LOADS + WARM_UP):
            feed = [draw.randrange(1 << 30) for _ in range(PROMPT + STEPS)]
            rates = {which: loaded[which].rates(feed) for which in ((0, 1) if turn % 2 else (1, 0))}
            if turn >= WARM_UP:
                kept.append((rates[0], rates[1]))
        for one in loaded.values():
            one.close()
    found: dict[str, Any] = {"rounds": rounds, "loads": LOADS}
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


def run_case(case: Case, options: argparse.Namespace, folder: Path, files: Sequence[str]) -> dict[str, Any]:
    """Make both files, and compare them in a child of their own."""
    ours, theirs = folder / "stand-in.gguf", folder / "independent.gguf"
    started = time.perf_counter()
    write_independent(case, theirs, options.python, folder)
    independent_seconds = time.perf_counter() - started
    written = write_stand_in(prepare(model_of(case, case.quant)), ours, progress=lambda done, total: None)
    command = [sys.executable, __file__, "--compare", str(ours), str(theirs), "--rounds", str(options.rounds)]
    command += ["--threads", str(options.threads), "--libraries", json.dumps(files)]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
    if ran.returncode:
        raise SystemExit(ran.stderr[-2000:])
    sizes = [ours.stat().st_size, theirs.stat().st_size]
    ours.unlink()
    theirs.unlink()
    return {
        "shape": case.shape, "layers": case.layers or "all", "quant": case.quant, "independent": case.by,
        "stand_in_bytes": sizes[0], "independent_bytes": sizes[1], "stand_in_seconds": round(written.seconds, 2),
        "independent_seconds": round(independent_seconds, 1), **json.loads(ran.stdout.splitlines()[-1]),
    }  # fmt: skip


def time_writing(reference: str, folder: Path, times: int = 5) -> dict[str, Any]:
    """How long a stand-in of a model takes: the header read, the estimate, and every time it was written."""
    seconds, estimates = [], []
    for _ in range(times):
        started = time.perf_counter()
        stand_in = prepare(look_model(reference))
        room = look_room(stand_in, folder)
        estimates.append(room.seconds if isinstance(room.seconds, float) else None)
        write_stand_in(stand_in, folder / "written.gguf", progress=lambda done, total: None, force=True)
        seconds.append(round(time.perf_counter() - started, 2))
    (folder / "written.gguf").unlink()
    return {
        "model": reference, "file_bytes": stand_in.file_bytes, "processors": os.cpu_count(),
        "estimates_seconds": [round(one, 2) for one in estimates if one is not None], "seconds": seconds,
    }  # fmt: skip


def main() -> int:
    """All cases, or those named; JSON to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder")
    parser.add_argument("--out")
    parser.add_argument("--writing", metavar="MODEL")
    parser.add_argument("--compare", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--libraries", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compare:
        lib = Library(json.loads(options.libraries))
        lib.function("llama_backend_init")()
        found = compare(lib, Path(options.compare[0]), Path(options.compare[1]), options.rounds, options.threads)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
        os._exit(0)
    if options.writing:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            answer = time_writing(options.writing, Path(folder))
        print(json.dumps(answer))
        if options.out:
            Path(options.out).write_text(json.dumps(answer, indent=1) + "\n")
        return 0
    build = look_build()
    if isinstance(build, Unknown):
        raise SystemExit(build.reason)
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name in options.cases or CASES:
            row = run_case(CASES[name], options, Path(folder), build.libraries)
            rows.append({"case": name, **row})
            parts = [part for part in row if part.endswith(("_clock", "_processor"))]
            print(name, *(f"{part} {row[part]['ratio']} {row[part]['ci95']}" for part in parts), flush=True)
            save(build.name, rows, options)
    return 0


def save(engine: str, rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Write what is known so far."""
    document = {"engine": engine, "threads": options.threads, "prompt": PROMPT, "steps": STEPS, "cases": rows}
    if options.out:
        Path(options.out).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
