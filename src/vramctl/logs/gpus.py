"""The GPUs that a log names: Ollama's discovery where it is there, else the backends' own lists."""

from __future__ import annotations

from typing import Any

from vramctl.logs.draft import as_bytes
from vramctl.records.event import Event
from vramctl.records.load import LoggedGpu
from vramctl.records.unknown import Unknown

_KEPT = 256
# Kinds that name a device, with the library they belong to; CUDA's and ROCm's lists share one form.
BACKENDS = {"cuda.device": "", "vulkan.device": "Vulkan", "metal.device": "Metal", "sycl.device": "SYCL"}
GPU_KINDS = frozenset(BACKENDS) | {
    "gpu.inference_compute", "server.config", "cuda.found", "device.used", "device.listed",
}  # fmt: skip


class GpuList:
    """Collects GPUs; a server that starts again discovers again."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Any]] = {}
        self._listed: dict[str, dict[str, Any]] = {}
        self._library = "CUDA"

    def add(self, event: Event) -> None:
        """Fold one event that names a GPU; others change nothing."""
        kind = event.kind
        if kind == "gpu.inference_compute":
            self._discovered(event)
        elif kind == "server.config":
            self._found.clear()
        elif kind == "cuda.found":
            self._library = str(event.fields.get("library") or "CUDA")
        elif kind in BACKENDS:
            self._device(event, BACKENDS[kind] or self._library)
        elif kind in {"device.used", "device.listed"}:
            self._used(event)

    def finished(self) -> tuple[LoggedGpu, ...]:
        """The GPUs in the order in which they were named."""
        if self._found:
            return tuple(LoggedGpu(**gpu) for gpu in self._found.values())
        return tuple(LoggedGpu(**gpu) for gpu in self._listed.values())

    def _discovered(self, event: Event) -> None:
        fields = event.fields
        library = str(fields.get("library", ""))
        if library.lower() == "cpu" or len(self._found) >= _KEPT:
            return
        name = str(fields.get("description") or fields.get("name") or "")
        self._found[str(fields.get("id", name))] = _known(
            id=fields.get("id"), name=name, library=library, driver=fields.get("driver"),
            device=fields.get("name") if fields.get("description") else None,
            compute_capability=fields.get("compute"),
            total_bytes=as_bytes(fields.get("total")), available_bytes=as_bytes(fields.get("available")), line=event.line,
        )  # fmt: skip

    def _device(self, event: Event, library: str) -> None:
        index = event.fields.get("index", 0)
        device = f"{library}{index}"
        name = event.fields.get("name")
        if len(self._listed) >= _KEPT:
            return
        if name is not None and self._listed.get(device, {}).get("name", name) != name:
            # Another program, on another machine: what was listed before is not what the coming loads run on.
            self._listed.clear()
        known = self._listed.setdefault(device, {})
        known.update(_known(
            id=event.fields.get("id") or device, device=device, name=name, library=library,
            compute_capability=event.fields.get("compute"),
            total_bytes=as_bytes(event.fields.get("total")), line=event.line,
        ))  # fmt: skip

    def _used(self, event: Event) -> None:
        device = str(event.fields.get("device", ""))
        if not device or device == "CPU" or len(self._listed) >= _KEPT:
            return
        known = self._listed.setdefault(device, {"id": device, "device": device, "line": event.line})
        known.update(_known(name=event.fields.get("name"), available_bytes=as_bytes(event.fields.get("free"))))
        total = as_bytes(event.fields.get("total"))
        if total is not None:
            known["total_bytes"] = total
        library = device.rstrip("0123456789")
        known.setdefault("library", library)


def _known(**values: Any) -> dict[str, Any]:
    """The values that are there."""
    return {name: value for name, value in values.items() if value not in (None, "") and not isinstance(value, Unknown)}
