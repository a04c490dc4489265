"""One GPU of the catalogue, with the source of every figure."""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.records import Unknown


@dataclass(frozen=True, slots=True)
class GpuEntry:
    """What is known of one GPU model, in bytes and bytes per second.

    `name` is unique here; `driver_name` is what the driver prints, which two cards may share. `nominal_bytes` is what
    the box says. `total_bytes` is the whole memory as an engine sees it (CUDA, ROCm, SYCL, Metal): smaller than
    `nvml_total_bytes` (nvidia-smi's memory.total) by what the driver keeps. `cuda_total_bytes` is known only where a
    log printed it. `free_bytes` is what an idle machine without a screen leaves to a new process.
    Sources that begin with `derived` name the rule and never a log.
    """

    name: str
    driver_name: str
    aliases: tuple[str, ...]
    vendor: str
    backend: str
    unified: bool
    nominal_bytes: int | Unknown
    total_bytes: int | Unknown
    total_source: str
    cuda_total_bytes: int | Unknown
    nvml_total_bytes: int | Unknown
    nvml_source: str
    free_bytes: int | Unknown
    free_source: str
    bandwidth_bytes_per_second: int | Unknown
    bandwidth_source: str
    compute_capability: str | Unknown
    compute_source: str

    @property
    def reported(self) -> bool:
        """Whether a driver or an engine was seen to print `total_bytes` (else a rule derived it, or it is Unknown)."""
        return not isinstance(self.total_bytes, Unknown) and not self.total_source.startswith("derived")
