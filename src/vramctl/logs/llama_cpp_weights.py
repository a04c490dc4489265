"""What llama.cpp prints about weights: layers, buffers, mapping and locking."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import flag, mib, old_mb, size

RULES: tuple[Rule, ...] = (
    rule(
        "layers.offloaded", r"^offloaded (?P<on_gpu>\d+)/(?P<layers>\d+) layers to GPU$",
        fields={"on_gpu": int, "layers": int},
        seen="llama.cpp, 2023 on", example="llm_load_tensors: offloaded 33/33 layers to GPU",
        gives={"on_gpu": 33, "layers": 33},
    ),
    rule(
        "layers.offloading_repeating", r"^\[(?:cublas|opencl)\] offloading (?P<count>\d+) layers to GPU$",
        fields={"count": int},
        seen="llama.cpp, May 2023", example="llama_model_load_internal: [cublas] offloading 36 layers to GPU",
        gives={"count": 36},
    ),
    rule(
        "weights.vram_total", r"^\[(?:cublas|opencl)\] total VRAM used: (?P<size>\d+) MB$",
        fields={"size": mib},
        seen="llama.cpp, May 2023", example="llama_model_load_internal: [cublas] total VRAM used: 3475 MB",
        gives={"size": mib("3475")},
    ),
    rule(
        "layers.offloading_repeating", r"^offloading (?P<count>\d+) repeating layers to GPU$",
        fields={"count": int},
        seen="llama.cpp, Jun 2023 on", example="load_tensors: offloading 80 repeating layers to GPU",
        gives={"count": 80},
    ),
    rule(
        "layers.offloading_output", r"^offloading output layer to (?P<device>GPU|CPU)$",
        fields={"device": str},
        seen="llama.cpp, 2023 and Dec 2024 on", example="load_tensors: offloading output layer to GPU",
        gives={"device": "GPU"},
    ),
    rule(
        "layers.offloading_output", r"^offloading non-repeating layers to (?P<device>GPU)$",
        fields={"device": str},
        seen="llama.cpp, Jun 2023-Dec 2024, and ik_llama.cpp",
        example="llm_load_tensors: offloading non-repeating layers to GPU",
        gives={"device": "GPU"},
    ),
    rule(
        "layers.offloading_kv", r"^offloading (?P<which>[kv]) cache to GPU$",
        fields={"which": str},
        seen="llama.cpp 2023", example="llm_load_tensors: offloading v cache to GPU",
        gives={"which": "v"},
    ),
    rule(
        "layers.kv_not_offloaded", r"^cannot offload (?P<which>[kv]) cache to GPU due to low VRAM option$",
        fields={"which": str},
        seen="llama.cpp 2023", example="llm_load_tensors: cannot offload k cache to GPU due to low VRAM option",
        gives={"which": "k"},
    ),
    rule(
        "layers.assigned",
        r"^layer +(?P<layer>\d+) assigned to device (?P<device>\S+?),? is_swa = (?P<sliding>[01])$",
        fields={"layer": int, "device": str, "sliding": flag},
        seen="llama.cpp, debug level, May 2025 on",
        example="load_tensors: layer   0 assigned to device CUDA0, is_swa = 0",
        gives={"layer": 0, "device": "CUDA0", "sliding": False},
    ),
    rule(
        "layers.assigned", r"^layer +(?P<layer>\d+) assigned to device (?P<device>[^\s,]+)$",
        fields={"layer": int, "device": str},
        seen="llama.cpp, debug level, Jan-May 2025", example="load_tensors: layer   0 assigned to device CUDA0",
        gives={"layer": 0, "device": "CUDA0"},
    ),
    rule(
        "layers.assigned",
        r"^Setting (?P<what>layer|default device in layer) (?P<layer>\d+) to(?: device)? (?P<device>\d+)$",
        fields={"what": str, "layer": int, "device": int},
        seen="ik_llama.cpp 2026", example="Setting default device in layer 3 to 1",
        gives={"what": "default device in layer", "layer": 3, "device": 1},
    ),
    rule(
        "weights.buffer", r"^(?P<device>\S{1,80}(?: \S{1,80}){0,12}) +model buffer size += +(?P<size>\d+\.\d+) MiB$",
        fields={"device": str, "size": mib},
        seen="llama.cpp, Nov 2024 on", example="load_tensors:        CUDA0 model buffer size = 20038.81 MiB",
        gives={"device": "CUDA0", "size": mib("20038.81")},
    ),
    rule(
        "weights.buffer",
        r"^(?P<device>(?:(?! (?:model|KV|RS|compute|output|input|state|shadow) ).)*\S(?<! model)(?<!"
        r" KV)(?<! RS)(?<! compute)(?<! output)(?<! input)(?<! backend)(?<! state)) +buffer size +="
        r" +(?P<size>\d+\.\d+) MiB$",
        fields={"device": str, "size": mib},
        seen="llama.cpp, Jan-Nov 2024, and ik_llama.cpp",
        example="llm_load_tensors:      CUDA0 buffer size =  3847.55 MiB",
        gives={"device": "CUDA0", "size": mib("3847.55")},
    ),
    rule(
        "weights.ram", r"^mem required += +(?P<size>\d+\.\d+) MB(?: \(\+ +(?P<state>\d+\.\d+) MB per state\))?$",
        fields={"size": old_mb, "state": old_mb},
        seen="llama.cpp 2023 (its MB were MiB)", example="llm_load_tensors: mem required  = 3891.24 MB",
        gives={"size": old_mb("3891.24")},
    ),
    rule(
        "weights.ram", r"^system memory used += +(?P<size>\d+\.\d+) MiB$",
        fields={"size": mib},
        seen="llama.cpp, Nov 2023-Jan 2024", example="llm_load_tensors: system memory used  = 1254.30 MiB",
        gives={"size": mib("1254.30")},
    ),
    rule(
        "weights.ram", r"^mem required += +(?P<size>\d+\.\d+) MiB$",
        fields={"size": mib},
        seen="llama.cpp, Nov-Dec 2023", example="llm_load_tensors: mem required  = 3891.35 MiB",
        gives={"size": mib("3891.35")},
    ),
    rule(
        "weights.vram", r"^VRAM used: +(?P<size>\d+\.\d+) MB$",
        fields={"size": old_mb},
        seen="llama.cpp, Sep-Nov 2023 (its MB were MiB)", example="llm_load_tensors: VRAM used: 4444.84 MB",
        gives={"size": old_mb("4444.84")},
    ),
    rule(
        "weights.vram", r"^VRAM used +[=:] +(?P<size>\d+\.\d+) MiB$",
        fields={"size": mib},
        seen="llama.cpp, Nov 2023-Jan 2024", example="llm_load_tensors: VRAM used           = 3577.55 MiB",
        gives={"size": mib("3577.55")},
    ),
    rule(
        "weights.vram_total",
        r"^total VRAM used: (?P<size>\d+(?:\.\d+)?) (?:MB|MiB)(?: \(model: (?P<weights>\d+\.\d+)"
        r" (?:MB|MiB), context: (?P<context>\d+\.\d+) (?:MB|MiB)\))?$",
        fields={"size": mib, "weights": mib, "context": mib},
        seen="llama.cpp 2023",
        example="llama_new_context_with_model: total VRAM used: 4783.45 MiB (model: 4444.95 MiB, context: 338.50 MiB)",
        gives={"size": mib("4783.45"), "weights": mib("4444.95"), "context": mib("338.50")},
    ),
    rule(
        "weights.vram_scratch", r"^VRAM scratch buffer: (?P<size>\d+\.\d+) (?:MB|MiB)$",
        fields={"size": mib},
        seen="llama.cpp, Oct 2023-Jan 2024", example="llama_new_context_with_model: VRAM scratch buffer: 70.50 MiB",
        gives={"size": mib("70.50")},
    ),
    rule(
        "weights.vram_scratch",
        r"^allocating batch_size x \((?P<each_kb>\d+) kB \+ n_ctx x (?P<each_context>\d+) B\) ="
        r" (?P<size>\d+) MB VRAM for the scratch buffer$",
        fields={"each_kb": int, "each_context": int, "size": old_mb},
        seen="llama.cpp 2023",
        example=(
            "llama_model_load_internal: allocating batch_size x (512 kB + n_ctx x 128 B) = 288 MB VRAM for "
            "the scratch buffer"
        ),
        gives={"each_kb": 512, "each_context": 128, "size": old_mb("288")},
    ),
    rule(
        "weights.vram_scratch", r"^not allocating a VRAM scratch buffer due to low VRAM option$",
        seen="llama.cpp 2023",
        example="llama_model_load_internal: not allocating a VRAM scratch buffer due to low VRAM option",
    ),
    rule(
        "weights.context_object", r"^ggml ctx size = +(?P<size>\d+\.\d+) (?:MB|MiB)$",
        fields={"size": mib},
        seen="llama.cpp 2023-2024, and ik_llama.cpp", example="llm_load_tensors: ggml ctx size =    0.27 MiB",
        gives={"size": mib("0.27")},
    ),
    rule(
        "tensors.loading", r"^loading model tensors, this can take a while\.\.\. \(mmap = (?P<mmap>true|false)\)$",
        fields={"mmap": flag},
        seen="llama.cpp, Feb-Dec 2025",
        example="load_tensors: loading model tensors, this can take a while... (mmap = true)",
        gives={"mmap": True},
    ),
    rule(
        "tensors.loading",
        r"^loading model tensors, this can take a while\.\.\. \(mmap = (?P<mmap>true|false), direct_io ="
        r" (?P<direct_io>true|false)\)$",
        fields={"mmap": flag, "direct_io": flag},
        seen="llama.cpp, Dec 2025-2026",
        example="load_tensors: loading model tensors, this can take a while... (mmap = true, direct_io = false)",
        gives={"mmap": True, "direct_io": False},
    ),
    rule(
        "tensors.loading", r"^loading model tensors, this can take a while\.\.\. \(load_mode = (?P<mode>\w+)\)$",
        fields={"mode": str},
        seen="llama.cpp, 2026",
        example="load_tensors: loading model tensors, this can take a while... (load_mode = none)",
        gives={"mode": "none"},
    ),
    rule(
        "tensors.upload", r"^no device found for buffer type (?P<type>\S+) for async uploads$",
        seen="llama.cpp, debug level, Oct 2024 on",
        example="load_all_data: no device found for buffer type CPU for async uploads",
    ),
    rule(
        "tensors.upload", r"^(?:using async uploads for device|buffer type|device) .+$",
        function="load_all_data",
        seen="llama.cpp, debug level, Oct 2024 on",
        example="load_all_data: using async uploads for device CUDA0, buffer type CUDA0, backend CUDA0",
    ),
    rule(
        "load.direct_io",
        r"^Failed to open file '(?P<path>[^']+)' with error: (?P<error>.+)\. Falling back to buffered I/O$",
        fields={"path": str, "error": str},
        seen="llama.cpp, Dec 2025 on",
        example="Failed to open file '/models/a.gguf' with error: Invalid argument. Falling back to buffered I/O",
        gives={"path": "/models/a.gguf", "error": "Invalid argument"},
    ),
    rule(
        "load.direct_io", r"^Falling back to buffered IO due to (?P<error>.+)$",
        fields={"error": str},
        seen="llama.cpp, Jan 2026 on", example="read_raw: Falling back to buffered IO due to short read",
        gives={"error": "short read"},
    ),
    rule(
        "load.prefetch", r"^enabling prefetch for '(?P<device>.+)'$",
        fields={"device": str},
        seen="llama.cpp, 2026", example="load_tensors: enabling prefetch for 'CPU'",
        gives={"device": "CPU"},
    ),
    rule(
        "memory.mlock_failed",
        r"^failed to (?P<call>mlock|VirtualLock) (?P<size>\d+)-byte buffer \(after previously locking"
        r" (?P<locked>\d+) bytes\): (?P<error>.+)$",
        fields={"call": str, "size": size, "locked": size, "error": str},
        seen="llama.cpp, 2023 on",
        example="warning: failed to mlock 4661211136-byte buffer (after previously locking 0 bytes): Cannot allocate memory",
        gives={"call": "mlock", "size": size("4661211136"), "locked": size("0"), "error": "Cannot allocate memory"},
    ),
    rule(
        "memory.mlock_hint", r"^Try increasing RLIMIT_MEMLOCK \('ulimit -l' as root\)\.?$",
        seen="llama.cpp, 2023 on", example="Try increasing RLIMIT_MEMLOCK ('ulimit -l' as root).",
    ),
    rule(
        "load.mapping_failed",
        r"^(?P<call>munmap|posix_madvise\(.+\)|posix_fadvise\(.+\)|madvise\(\w+\)|PrefetchVirtualMemory|Un"
        r"mapViewOfFile|CloseHandle|GetProcessWorkingSetSize|SetProcessWorkingSetSize) failed:"
        r" (?P<error>.+)$",
        fields={"call": str, "error": str},
        seen="llama.cpp, 2023 on", example="warning: munmap failed: Invalid argument",
        gives={"call": "munmap", "error": "Invalid argument"},
    ),
    rule(
        "memory.mlock_failed", r"^mlock (?:not supported on this system|unavailable)$",
        seen="llama.cpp, 2023 on", example="warning: mlock not supported on this system",
    ),
    rule(
        "load.numa", r"^/proc/sys/kernel/numa_balancing is enabled, this has been observed to impair performance$",
        seen="llama.cpp, Aug 2023 on",
        example="WARNING: /proc/sys/kernel/numa_balancing is enabled, this has been observed to impair performance",
    ),
)  # fmt: skip
