"""What Ollama prints about memory: free VRAM and RAM, what each device holds, layers that were offloaded."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.rule import Rule, at, rule
from vramctl.logs.values import flag, size

RUNNER = {
    "runner_name": at("runner.name"), "inference": at("runner.inference"), "runner_size": at("runner.size", size),
    "runner_vram": at("runner.vram", size), "parallel": at("runner.parallel", int), "pid": at("runner.pid", int),
    "model": at("runner.model"), "num_ctx": at("runner.num_ctx", int),
}
"""How the scheduler prints a runner, from 0.6.8 on."""

MEMORY: tuple[Rule, ...] = (
    rule(
        "memory.vram_updated", r"^updated VRAM based on existing loaded models$",
        fields={"gpu": str, "library": str, "total": size, "available": size},
        seen="ollama 0.1.45-now INFO",
        example='time=2025-07-30T10:53:50.023+10:00 level=INFO source=sched.go:548 msg="updated VRAM based on existing loaded models" gpu=GPU-72c48c23-32a4-2e54-95c9-99bb82483caa library=cuda total="11.8 GiB" available="3.1 GiB"',
        gives={"gpu": "GPU-72c48c23-32a4-2e54-95c9-99bb82483caa", "library": "cuda", "total": size("11.8 GiB"), "available": size("3.1 GiB")},
    ),
    rule(
        "memory.vram_updated", r"^updated VRAM$",
        fields={"gpu": str, "library": str, "total": size, "available": size},
        seen="ollama 0.1.33-0.1.44 INFO",
        example='time=2024-05-09T12:00:01.000Z level=INFO source=sched.go:460 msg="updated VRAM" gpu=GPU-1c750365 library=cuda total="12282.0 MiB" available="11053.5 MiB"',
        gives={"gpu": "GPU-1c750365", "library": "cuda", "total": size("12282.0 MiB"), "available": size("11053.5 MiB")},
    ),
    rule(
        "memory.vram_predicted_exceeded", r"^predicted usage exceeds VRAM$",
        fields={"gpu": str, "total": at("totalMemory", size), "predicted": size},
        seen="ollama 0.1.33-now WARN",
        example='time=2025-02-09T10:11:12.000Z level=WARN source=sched.go:512 msg="predicted usage exceeds VRAM" gpu=GPU-1c750365 totalMemory=8589410304 predicted=9663676416',
        gives={"gpu": "GPU-1c750365", "total": size("8589410304"), "predicted": size("9663676416")},
    ),
    rule(
        "memory.system", r"^system memory$",
        fields={"total": size, "free": size, "free_swap": size},
        seen="ollama 0.1.33-now (free from 0.1.46, swap from 0.2.2)",
        example='time=2025-07-30T10:49:00.715+10:00 level=INFO source=server.go:135 msg="system memory" total="31.2 GiB" free="24.0 GiB" free_swap="16.0 GiB"',
        gives={"total": size("31.2 GiB"), "free": size("24.0 GiB"), "free_swap": size("16.0 GiB")},
    ),
    rule(
        "memory.gpu", r"^gpu memory$",
        fields={"id": str, "library": str, "available": size, "free": size, "minimum": size, "overhead": size},
        seen="ollama 0.11.5-now INFO (library from 0.12.4)",
        says="available = free - minimum - overhead",
        example='time=2026-01-14T12:27:05.100-05:00 level=INFO source=sched.go:450 msg="gpu memory" id=GPU-08d2ef5c library=CUDA available="43.5 GiB" free="44.0 GiB" minimum="457.0 MiB" overhead="0 B"',
        gives={"id": "GPU-08d2ef5c", "library": "CUDA", "available": size("43.5 GiB"), "free": size("44.0 GiB"), "minimum": size("457.0 MiB"), "overhead": size("0 B")},
    ),
    rule(
        "memory.vram_not_recovered", r"^gpu VRAM usage didn't recover within timeout$",
        fields={"seconds": float, **RUNNER},
        needs=("runner.size",),
        seen="ollama 0.7.0-now (WARN to 0.12.5, DEBUG from 0.12.6)",
        example='time=2025-07-30T10:53:49.905+10:00 level=WARN source=sched.go:687 msg="gpu VRAM usage didn\'t recover within timeout" seconds=5.044882538 runner.size="1.8 GiB" runner.vram="1.8 GiB" runner.parallel=2 runner.pid=14006 runner.model=/root/.ollama/models/blobs/sha256-7cd4618c',
        gives={"seconds": 5.044882538, "runner_size": size("1.8 GiB"), "runner_vram": size("1.8 GiB"), "parallel": 2, "pid": 14006, "model": "/root/.ollama/models/blobs/sha256-7cd4618c"},
    ),
    rule(
        "memory.vram_not_recovered", r"^gpu VRAM usage didn't recover within timeout$",
        fields={"seconds": float, "model": str},
        lacks=("runner.size",),
        seen="ollama 0.1.35-0.6.8 WARN (model from 0.1.45)",
        example='time=2024-07-28T14:26:49.000Z level=WARN source=sched.go:674 msg="gpu VRAM usage didn\'t recover within timeout" seconds=5.119284 model=/var/lib/ollama/blobs/sha256-00e1317c',
        gives={"seconds": 5.119284, "model": "/var/lib/ollama/blobs/sha256-00e1317c"},
    ),
    rule(
        "memory.vram_recovered", r"^gpu VRAM free memory converged after (?P<seconds>\d+\.\d+) seconds$",
        fields={"seconds": float, "free_before": size, "free_now": size, "model_path": at("model"), **RUNNER},
        seen="ollama 0.1.35-now DEBUG (free_before and free_now from 0.12.6)",
        example='time=2026-01-14T12:31:02.000-05:00 level=DEBUG source=sched.go:780 msg="gpu VRAM free memory converged after 0.51 seconds" free_before="4.1 GiB" free_now="43.9 GiB" runner.size="39.5 GiB" runner.vram="39.5 GiB" runner.parallel=1 runner.pid=4711 runner.model=/m/sha256-aa runner.num_ctx=4096',
        gives={"seconds": 0.51, "free_before": size("4.1 GiB"), "free_now": size("43.9 GiB"), "runner_size": size("39.5 GiB"), "runner_vram": size("39.5 GiB"), "parallel": 1, "pid": 4711, "model": "/m/sha256-aa", "num_ctx": 4096},
    ),
    rule(
        "weights.buffer", r"^model weights$",
        fields={"device": at("buffer"), "size": size},
        needs=("buffer",),
        seen="ollama 0.6.0-0.11.4 INFO (its own engine)",
        example='time=2025-07-30T10:49:00.901+10:00 level=INFO source=ggml.go:377 msg="model weights" buffer=CUDA0 size="6.0 GiB"',
        gives={"device": "CUDA0", "size": size("6.0 GiB")},
    ),
    rule(
        "weights.buffer", r"^model weights$",
        fields={"device": str, "size": size},
        needs=("device",),
        seen="ollama 0.11.5-0.24.0 INFO (with the llama runner an estimate before the load)",
        example='time=2026-01-14T12:27:11.000-05:00 level=INFO source=device.go:240 msg="model weights" device=CUDA0 size="19.6 GiB"',
        gives={"device": "CUDA0", "size": size("19.6 GiB")},
    ),
    rule(
        "kv.buffer", r"^kv cache$",
        fields={"device": str, "size": size},
        seen="ollama 0.11.5-0.24.0 INFO (with the llama runner an estimate before the load)",
        example='time=2026-01-14T12:27:11.000-05:00 level=INFO source=device.go:251 msg="kv cache" device=CUDA0 size="1.3 GiB"',
        gives={"device": "CUDA0", "size": size("1.3 GiB")},
    ),
    rule(
        "compute.buffer", r"^compute graph$",
        fields={"device": str, "size": size},
        needs=("device",),
        seen="ollama 0.11.5-0.24.0 INFO (with the llama runner an estimate before the load)",
        example='time=2026-01-14T12:27:11.000-05:00 level=INFO source=device.go:262 msg="compute graph" device=CUDA0 size="584.0 MiB"',
        gives={"device": "CUDA0", "size": size("584.0 MiB")},
    ),
    rule(
        "compute.buffer", r"^compute graph$",
        fields={"device": at("backend"), "buffer_type": str, "size": size},
        needs=("backend",),
        seen="ollama 0.6.0-0.11.4 INFO (size from 0.6.6; printed twice: the last per backend counts)",
        example='time=2025-07-30T10:49:14.013+10:00 level=INFO source=ggml.go:666 msg="compute graph" backend=CPU buffer_type=CPU size="2.2 MiB"',
        gives={"device": "CPU", "buffer_type": "CPU", "size": size("2.2 MiB")},
    ),
    rule(
        "compute.graph", r"^compute graph$",
        fields={"nodes": int, "splits": int},
        needs=("nodes",),
        seen="ollama 0.6.6-0.24.0 DEBUG",
        example='time=2025-07-30T10:49:14.013+10:00 level=DEBUG source=ggml.go:670 msg="compute graph" nodes=1285 splits=2',
        gives={"nodes": 1285, "splits": 2},
    ),
    rule(
        "memory.total", r"^total memory$",
        fields={"size": size},
        seen="ollama 0.11.5-0.24.0 INFO (with the llama runner an estimate before the load)",
        example='time=2026-01-14T12:27:11.000-05:00 level=INFO source=device.go:272 msg="total memory" size="41.4 GiB"',
        gives={"size": size("41.4 GiB")},
    ),
    rule(
        "layers.offloaded", r"^offloaded (?P<on_gpu>\d+)/(?P<layers>\d+) layers to GPU$",
        fields={"on_gpu": int, "layers": int},
        seen="ollama 0.9.6-0.24.0 INFO (its own engine)",
        example='time=2025-07-30T00:19:25.758+10:00 level=INFO source=ggml.go:375 msg="offloaded 48/49 layers to GPU"',
        gives={"on_gpu": 48, "layers": 49},
    ),
    rule(
        "layers.offloading_repeating", r"^offloading (?P<count>\d+) repeating layers to GPU$",
        fields={"count": int},
        seen="ollama 0.9.6-0.24.0 INFO (its own engine)",
        example='time=2025-07-30T00:19:25.758+10:00 level=INFO source=ggml.go:360 msg="offloading 48 repeating layers to GPU"',
        gives={"count": 48},
    ),
    rule(
        "layers.offloading_output", r"^offloading output layer to (?P<device>CPU|GPU|ACCEL)$",
        fields={"device": str},
        seen="ollama 0.9.6-0.24.0 INFO (its own engine)",
        example='time=2025-07-30T00:19:25.758+10:00 level=INFO source=ggml.go:366 msg="offloading output layer to CPU"',
        gives={"device": "CPU"},
    ),
    rule(
        "memory.estimate", r"^memory$",
        fields={"success": flag, "estimate": str, "required": str, "allocated": str},
        seen="ollama 0.7.1-0.24.0 DEBUG",
        example='time=2026-01-14T12:27:05.000-05:00 level=DEBUG source=server.go:792 msg=memory success=true required.InputWeights=550502400',
        gives={"success": True},
    ),
    rule(
        "memory.updating_system", r"^updating system memory data$",
        fields={
            "before_total": at("before.total", size), "before_free": at("before.free", size), "before_free_swap": at("before.free_swap", size),
            "total": at("now.total", size), "free": at("now.free", size), "free_swap": at("now.free_swap", size),
        },
        seen="ollama 0.1.45-0.12.3 DEBUG (swap from 0.2.2)",
        example='time=2025-10-03T13:18:04.222+02:00 level=DEBUG source=gpu.go:410 msg="updating system memory data" before.total="31.0 GiB" before.free="27.5 GiB" before.free_swap="977.0 MiB" now.total="31.0 GiB" now.free="27.4 GiB" now.free_swap="977.0 MiB"',
        gives={"before_total": size("31.0 GiB"), "before_free": size("27.5 GiB"), "before_free_swap": size("977.0 MiB"), "total": size("31.0 GiB"), "free": size("27.4 GiB"), "free_swap": size("977.0 MiB")},
    ),
    rule(
        "memory.updating_gpu", r"^updating cuda memory data$",
        fields={
            "gpu": str, "name": str, "overhead": size, "before_total": at("before.total", size), "before_free": at("before.free", size),
            "total": at("now.total", size), "free": at("now.free", size), "used": at("now.used", size),
        },
        seen="ollama 0.1.45-0.12.3 DEBUG (overhead from 0.2.2)",
        example='time=2025-07-30T10:53:50.020+10:00 level=DEBUG source=gpu.go:456 msg="updating cuda memory data" gpu=GPU-72c4 name="NVIDIA GeForce RTX 3060" overhead="0 B" before.total="11.8 GiB" before.free="11.6 GiB" now.total="11.8 GiB" now.free="3.1 GiB" now.used="8.7 GiB"',
        gives={"gpu": "GPU-72c4", "name": "NVIDIA GeForce RTX 3060", "overhead": size("0 B"), "before_total": size("11.8 GiB"), "before_free": size("11.6 GiB"), "total": size("11.8 GiB"), "free": size("3.1 GiB"), "used": size("8.7 GiB")},
    ),
    rule(
        "memory.updating_gpu", r"^updating rocm free memory$",
        fields={"gpu": str, "name": str, "before_free": at("before", size), "free": at("now", size)},
        seen="ollama 0.1.45-0.12.3 DEBUG",
        example='time=2025-07-30T10:53:50.020+10:00 level=DEBUG source=amd_linux.go:490 msg="updating rocm free memory" gpu=0 name=1002:1586 before="62.4 GiB" now="20.0 GiB"',
        gives={"gpu": "0", "name": "1002:1586", "before_free": size("62.4 GiB"), "free": size("20.0 GiB")},
    ),
)

__all__ = ["MEMORY", "RUNNER"]
