"""Three witnesses of one placement, and what they say together."""

from __future__ import annotations

from dataclasses import dataclass, field

from vramctl.records.finding import Finding
from vramctl.records.placement import Bytes, Placement
from vramctl.records.unknown import Unknown

ON_GPU, PARTIAL, CPU_ONLY, MISMATCH, COULD_NOT_TELL = "on-gpu", "partial", "cpu-only", "mismatch", "could-not-tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWatch:
    """One GPU as it was seen while a model was loaded and ran. Bytes are the device's own count.

    `before_bytes` were used before the load; `process_bytes` is what the driver says the engine's process holds, Unknown
    where it does not say (Windows, containers). `others_bytes` is how much other processes' use changed meanwhile.
    `busy_percent`, `power_watts`, `sm_clock_mhz` and `throttle_reasons` are samples taken during decoding.
    """

    name: str
    total_bytes: Bytes
    before_bytes: Bytes
    loaded_bytes: Bytes
    peak_bytes: Bytes
    process_bytes: Bytes = Unknown("not asked")
    others_before_bytes: Bytes = Unknown("not asked")
    others_bytes: Bytes = Unknown("not asked")
    busy_percent: tuple[int, ...] | Unknown = Unknown("not sampled")
    power_watts: tuple[float, ...] | Unknown = Unknown("not sampled")
    sm_clock_mhz: tuple[int, ...] | Unknown = Unknown("not sampled")
    throttle_reasons: tuple[int, ...] | Unknown = Unknown("not sampled")

    @property
    def grown_bytes(self) -> Bytes:
        """What the engine's process took, in bytes: by its own count, else the device's growth less that of others."""
        if isinstance(self.process_bytes, int):
            return self.process_bytes
        if isinstance(self.peak_bytes, Unknown) or isinstance(self.before_bytes, Unknown):
            return self.peak_bytes if isinstance(self.peak_bytes, Unknown) else self.before_bytes
        others = self.others_bytes if isinstance(self.others_bytes, int) else 0
        return max(0, self.peak_bytes - self.before_bytes - others)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two witnesses disagree about one part (weights, kv, compute, overhead, used, layers) of one device (or `host`)."""

    device: str
    part: str
    planned_bytes: Bytes
    reported_bytes: Bytes
    observed_bytes: Bytes
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What decides where a model is beside bytes. Every part may be Unknown.

    `graph_splits` is what the engine says its graph is cut into, `planned_splits` what a dry run expects with all
    operations where they were asked for. `decode_share` is decode speed over what the memory bandwidth allows for what is
    on the GPU.
    """

    layers_on_gpu: int | Unknown
    layers_total: int | Unknown
    gpus_listed: int | Unknown
    asked_layers: int | Unknown = Unknown("left to the engine")
    planned_layers: int | Unknown = Unknown("no plan")
    graph_splits: int | Unknown = Unknown("not logged")
    planned_splits: int | Unknown = Unknown("no dry run")
    asked_kv_offload: bool | Unknown = Unknown("not asked")
    flash_attn: str | Unknown = Unknown("not logged")
    asked_flash_attn: str | Unknown = Unknown("not asked")
    type_k: str | Unknown = Unknown("not logged")
    type_v: str | Unknown = Unknown("not logged")
    kv_kernels: frozenset[str] | Unknown = Unknown("the engine does not list them")
    """The pairs of K and V types (`q8_0-q8_0`) that this build has attention kernels for."""
    kept_in_ram: str = ""
    """The tensors that a setting keeps in system memory although their layers are on a GPU (`the experts of 24 layers`)."""
    backends: frozenset[str] | Unknown = Unknown("not listed")
    hidden_by: str | Unknown = Unknown("not looked at")
    """The variable that hides GPUs from the engine, "" where none does."""
    gpus_in_machine: int | Unknown = Unknown("not looked at")
    decode_share: float | Unknown = Unknown("not measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The verdict with its three witnesses, what differs between them, and the causes found, root first."""

    verdict: str
    words: str
    planned: Placement | Unknown
    reported: Placement | Unknown
    observed: Placement | Unknown
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]
    evidence: Evidence
    watches: tuple[DeviceWatch, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)
    stand_in: bool = False
    """The weights were invented: bytes and speed are the model's, its text is noise."""
