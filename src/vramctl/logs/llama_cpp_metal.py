"""What llama.cpp prints about devices of Metal, SYCL, OpenCL and RPC."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import mb, mib, old_mb, size

RULES: tuple[Rule, ...] = (
    rule(
        "metal.device", r"^found device: (?P<name>.+)$",
        fields={"name": str},
        seen="llama.cpp with Metal, Aug 2023 on", example="ggml_metal_init: found device: Apple M2 Pro",
        gives={"name": "Apple M2 Pro"},
    ),
    rule(
        "gpu.picked", r"^picking default device: (?P<name>.+)$",
        fields={"name": str},
        seen="llama.cpp with Metal, Aug 2023 on", example="ggml_metal_init: picking default device: Apple M2 Pro",
        gives={"name": "Apple M2 Pro"},
    ),
    rule(
        "metal.device", r"^GPU name: +(?P<name>.+)$",
        fields={"name": str},
        seen="llama.cpp with Metal, Aug 2023 on", example="ggml_metal_init: GPU name:   Apple M2 Pro",
        gives={"name": "Apple M2 Pro"},
    ),
    rule(
        "gpu.family", r"^GPU family: (?P<family>MTLGPUFamily\w+) +\((?P<number>\d+)\)$",
        fields={"family": str, "number": int},
        seen="llama.cpp with Metal, Aug 2023 on", example="ggml_metal_init: GPU family: MTLGPUFamilyApple8  (1008)",
        gives={"family": "MTLGPUFamilyApple8", "number": 1008},
    ),
    rule(
        "gpu.working_set", r"^recommendedMaxWorkingSetSize += +(?P<size>\d+\.\d+) MB$",
        fields={"size": mb},
        says="decimal megabytes",
        seen="llama.cpp with Metal, 2023 on", example="ggml_metal_init: recommendedMaxWorkingSetSize  = 22906.50 MB",
        gives={"size": mb("22906.50")},
    ),
    rule(
        "gpu.feature",
        r"^(?P<name>simdgroup reduction(?: support)?|simdgroup matrix mul\.(?:"
        r" support)?|hasUnifiedMemory|has unified memory|has bfloat|use bfloat|has tensor|has residency"
        r" sets|use residency sets|use shared buffers|use fusion|use concurrency|use graph"
        r" optimize|skipping kernel\S*|maxTransferRate) += (?P<value>.+)$",
        fields={"name": str, "value": str},
        function=(
            "ggml_metal_init", "ggml_metal_device_init", "ggml_metal_context_init", "ggml_metal_library_init",
            "ggml_backend_metal_device_acq",
        ),
        seen="llama.cpp with Metal, 2023 on", example="ggml_metal_init: has bfloat            = true",
        gives={"name": "has bfloat", "value": "true"},
    ),
    rule(
        "gpu.library_loaded", r"^loaded in (?P<seconds>\d+\.\d+) sec$",
        fields={"seconds": float},
        says="compiling the shaders is part of the load time",
        seen="llama.cpp with Metal, Sep 2025 on", example="ggml_metal_library_init: loaded in 5.234 sec",
        gives={"seconds": 5.234},
    ),
    rule(
        "gpu.library_loaded",
        r"^loaded (?P<count>\d+) libraries from (?P<source>.+) in (?P<seconds>\d+\.\d+) sec \(max single ="
        r" (?P<longest>\d+\.\d+) sec\)$",
        fields={"count": int, "source": str, "seconds": float, "longest": float},
        seen="llama.cpp with Metal, 2026",
        example="ggml_metal_library_init: loaded 12 libraries from source in 8.127 sec (max single = 2.301 sec)",
        gives={"count": 12, "source": "source", "seconds": 8.127, "longest": 2.301},
    ),
    rule(
        "gpu.library", r"^using embedded metal library$",
        seen="llama.cpp with Metal, 2024 on", example="ggml_metal_init: using embedded metal library",
    ),
    rule(
        "gpu.library", r"^default\.metallib not found, loading (?:kernel sources|from source)$",
        seen="llama.cpp with Metal, 2023 on",
        example="ggml_metal_init: default.metallib not found, loading from source",
    ),
    rule(
        "gpu.library", r"^loading '(?P<path>.+)'$",
        fields={"path": str},
        function=("ggml_metal_init", "ggml_metal_library_init", "ggml_metal_load_library"),
        seen="llama.cpp with Metal, 2023 on", example="ggml_metal_init: loading '/usr/local/bin/ggml-metal.metal'",
        gives={"path": "/usr/local/bin/ggml-metal.metal"},
    ),
    rule(
        "gpu.library", r"^GGML_METAL_PATH_RESOURCES = (?P<path>.+)$",
        fields={"path": str},
        seen="llama.cpp with Metal, 2023 on", example="ggml_metal_init: GGML_METAL_PATH_RESOURCES = nil",
        gives={"path": "nil"},
    ),
    rule(
        "gpu.library",
        r"^(?:the device does not have a precompiled Metal library - this is unexpected|will try to compile"
        r" it on the fly|- the tensor API (?:is not supported in this environment - disabling|does not"
        r" support bfloat - disabling bfloat support)|tensor API disabled for pre-M5 and pre-A19"
        r" devices|testing tensor API for \w+ support)$",
        function=("ggml_metal_device_init", "ggml_metal_library_init"),
        seen="llama.cpp with Metal, 2025 on",
        example="ggml_metal_device_init: tensor API disabled for pre-M5 and pre-A19 devices",
    ),
    rule(
        "gpu.opened", r"^allocating$",
        seen="llama.cpp with Metal, 2023 on", example="ggml_metal_init: allocating",
    ),
    rule(
        "gpu.closed", r"^deallocating$",
        seen="llama.cpp with Metal, 2023 on", example="ggml_metal_free: deallocating",
    ),
    rule(
        "gpu.opened", r"^using MPS$",
        seen="llama.cpp with Metal, 2023", example="ggml_metal_init: using MPS",
    ),
    rule(
        "gpu.kernel", r"^loaded (?P<kernel>kernel_\S+) +0x[0-9a-f]+(?: \| th_max = +\d+ \| th_width = +\d+)?$",
        seen="llama.cpp with Metal, 2023 on",
        example="ggml_metal_init: loaded kernel_add                         0x12b6051f0 | th_max = 1024 | th_width =   32",
    ),
    rule(
        "gpu.kernel_skipped", r"^skipping (?P<kernel>kernel_\S+) +\(not supported\)$",
        fields={"kernel": str},
        seen="llama.cpp with Metal, 2024 on",
        example="ggml_metal_init: skipping kernel_mul_mm_bf16_f32                   (not supported)",
        gives={"kernel": "kernel_mul_mm_bf16_f32"},
    ),
    rule(
        "gpu.kernel", r"^compiling pipeline: base = '(?P<base>[^']+)', name = '(?P<name>[^']+)'$",
        seen="llama.cpp with Metal, Sep 2025 on",
        example=(
            "ggml_metal_library_compile_pipeline: compiling pipeline: base = 'kernel_mul_mv_q4_K_f32', name "
            "= 'kernel_mul_mv_q4_K_f32_nsg=2'"
        ),
    ),
    rule(
        "weights.mapped",
        r"^allocated '(?P<name>[^']+)' buffer, size = +(?P<size>\d+\.\d+) MB, offs = +(?P<offset>\d+)$",
        fields={"name": str, "size": old_mb, "offset": int},
        seen="llama.cpp with Metal, 2023",
        example="ggml_metal_add_buffer: allocated 'data            ' buffer, size =  3648.31 MB, offs =            0",
        gives={"name": "data            ", "size": old_mb("3648.31"), "offset": 0},
    ),
    rule(
        "weights.mapped",
        r"^allocated '(?P<name>[^']+)' buffer, size = +(?P<size>\d+\.\d+) (?:MB|MiB), \("
        r" *(?P<used>\d+\.\d+) / *(?P<limit>\d+\.\d+)\)$",
        fields={"name": str, "size": old_mb, "used": old_mb, "limit": old_mb},
        seen="llama.cpp with Metal, 2023",
        example="ggml_metal_add_buffer: allocated 'data            ' buffer, size =  3648.31 MB, ( 3648.81 / 21845.34)",
        gives={
            "name": "data            ", "size": old_mb("3648.31"), "used": old_mb("3648.81"),
            "limit": old_mb("21845.34"),
        },
    ),
    rule(
        "weights.mapped",
        r"^allocated buffer, size = +(?P<size>\d+\.\d+) MiB, \( *(?P<used>\d+\.\d+) / *(?P<limit>\d+\.\d+)\)$",
        fields={"size": mib, "used": mib, "limit": mib},
        seen="llama.cpp with Metal, Jan 2024 on",
        example="ggml_backend_metal_log_allocated_size: allocated buffer, size =  4096.00 MiB, ( 4360.12 / 10922.67)",
        gives={"size": mib("4096.00"), "used": mib("4360.12"), "limit": mib("10922.67")},
    ),
    rule(
        "weights.mapped", r"^allocated buffer, size = +(?P<size>\d+\.\d+) MiB(?:, \( *(?P<used>\d+\.\d+)\))?$",
        fields={"size": mib, "used": mib},
        seen="llama.cpp with Metal, Jan 2024 on",
        example="ggml_backend_metal_buffer_from_ptr: allocated buffer, size =  4095.05 MiB",
        gives={"size": mib("4095.05")},
    ),
    rule(
        "memory.over_working_set",
        r"^,? ?(?:warning: )?current allocated size is greater than the recommended max working set size$",
        seen="llama.cpp with Metal, 2023 on",
        example=(
            "ggml_backend_metal_log_allocated_size: warning: current allocated size is greater than the "
            "recommended max working set size"
        ),
    ),
    rule(
        "memory.alloc_failed", r"^(?:error: )?failed to allocate buffer, size = +(?P<size>\d+\.\d+)(?: MiB)?$",
        fields={"size": mib},
        seen="llama.cpp with Metal, 2024 on",
        example="ggml_backend_metal_buffer_type_alloc_buffer: error: failed to allocate buffer, size =  9216.00 MiB",
        gives={"size": mib("9216.00")},
    ),
    rule(
        "memory.alloc_failed", r"^failed to allocate Metal buffer of (?P<size>\d+) bytes \(out of memory\)$",
        fields={"size": size},
        seen="llama.cpp with Metal, 2026",
        example="ggml_metal_buffer_init: failed to allocate Metal buffer of 9663676416 bytes (out of memory)",
        gives={"size": size("9663676416")},
    ),
    rule(
        "gpu.error", r"^(?:error: )?command buffer (?P<index>\d+) failed with status (?P<status>\d+)$",
        fields={"index": int, "status": int},
        seen="llama.cpp with Metal, 2023 on",
        example="ggml_metal_graph_compute: command buffer 0 failed with status 5",
        gives={"index": 0, "status": 5},
    ),
    rule(
        "gpu.error", r"^command buffer (?P<index>\d+) aborted$",
        fields={"index": int},
        seen="llama.cpp with Metal, 2024 on", example="ggml_metal_graph_compute: command buffer 0 aborted",
        gives={"index": 0},
    ),
    rule(
        "gpu.error",
        r"^(?P<error>Insufficient Memory \(\d+:kIOGPUCommandBufferCallbackErrorOutOfMemory\)|Caused GPU"
        r" (?:Timeout|Hang|Address Fault) Error \(\w+:?\w*\))$",
        fields={"error": str},
        function="error",
        seen="llama.cpp with Metal, 2024 on",
        example="error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        gives={"error": "Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"},
    ),
    rule(
        "sycl.device",
        r"^\| +(?P<index>\d+)\| {0,60}\[?(?P<kind>[\w_:]+)\]?\| {0,60}(?P<name>[^|]{1,80}?)\|"
        r" {0,60}(?P<version>[\d.]+)\| {0,60}(?P<units>\d+)\| {0,60}(?P<group>\d+)\|"
        r" {0,60}(?P<sub_group>\d+)\| {0,60}(?P<total>\d+M|\d+)\| {0,60}(?P<driver>[^|]{1,80}?)\|$",
        fields={
            "index": int, "kind": str, "name": str, "version": str, "units": int, "group": int, "sub_group": int,
            "total": str, "driver": str,
        },
        seen="llama.cpp with SYCL, 2024 on",
        example=(
            "| 0| [level_zero:gpu:0]|                Intel Arc A770 Graphics|   12.55|    512|    1024|   "
            "32| 16225M|     1.6.31294+20|"
        ),
        gives={
            "index": 0, "kind": "level_zero:gpu:0", "name": "Intel Arc A770 Graphics", "version": "12.55",
            "units": 512, "group": 1024, "sub_group": 32, "total": "16225M", "driver": "1.6.31294+20",
        },
    ),
    rule(
        "gpu.rpc_server", r"^Starting RPC server v(?P<version>\S+)$",
        fields={"version": str},
        seen="llama.cpp rpc-server, 2025 on", example="Starting RPC server v3.6.1",
        gives={"version": "3.6.1"},
    ),
    rule(
        "gpu.rpc_failed", r"^RPC server version mismatch: (?P<version>\S+)$",
        fields={"version": str},
        seen="llama.cpp, 2025 on", example="ggml_backend_rpc: RPC server version mismatch: 2.0.0",
        gives={"version": "2.0.0"},
    ),
    rule(
        "gpu.rpc_failed", r"^Failed to connect to (?P<endpoint>\S+)$",
        fields={"endpoint": str},
        seen="llama.cpp with RPC, 2024 on", example="Failed to connect to 192.168.1.20:50052",
        gives={"endpoint": "192.168.1.20:50052"},
    ),
    rule(
        "gpu.rpc_failed", r"^Remote RPC server crashed or returned malformed response$",
        seen="llama.cpp with RPC, 2025 on", example="Remote RPC server crashed or returned malformed response",
    ),
    rule(
        "gpu.rpc_client", r"^Accepted client connection(?:, free_mem=(?P<free>\d+), total_mem=(?P<total>\d+))?$",
        fields={"free": size, "total": size},
        seen="llama.cpp rpc-server, 2024 on",
        example="Accepted client connection, free_mem=25437995008, total_mem=25769803776",
        gives={"free": size("25437995008"), "total": size("25769803776")},
    ),
    rule(
        "gpu.rpc_client", r"^Client connection closed(?:, free_mem=(?P<free>\d+), total_mem=(?P<total>\d+))?$",
        fields={"free": size, "total": size},
        seen="llama.cpp rpc-server, 2024 on", example="Client connection closed",
    ),
    rule(
        "gpu.opencl",
        r"^(?P<what>selecting platform|selecting device|device FP16 support|default device|device|selected"
        r" platform|OpenCL driver|vector subgroup broadcast support|device max [\w ()]+|max mem alloc"
        r" size|SVM [\w ]+|Adreno [\w ]+|using kernels optimized for Adreno[^:]*): +'?(?P<value>.+?)'?$",
        fields={"what": str, "value": str},
        function="ggml_opencl",
        seen="llama.cpp with OpenCL, 2023 on", example="ggml_opencl: selecting device: 'QUALCOMM Adreno(TM) 830'",
        gives={"what": "selecting device", "value": "QUALCOMM Adreno(TM) 830"},
    ),
)  # fmt: skip
