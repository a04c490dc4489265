"""What Ollama prints about GPUs where the reason stands in the message: permissions, ROCm's list, Jetson releases."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.rule import Rule, at, rule
from vramctl.logs.values import mib, words

RULES: tuple[Rule, ...] = (
    rule(
        "gpu.l4t_unsupported", r"^Unexpected format for /etc/nv_tegra_release\.  Set JETSON_JETPACK to select version$",
        seen="ollama 0.3.7-now",
        example='time=2025-11-01T10:00:00.000Z level=INFO source=cuda_common.go:40 msg="Unexpected format for /etc/nv_tegra_release.  Set JETSON_JETPACK to select version"',
        gives={},
    ),
    rule(
        "gpu.amd_no_permission", r"^failed to check permission on /dev/kfd: (?P<error>.+)$",
        fields={"error": str},
        seen="ollama 0.3.11-0.12.3",
        example='time=2025-11-01T10:00:00.000Z level=WARN source=amd_linux.go:300 msg="failed to check permission on /dev/kfd: open /dev/kfd: permission denied"',
        gives={"error": "open /dev/kfd: permission denied"},
    ),
    rule(
        "gpu.amd_unsupported", r"^amdgpu is not supported \(supported types: ?(?P<supported>\[[^\]]*\])\)$",
        fields={"supported": words, "gfx": at("gpu_type"), "gpu": str, "library": str},
        seen="ollama 0.3.14-0.12.3",
        example='time=2025-11-01T10:00:00.000Z level=WARN source=amd_linux.go:378 msg="amdgpu is not supported (supported types:[gfx1030 gfx1100])" gpu_type=gfx1103 gpu=0 library=/usr/lib/ollama/rocm',
        gives={"supported": ("gfx1030", "gfx1100"), "gfx": "gfx1103", "gpu": "0", "library": "/usr/lib/ollama/rocm"},
    ),
    rule(
        "gpu.amd_no_library", r"^unable to verify rocm library: (?P<error>.+)$",
        fields={"error": str},
        seen="ollama 0.3.14-0.12.3",
        example='time=2025-11-01T10:00:00.000Z level=WARN source=amd_linux.go:340 msg="unable to verify rocm library: no suitable rocm found, falling back to CPU"',
        gives={"error": "no suitable rocm found, falling back to CPU"},
    ),
    rule(
        "gpu.detected", r"^(?P<library>\w+) detected (?P<count>\d+) devices with (?P<available>\d+)M available memory$",
        fields={"library": str, "count": int, "available": mib},
        seen="ollama 0.1.22-0.1.31",
        example='time=2025-11-01T10:00:00.000Z level=DEBUG source=gpu.go:254 msg="cuda detected 1 devices with 14580M available memory"',
        gives={"library": "cuda", "count": 1, "available": mib("14580")},
    ),
    rule(
        "gpu.amd_unsupported", r"^amdgpu \[(?P<gpu>\d+)\] (?P<gfx>gfx\w+) is not supported by (?P<library>\S+) (?P<supported>\[.*\])$",
        fields={"gpu": str, "gfx": str, "library": str, "supported": words},
        seen="ollama 0.1.29-0.1.32",
        example='time=2025-11-01T10:00:00.000Z level=WARN source=amd_linux.go:100 msg="amdgpu [0] gfx1103 is not supported by /opt/rocm/lib [gfx1030 gfx1100]"',
        gives={"gpu": "0", "gfx": "gfx1103", "library": "/opt/rocm/lib", "supported": ("gfx1030", "gfx1100")},
    ),
)
