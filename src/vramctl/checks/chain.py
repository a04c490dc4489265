"""The doctor's checks in causal order: a fault hides what comes after it. Adding a check is one entry here."""

from __future__ import annotations

# Each file of checks has a tuple CHECKS in the order in which its checks are to be asked.
from vramctl.checks import (  # fmt: skip
    doctor_access,
    doctor_amd,
    doctor_build,
    doctor_config,
    doctor_driver,
    doctor_hardware,
    doctor_host,
    doctor_kernel,
    doctor_libraries,
    doctor_placement,
    doctor_state,
)
from vramctl.checks.runner import Check, Layer

LAYERS: tuple[Layer, ...] = (
    Layer("hardware", doctor_hardware.CHECKS),
    Layer("kernel-driver", doctor_kernel.CHECKS),
    Layer("device-access", doctor_access.CHECKS),
    Layer("amd", doctor_amd.AMD_CHECKS),
    Layer("intel", doctor_amd.INTEL_CHECKS),
    Layer("user-driver", doctor_driver.CHECKS),
    Layer("runtime-libs", doctor_libraries.CHECKS),
    Layer("build", doctor_build.CHECKS),
    Layer("vulkan", doctor_amd.VULKAN_CHECKS),
    Layer("config", doctor_config.CHECKS),
    Layer("placement", doctor_placement.CHECKS),
    Layer("gpu-state", doctor_state.CHECKS),
    Layer("host", doctor_host.CHECKS, always=True),
)

# Checks that say something also behind a blocker: they look at files, variables and settings alone.
ALWAYS: frozenset[str] = frozenset({"two-cuda-toolkits-conflict"})

# A check stays out where one of these has spoken: it would tell a consequence as a cause.
EXPLAINED_BY: dict[str, tuple[str, ...]] = {
    "driver-too-old-for-cuda": ("cuda13-windows-null-error",),
}


def all_checks() -> tuple[tuple[str, Check], ...]:
    """Every check with its layer, in causal order."""
    return tuple((layer.name, check) for layer in LAYERS for check in layer.checks)
