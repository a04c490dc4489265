"""Reading the header of an 8B GGUF: vramctl's reader beside gguf.GGUFReader and llama.cpp's own gguf_init_from_file.

    python benchmarks/header_reading.py [--rounds 5] [--library LIBGGML.so] [--out FILE]

Needs the `dev` and `engine` extras.  The file is made here and sparse: a Llama 3.1 8B Q4_K_M tensor table with an
invented vocabulary of 128256 tokens and 280147 merges (as many as the real one, lengths alike).  Each reader runs in
children of its own, in turns; process time is measured after its imports.  `whole_look` is vramctl's full way from a
path to a Model.  Ratios are of medians, to vramctl's reader.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOKENS, MERGES = 128_256, 280_147


def write_file(path: Path) -> dict[str, int]:
    """A sparse 8B GGUF with a vocabulary; its sizes in bytes."""
    import gguf

    from vramctl.ggml_types import BY_NAME
    from vramctl.shapes import shape_model

    model = shape_model("llama3.1-8b", "Q4_K_M")
    dice = random.Random(8)
    words = [f"{index:x}" + "x" * min(120, int(dice.expovariate(0.5))) for index in range(TOKENS)]
    merges = [f"{dice.choice(words)[:7]} {dice.choice(words)[:7]}" for _ in range(MERGES)]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("Llama 3.1 8B, invented vocabulary")
    writer.add_block_count(32)
    writer.add_context_length(131072)
    writer.add_file_type(15)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([1] * TOKENS)
    writer.add_token_merges(merges)
    for tensor in model.tensors:
        kind = gguf.GGMLQuantizationType(BY_NAME[tensor.type].id)
        rows = tensor.data_bytes // (tensor.shape[0] // BY_NAME[tensor.type].block * BY_NAME[tensor.type].size)
        shape = (*reversed(tensor.shape[1:]), tensor.data_bytes // rows)
        writer.add_tensor_info(tensor.name, shape, gguf.np.dtype("uint8"), tensor.data_bytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    header_bytes = path.stat().st_size
    file_bytes = -(-header_bytes // 32) * 32 + sum(-(-tensor.data_bytes // 32) * 32 for tensor in model.tensors)
    with path.open("r+b") as file:
        file.truncate(file_bytes)
    return {"header_bytes": header_bytes, "file_bytes": file_bytes, "tensors": len(model.tensors),
            "tokens": TOKENS, "merges": MERGES}  # fmt: skip


def vramctl_reader(path: str) -> Callable[[], int]:
    """vramctl's reader: a mapped file, arrays of text stepped over."""
    from vramctl.probes.local_model import read_header

    return lambda: len(read_header(path)[0].tensors)


def whole_look(path: str) -> Callable[[], int]:
    """vramctl's way from a path to a Model."""
    from vramctl.probes.models import look_model

    return lambda: len(look_model(path).tensors)


def gguf_package(path: str) -> Callable[[], int]:
    """gguf.GGUFReader."""
    import gguf

    return lambda: len(gguf.GGUFReader(path).tensors)


def llama_cpp(path: str, library: str) -> Callable[[], int]:
    """gguf_init_from_file of a ggml library, without tensor data."""

    class Params(ctypes.Structure):
        _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]

    ggml = ctypes.CDLL(library)
    ggml.gguf_init_from_file.argtypes, ggml.gguf_init_from_file.restype = [ctypes.c_char_p, Params], ctypes.c_void_p
    ggml.gguf_get_n_tensors.argtypes, ggml.gguf_get_n_tensors.restype = [ctypes.c_void_p], ctypes.c_int64
    ggml.gguf_free.argtypes, ggml.gguf_free.restype = [ctypes.c_void_p], None

    def read() -> int:
        context = ggml.gguf_init_from_file(path.encode(), Params(True, None))
        count = int(ggml.gguf_get_n_tensors(context))
        ggml.gguf_free(context)
        return count

    return read


READERS = {"vramctl": vramctl_reader, "whole_look": whole_look, "gguf_package": gguf_package, "llama_cpp": llama_cpp}


def child(name: str, path: str, library: str, repeats: int) -> dict[str, Any]:
    """Process seconds of each read in this process, the memory's growth in bytes, and the tensors found."""
    read = READERS[name](path, library) if name == "llama_cpp" else READERS[name](path)  # type: ignore[operator]
    before, samples, tensors = peak_bytes(), [], 0
    for _ in range(repeats):
        start = time.process_time()
        tensors = read()
        samples.append(time.process_time() - start)
    return {"seconds": samples, "memory_bytes": peak_bytes() - before, "tensors": tensors}


def peak_bytes() -> int:
    """The most memory this process has held, from Linux' /proc."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def find_library() -> str | None:
    """The shared library inside xllamacpp's wheel, which exports ggml."""
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or spec.origin is None:
        return None
    return next((str(file) for file in sorted(Path(spec.origin).parent.glob("xllamacpp*.so"))), None)


def versions() -> dict[str, str]:
    """What was compared."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("vramctl", "gguf", "xllamacpp"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def main() -> None:
    """Run all readers in turns and print the ratios as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--library", default=find_library())
    options.add_argument("--out", type=Path)
    options.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        print(json.dumps(child(given.child[0], given.child[1], given.library or "", int(given.child[2]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "8b.gguf")
        sizes = write_file(path)
        readers = [name for name in READERS if name != "llama_cpp" or given.library]
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in readers}
        for _ in range(given.rounds):
            for name in readers:
                # A first read in a fresh process, as a command does it; the slow one once, the others three times.
                repeats = "1" if name == "gguf_package" else "3"
                command = [sys.executable, __file__, "--child", name, str(path), repeats]
                command += ["--library", given.library] if given.library else []
                runs[name].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    print_result(sizes, runs, given.out)


def print_result(sizes: dict[str, int], runs: dict[str, list[dict[str, Any]]], out: Path | None) -> None:
    """Medians, samples and ratios, as JSON."""
    readers = {}
    for name, rounds in runs.items():
        samples = [seconds for one in rounds for seconds in one["seconds"]]
        readers[name] = {
            "median_seconds": round(statistics.median(samples), 5),
            "first_median_seconds": round(statistics.median(one["seconds"][0] for one in rounds), 5),
            "memory_bytes": statistics.median(one["memory_bytes"] for one in rounds),
            "tensors": rounds[0]["tensors"],
            "samples_seconds": [round(seconds, 5) for seconds in samples],
        }
    ours = readers["vramctl"]["median_seconds"]
    result = {
        "file": sizes,
        "versions": versions(),
        "machine": {"system": platform.system(), "processor": platform.machine(), "time": "process time"},
        "readers": readers,
        "ratio_to_vramctl": {name: round(one["median_seconds"] / ours, 2) for name, one in readers.items()},
    }
    text = json.dumps(result, indent=1) + "\n"
    if out is not None:
        out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
