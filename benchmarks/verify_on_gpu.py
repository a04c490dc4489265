"""`vramctl verify` on a real GPU: full offload of several shapes, and planted faults, each with its three witnesses.

    python benchmarks/verify_on_gpu.py BUILD --out FILE [--cpu-build FOLDER] [--models FOLDER] [--records FOLDER] [--cases a,b]

BUILD is a folder with the libraries of a CUDA build of llama.cpp. What a device holds beside the engine's buffers is learnt from
the first case alone; after it the other cases are planned with that and no more is learnt, so each is a test of the plan.
`--records` keeps what engine and device said, for replays.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vramctl.engines.binding import Binding
from vramctl.engines.builds import look_build
from vramctl.engines.recorder import Recorder
from vramctl.engines.recording import write_recording
from vramctl.engines.stand_in_file import prepare, write_stand_in
from vramctl.errors import VramctlError
from vramctl.planning.ready import Machine, look_machine
from vramctl.probes.device_watch import NvmlWatcher
from vramctl.probes.models import look_model
from vramctl.records import Settings, Unknown
from vramctl.records.stand_in import ModelFile
from vramctl.records.verification import Verification
from vramctl.show.verify_json import verify_document
from vramctl.verifying import Request, verify_model

HELD_BYTES = 8 << 30
LLAMA = "shape:llama3.1-8b@Q4_K_M"


@dataclass(frozen=True)
class Case:
    """A load, and what is right to say of it: the verdict and the ids of all findings that are no mere remark."""

    model: str
    verdict: str
    findings: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    hide: bool = False
    held: bool = False
    cpu_build: bool = False


FULL = {
    "qwen2.5-1.5b": "shape:qwen2.5-1.5b@Q4_K_M", "llama3.1-8b": LLAMA, "qwen2.5-14b": "shape:qwen2.5-14b@Q4_K_M",
    "gemma3-4b": "shape:gemma3-4b@Q4_K_M", "qwen3-30b-a3b": "shape:qwen3-30b-a3b@Q4_K_M",
}  # fmt: skip
CASES = {name: Case(model, "on-gpu") for name, model in FULL.items()} | {
    "8b-ngl-32": Case(LLAMA, "partial", ("one-layer-short",), {"n_gpu_layers": 32}),
    "8b-ngl-30": Case(LLAMA, "partial", ("partial-offload",), {"n_gpu_layers": 30}),
    "8b-ngl-0": Case(LLAMA, "cpu-only", ("n-gpu-layers-zero",), {"n_gpu_layers": 0}),
    "8b-no-kv-offload": Case(LLAMA, "partial", ("offload-kqv-false",), {"offload_kqv": False}),
    "8b-kv-q5_1": Case(LLAMA, "", ("quantized-kv-no-kernel",), {"type_k": "q5_1", "type_v": "q5_1"}),
    "8b-kv-iq4_nl": Case(
        LLAMA, "", ("quantized-kv-no-kernel",), {"type_k": "iq4_nl", "type_v": "iq4_nl", "flash_attn": "on"}
    ),
    "8b-kv-q8_0-q4_0": Case(LLAMA, "", ("quantized-kv-no-kernel",), {"type_k": "q8_0", "type_v": "q4_0"}),
    "8b-kv-q8_0": Case(LLAMA, "on-gpu", (), {"type_k": "q8_0", "type_v": "q8_0"}),
    "8b-flash-off": Case(LLAMA, "on-gpu", ("flash-attn-disabled",), {"flash_attn": "off"}),
    "8b-held-by-other": Case(LLAMA, "on-gpu", ("vram-held-by-other",), held=True),
    "8b-cpu-build": Case(LLAMA, "cpu-only", ("cpu-only-build",), cpu_build=True),
    "8b-hidden": Case(LLAMA, "cpu-only", ("visible-devices-hides-gpu",), hide=True),
}


class KeptWatcher(NvmlWatcher):
    """Keeps what it saw after it has closed."""

    last: KeptWatcher | None = None

    def __exit__(self, *why: Any) -> None:
        super().__exit__(*why)
        KeptWatcher.last = self

    def samples_out(self) -> dict[str, list[dict[str, Any]]]:
        return {seen.device.name: [asdict(sample) for sample in seen.samples] for seen in self._seen}


class KeepingMachine(Machine):
    """This machine, with such a watcher."""

    def watcher(self, *, pid: int | None = None) -> NvmlWatcher:
        return KeptWatcher(self.devices, nvml=self.nvml, pid=pid)


HOLD = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
device, context, at = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
assert not cuda.cuInit(0) and not cuda.cuDeviceGet(ctypes.byref(device), 0)
assert not cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device)
assert not cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(int(sys.argv[1])))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process_holds(size: int) -> Iterator[None]:
    """Device memory in the hands of a process that is not the engine's."""
    command = [sys.executable, "-c", HOLD, str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        if holder.stdout.readline() != "held\n":
            raise SystemExit("no memory could be held")
        yield
        holder.stdin.close()


@contextmanager
def hidden() -> Iterator[None]:
    """No GPU is visible."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        yield
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def run_case(name: str, case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """One verification, as a row."""
    settings = replace(Settings(n_ctx=8192, n_parallel=1), **case.settings)
    folder = str(options.cpu_build if case.cpu_build else options.build)
    build = look_build(folder)
    if isinstance(build, Unknown):
        raise SystemExit(build.reason)
    path = options.models / f"{case.model.removeprefix('shape:').replace('@', '-')}.gguf"
    if not path.exists():
        write_stand_in(prepare(look_model(case.model)), path, progress=lambda done, total: None)
    started = time.monotonic()
    with another_process_holds(HELD_BYTES) if case.held else nullcontext(), hidden() if case.hide else nullcontext():
        engine, gpus = Recorder(Binding(build)), look_machine().gpus
        request = Request(model=case.model, settings=settings, engine_path=folder)
        try:
            found, _, said = verify_model(
                request, say=lambda what: None, open_file=lambda plan: ModelFile(str(path), 1, invented=True, was_there=True),
                engine=engine, machine=KeepingMachine(gpus),
            )  # fmt: skip
        except VramctlError as error:
            return {"case": name, "error": error.what, "because": list(error.because)}
    if options.records:
        keep_records(options.records, name, engine)
    row: dict[str, Any] = {
        "case": name, "model": case.model, "settings": case.settings, "seconds": round(time.monotonic() - started, 1),
        "engine": said, "expected": [case.verdict, *case.findings],
        "found": [found.verdict, *(one.id for one in found.findings)],
        "planned_against_observed": planned_against_observed(found),
        "document": verify_document(found, model=case.model, engine=said),
    }  # fmt: skip
    row["right"] = case.verdict in {"", found.verdict} and row["found"][1:] == list(case.findings)
    return row


def planned_against_observed(found: Verification) -> list[dict[str, Any]]:
    """Bytes of each device as planned and as it held them, and whether they are within 1 % or 64 MiB."""
    rows = []
    devices = () if isinstance(found.planned, Unknown) else found.planned.devices
    for use, watch in zip(devices, found.watches, strict=False):
        planned, observed = use.used_bytes, watch.process_bytes
        if isinstance(planned, int) and isinstance(observed, int):
            off = planned - observed
            close = abs(off) <= max(0.01 * observed, 64 << 20)
            rows.append({"device": use.name, "planned": planned, "observed": observed, "off": off, "close": close})
    return rows


def keep_records(folder: Path, name: str, engine: Recorder) -> None:
    """What the engine said, and what the devices showed meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    write_recording(engine.recording, folder / f"{name}.json")
    if KeptWatcher.last is not None:
        (folder / f"{name}.device.json").write_text(json.dumps(KeptWatcher.last.samples_out()) + "\n")


def main() -> int:
    """All cases, or those named; JSON to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--cpu-build", type=Path)
    parser.add_argument("--models", type=Path, default=Path())
    parser.add_argument("--records", type=Path)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_STATE_HOME"] = state
        learnt = Path(state) / "vramctl" / "overheads.json"
        first = b""
        for name in options.cases.split(","):
            case = CASES[name]
            if case.cpu_build and not options.cpu_build:
                continue
            row = run_case(name, case, options)
            rows.append(row)
            first = first or (learnt.read_bytes() if learnt.exists() else b"")
            if first:
                learnt.write_bytes(first)
            print(row.get("right"), name, row.get("found"), row.get("error", ""), row.get("because", ""),
                  [(one["off"] >> 20, one["close"]) for one in row.get("planned_against_observed", ())], flush=True)  # fmt: skip
            gpus = look_machine().gpus
            document = {
                "what": "vramctl verify on a real GPU: full offload and planted faults; learnt from the first case alone",
                "command": "python benchmarks/verify_on_gpu.py BUILD --cpu-build CPU_BUILD",
                "machine": {
                    "gpus": None if isinstance(gpus, Unknown) else [one.description for one in gpus],
                    "driver": None if isinstance(gpus, Unknown) else str(gpus[0].driver),
                    "system": platform.platform(), "python": platform.python_version(),
                },
                "learnt": json.loads(first) if first else {},
                "rows": rows,
            }  # fmt: skip
            options.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
