"""Where bytes sit, per device: one type for what was planned, reported and observed."""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.records.unknown import Unknown

Bytes = int | Unknown
IN_COMPUTE = Unknown("part of compute")


def total(*parts: Bytes) -> Bytes:
    """The sum of sizes; Unknown as soon as one part is."""
    unknown = [part for part in parts if isinstance(part, Unknown)]
    if unknown:
        return unknown[0]
    return sum(part for part in parts if isinstance(part, int))


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """Bytes on one device. `overhead_bytes` is outside the engine's accounting: driver context and pools.

    `kv_bytes` holds the KV cache and recurrent state. `used_bytes` is the sum of the four parts.
    """

    name: str
    weights_bytes: Bytes
    kv_bytes: Bytes
    compute_bytes: Bytes
    overhead_bytes: Bytes

    @property
    def used_bytes(self) -> Bytes:
        """Weights, KV, compute and overhead together, in bytes."""
        return total(self.weights_bytes, self.kv_bytes, self.compute_bytes, self.overhead_bytes)


@dataclass(frozen=True, slots=True)
class HostUse:
    """Bytes in system memory that the engine accounts for. `output_bytes` is the (pinned) logits buffer.

    It is `IN_COMPUTE` where the engine counts it there.
    """

    weights_bytes: Bytes
    kv_bytes: Bytes
    compute_bytes: Bytes
    output_bytes: Bytes

    @property
    def used_bytes(self) -> Bytes:
        """All four parts together, in bytes."""
        output = 0 if self.output_bytes == IN_COMPUTE else self.output_bytes
        return total(self.weights_bytes, self.kv_bytes, self.compute_bytes, output)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model sits. `kv_operations` is where attention over the cache runs: gpu, cpu or mixed."""

    devices: tuple[DeviceUse, ...]
    host: HostUse
    kv_operations: str | Unknown
