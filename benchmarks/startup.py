"""What a whole `vramctl` process costs: CPU time with its children, and wall time, medians of seven runs.

    python benchmarks/startup.py [--command VRAMCTL] [--out FILE]

The cases: `--help`; `plan` of an 8B GGUF on disk (a sparse file with the real header's layout and 128256 tokens), with everything
chosen, with the context given, and by formula; `plan` of a built-in shape. Writes benchmarks/results/startup.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from vramctl import __version__
from vramctl.shapes import shape_model

RUNS = 7
SHAPE, QUANT = "llama3.1-8b", "Q4_K_M"
GOALS = {"help": 0.150, "plan of a local file": 1.0}


def once(command: list[str], environ: dict[str, str]) -> tuple[float, float, int]:
    """User and system seconds of the process and its children, wall seconds, and the exit code."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    code = subprocess.run(command, capture_output=True, env=environ, check=False, timeout=120).returncode
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, code


def measure(command: list[str], environ: dict[str, str]) -> dict[str, Any]:
    """Medians of RUNS runs in seconds."""
    runs = [once(command, environ) for _ in range(RUNS)]
    codes = {code for _, _, code in runs}
    if codes != {0}:
        raise SystemExit(f"{command} ended with {codes}")
    cpu, wall = [run[0] for run in runs], [run[1] for run in runs]
    return {
        "cpu_seconds": round(statistics.median(cpu), 4), "wall_seconds": round(statistics.median(wall), 4),
        "cpu_samples": [round(value, 4) for value in cpu], "wall_samples": [round(value, 4) for value in wall],
    }  # fmt: skip


def main() -> None:
    """Measures every case, writes the numbers and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default=str(Path(sys.executable).with_name("vramctl")))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "startup.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vramctl-startup-") as made:
        model = shape_model(SHAPE, QUANT, vocabulary=True)
        path = Path(made) / "model.gguf"
        with path.open("wb") as file:
            file.write(model.header or b"")
            file.truncate(model.file_bytes)
        environ = {**os.environ, "XDG_CACHE_HOME": str(Path(made) / "cache")}
        card = ["--gpu", "RTX 3060"]
        cases: dict[str, list[str]] = {
            "help": ["--help"],
            "plan of a local file": ["plan", str(path), *card],
            "plan of a local file, context given": ["plan", str(path), *card, "--ctx", "8192", "--ngl", "all"],
            "plan of a local file, formula": ["plan", str(path), *card, "--witness", "formula"],
            "plan of a shape": ["plan", f"shape:{SHAPE}@{QUANT}", *card],
        }
        found = {
            name: {
                **measure([options.command, *arguments], environ),
                "command": " ".join(["vramctl", *arguments]).replace(str(path), "model.gguf"),
                **({"goal_cpu_seconds": GOALS[name]} if name in GOALS else {}),
            }
            for name, arguments in cases.items()
        }
    document = {
        "what": f"medians of {RUNS} runs; CPU is user and system time of the process and its children",
        "vramctl": __version__,
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        "header_bytes": len(model.header or b""),
        "cases": found,
    }
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, one in found.items():
        print(f"{name:45} {one['cpu_seconds'] * 1000:7.0f} ms CPU {one['wall_seconds'] * 1000:7.0f} ms wall")


if __name__ == "__main__":
    main()
