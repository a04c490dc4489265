"""What the doctor sees of a machine: hardware, driver, nodes, libraries, engines, settings. Facts only, no judgement.

Every field that could not be read is `Unknown(reason)`; what is known not to be there is `Absent(reason)`.
"""

from __future__ import annotations

from vramctl.records.facts.basics import NOT_SEEN, Count, Flag, Number, Text, Version
from vramctl.records.facts.engines import Engine, EngineDevice, Landing, OllamaModel, OllamaServer, Torch
from vramctl.records.facts.gpus import CudaDriver, CudaGpu, GpuProcess, Nvml, NvmlGpu, PciGpu
from vramctl.records.facts.libraries import CudaToolkit, Fatbin, LibCuda, Library
from vramctl.records.facts.settings import Setting
from vramctl.records.facts.system import (
    Containers,
    DeviceNode,
    EngineProcess,
    HostFacts,
    KernelModules,
    Platform,
    WslFacts,
)

__all__ = [
    "NOT_SEEN",
    "Containers",
    "Count",
    "CudaDriver",
    "CudaGpu",
    "CudaToolkit",
    "DeviceNode",
    "Engine",
    "EngineDevice",
    "EngineProcess",
    "Fatbin",
    "Flag",
    "GpuProcess",
    "HostFacts",
    "KernelModules",
    "Landing",
    "LibCuda",
    "Library",
    "Number",
    "Nvml",
    "NvmlGpu",
    "OllamaModel",
    "OllamaServer",
    "PciGpu",
    "Platform",
    "Setting",
    "Text",
    "Torch",
    "Version",
    "WslFacts",
]
