"""Which function looks at which fact. Adding a fact is one entry here."""

from __future__ import annotations

from vramctl.doctor.active import look_landing
from vramctl.doctor.facts import Look
from vramctl.probes.doctor_amd import look_hip_runtimes, look_vulkan_drivers
from vramctl.probes.doctor_config import look_audit_notes, look_audited, look_calls, look_model_headers
from vramctl.probes.doctor_containers import look_containers, look_processes, look_wsl
from vramctl.probes.doctor_cuda import look_cuda, look_libcudas, look_toolkits
from vramctl.probes.doctor_engines import look_engines
from vramctl.probes.doctor_host import look_host
from vramctl.probes.doctor_log import look_log, look_log_findings, look_log_given
from vramctl.probes.doctor_modules import look_modules, look_nodes
from vramctl.probes.doctor_nvml import look_gpus, look_nvml
from vramctl.probes.doctor_ollama import look_ollama
from vramctl.probes.doctor_pci import look_pci
from vramctl.probes.doctor_platform import look_environment, look_kernel_log, look_platform
from vramctl.probes.doctor_shared import look_asked_pid, look_gpu_shared
from vramctl.probes.doctor_torch import look_torch
from vramctl.probes.engine_programs import look_foreign_ggml

LOOKS: dict[str, Look] = {
    # configurations, Ollama and logs
    "audited": look_audited,
    "audit_notes": look_audit_notes,
    "calls": look_calls,
    "model_headers": look_model_headers,
    "ollama": look_ollama,
    "log": look_log,
    "log_findings": look_log_findings,
    "log_given": look_log_given,
    "gpu_shared": look_gpu_shared,
    "asked_pid": look_asked_pid,
    # the machine and its drivers
    "platform": look_platform,
    "environment": look_environment,
    "kernel_log": look_kernel_log,
    "pci": look_pci,
    "modules": look_modules,
    "nodes": look_nodes,
    "wsl": look_wsl,
    "processes": look_processes,
    "containers": look_containers,
    "hip_runtimes": look_hip_runtimes,
    "vulkan_drivers": look_vulkan_drivers,
    "host": look_host,
    "nvml": look_nvml,
    "gpus": look_gpus,
    # CUDA, libraries and engines
    "cuda": look_cuda,
    "libcudas": look_libcudas,
    "toolkits": look_toolkits,
    "engines": look_engines,
    "foreign_ggml": look_foreign_ggml,
    "torch": look_torch,
    "landing": look_landing,
}
