"""Asks llama.cpp's own llama-fit-params, where that binary is: real devices of this machine only, whole MiB."""

from __future__ import annotations

import os
from dataclasses import dataclass

from vramctl.engines.llama_cpp import experts_pattern
from vramctl.formats.fit_params import parse_fit_params
from vramctl.records import Build, Device, DeviceUse, HostUse, Placement, Settings, Unknown, Witness
from vramctl.units import format_bytes
from vramctl.world import run_program

SECONDS = 60.0


def arguments(settings: Settings) -> list[str]:
    """The command-line flags that settings mean (common/arg.cpp, 0c1e57098); pure.

    The program has no --kv-unified: a unified cache of several sequences is asked as one of a single sequence.
    """
    flags: list[str] = []
    for flag, value in (
        ("-c", settings.n_ctx), ("-ngl", settings.n_gpu_layers), ("-b", settings.n_batch), ("-ub", settings.n_ubatch),
        ("-np", 1 if settings.kv_unified else settings.n_parallel), ("-ctk", settings.type_k), ("-ctv", settings.type_v),
        ("-fa", settings.flash_attn),
        ("-sm", settings.split_mode), ("-mg", settings.main_gpu),
    ):  # fmt: skip
        if value is not None:
            flags += [flag, str(value)]
    if settings.tensor_split:
        flags += ["-ts", ",".join(f"{share:g}" for share in settings.tensor_split)]
    overrides = [f"{pattern}={buft}" for pattern, buft in settings.tensor_overrides or ()]
    overrides += [f"{experts_pattern(layer)}=CPU" for layer in range(settings.n_cpu_moe or 0)]
    if overrides:
        flags += ["-ot", ",".join(overrides)]
    flags += ["-nkvo"] if settings.offload_kqv is False else []
    flags += ["--swa-full"] if settings.swa_full else []
    return flags


@dataclass(frozen=True, slots=True)
class FitParams:
    """The binary as a witness for one model file and this machine's devices."""

    build: Build
    path: str
    devices: tuple[Device, ...]
    tensor_bytes: int

    def place(self, settings: Settings) -> Placement | Unknown:
        """Where it says the bytes go; Unknown where it fails or does not know a device."""
        command = [str(self.build.fit_params), "-m", self.path, "--fit-print", "on", *arguments(settings)]
        own = {key: value for key, value in os.environ.items() if not key.startswith("LLAMA_ARG_")}
        ran = run_program(command, timeout_seconds=SECONDS, environ=own)  # only what was asked for counts
        if isinstance(ran, Unknown):
            return ran
        found = parse_fit_params(ran.stdout)
        if ran.timed_out or "Host" not in found:
            words = (ran.stderr.strip().splitlines() or ["no output"])[-1]
            return Unknown(f"llama-fit-params gave no table (exit code {ran.code}): {words}")
        named = sum(sizes[0] for sizes in found.values())
        if named < 0.98 * self.tensor_bytes:
            left = format_bytes(self.tensor_bytes - named)
            return Unknown(
                f"llama-fit-params leaves out {left} of weights: its host line has no weights repacked for the CPU"
            )
        missing = [device.name for device in self.devices if device.name not in found]
        if missing:
            return Unknown(f"llama-fit-params does not see {', '.join(missing)} on this machine")
        uses = tuple(DeviceUse(d.name, *found[d.name], Unknown("not part of its table")) for d in self.devices)
        return Placement(uses, HostUse(*found["Host"], Unknown("not in its table")), Unknown("not in its table"))

    def flash_attention(self, settings: Settings) -> bool:
        """What was asked; the table does not say what `auto` became."""
        return settings.flash_attn != "off"

    def witness(self, settings: Settings) -> Witness:
        """Never exact: it prints whole MiB, and on several GPUs its measuring call differs from a load."""
        because = ["it prints whole MiB, rounded down"]
        if len(self.devices) > 1:
            because.append(
                "on several GPUs its compute buffers forget pinned layers: measured 354 MiB where a load took 322.55"
            )
        return Witness("fit-params", self.build.name, False, tuple(because))
