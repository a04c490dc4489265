"""Each built-in shape in each file type against llama-quantize's own dry run: every tensor's type, all bytes.

    python benchmarks/shapes_vs_quantize.py [--python INTERPRETER] [--out FILE] [SHAPE ...]

INTERPRETER has llama-cpp-python; default: this one.  Each shape's 16-bit file is sparse, a few KiB on disk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vramctl.ggml_types import BY_NAME as TYPES
from vramctl.ggml_types import FILE_TYPES
from vramctl.records import Model
from vramctl.shapes import names, quants, shape_model
from vramctl.shapes.catalogue import BY_NAME as SHAPES

NEEDS_MATRIX = ("IQ3_XXS",)
# Runs where llama-cpp-python is: prints {file type: {tensor: type}} for the 16-bit file, quantised in dry runs.
CHILD = r"""
import ctypes, json, re, sys
import llama_cpp as engine
lines = []
@engine.llama_log_callback
def keep(level, text, _):
    lines.append(text.decode("utf-8", "replace"))
engine.llama_log_set(keep, ctypes.c_void_p(0))
engine.llama_backend_init()
path, wanted, kept = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
row = re.compile(r"\[ *\d+/ *\d+\] (\S+) +- \[[^]]*\], type = +(\S+), size = [^(\n]*(?:\((\S+)\))?")
weight = (ctypes.c_float * 1)(1.0)
matrix = (engine.llama_model_imatrix_data * 2)((b"unused", weight, 1), (None, None, 0))
overrides = (engine.llama_model_tensor_override * (len(kept) + 1))()
for i, (pattern, number) in enumerate(kept):
    overrides[i].pattern, overrides[i].type = pattern.encode(), number
found = {}
for name, number, has_matrix in wanted:
    lines.clear()
    params = engine.llama_model_quantize_default_params()
    params.ftype, params.dry_run, params.nthread, params.allow_requantize = number, True, 1, True
    if has_matrix:
        params.imatrix = ctypes.cast(matrix, type(params.imatrix))
    if kept:
        params.tt_overrides = ctypes.cast(overrides, type(params.tt_overrides))
    failed = engine.llama_model_quantize(path.encode(), b"unused.gguf", params)
    text = "".join(lines)
    found[name] = {"error": text[-800:]} if failed else {m[0]: (m[2] or m[1]).upper() for m in row.findall(text)}
print(json.dumps(found))
"""


def stand_in(model: Model, path: Path) -> None:
    """Write the model's header and extend the file, sparsely, to its full size."""
    if model.header is None:
        raise ValueError(f"{model.reference} has no header")
    with path.open("wb") as file:
        file.write(model.header)
        file.truncate(model.file_bytes)


def engine_types(name: str, file_types: tuple[str, ...], python: str) -> dict[str, dict[str, str]]:
    """What llama-quantize would make of the shape's BF16 file: {file type: {tensor: type}}.

    Types of the release (gpt-oss's experts) are kept by `--tensor-type`, as every published file has them.
    """
    numbers = {label: number for number, label in FILE_TYPES.items()}
    wanted = [(kind, numbers[kind], kind in NEEDS_MATRIX) for kind in file_types]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stand-in.gguf"
        stand_in(shape_model(name, "BF16"), path)
        kept = [(tensor.replace(".", r"\."), TYPES[kind].id) for tensor, kind in SHAPES[name].native.items()]
        command = [python, "-c", CHILD, str(path), json.dumps(wanted), json.dumps(kept)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def compare(name: str, kind: str, engine: dict[str, str]) -> dict[str, object]:
    """One row of the result: our bytes and counts, and the tensors where the engine differs."""
    model = shape_model(name, kind)
    ours = {tensor.name: tensor.type for tensor in model.tensors}
    differs = {key: (ours.get(key), engine.get(key)) for key in ours.keys() | engine.keys()
               if ours.get(key) != engine.get(key)}  # fmt: skip
    return {
        "shape": name, "file_type": kind, "tensor_bytes": sum(tensor.data_bytes for tensor in model.tensors),
        "types": dict(sorted(Counter(ours.values()).items())), "tensors_that_differ": len(differs),
        **({"first_difference": sorted(differs.items())[0]} if differs else {}),
    }  # fmt: skip


def rows(shapes: tuple[str, ...], python: str) -> Iterator[dict[str, object]]:
    """A row for each shape and file type."""
    file_types = tuple(kind for kind in quants() if kind not in ("F32", "F16", "BF16"))
    for name in shapes:
        found = engine_types(name, file_types, python)
        for kind in file_types:
            yield compare(name, kind, found[kind])


def main() -> None:
    """Compare, write the JSON and say how many rows are equal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("shapes", nargs="*", default=names())
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/shapes-vs-quantize.json")
    options = parser.parse_args()
    question = "import llama_cpp; print(llama_cpp.__version__)"
    version = subprocess.run(
        [options.python, "-c", question], capture_output=True, text=True, check=True
    ).stdout.strip()
    result = list(rows(tuple(options.shapes), options.python))
    equal = sum(row["tensors_that_differ"] == 0 for row in result)
    document = {"engine": f"llama-cpp-python {version}", "combinations": len(result), "equal": equal, "rows": result}
    lines = ",\n".join(json.dumps(row) for row in result)
    head = json.dumps({key: value for key, value in document.items() if key != "rows"})
    options.out.write_text(f'{head[:-1]}, "rows": [\n{lines}\n]}}\n')
    print(f"{equal} of {len(result)} combinations are equal, tensor by tensor")
    for row in result:
        if row["tensors_that_differ"]:
            print(row["shape"], row["file_type"], row["tensors_that_differ"], row["first_difference"])


if __name__ == "__main__":
    main()
