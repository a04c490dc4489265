"""Which buffers of a log are on a GPU: engines name buffer types, people want devices."""

from __future__ import annotations

import re

# As Ollama's own accounting tells them apart (llm/llama_server.go, 0.30.0): system memory, also where it is pinned.
_HOST = re.compile(r"^(?:cpu|host|blas|amx|accel|openblas)$|^cpu[_ ]|_host$|^system", re.IGNORECASE)
# Set behind the name of a projector's buffer, which is there beside the model's own.
PROJECTOR = " (projector)"
_VARIANT = re.compile(r"_(?:Mapped|REPACK|AARCH64|Private|Shared)$")


def is_host(name: str) -> bool:
    """Whether a buffer of this name is in system memory: `CPU`, `CPU_Mapped`, `CUDA_Host`, `BLAS`, `AMX`."""
    return _HOST.search(name) is not None


def device_of(name: str) -> str:
    """The device that holds a buffer of this name: `CPU` for all of system memory, `Metal` for `Metal_Mapped`."""
    name = name.removesuffix(PROJECTOR)
    return "CPU" if is_host(name) else _VARIANT.sub("", name)
