"""Short logs that show one thing each, and a healthy one: lines as the engines print them."""

from __future__ import annotations

HEALTHY = """\
ggml_cuda_init: found 1 CUDA devices:
  Device 0: NVIDIA GeForce RTX 3060, compute capability 8.6, VMM: yes
llama_model_load_from_file_impl: using device CUDA0 (NVIDIA GeForce RTX 3060) - 11500 MiB free
llama_model_loader: loaded meta data with 26 key-value pairs and 291 tensors from a.gguf (version GGUF V3 (latest))
print_info: file size   = 4.33 GiB (5.13 BPW)
print_info: model params     = 7.25 B
load_tensors: loading model tensors, this can take a while... (mmap = true)
load_tensors: offloading 32 repeating layers to GPU
load_tensors: offloaded 33/33 layers to GPU
load_tensors:   CPU_Mapped model buffer size =   281.81 MiB
load_tensors:        CUDA0 model buffer size =  4155.99 MiB
llama_context: n_ctx         = 8192
llama_context: n_ubatch      = 512
llama_context: flash_attn    = 0
llama_kv_cache_unified:      CUDA0 KV buffer size =  1024.00 MiB
llama_context:      CUDA0 compute buffer size =   560.00 MiB
main: server is listening on http://127.0.0.1:8080 - starting the main loop
"""
PARTLY = (
    HEALTHY.replace("33/33", "20/33")
    .replace("  281.81", " 1800.00")
    .replace("4155.99", "2600.00")
    .replace(
        "CUDA0 KV buffer size =  1024.00 MiB",
        "CUDA0 KV buffer size =   640.00 MiB\nllama_kv_cache_unified:        CPU KV buffer size =   384.00 MiB",
    )
)
OUT_OF_MEMORY = """\
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 3480.01 MiB on device 0: cudaMalloc failed: out of memory
ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size 3649053696
llama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers
"""


def without(text: str, *beginnings: str) -> str:
    """The lines that begin with none of these."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(beginnings)) + "\n"


UP_TO_COMPUTE = without(HEALTHY, "llama_context:      CUDA0", "main:")
CASES = {
    "n-gpu-layers-zero": """\
llm_load_tensors: offloaded 0/33 layers to GPU
llm_load_tensors:        CPU buffer size =  8137.64 MiB
""",
    "one-layer-short": HEALTHY.replace("33/33", "32/33"),
    "offload-kqv-false": HEALTHY.replace("CUDA0 KV buffer", "  CPU KV buffer"),
    "partial-offload": PARTLY.replace("11500", "4000"),
    "out-of-memory": UP_TO_COMPUTE.replace("n_ctx         = 8192", "n_ctx         = 4096").replace("1024.00", " 512.00")
    + OUT_OF_MEMORY,
    "kv-cache-evicts-layers": UP_TO_COMPUTE.replace("n_ctx         = 8192", "n_ctx         = 65536").replace(
        "1024.00", "8192.00"
    )
    + "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 8192.00 MiB on device 0: cudaMalloc failed: out of memory\n",
    "multi-gpu-uneven": """\
llm_load_tensors: offloaded 95/95 layers to GPU
llm_load_tensors:        CPU buffer size = 89709.28 MiB
llm_load_tensors:      CUDA0 buffer size = 15831.98 MiB
llm_load_tensors:      CUDA1 buffer size =  3221.75 MiB
llama_new_context_with_model: n_ctx      = 8192
llama_new_context_with_model: pipeline parallelism enabled (n_copies=4)
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 360757.13 MiB on device 0: cudaMalloc failed: out of memory
""",
    "buffer-too-large-for-driver": """\
load_tensors: loading model tensors, this can take a while... (mmap = false)
ggml_vulkan: Device memory allocation of size 2819260416 failed.
ggml_vulkan: Requested buffer size exceeds device memory allocation limit: ErrorOutOfDeviceMemory
""",
    "gpu-arch-not-in-build": HEALTHY + "CUDA error: no kernel image is available for execution on the device\n",
    "xid-errors": HEALTHY + "CUDA error: an illegal memory access was encountered\n",
    "gpu-hang": HEALTHY + "HW Exception by GPU node-1 (Agent handle: 0x48fa1f0) reason :GPU Hang\n",
    "quantized-kv-no-kernel": HEALTHY + "/src/ggml-cuda/fattn.cu:66: fatal error\n",
    "engine-crash": HEALTHY + "/src/ggml/src/iqk/iqk_mul_mat.cpp:4065: GGML_ASSERT(nrc_x%8 == 0) failed\n",
    "context-full": HEALTHY
    + 'INFO [            update_slots] slot context shift | tid="1" timestamp=1 id_slot=0 id_task=0 n_keep=0 n_left=4095 '
    "n_discard=2047 n_ctx=4096 n_past=4095 n_system_tokens=0 n_cache_tokens=4095\n"
    "/src/ggml/src/ggml-cuda/rope.cu:370: GGML_ASSERT(src0->type == GGML_TYPE_F32) failed\n",
    "debug-build": HEALTHY + "ggml_backend_cuda_graph_compute: disabling CUDA graphs due to mul_mat_id\n",
    "engine-regression-after-update": """\
| model                          |       size |     params | backend    | ngl | fa |          test |                  t/s |
| qwen2 7B Q5_K - Medium         |   5.07 GiB |     7.62 B | CUDA       |  99 |  1 |         tg128 |          5.17 ± 0.03 |
build: b6d6c52 (1)
| qwen2 7B Q5_K - Medium         |   5.07 GiB |     7.62 B | ROCm       |  99 |  1 |         tg128 |         90.52 ± 0.20 |
build: 88540445 (3235)
""",
}
