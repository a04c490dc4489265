"""The memory a model can be put into: GPUs and the host."""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.records.unknown import Unknown


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, present or named from the catalogue.

    `name` is the engine's name (`CUDA0`); `description` the vendor's (`NVIDIA GeForce RTX 3060`).
    `total_bytes` is what the driver reports as the whole memory, `free_bytes` what a new process can take.
    `source` says where the figures come from: `nvml`, `catalogue: ...`, `asked`.
    `bandwidth_bytes_per_second` is the data sheet's.
    """

    name: str
    description: str
    total_bytes: int
    free_bytes: int
    source: str
    backend: str = "cuda"
    compute_capability: str | Unknown = Unknown("not asked")
    bandwidth_bytes_per_second: int | Unknown = Unknown("not asked")
    driver: str | Unknown = Unknown("not asked")
    uuid: str | Unknown = Unknown("not asked")


@dataclass(frozen=True, slots=True)
class Host:
    """System memory of the machine that is planned for."""

    total_bytes: int | Unknown
    available_bytes: int | Unknown
    physical_cores: int | Unknown
    source: str
