"""Loads the grid for real on this machine's NVIDIA GPUs and writes the engine's own figures as JSON.

    python measure_on_gpu.py OUT.json --library libggml-base.so ... libllama.so [--backends-from DIR] [--cuda libggml-cuda.so]

Needs a CUDA build of llama.cpp; models are sparse stand-ins of the built-in shapes (real header, zero weights), made on the
way. Every number is `llama_get_memory_breakdown` after a real allocation, or NVML's used bytes of the device.
"""

from __future__ import annotations

import argparse
import ctypes as C
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "src")]

import grid

from vramctl.engines.dry_run.session import Failed, Session
from vramctl.shapes import shape_model


def stand_in(shape: str, folder: Path) -> Path:
    """A sparse file with the shape's header and full length."""
    path = folder / f"{shape}.gguf"
    if not path.exists():
        model = shape_model(shape, "Q4_K_M")
        with path.open("wb") as file:
            file.write(model.header or b"")
            file.truncate(model.file_bytes)
    return path


class Nvml:
    """Used bytes per device, as the driver counts them."""

    def __init__(self) -> None:
        import pynvml

        self.nvml = pynvml
        pynvml.nvmlInit()
        self.handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]

    def used(self) -> list[int]:
        return [int(self.nvml.nvmlDeviceGetMemoryInfo(h).used) for h in self.handles]

    def machine(self) -> dict[str, Any]:
        memory = [self.nvml.nvmlDeviceGetMemoryInfo(h) for h in self.handles]
        return {
            "gpus": [self.nvml.nvmlDeviceGetName(h) for h in self.handles],
            "total_bytes": [int(m.total) for m in memory],
            "driver": self.nvml.nvmlSystemGetDriverVersion(),
        }


class Batch(C.Structure):
    _fields_ = [("n", C.c_int32)] + [(k, C.c_void_p) for k in ("token", "embd", "pos", "n_seq", "seq", "logits")]


def decode_once(session: Session, context: int) -> int:
    """One decode of 512 tokens and one of a single token; the engine's return code."""
    f = session.lib.function
    one = f("llama_batch_get_one", Batch, C.c_void_p, C.c_int32)
    run = f("llama_decode", C.c_int32, C.c_void_p, Batch)
    tokens = (C.c_int32 * 512)(*range(100, 612))
    code = run(context, one(C.addressof(tokens), 512))
    return int(code or run(context, one(C.addressof(tokens), 1)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--library", nargs="+", required=True)
    parser.add_argument("--backends-from")
    parser.add_argument("--cuda")
    parser.add_argument("--engine", required=True)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--shapes", default="")
    parser.add_argument("--decode", action="store_true")
    parser.add_argument("--devices", type=int, help="how many GPUs are visible (default: all that NVML sees)")
    parser.add_argument("--cache-types", action="store_true", help="the grid of KV cache types")
    options = parser.parse_args()
    nvml = Nvml()
    before = nvml.used()
    session = Session(options.library, max_devices=0, backends_from=options.backends_from)
    if options.cuda:
        assert session.lib.function("ggml_backend_load", C.c_void_p, C.c_char_p)(options.cuda.encode())
    started, rows = time.monotonic(), []
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/tmp")))
    shapes = tuple(options.shapes.split(",")) if options.shapes else grid.SHAPES
    devices = options.devices or len(nvml.handles)
    loads = (
        grid.cache_types(shapes)
        if options.cache_types
        else grid.one_gpu(shapes)
        if devices == 1
        else grid.two_gpus(shapes)
    )
    for load in loads:
        if time.monotonic() - started > options.seconds:
            print("out of time before", load["shape"], load["model_params"])
            break
        path = stand_in(load["shape"], folder)
        for index, context in enumerate(load["contexts"]):
            row: dict[str, Any] = {
                "shape": load["shape"], "quant": "Q4_K_M", "devices": devices,
                "model_params": load["model_params"], "context_params": context,
            }  # fmt: skip
            job = {
                "model": str(path),
                "devices": [],
                "real": True,
                "model_params": load["model_params"],
                "context_params": context,
            }
            try:
                row |= ask(session, job, nvml, decode=options.decode and index == 0)
            except Failed as error:
                row["failed"] = str(error)
            rows.append(row)
        session.close_model()
        print(f"{time.monotonic() - started:6.1f} s {load['shape']} {str(load['model_params'])[:60]}", flush=True)
        document = {
            "what": "bytes per device as llama.cpp itself counts them after a real load",
            "machine": nvml.machine(), "engine": options.engine, "ggml": session.lib.ggml_version,
            "nvml_used_before": before, "command": " ".join(["measure_on_gpu.py", *sys.argv[1:]]), "rows": rows,
        }  # fmt: skip
        Path(options.out).write_text(json.dumps(document))


def ask(session: Session, job: dict[str, Any], nvml: Nvml, *, decode: bool) -> dict[str, Any]:
    """The breakdown of one real load and context, with NVML's figures around it."""
    model = session._model_for(job)
    loaded = nvml.used()
    context = session._init(model, session._context_params(job["context_params"]))
    if not context:
        raise Failed(session._last_words("no context"))
    try:
        found = {"buffers": session._walk(context), "nvml_loaded": loaded, "nvml_context": nvml.used()}
        if decode:
            found["decode_code"] = decode_once(session, context)
            found["nvml_decoded"] = nvml.used()
        return found
    finally:
        session._free_context(context)


if __name__ == "__main__":
    main()
