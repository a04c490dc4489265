"""The catalogue's rows, read from gpus.tsv on first use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from vramctl.catalogue import rules
from vramctl.catalogue.entry import GpuEntry
from vramctl.records import Unknown
from vramctl.units import GIB, MIB

BACKENDS = {"nvidia": "cuda", "amd": "rocm", "intel": "sycl", "apple": "metal"}
UNIFIED_RULES = frozenset({"unified", "amd-unified", "shared", "metal"})

Row = Mapping[str, str]
Figure = tuple[int | Unknown, str]

_SHARED = Unknown("this GPU uses the system's memory: say how much, as in NAME=16GiB")
_NOT_PRINTED = Unknown("no log with this card was seen")


@cache
def entries() -> tuple[GpuEntry, ...]:
    """All GPUs of the catalogue, in the order of the file."""
    text = Path(__file__).with_name("gpus.tsv").read_text(encoding="utf-8")
    header, *lines = text.splitlines()
    columns = header.split("\t")
    return tuple(_entry(dict(zip(columns, line.split("\t"), strict=True))) for line in lines)


def _entry(row: Row) -> GpuEntry:
    vendor, rule = row["vendor"], row["rule"]
    nvml, nvml_source = _nvml_total(row)
    total, total_source = _total(row, nvml)
    free, free_source = _free(row, total)
    compute = row["compute"]
    return GpuEntry(
        name=row["name"],
        driver_name=row["driver_name"],
        aliases=tuple(alias for alias in row["aliases"].split(";") if alias),
        vendor=vendor,
        backend=BACKENDS[vendor],
        unified=rule in UNIFIED_RULES,
        nominal_bytes=round(float(row["nominal_gib"]) * GIB) if row["nominal_gib"] else _SHARED,
        total_bytes=total,
        total_source=total_source,
        cuda_total_bytes=total if vendor == "nvidia" and row["total_kind"] == "printed" else _cuda_unknown(vendor),
        nvml_total_bytes=nvml,
        nvml_source=nvml_source,
        free_bytes=free,
        free_source=free_source,
        bandwidth_bytes_per_second=_bandwidth(row),
        bandwidth_source=_bandwidth_source(row),
        compute_capability=compute or Unknown("Metal GPUs have no compute capability"),
        compute_source=_compute_source(vendor),
    )


def _cuda_unknown(vendor: str) -> Unknown:
    return _NOT_PRINTED if vendor == "nvidia" else Unknown("not a CUDA device")


def _nvml_total(row: Row) -> Figure:
    if row["vendor"] != "nvidia":
        return Unknown("not an NVIDIA GPU"), ""
    if row["nvml_mib"]:
        return int(row["nvml_mib"]) * MIB, row["nvml_source"]
    derived = rules.nvml_total_mib(row["rule"], float(row["nominal_gib"]), int(row["bus_bits"]))
    if derived is None:
        return Unknown("nvidia-smi prints no memory for a GPU that uses the system's"), ""
    return derived[0] * MIB, derived[1]


def _total(row: Row, nvml: int | Unknown) -> Figure:
    if row["total_mib"]:
        return int(row["total_mib"]) * MIB, row["total_source"]
    if row["rule"] == "shared":
        return _SHARED, ""
    nominal_gib = float(row["nominal_gib"])
    if not isinstance(nvml, Unknown):
        reserve, words = rules.reserve_mib(float(row["compute"]), nominal_gib)
        return nvml - reserve * MIB, f"derived: nvidia-smi's total minus {words}"
    derived = _derived_total(row["vendor"], row["rule"], nominal_gib)
    if derived is None:
        return _NOT_PRINTED, ""
    return derived[0] * MIB, derived[1]


def _derived_total(vendor: str, rule: str, nominal_gib: float) -> rules.Derived | None:
    if vendor == "nvidia":
        return rules.unified_total_mib(nominal_gib)
    if vendor == "amd":
        return rules.amd_total_mib(rule, nominal_gib)
    if vendor == "intel":
        return rules.intel_total_mib(nominal_gib)
    return rules.metal_working_set_mib(nominal_gib)


def _free(row: Row, total: int | Unknown) -> Figure:
    """Idle, no screen: printed where a log had it, else the total less what idle drivers were seen to use."""
    if row["free_mib"]:
        return int(row["free_mib"]) * MIB, row["free_source"]
    if isinstance(total, Unknown):
        return total, ""
    if row["vendor"] == "amd":
        words = "derived: total minus 24 MiB (20 to 26 used on idle RX 6800, RX 6700 XT, MI50)"
        return total - rules.IDLE_AMD_MIB * MIB, words
    if row["vendor"] == "nvidia" and row["rule"] == "unified":
        words = "derived: 94 % of the total (a GB10 had 117377 of 124609 MiB available)"
        return int(total * rules.UNIFIED_FREE_SHARE), words
    if row["vendor"] == "nvidia":
        words = "derived: total minus 1 MiB (0 or 1 MiB used on idle RTX 3090, L40S, H100, H200 without a screen)"
        return total - rules.IDLE_NVIDIA_MIB * MIB, words
    return total, "derived: all of the total (an idle Arc A770 and an M3 Max print the same figure, ± 1 MiB)"


def _bandwidth(row: Row) -> int | Unknown:
    if not row["gbyte_per_second"]:
        return Unknown("that of the system's memory")
    return round(float(row["gbyte_per_second"]) * 1e9)


def _bandwidth_source(row: Row) -> str:
    if not row["gbyte_per_second"]:
        return ""
    if not row["bus_bits"]:
        return f"vendor's specification: {row['memory']} memory"
    return f"vendor's specification: {row['bus_bits']}-bit {row['memory']} at {row['gbit_per_pin']} Gbit/s"


def _compute_source(vendor: str) -> str:
    return {
        "nvidia": "NVIDIA's table of CUDA GPUs; engines print the same",
        "amd": "LLVM's AMDGPU processor table; ROCm prints the same",
        "intel": "Intel's architecture name",
        "apple": "",
    }[vendor]
