"""What a device holds outside the engine's own accounting: driver context, kernels, pools, workspaces.

Measured on one H200 (driver 580.159.04; `benchmarks/results/exactness-h200-*.json`, `verify-h200.json`): 507 to 527 MiB after the
first load, 85 MiB more after the first decode of a dense model, 190 MiB of one with experts, 160 to 235 MiB without flash
attention by the engine's version. Other cards differ; `verify` learns a machine's own figure.
"""

from __future__ import annotations

from vramctl.records import Device, Model, Settings
from vramctl.units import MIB

CONTEXT_BYTES = 527 * MIB
POOL_DENSE, POOL_EXPERTS, POOL_NO_FLASH = 85 * MIB, 190 * MIB, 200 * MIB
MOST_NO_FLASH = 235 * MIB  # the most that was seen without flash attention
SOURCE = (
    "estimate: 527 MiB of driver context after loading and 85 to 200 MiB of pools after the first decode, as measured on one "
    "H200 (driver 580.159.04); other cards differ"
)
LEARNT = "learnt on this machine by `vramctl verify`, with pools of 85 to 200 MiB by the kind of model"
SOURCE_CPU = "no device, no driver context"


def overhead_bytes(
    model: Model, settings: Settings, device: Device, *, flash_attn: bool, context_bytes: int = CONTEXT_BYTES
) -> int:
    """Bytes to expect on `device` beside weights, KV and compute: the driver's context (see SOURCE, or learnt) and pools."""
    del device
    return context_bytes + pool_bytes(model, settings, flash_attn=flash_attn)


def pool_bytes(model: Model, settings: Settings, *, flash_attn: bool) -> int:
    """Bytes of pools that CUDA's kernels take with the first decode: by the kind of model and attention."""
    experts = model.meta("expert_count")
    pool = POOL_EXPERTS if isinstance(experts, int) and experts > 1 else POOL_DENSE
    if not flash_attn and settings.n_gpu_layers != 0:
        pool = max(pool, POOL_NO_FLASH)
    return pool


def budget_bytes(device: Device, utilization: float) -> int:
    """Bytes that a plan may use: `utilization` of the whole device, less what others hold already; never negative."""
    held = device.total_bytes - device.free_bytes
    return max(0, min(device.free_bytes, int(utilization * device.total_bytes) - held))
