"""What llama.cpp prints when memory cannot be had."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import mib, old_mb, size

RULES: tuple[Rule, ...] = (
    rule(
        "memory.alloc_failed",
        r"^allocating (?P<size>\d+\.\d+) MiB on device (?P<device>\d+): (?P<call>\w+) failed: (?P<error>.+)$",
        fields={"size": mib, "device": int, "call": str, "error": str},
        seen="llama.cpp, Apr 2024 on",
        example=(
            "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 3480.01 MiB on device 0: cudaMalloc "
            "failed: out of memory"
        ),
        gives={"size": mib("3480.01"), "device": 0, "call": "cudaMalloc", "error": "out of memory"},
    ),
    rule(
        "memory.buffer_failed",
        r"^failed to allocate (?P<device>(?!output|compute|Metal)\S+) buffer of size (?P<size>\d+)$",
        fields={"device": str, "size": size},
        seen="llama.cpp, 2024 on",
        example="ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size 3649053696",
        gives={"device": "CUDA0", "size": size("3649053696")},
    ),
    rule(
        "memory.alloc_failed", r"^failed to allocate buffer of size (?P<size>\d+)$",
        fields={"size": size},
        seen="llama.cpp, 2024 on",
        example="ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 17179869216",
        gives={"size": size("17179869216")},
    ),
    rule(
        "memory.buffer_failed", r"^failed to allocate output buffer of size (?P<size>\d+\.\d+) MiB$",
        fields={"size": mib},
        seen="llama.cpp, Mar 2024 on", example="output_reserve: failed to allocate output buffer of size 1.16 MiB",
        gives={"size": mib("1.16")},
    ),
    rule(
        "memory.buffer_failed", r"^failed to allocate compute(?: pp| tg)? buffers$",
        seen="llama.cpp, Jan 2024 on", example="graph_reserve: failed to allocate compute buffers",
    ),
    rule(
        "memory.buffer_failed", r"^failed to allocate (?:buffer|memory|context) for kv cache$",
        seen="llama.cpp 2023-2025", example="llama_kv_cache_init: failed to allocate buffer for kv cache",
    ),
    rule(
        "memory.alloc_failed", r"^failed to allocate (?P<size>\d+) bytes$",
        fields={"size": size},
        seen="llama.cpp, 2025 on",
        example="ggml_backend_vk_host_buffer_type_alloc_buffer: failed to allocate 17179869216 bytes",
        gives={"size": size("17179869216")},
    ),
    rule(
        "memory.alloc_failed",
        r"^failed to allocate (?P<size>\d+\.\d+) MiB(?: \(err=(?P<status>-?\d+)\)\. Consider .+)?$",
        fields={"size": mib, "status": int},
        seen="llama.cpp, 2026",
        example=(
            "ggml_backend_opencl_buffer_type_alloc_buffer: failed to allocate 4096.00 MiB (err=-61). "
            "Consider reducing -ngl, lowering -c / -ub, or using quantized KV cache."
        ),
        gives={"size": mib("4096.00"), "status": -61},
    ),
    rule(
        "memory.alloc_failed", r"^insufficient memory \(attempted to allocate +(?P<size>\d+\.\d+) MB\)$",
        fields={"size": old_mb},
        seen="llama.cpp, 2024 on",
        example="ggml_aligned_malloc: insufficient memory (attempted to allocate 16384.00 MB)",
        gives={"size": old_mb("16384.00")},
    ),
    rule(
        "memory.alloc_failed", r"^Device memory allocation of size (?P<size>\d+) failed\.?$",
        fields={"size": size},
        seen="llama.cpp with Vulkan, 2024 on",
        example="ggml_vulkan: Device memory allocation of size 2819260416 failed.",
        gives={"size": size("2819260416")},
    ),
    rule(
        "gpu.alloc_over_limit",
        r"^Requested buffer size exceeds device (?:memory allocation|buffer size) limit(?:: (?P<error>\S+))?$",
        fields={"error": str},
        seen="llama.cpp with Vulkan, 2025 on",
        example="ggml_vulkan: Requested buffer size exceeds device memory allocation limit: ErrorOutOfDeviceMemory",
        gives={"error": "ErrorOutOfDeviceMemory"},
    ),
    rule(
        "memory.alloc_failed", r"^Failed to allocate pinned memory(?: \((?P<error>.+)\)|\.)?$",
        fields={"error": str},
        seen="llama.cpp with Vulkan, 2024 on",
        example="ggml_vulkan: Failed to allocate pinned memory (vk::Device::allocateMemory: ErrorOutOfDeviceMemory)",
        gives={"error": "vk::Device::allocateMemory: ErrorOutOfDeviceMemory"},
    ),
    rule(
        "memory.alloc_failed", r"^vk::Device::(?P<call>\w+): (?P<error>Error\w+)$",
        fields={"call": str, "error": str},
        function="ggml_vulkan",
        seen="llama.cpp with Vulkan, 2024 on",
        example="ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
        gives={"call": "allocateMemory", "error": "ErrorOutOfDeviceMemory"},
    ),
    rule(
        "memory.alloc_failed",
        r"^(?:can't allocate|failed to allocate|alloc) (?P<size>\d+) Bytes of memory on device(?:"
        r" (?P<device>\S+))?$",
        fields={"size": size, "device": str},
        seen="llama.cpp with SYCL, 2024 on",
        example="ggml_backend_sycl_buffer_type_alloc_buffer: can't allocate 4294967296 Bytes of memory on device",
        gives={"size": size("4294967296")},
    ),
    rule(
        "memory.pinned_failed",
        r"^failed to allocate (?P<size>\d+\.\d+) (?:MiB|MB) of pinned memory(?:: (?P<error>.+))?$",
        fields={"size": mib, "error": str},
        says="harmless: ordinary memory is taken instead",
        seen="llama.cpp, 2023 on",
        example="ggml_cuda_host_malloc: failed to allocate 3038.00 MiB of pinned memory: invalid argument",
        gives={"size": mib("3038.00"), "error": "invalid argument"},
    ),
    rule(
        "memory.pinned_failed",
        r"^failed to register (?P<size>\d+\.\d+) MiB(?: of pinned memory| failed): (?P<error>.+)$",
        fields={"size": mib, "error": str},
        seen="llama.cpp, 2024 on",
        example="ggml_backend_cuda_register_host_buffer: failed to register 4096.00 MiB of pinned memory: invalid argument",
        gives={"size": mib("4096.00"), "error": "invalid argument"},
    ),
    rule(
        "memory.pinned_failed",
        r"^cudaHostRegister of (?P<size>\d+\.\d+) MiB(?: of pinned memory| failed): (?P<error>.+)$",
        fields={"size": mib, "error": str},
        seen="llama.cpp, 2024 on", example="ggml_cuda_host_malloc: cudaHostRegister of 12.35 MiB failed: WORD",
        gives={"size": mib("12.35"), "error": "WORD"},
    ),
    rule(
        "memory.pool_full", r"^(?:cuda|Cuda|sycl|cl) buffer pool full, increase (?P<name>MAX_\w+)$",
        fields={"name": str},
        seen="llama.cpp 2023 on", example="WARNING: cuda buffer pool full, increase MAX_CUDA_BUFFERS",
        gives={"name": "MAX_CUDA_BUFFERS"},
    ),
    rule(
        "memory.graph_realloc", r"^failed to allocate graph, reserving.*$",
        seen="llama.cpp, 2023 on (debug builds print more)",
        example="ggml_backend_sched_alloc_splits: failed to allocate graph, reserving (backend_ids_changed = 1)",
    ),
    rule(
        "memory.graph_realloc", r"^cannot reallocate multi buffer graph automatically, call reserve$",
        seen="llama.cpp, 2023 on (debug builds print more)",
        example="ggml_gallocr_alloc_graph: cannot reallocate multi buffer graph automatically, call reserve",
    ),
    rule(
        "memory.graph_realloc", r"^reallocating (?:buffers|.+ buffer from size .+)$",
        seen="llama.cpp, 2023 on (debug builds print more)",
        example="output_reserve: reallocating output buffer from size 12.35 MiB to 12.35 MiB",
    ),
    rule(
        "memory.graph_realloc", r"^graph has different number of nodes$",
        seen="llama.cpp, 2023 on (debug builds print more)",
        example="ggml_gallocr_needs_realloc: graph has different number of nodes",
    ),
    rule(
        "memory.graph_realloc", r"^unexpected graph reallocation .+$",
        seen="llama.cpp, 2023 on (debug builds print more)",
        example=(
            "ggml_backend_sched_alloc_splits: unexpected graph reallocation (graph size = 12, nodes = 12, "
            "leafs = 12), debug_realloc = 12"
        ),
    ),
)  # fmt: skip
