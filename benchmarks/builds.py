"""What the dry run makes of many llama.cpp builds: which it can ask, and how the same load changes between them.

    python benchmarks/builds.py [--out FILE] [--table] [NAME=]PATH ...

PATH is what `--engine-path` takes: a Python interpreter, a folder with libllama, a library, a program. About a second
each.  `--table` also prints the table of docs/engines.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vramctl.engines.builds import look_build
from vramctl.engines.llama_cpp import DryRun
from vramctl.engines.stand_in import stand_in
from vramctl.errors import BadInput
from vramctl.records import Device, Settings, Unknown
from vramctl.shapes import shape_model
from vramctl.units import MIB

FREE = 140 << 30
CARD = Device("CUDA0", "phantom", FREE, FREE, "benchmark", compute_capability="9.0")
PLAIN = Settings(
    n_ctx=8192, n_parallel=1, n_batch=2048, n_ubatch=512, n_gpu_layers=999, type_k="f16", type_v="f16", flash_attn="on",
    offload_kqv=True, op_offload=True, split_mode="layer", swa_full=False, kv_unified=False, n_outputs_max=0,
)  # fmt: skip
LOADS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("llama3.1-8b", {}),
    ("llama3.1-8b", {"flash_attn": "off"}),
    ("llama3.1-8b", {"n_outputs_max": 4}),
    ("llama3.1-8b", {"n_gpu_layers": 16, "offload_kqv": False}),
    ("qwen3-30b-a3b", {}),
    ("gemma3-4b", {}),
    ("deepseek-v2-lite", {}),
)


def main() -> None:
    """Writes one record for each build."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path", nargs="+")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "builds.json")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    rows = [row(path) for path in options.path]
    rows.sort(key=lambda found: tuple(int(part) for part in str(found.get("ggml", "0")).split("-")[0].split(".")))
    document = {"quantization": "Q4_K_M", "settings": PLAIN_SETTINGS, "builds": rows}
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    if options.table:
        print("\n".join(table(rows)))


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The lines of docs/engines.md: MiB of compute buffer on the device."""
    yield "| build | ggml | result | 8B | 8B, flash attention off | 8B, 4 outputs | Qwen3-30B-A3B | DeepSeek-V2-Lite |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for found in rows:
        cells = [found["build"], found.get("ggml", "unknown"), found["result"]]
        by_load = {(each["shape"], *each["changes"]): each for each in found.get("loads", ())}
        for key in (("llama3.1-8b",), ("llama3.1-8b", "flash_attn"), ("llama3.1-8b", "n_outputs_max"),
                    ("qwen3-30b-a3b",), ("deepseek-v2-lite",)):  # fmt: skip
            sizes = by_load.get(key, {}).get("compute_bytes")
            cells.append(f"{sizes[0] / MIB:.2f}" if sizes else "")
        yield f"| {' | '.join(cells)} |"


def row(argument: str) -> dict[str, Any]:
    """What one build is, and bytes [weights, KV, compute] of the device and the host for each load."""
    name, _, path = argument.rpartition("=")
    try:
        build = look_build(path)
    except BadInput as error:
        return {"build": name or Path(path).name, "result": error.code}
    if isinstance(build, Unknown):
        return {"build": name or Path(path).name, "result": build.reason}
    name = name or build.name
    with DryRun(build, max_devices=2) as run:
        if isinstance(run.ready, Unknown):
            return {"build": name, "result": run.ready.reason.removeprefix(f"{build.name}: ")}
        known = {key: run.ready[key] for key in ("ggml", "layouts_read", "real_reserve", "self_test_seconds")}
        known["self_test_seconds"] = round(known["self_test_seconds"], 3)
        known["n_outputs_max"] = "n_outputs_max" in run.ready["context"]
        return {"build": name, "result": "works", **known, "loads": [load(run, *each) for each in LOADS]}


def load(run: DryRun, shape: str, changes: dict[str, Any]) -> dict[str, Any]:
    """One load's figures, or why it was refused."""
    with stand_in(shape_model(shape, "Q4_K_M")) as path:
        assert isinstance(path, str)
        answer = run.ask(path, dataclasses.replace(PLAIN, **changes), (CARD,))
    found: dict[str, Any] = {"shape": shape, "changes": changes}
    if isinstance(answer, Unknown):
        return found | {"refused": answer.reason}
    device, host = answer.placement.devices[0], answer.placement.host
    for part in ("weights_bytes", "kv_bytes", "compute_bytes"):
        found[part] = [getattr(device, part), getattr(host, part)]
    return found


PLAIN_SETTINGS = {key: value for key, value in dataclasses.asdict(PLAIN).items() if value is not None}

if __name__ == "__main__":
    main()
