"""Asks an installed llama.cpp where it would put a model: the dry run, from the parent's side."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any

from vramctl.ggml_types import BY_NAME
from vramctl.records import Build, Device, DeviceUse, HostUse, Placement, Settings, Unknown

START_SECONDS, ASK_SECONDS = 30.0, 60.0
MAX_CRASHES = 3  # after so many, a child is not started again
FLASH = {"on": 1, "off": 0, "auto": -1}
SPLIT = {"none": 0, "layer": 1, "row": 2}
ASSUMED_CC = 860  # where the card's compute capability is not known


@dataclass(frozen=True, slots=True)
class Answer:
    """One dry run: the placement (overhead not in it), and what the engine said that matters for it."""

    placement: Placement
    flash_attn: bool | Unknown
    sched_copies: int
    log: tuple[str, ...]
    seconds: float


def model_params(settings: Settings, devices: Sequence[Device]) -> dict[str, Any]:
    """The llama_model_params that settings mean, by field name (include/llama.h); pure."""
    params: dict[str, Any] = {
        "n_gpu_layers": -1 if settings.n_gpu_layers is None else settings.n_gpu_layers,
        "split_mode": SPLIT[settings.split_mode or "layer"],
    }
    if settings.main_gpu:
        params["main_gpu"] = settings.main_gpu
    if settings.tensor_split and len(devices) > 1:
        params["tensor_split"] = list(settings.tensor_split)
    overrides = [list(pair) for pair in settings.tensor_overrides or ()]
    overrides += [[experts_pattern(layer), "CPU"] for layer in range(settings.n_cpu_moe or 0)]
    if overrides:
        params["overrides"] = overrides
    return params


def experts_pattern(layer: int) -> str:
    """The tensor pattern of one layer's experts, as llama.cpp's --n-cpu-moe writes it (common/common.h, 0c1e57098)."""
    return rf"blk\.{layer}\.ffn_(up|down|gate|gate_up)_(ch|)exps"


def context_params(settings: Settings) -> dict[str, Any]:
    """The llama_context_params that settings mean, by field name; fields left open keep the engine's default."""
    wanted: dict[str, Any] = {
        "n_ctx": settings.n_ctx,
        "n_batch": settings.n_batch,
        "n_ubatch": settings.n_ubatch,
        "n_seq_max": settings.n_parallel,
        "n_outputs_max": settings.n_outputs_max,
        "offload_kqv": settings.offload_kqv,
        "op_offload": settings.op_offload,
        "swa_full": settings.swa_full,
        "kv_unified": settings.kv_unified,
    }
    params = {name: value for name, value in wanted.items() if value is not None}
    for name, kind in (("type_k", settings.type_k), ("type_v", settings.type_v)):
        if kind is not None:
            params[name] = BY_NAME[kind.upper()].id
    if settings.flash_attn is not None:
        params["flash_attn"] = FLASH[settings.flash_attn]
    return params


def cc_number(device: Device) -> int | None:
    """ggml's number of a compute capability (`8.6` is 860), None where it is not known."""
    text = device.compute_capability
    if isinstance(text, Unknown):
        return None
    major, _, minor = text.partition(".")
    return int(major) * 100 + int(minor or 0) * 10 if major.isdigit() and (minor or "0").isdigit() else None


class DryRun:
    """A child process with one build loaded. Use as a context manager; `ready` is Unknown where it could not start.

    A question that ends the child, or outlasts `ask_seconds`, is answered with Unknown; the next one gets a new child.
    """

    def __init__(
        self,
        build: Build,
        *,
        max_devices: int,
        start_seconds: float = START_SECONDS,
        ask_seconds: float = ASK_SECONDS,
    ) -> None:
        self.build = build
        self.ready: dict[str, Any] | Unknown = Unknown("not started")
        self._max_devices = max_devices
        self._start_seconds, self._ask_seconds = start_seconds, ask_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None  # where an assertion leaves its text
        self._buffer = b""
        self._count = self._crashes = 0

    def __enter__(self) -> DryRun:
        try:
            self._start()
        except BaseException:  # Ctrl-C while the child starts: nobody else would end it
            self._end()
            raise
        return self

    def _start(self) -> None:
        if not self.build.libraries:
            self.ready = Unknown(f"{self.build.name} has no library to ask")
            return
        command = [sys.executable, "-m", "vramctl.engines.dry_run", *self.build.libraries]
        command += ["--max-devices", str(self._max_devices)]
        if self.build.backends_from:
            command += ["--backends-from", self.build.backends_from]
        try:
            self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end
        except OSError as error:
            self.ready = Unknown(f"no temporary file can be made: {error.strerror}")
            return
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(),
            start_new_session=sys.platform != "win32",
        )
        found = self._answer(self._start_seconds)
        if isinstance(found, Unknown) or found.get("ready"):
            self.ready = found
        else:
            self.ready = Unknown(f"{self.build.name}: {found.get('error')}")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process and self._process.stdin:
            with contextlib.suppress(OSError):  # it may be gone already
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=2 if kind is None else 0.1)
        self._end()

    def ask(self, path: str, settings: Settings, devices: tuple[Device, ...]) -> Answer | Unknown:
        """The placement of one model file; Unknown with the engine's own words where it refuses, crashes or hangs."""
        cards = [{"total": d.total_bytes, "free": d.free_bytes, "cc": cc_number(d) or ASSUMED_CC} for d in devices]
        started = time.perf_counter()
        found = self.send(
            {
                "model": path,
                "devices": cards,
                "model_params": model_params(settings, devices),
                "context_params": context_params(settings),
            }
        )
        if isinstance(found, Unknown):
            return found
        if not found.get("ok"):
            return Unknown(str(found.get("error")))
        return _read(found, devices, settings, time.perf_counter() - started)

    def send(self, job: dict[str, Any]) -> dict[str, Any] | Unknown:
        """The child's own answer to one job (`dry_run/session.py`); a child that crashed before is started anew."""
        if self._process is None and not isinstance(self.ready, Unknown):
            self._start()
        if isinstance(self.ready, Unknown):
            return self.ready
        if self._process is None or self._process.stdin is None:
            return Unknown("the dry run has ended")
        self._count += 1
        try:
            self._process.stdin.write(json.dumps({"id": self._count, **job}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            return self._crashed()
        return self._answer(self._ask_seconds)

    def _answer(self, seconds: float) -> dict[str, Any] | Unknown:
        process = self._process
        if process is None or process.stdout is None:
            return Unknown("the dry run has ended")
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not waiting.select(left):
                    self._end()
                    return self._counted(f"{self.build.name} gave no answer within {seconds:g} s and was stopped")
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    return self._crashed()
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _crashed(self) -> Unknown:
        code = 0
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=5)
        words = self._last_words()
        self._end()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return self._counted(f"{self.build.name} ended while it was asked ({how}){words}")

    def _counted(self, reason: str) -> Unknown:
        self._crashes += 1
        if self._crashes >= MAX_CRASHES:
            self.ready = Unknown(reason)
        return Unknown(reason)

    def _last_words(self) -> str:
        """`: ` and the failed assertion, or the last line, that the child wrote on stderr; empty where there is none."""
        if self._stderr is None:
            return ""
        self._stderr.seek(0)
        lines = self._stderr.read(1 << 16).decode("utf-8", "replace").split("\n")
        lines = [line.strip() for line in lines if line.strip()]
        said = [line for line in lines if "GGML_ASSERT" in line or "what():" in line or "Error" in line]
        return "".join(f": {line[:300]}" for line in (said or lines)[-1:])

    def _end(self) -> None:
        """Kills what is left of the child and forgets it."""
        process, self._process, self._buffer = self._process, None, b""
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                if sys.platform != "win32":
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
            process.wait(timeout=5)
        for stream in (process.stdin, process.stdout, self._stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def _environment() -> dict[str, str]:
    """This process's environment, without what would turn a dry run into something else."""
    drop = ("LLAMA_ARG_", "GGML_", "LD_PRELOAD")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
    # GGML_NO_BACKTRACE: a failed assertion must end the child, not start a debugger on it.
    return kept | {"OMP_WAIT_POLICY": "passive", "CUDA_VISIBLE_DEVICES": "", "GGML_NO_BACKTRACE": "1"}


def _read(found: dict[str, Any], devices: tuple[Device, ...], settings: Settings, seconds: float) -> Answer:
    buffers: dict[str, list[int]] = found["buffers"]
    uses = []
    for index, device in enumerate(devices):
        weights, kv, compute = buffers.get(f"CUDA{index}", [0, 0, 0])
        uses.append(DeviceUse(device.name, weights, kv, compute, Unknown("not part of a dry run")))
    on_device = {f"CUDA{i}" for i in range(len(devices))}
    host = [sum(sizes[part] for name, sizes in buffers.items() if name not in on_device) for part in range(3)]
    log = tuple(found["log"])
    return Answer(
        placement=Placement(
            tuple(uses), HostUse(host[0], host[1], host[2], Unknown("not asked")), _kv_operations(uses, host, settings)
        ),
        flash_attn=_flash(log, settings),
        sched_copies=_copies(log),
        log=log,
        seconds=seconds,
    )


def _kv_operations(uses: list[DeviceUse], host: list[int], settings: Settings) -> str | Unknown:
    on_gpu = any(isinstance(use.kv_bytes, int) and use.kv_bytes for use in uses)
    if on_gpu:
        return "mixed" if host[1] else "gpu"
    if settings.offload_kqv is False and uses and settings.flash_attn != "off":
        return Unknown("the cache is on the host; with flash attention the scheduler decides where it is used")
    return "cpu"


def _flash(log: tuple[str, ...], settings: Settings) -> bool | Unknown:
    for line in log:
        low = line.lower()
        if "flash attention" in low and ("disabled" in low or "not supported" in low):
            return False
        if "flash attention" in low and "enabled" in low:
            return True
    if settings.flash_attn in ("on", "off"):
        return settings.flash_attn == "on"
    return Unknown("the engine did not say")


def _copies(log: tuple[str, ...]) -> int:
    for line in log:
        if "sched copies = " in line:
            return int(line.rsplit("=", 1)[1])
    return 1
