"""The doctor's checks in causal order: a fault hides what comes after it. Adding a check is one entry here."""

from __future__ import annotations

# Each file of checks has a tuple CHECKS in the order in which its checks are to be asked.
from vramctl.checks import (  # fmt: skip
    doctor_access,
    doctor_active,
    doctor_amd,
    doctor_audit,
    doctor_build,
    doctor_config,
    doctor_driver,
    doctor_given,
    doctor_hardware,
    doctor_held,
    doctor_host,
    doctor_intel,
    doctor_kernel,
    doctor_libraries,
    doctor_logged,
    doctor_ollama,
    doctor_placement,
    doctor_state,
    doctor_visible,
    doctor_vulkan,
)
from vramctl.checks.explained_build import EXPLAINED_BUILD
from vramctl.checks.runner import Check, Layer, check_id

# What configuration files and command lines ask for.
_ASKED: tuple[Check, ...] = (*doctor_config.CHECKS, *doctor_audit.CHECKS, *doctor_given.CHECKS)
_CONFIG: tuple[Check, ...] = (
    *doctor_visible.CHECKS, *doctor_ollama.SERVER_CHECKS, *doctor_logged.OLLAMA_CHECKS, *doctor_ollama.MODEL_CHECKS,
    *_ASKED, *doctor_logged.LOAD_CHECKS,
)  # fmt: skip

LAYERS: tuple[Layer, ...] = (
    Layer("hardware", doctor_hardware.CHECKS),
    Layer("kernel-driver", doctor_kernel.CHECKS),
    Layer("device-access", doctor_access.CHECKS),
    Layer("amd", doctor_amd.CHECKS),
    Layer("intel", doctor_intel.CHECKS),
    Layer("user-driver", doctor_driver.CHECKS),
    Layer("runtime-libs", doctor_libraries.CHECKS),
    Layer("build", doctor_build.CHECKS),
    Layer("vulkan", doctor_vulkan.CHECKS),
    Layer("config", _CONFIG),
    Layer("placement", (*doctor_held.CHECKS, *doctor_placement.CHECKS, *doctor_active.CHECKS)),
    Layer("gpu-state", doctor_state.CHECKS),
    Layer("host", doctor_host.CHECKS, always=True),
)

# Checks that say something also behind a blocker: they look at files, variables and settings alone.
ALWAYS: frozenset[str] = frozenset({
    "two-cuda-toolkits-conflict", *(check_id(check) for check in _ASKED),
})  # fmt: skip

# A check stays out where one of these has spoken: it would tell a consequence as a cause.
EXPLAINED_BY: dict[str, tuple[str, ...]] = {
    "gpu-init-failed-bar": ("gpu-fell-off-bus",),
    "xid-errors": ("gpu-fell-off-bus", "ecc-pending"),
    "kernel-module-not-loaded": (
        "gpu-init-failed-bar", "legacy-gpu-dropped-by-driver", "open-kernel-module-required",
        "open-kernel-module-unsupported",
    ),
    "nvidia-uvm-missing": ("container-cgroup-loss", "nvidia-node-permissions"),
    "driver-does-not-answer": (
        "container-cgroup-loss", "nvidia-node-permissions", "wsl-driver-problem", "container-gpu-not-passed",
    ),
    "power-cap": ("on-battery-or-undersized-power",),
    "pstate-stuck": ("on-battery-or-undersized-power", "thermal-throttle"),
    "mmap-with-little-ram": ("wsl-memory-limit",),
    **EXPLAINED_BUILD,
    "ollama-no-gpu-found": (
        "visible-devices-hides-gpu", "ollama-llm-library-override", "ollama-igpu-dropped", "ollama-discovery-timeout",
        "ollama-num-gpu-forced",
    ),
    "flash-attn-disabled": ("quantized-v-needs-flash-attn", "ollama-kv-type-without-fa"),
    "load-error-hidden": ("quantized-v-needs-flash-attn",),
    "vram-held-by-other": ("vram-not-released", "windows-sysmem-fallback"),
    "kv-cache-evicts-layers": ("ollama-context-default", "parallel-multiplies-kv", "multi-gpu-uneven"),
    "partial-offload": (
        "ollama-context-default", "ollama-num-gpu-forced", "vram-not-released", "vram-held-by-other", "multi-gpu-uneven",
        "parallel-multiplies-kv", "kv-cache-evicts-layers", "one-layer-short",
    ),
}  # fmt: skip


def all_checks() -> tuple[tuple[str, Check], ...]:
    """Every check with its layer, in causal order."""
    return tuple((layer.name, check) for layer in LAYERS for check in layer.checks)
