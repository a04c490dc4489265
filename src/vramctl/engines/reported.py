"""What a loaded engine reports of itself as records: log lines, buffers per device, a placement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vramctl.records import DeviceUse, HostUse, Placement, Settings, Unknown
from vramctl.records.event import Event
from vramctl.records.placement import IN_COMPUTE
from vramctl.records.run import BufferUse, EngineDevice, Loaded, LogLine, Memory

_OVERHEAD = Unknown("the engine does not count what the driver keeps")
_STDERR = Unknown("written on stderr, which has no times")


def timed_lines(raw: bytes, *, zero_seconds: float) -> list[LogLine]:
    """The lines of `run_model/log_file.py`, times counted from `zero_seconds`; a last line cut short is kept."""
    found = []
    for line in raw.decode("utf-8", "replace").split("\n"):
        stamp, _, rest = line.partition("\t")
        level, tab, text = rest.partition("\t")
        if tab:
            found.append(LogLine(round(float(stamp) - zero_seconds, 6), text, level))
    return found


def plain_lines(raw: bytes) -> list[LogLine]:
    """Lines without times, as a process wrote them on stderr."""
    return [LogLine(_STDERR, line) for line in raw.decode("utf-8", "replace").splitlines() if line.strip()]


def engine_devices(rows: Sequence[Sequence[Any]]) -> tuple[EngineDevice, ...]:
    """Devices from [name, description, kind, total, free] rows."""
    return tuple(
        EngineDevice(str(name), str(said), str(kind), int(total), int(free)) for name, said, kind, total, free in rows
    )


def buffer_uses(rows: Iterable[Sequence[Any]]) -> tuple[BufferUse, ...]:
    """Buffers from [name, device, host, weights, kv, compute] rows."""
    return tuple(BufferUse(str(n), str(d), bool(h), int(w), int(k), int(c)) for n, d, h, w, k, c in rows)


def memory(document: dict[str, Any], *, zero_seconds: float) -> Memory:
    """A moment's memory from the child's answer."""
    resident = document["resident_bytes"]
    return Memory(
        at_seconds=document["at"] - zero_seconds,
        devices=engine_devices(document["devices"]),
        resident_bytes=resident if isinstance(resident, int) else Unknown("this system has no /proc/self/statm"),
    )


def graph_splits(events: Iterable[Event]) -> int | Unknown:
    """How many parts the scheduler cuts one decode step's graph into, by the log's last word on it; 1 is a single device."""
    found: int | Unknown = Unknown("the log names no graph splits")
    for event in events:
        if event.kind == "graph.splits":
            value = event.fields.get("splits_one", event.fields.get("count"))
        elif event.kind == "graph.nodes":
            value = event.fields.get("splits_one", event.fields.get("splits"))
        else:
            continue
        if isinstance(value, int):
            found = value
    return found


def placement(loaded: Loaded) -> Placement | Unknown:
    """Where the engine says the bytes are, exact to the byte from its API; Unknown where it has none to ask.

    Overhead is Unknown: it is outside the engine's accounting. Buffers of one device are summed.
    """
    if isinstance(loaded.buffers, Unknown):
        return loaded.buffers
    listed = loaded.devices if isinstance(loaded.devices, tuple) else ()
    processors = {device.name for device in listed if device.kind in {"cpu", "accel"}} | {"CPU"}
    # A processor's own layouts (CPU_REPACK) are no host buffers to ggml; they are system memory all the same.
    in_ram = [use.host or use.device in processors or use.name.startswith("CPU") for use in loaded.buffers]
    away = [use for use, ram in zip(loaded.buffers, in_ram, strict=True) if not ram]
    names = list(dict.fromkeys(use.device or use.name for use in away))
    devices = tuple(
        DeviceUse(name, *_sums(use for use in away if (use.device or use.name) == name), _OVERHEAD) for name in names
    )
    host = _sums(use for use, ram in zip(loaded.buffers, in_ram, strict=True) if ram)
    return Placement(devices, HostUse(*host, IN_COMPUTE), _kv_operations(devices, host[1]))


def _kv_operations(devices: tuple[DeviceUse, ...], host_kv_bytes: int) -> str | Unknown:
    """Where the cache is says where it is used, but for a cache on the host beside weights on a GPU."""
    if any(isinstance(use.kv_bytes, int) and use.kv_bytes for use in devices):
        return "mixed" if host_kv_bytes else "gpu"
    if any(isinstance(use.weights_bytes, int) and use.weights_bytes for use in devices):
        return Unknown("the cache is on the host beside weights on a GPU; where it is used, the engine does not say")
    return "cpu"


def _sums(uses: Iterable[BufferUse]) -> tuple[int, int, int]:
    kept = list(uses)
    return sum(u.weights_bytes for u in kept), sum(u.kv_bytes for u in kept), sum(u.compute_bytes for u in kept)


def not_applied_notes(loaded: Loaded, asked: Settings) -> tuple[str, ...]:
    """What is to be said of settings that were asked for and that this way of running the engine cannot pass on."""
    names = [name for name in loaded.not_applied if getattr(asked, name) is not None]
    return (f"not passed on to {loaded.engine}, whose own defaults hold: {', '.join(names)}",) if names else ()
