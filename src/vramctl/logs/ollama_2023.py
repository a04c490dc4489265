"""What Ollama printed before its structured log (0.0 to 0.1.20, 2023), and in the first months with it."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import mib, size, words

OLDEST: tuple[Rule, ...] = (
    rule(
        "fit.layers_guessed", r"^(?P<available>\d+) (?:MB|MiB) VRAM available, loading (?:up to )?(?P<layers>\d+) (?:(?P<library>\w+) )?GPU layers(?: out of (?P<total>\d+))?$",
        fields={"available": mib, "layers": int, "library": str, "total": int},
        seen="ollama 0.0.20-0.1.18 (MB are 1024 * 1024 bytes)",
        example="2023/11/20 12:00:00 llama.go:300: 11053 MB VRAM available, loading up to 64 GPU layers",
        gives={"available": mib("11053"), "layers": 64},
    ),
    rule(
        "fit.too_little_vram", r"^(?:less than 2 GB VRAM available(?:, falling back to CPU only)?|WARNING: Low VRAM detected, disabling GPU|not enough vram available, (?:falling back to CPU only|setting num_gpu=0))$",
        seen="ollama 0.0.20-0.1.31",
        example="2023/11/20 12:00:00 llama.go:290: less than 2 GB VRAM available, falling back to CPU only",
        gives={},
    ),
    rule(
        "gpu.forced_cpu", r"^(?:skipping accelerated runner because num_gpu=0|WARNING: falling back to CPU)$",
        seen="ollama 0.0.13-0.1.17",
        example="2023/11/20 12:00:00 llama.go:260: skipping accelerated runner because num_gpu=0",
        gives={},
    ),
    rule(
        "gpu.init_failed", r"^(?:Warning|WARNING): GPU (?:support may not (?:be )?enabled, check you have installed (?:install )?GPU drivers|could not be initialized correctly): (?P<error>.+)$",
        fields={"error": str},
        seen="ollama 0.0.13-0.1.10",
        example="2023/10/11 12:34:56 routes.go:600: Warning: GPU support may not be enabled, check you have installed GPU drivers: nvidia-smi command failed",
        gives={"error": "nvidia-smi command failed"},
    ),
    rule(
        "gpu.not_detected", r"^(?P<library>CUDA|ROCm) not detected: (?P<error>.+)$",
        fields={"library": str, "error": str},
        seen="ollama 0.1.18-0.1.19",
        example="2024/01/05 12:00:00 gpu.go:45: CUDA not detected: nvml vram init failure: 9",
        gives={"library": "CUDA", "error": "nvml vram init failure: 9"},
    ),
    rule(
        "gpu.detected", r"^(?P<library>Nvidia|Radeon) GPU detected(?: via \S+)?$",
        fields={"library": str},
        seen="ollama 0.1.18-0.1.32 INFO",
        example='time=2024-03-12T18:55:00.000Z level=INFO source=gpu.go:99 msg="Nvidia GPU detected"',
        gives={"library": "Nvidia"},
    ),
    rule(
        "gpu.library_search", r"^Searching for GPU management library (?P<library>\S+)$",
        fields={"library": str},
        seen="ollama 0.1.20-0.1.32 INFO",
        example='time=2024-03-12T18:55:00.000Z level=INFO source=gpu.go:265 msg="Searching for GPU management library libnvidia-ml.so"',
        gives={"library": "libnvidia-ml.so"},
    ),
    rule(
        "gpu.library_search", r"^Discovered GPU libraries: \[(?P<libraries>.*)\]$",
        fields={"libraries": words},
        seen="ollama 0.1.20-0.1.32 INFO",
        example='time=2024-03-12T18:55:00.000Z level=INFO source=gpu.go:311 msg="Discovered GPU libraries: [/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.535.161.07]"',
        gives={"libraries": ("/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.535.161.07",)},
    ),
    rule(
        "runner.libraries", r"^Dynamic LLM (?:libraries|variants) \[(?P<libraries>.*)\]$",
        fields={"libraries": words},
        seen="ollama 0.1.18-0.3.10 INFO",
        example='time=2024-03-12T18:54:30.000Z level=INFO source=payload_common.go:146 msg="Dynamic LLM libraries [cpu_avx rocm_v6 rocm_v5 cpu cpu_avx2 cuda_v11]"',
        gives={"libraries": ("cpu_avx", "rocm_v6", "rocm_v5", "cpu", "cpu_avx2", "cuda_v11")},
    ),
    rule(
        "runner.libraries", r"^Dynamic LLM libraries$",
        fields={"runners": words},
        seen="ollama 0.3.11-0.5.7 INFO",
        example='time=2024-12-05T01:56:10.000Z level=INFO source=common.go:49 msg="Dynamic LLM libraries" runners="[cpu cpu_avx cpu_avx2 cuda_v11 cuda_v12 rocm_v6]"',
        gives={"runners": ("cpu", "cpu_avx", "cpu_avx2", "cuda_v11", "cuda_v12", "rocm_v6")},
    ),
    rule(
        "runner.library_loading", r"^Loading Dynamic (?:Shim )?llm server: (?P<path>.+)$",
        fields={"path": str},
        seen="ollama 0.1.18-0.1.31 INFO",
        example='time=2024-03-12T18:55:00.500Z level=INFO source=dyn_ext_server.go:90 msg="Loading Dynamic llm server: /tmp/ollama123/cuda_v11/libext_server.so"',
        gives={"path": "/tmp/ollama123/cuda_v11/libext_server.so"},
    ),
    rule(
        "runner.library_loading", r"^(?:Initializing|Starting)(?: internal)? llama (?:server|main loop)$",
        seen="ollama 0.1.18-0.1.31 INFO",
        example='time=2024-03-12T18:55:01.000Z level=INFO source=dyn_ext_server.go:150 msg="Initializing llama server"',
        gives={},
    ),
    rule(
        "runner.library_loading", r"^loading library (?P<path>\S+)$",
        fields={"path": str},
        seen="ollama 0.1.18-0.1.31",
        example="loading library /tmp/ollama123/cuda_v11/libext_server.so",
        gives={"path": "/tmp/ollama123/cuda_v11/libext_server.so"},
    ),
    rule(
        "runner.extracting", r"^(?:[Ee]xtracting (?:dynamic libraries(?: to .+)?|embedded files)(?:\.\.\.)?|Extracting dynamic libraries to \S+ \.\.\.)$",
        seen="ollama 0.1.21-0.3.10 INFO",
        example='time=2024-03-12T18:54:28.000Z level=INFO source=payload_common.go:107 msg="Extracting dynamic libraries..."',
        gives={},
    ),
    rule(
        "system.cpu_vectors", r"^CPU (?:has|does not have) (?P<what>AVX2?|vector extensions)$",
        fields={"what": str},
        seen="ollama 0.1.21-0.1.44",
        example='time=2024-03-12T18:55:00.000Z level=INFO source=cpu_common.go:11 msg="CPU has AVX2"',
        gives={"what": "AVX2"},
    ),
    rule(
        "memory.split_2024", r"^(?P<what>bytes per layer|required alloc bytes|required kv bytes|required model bytes|required total bytes|system memory bytes|total required with split): (?P<size>\d+)$",
        fields={"what": str, "size": size},
        seen="ollama 0.1.19",
        example="2024/01/10 12:00:00 llm.go:80: required kv bytes: 268435456",
        gives={"what": "required kv bytes", "size": size("268435456")},
    ),
)
