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
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import quantize

from vramctl.engines.builds import look_build
from vramctl.engines.stand_in_file import look_room, prepare, write_stand_in
from vramctl.ggml_types import FILE_TYPES
from vramctl.probes.models import look_model
from vramctl.records import Model, Unknown
from vramctl.shapes.build import model_of_shape
from vramctl.shapes.catalogue import BY_NAME

P = C.c_void_p
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
    "1b-q4_0": Case("llama3.2-1b", "Q4_0", "llama-quantize"),
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
import os, sys
import llama_cpp as engine
engine.llama_backend_init()
params = engine.llama_model_quantize_default_params()
params.ftype, params.nthread = int(sys.argv[3]), os.cpu_count()
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


def run_case(case: Case, options: argparse.Namespace, folder: Path, files: Sequence[str]) -> dict[str, Any]:
    """Make both files, and compare them in a child of their own."""
    ours, theirs = folder / "stand-in.gguf", folder / f"independent-{case.shape}-{case.layers}-{case.quant}.gguf"
    started = time.perf_counter()
    if not theirs.exists():
        write_independent(case, theirs, options.python, folder)
    independent_seconds = time.perf_counter() - started
    if options.prepare:
        return {"independent_seconds": round(independent_seconds, 1)}
    written = write_stand_in(prepare(model_of(case, case.quant)), ours, progress=lambda done, total: None)
    command = [sys.executable, str(Path(__file__).with_name("two_files.py")), str(ours), str(theirs)]
    command += ["--rounds", str(options.rounds)]
    command += ["--threads", str(options.threads), "--layers", str(options.layers)]
    command += ["--prompt", str(options.prompt), "--steps", str(options.steps), "--libraries", json.dumps(files)]
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_WAIT_POLICY": "passive"})
    if ran.returncode:
        raise SystemExit(f"{ran.stderr[-2000:]}\nthe comparison ended with {ran.returncode}")
    sizes = [ours.stat().st_size, theirs.stat().st_size]
    ours.unlink()
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
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--layers", type=int, default=0, help="on a GPU")
    parser.add_argument("--engine-path", help="a folder of llama.cpp libraries; default: the best one found")
    parser.add_argument("--folder", help="where files are written; independent ones that are there are taken")
    parser.add_argument("--prepare", action="store_true", help="only write the independent files, into --folder")
    parser.add_argument("--out")
    parser.add_argument("--writing", metavar="MODEL")
    options = parser.parse_args()
    if options.writing:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            answer = time_writing(options.writing, Path(folder))
        print(json.dumps(answer))
        if options.out:
            Path(options.out).write_text(json.dumps(answer, indent=1) + "\n")
        return 0
    build = look_build(options.engine_path)
    if isinstance(build, Unknown):
        raise SystemExit(build.reason)
    rows = []
    with nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as folder:
        for name in options.cases or CASES:
            row = run_case(CASES[name], options, Path(folder), build.libraries)
            rows.append({"case": name, **row})
            if options.prepare:
                print(name, row, flush=True)
                continue
            parts = [part for part in row if part.endswith(("_clock", "_processor"))]
            print(name, *(f"{part} {row[part]['ratio']} {row[part]['ci95']}" for part in parts), flush=True)
            save(build.name, rows, options)
    return 0


def save(engine: str, rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Write what is known so far."""
    document = {
        "engine": engine,
        "threads": options.threads,
        "n_gpu_layers": options.layers,
        "prompt": options.prompt,
        "steps": options.steps,
        "cases": rows,
    }
    if options.out:
        Path(options.out).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
