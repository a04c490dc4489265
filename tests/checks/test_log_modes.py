"""Every failure mode that a log can show, in the words of the engines' sources, era by era: the check speaks with its id."""

# ruff: noqa: E501
from __future__ import annotations

import pytest

from log_cases import HEALTHY, UP_TO_COMPUTE
from vramctl.checks.log_findings import findings
from vramctl.logs.assemble import assemble
from vramctl.logs.decode import decode
from vramctl.records.finding import INFO, Finding

# Ollama's server before a model is loaded, by era; the CPU is all it has found.
CPU_2024 = (
    'time=2024-11-02T10:00:01.000Z level=INFO source=routes.go:1189 msg="Listening on 127.0.0.1:11434 (version 0.3.14)"\n'
    'time=2024-11-02T10:00:01.000Z level=INFO source=gpu.go:221 msg="looking for compatible GPUs"\n'
    "{}"
    'time=2024-11-02T10:00:02.000Z level=INFO source=gpu.go:384 msg="no compatible GPUs were discovered"\n'
    'time=2024-11-02T10:00:02.000Z level=INFO source=types.go:123 msg="inference compute" id=0 library=cpu variant=avx2 '
    'compute="" driver=0.0 name="" total="31.2 GiB" available="28.0 GiB"\n'
)
CPU_2026 = (
    'time=2026-09-02T16:51:59.000Z level=INFO source=routes.go:2290 msg="Listening on 127.0.0.1:11434 (version 0.32.15)"\n'
    'time=2026-09-02T16:51:59.000Z level=INFO source=runner.go:67 msg="discovering available GPUs..."\n'
    "{}"
    'time=2026-09-02T16:52:00.000Z level=INFO source=types.go:60 msg="inference compute" id=cpu library=cpu compute="" '
    'name=cpu description=cpu libdirs=ollama driver="" pci_id="" type="" total="31.2 GiB" available="28.0 GiB"\n'
)
GPU_2025 = (
    'time=2025-07-30T10:36:51.000Z level=INFO source=types.go:130 msg="inference compute" id=GPU-72c4 library=cuda variant=v12 '
    'compute=8.6 driver=12.4 name="NVIDIA GeForce RTX 3060" total="11.8 GiB" available="11.6 GiB"\n'
)
OFFLOAD_2025 = (
    "time=2025-07-30T10:37:00.000Z level=INFO source=server.go:175 msg=offload library=cuda layers.requested={} "
    'layers.model=33 layers.offload={} layers.split="" memory.available="[11.6 GiB]" memory.gpu_overhead="0 B" '
    'memory.required.full="5.8 GiB" memory.required.partial="5.8 GiB" memory.required.kv="1.0 GiB" '
    'memory.required.allocations="[5.8 GiB]" memory.weights.total="4.1 GiB" memory.weights.repeating="3.7 GiB" '
    'memory.weights.nonrepeating="411.0 MiB" memory.graph.full="560.0 MiB" memory.graph.partial="677.5 MiB"\n'
    'time=2025-07-30T10:37:00.100Z level=INFO source=server.go:438 msg="starting llama server" cmd="/usr/bin/ollama runner '
    '--model /m/blobs/sha256-aabbccddeeff --ctx-size 8192 --batch-size 512 --n-gpu-layers {} --threads 6 --parallel 1 --port 1"\n'
)
LOAD_FAILED = (
    'time=2025-07-30T10:37:03.000Z level=INFO source=sched.go:455 msg="Load failed" model=/m/blobs/sha256-aabbccddeeff '
    'error="llama runner process has terminated: {}"\n'
)
WARN = 'time=2024-11-02T10:00:01.500Z level={} source={} msg="{}"\n'
CUDA_INIT = "ggml_cuda_init: failed to initialize CUDA: {}\n"
RUN_ON_CPU = (
    "load_tensors:          CPU model buffer size =  4437.80 MiB\n"
    "llama_context: n_ctx         = 4096\n"
    "llama_kv_cache:        CPU KV buffer size =   512.00 MiB\n"
)
NVIDIA_BUILD = (
    'time=2026-09-02T16:51:59.900Z level=WARN source=cuda_compat.go:80 msg="NVIDIA driver too old" '
    'device="NVIDIA GeForce RTX 3060" compute=8.6 driver=546 required_driver="550 or newer"\n'
)
LOADED = HEALTHY.replace(
    "print_info: file size", "system_info: n_threads = {} (n_threads_batch = {}) / 16 | {} | \nprint_info: file size"
)

CASES: list[tuple[str, str]] = [
    # Kernel and driver.
    ("gpu-fell-off-bus", HEALTHY + "May 01 10:00:00 pc kernel: NVRM: Xid (PCI:0000:06:00): 79, pid=12, GPU has fallen off the bus.\n"
     "CUDA error: unspecified launch failure\n"),
    ("gpu-fell-off-bus", "[ 1234.567890] NVRM: GPU 0000:06:00.0: GPU has fallen off the bus.\n"),
    ("gpu-init-failed-bar", "May 01 10:00:00 pc kernel: NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x26:0x56:1463)\n"
     + CPU_2024.format("")),
    ("gpu-init-failed-bar", "[    5.123456] NVRM: This PCI I/O region assigned to your NVIDIA device is invalid:\n"),
    ("legacy-gpu-dropped-by-driver", "[    5.123456] NVRM: NVIDIA 580.xx Legacy drivers. Please visit\n" + CPU_2024.format("")),
    ("open-kernel-module-required", "[    5.1] NVRM: installed in this system requires use of the NVIDIA open kernel modules.\n"),
    ("xid-errors", HEALTHY + "May 01 10:00:00 pc kernel: NVRM: Xid (PCI:0000:01:00): 31, pid=4711, name=llama-server, MMU Fault\n"),
    ("xid-errors", HEALTHY + "CUDA error: unspecified launch failure\n  current device: 0, in function ggml_backend_cuda_synchronize"
     " at /src/ggml-cuda.cu:2400\n"),
    ("ecc-pending", HEALTHY + "CUDA error: uncorrectable ECC error encountered\n"),
    ("fabric-manager-not-running", CUDA_INIT.format("system not yet initialized") + RUN_ON_CPU),
    ("fabric-manager-not-running", CPU_2024.format(WARN.format("INFO", "gpu.go:615",
     "Unable to load cudart library /usr/lib/libcuda.so.1: cuda driver library init failure: 802"))),
    ("kernel-module-not-loaded", CPU_2024.format(WARN.format("INFO", "gpu.go:282",
     "Unable to load CUDA management library /usr/lib/libnvidia-ml.so: nvml vram init failure: 9"))),
    ("kernel-module-not-loaded", "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that "
     "the latest NVIDIA driver is installed and running.\n" + CPU_2024.format("")),
    ("driver-library-version-mismatch", CPU_2024.format(WARN.format("WARN", "gpu.go:602",
     "version mismatch between driver and cuda driver library - reboot or upgrade may be required: library /usr/lib/libcuda.so.535"))),
    ("driver-library-version-mismatch", "Failed to initialize NVML: Driver/library version mismatch\n" + CPU_2024.format("")),
    ("driver-library-version-mismatch", CUDA_INIT.format("forward compatibility was attempted on non supported HW") + RUN_ON_CPU),
    ("driver-not-installed", ("RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and "
     "installed a driver from http://www.nvidia.com/Download/index.aspx\n")),
    ("container-toolkit-missing", 'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].\n'),
    ("container-gpu-not-passed", "WARNING: The NVIDIA Driver was not detected.  GPU functionality will not be available.\n"),
    ("container-gpu-not-passed", "".join("ollama-1  | " + line + "\n" for line in CPU_2024.format(WARN.format("INFO", "gpu.go:605",
     "no nvidia devices detected by library /usr/lib/libcuda.so.535")).splitlines())),
    ("container-cgroup-loss", GPU_2025 + "Failed to initialize NVML: Unknown Error\n"),
    ("wsl-driver-problem", "Failed to initialize NVML: GPU access blocked by the operating system\n" + CPU_2024.format("")),
    ("uvm-broken-after-suspend", "May 01 09:00:00 pc kernel: PM: suspend exit\n" + CPU_2024.format(WARN.format("WARN", "gpu.go:608",
     "unknown error initializing cuda driver library /usr/lib/libcuda.so.535: cuda driver library init failure: 999. see "
     "https://github.com/ollama/ollama/blob/main/docs/troubleshooting.md for more information"))),
    ("nvidia-uvm-missing", CUDA_INIT.format("unknown error") + RUN_ON_CPU),
    ("nvidia-uvm-missing", CPU_2024.format(WARN.format("WARN", "gpu.go:608",
     "unknown error initializing cuda driver library /usr/lib/libcuda.so.535: cuda driver library init failure: 999. see "
     "https://github.com/ollama/ollama/blob/main/docs/troubleshooting.md for more information"))),
    ("uvm-hmm-init-error", CUDA_INIT.format("initialization error") + RUN_ON_CPU),
    ("uvm-hmm-init-error", CPU_2024.format(WARN.format("INFO", "gpu.go:615",
     "Unable to load cudart library /usr/lib/libcuda.so.1: cuda driver library init failure: 3"))),
    ("compute-mode-exclusive", CUDA_INIT.format("all CUDA-capable devices are busy or unavailable") + RUN_ON_CPU),
    ("compute-mode-exclusive", HEALTHY + "CUDA error: CUDA-capable device(s) is/are busy or unavailable\n"),
    ("vgpu-compute-or-licence", CUDA_INIT.format("operation not supported") + RUN_ON_CPU),
    ("cuda13-windows-null-error", CUDA_INIT.format("(null)") + RUN_ON_CPU),
    ("driver-too-old-for-cuda", CUDA_INIT.format("CUDA driver version is insufficient for CUDA runtime version") + RUN_ON_CPU),
    ("driver-too-old-for-cuda", CPU_2024.format(WARN.format("INFO", "gpu.go:580",
     "Unable to load cudart library /usr/lib/libcudart.so.12: cudart init failure: 35"))),
    ("cuda-compat-on-unsupported-gpu", "".join("app-1  | " + line + "\n" for line in (CUDA_INIT.format(
     "system has unsupported display driver / cuda driver combination") + RUN_ON_CPU).splitlines())),
    ("libcuda-not-found-or-stub", ("./llama-cli: error while loading shared libraries: libcuda.so.1: cannot open shared object "
     "file: No such file or directory\n")),
    ("libcuda-not-found-or-stub", CUDA_INIT.format("CUDA driver is a stub library") + RUN_ON_CPU),
    ("visible-devices-hides-gpu", CUDA_INIT.format("no CUDA-capable device is detected") + RUN_ON_CPU),
    ("visible-devices-hides-gpu", CPU_2026.format(WARN.format("WARN", "runner.go:485", "user overrode visible devices")
     .replace('devices"', 'devices" CUDA_VISIBLE_DEVICES=-1'))),
    ("ollama-driver-filter", CPU_2026.format(NVIDIA_BUILD)),
    ("ollama-driver-filter", CPU_2026.format(WARN.format("INFO", "cuda_compat.go:120",
     "skipping CUDA device — compute capability not in compiled architectures").replace('ures"', 'ures" device="Tesla K80" compute=3.7'))),
    ("rocm-driver-too-old", CPU_2026.format(WARN.format("WARN", "amd.go:50",
     "AMD driver is too old. Update your AMD driver to enable GPU inference."))),
    ("rocm-permissions", CPU_2024.format(WARN.format("ERROR", "amd_linux.go:404",
     "amdgpu devices detected but permission problems block access: failed to check permission on /dev/kfd: open /dev/kfd: "
     "permission denied"))),
    ("rocm-permissions", "Unable to open /dev/kfd read-write: Permission denied\n" + RUN_ON_CPU),
    ("rocm-permissions", "ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected\n" + RUN_ON_CPU),
    ("rocm-unsupported-gfx", CPU_2024.format(WARN.format("WARN", "amd_linux.go:378", "amdgpu is not supported")
     .replace('ported"', 'ported" gpu=0 gpu_type=gfx1036 library=/opt/rocm/lib supported_types="[gfx1030 gfx1100]"'))),
    ("rocm-unsupported-gfx", CPU_2024.format(WARN.format("WARN", "amd_linux.go:280", "amdgpu too old gfx803"))),
    ("rocm-unsupported-gfx", CPU_2026.format(WARN.format("WARN", "amd.go:90",
     "dropping ROCm device — no rocblas support for gfx target").replace('target"', 'target" gfx_target=gfx1103 device=ROCm0'))),
    ("rocm-unsupported-gfx", ("rocBLAS error: Cannot read /opt/rocm/lib/rocblas/library/TensileLibrary.dat: Illegal seek for GPU "
     "arch : gfx1031\nAborted (core dumped)\n")),
    ("distro-package-without-cuda", CPU_2024.format(WARN.format("WARN", "amd_linux.go:443",
     "amdgpu detected, but no compatible rocm library found.  Either install rocm v6, or follow manual install instructions at "
     "https://github.com/ollama/ollama/blob/main/docs/linux.md#manual-install"))),
    # Libraries and build.
    ("cuda-runtime-libs-missing-linux", ("RuntimeError: Failed to load shared library '/v/llama_cpp/lib/libllama.so': "
     "libcublas.so.12: cannot open shared object file: No such file or directory\n")),
    ("cuda-runtime-libs-missing-linux", "OSError: libcudart.so.12: cannot open shared object file: No such file or directory\n"),
    ("intel-oneapi-env", "./main: error while loading shared libraries: libsvml.so: cannot open shared object file: No such file\n"),
    ("glibc-or-libstdcxx-too-old", ("./llama-server: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by "
     "./llama-server)\n")),
    ("apple-x86-python", ("OSError: dlopen(/v/libllama.dylib, 0x0006): tried: '/v/libllama.dylib' (mach-o file, but is an "
     "incompatible architecture (have 'x86_64', need 'arm64'))\n")),
    ("windows-cuda-dll-missing", ("FileNotFoundError: Could not find module 'C:\\v\\llama_cpp\\lib\\llama.dll' (or one of its "
     "dependencies). Try using the full path with constructor syntax.\n")),
    ("windows-cuda-dll-missing", ("ImportError: DLL load failed while importing exllamav2_ext: The specified module could not be "
     "found.\n")),
    ("ggml-backend-api-mismatch", "load_backend: failed to initialize backend from C:\\llama\\ggml-cuda.dll: incompatible API "
     "version (backend: 1, current: 2)\n" + RUN_ON_CPU),
    ("ggml-dll-conflict-in-path", CPU_2026.format(WARN.format("WARN", "runner.go:120",
     "potentially incompatible library detected in PATH").replace('PATH"', 'PATH" location="C:\\\\other\\\\ggml-base.dll"'))),
    ("ggml-cuda-backend-not-loaded", "load_backend: failed to load /app/libggml-cuda.so: libcublas.so.12: cannot open shared "
     "object file: No such file or directory\nload_backend: loaded CPU backend from /app/libggml-cpu-haswell.so\n" + RUN_ON_CPU),
    ("cpu-only-llama-cpp-python", "warning: no usable GPU found, --gpu-layers option will be ignored\n" + RUN_ON_CPU),
    ("cpu-only-llama-cpp-python", "warning: not compiled with GPU offload support, --gpu-layers option will be ignored\n"
     + RUN_ON_CPU),
    ("cpu-illegal-instruction", ("build: 4000 (abcdef12) with cc (GCC) 13.2.0 for x86_64-linux-gnu\nIllegal instruction (core "
     "dumped)\n")),
    ("cpu-illegal-instruction", CPU_2024.format("") + LOAD_FAILED.format("exit status 0xc000001d")),
    ("gpu-arch-not-in-build", HEALTHY + "/src/ggml-cuda.cu:6122: ERROR: CUDA kernel mul_mat_q has no device code compatible with "
     "CUDA arch 520. ggml-cuda.cu was compiled for: 600,700\n"),
    ("gpu-arch-not-in-build", CPU_2024.format(WARN.format("INFO", "gpu.go:320",
     "[0] CUDA GPU is too old. Compute Capability detected: 3.5"))),
    ("ptx-newer-than-driver", HEALTHY + "CUDA error: the provided PTX was compiled with an unsupported toolchain.\n"),
    ("debug-build", HEALTHY.replace("main: server", "build: 4000 (abcdef12) with cc (GCC) 13.2.0 for x86_64-linux-gnu (debug)\nmain: server")),
    # ExLlama.
    ("torch-cpu-only", "AssertionError: Torch not compiled with CUDA enabled\n"),
    ("torch-arch-unsupported", ("NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch "
     "installation.\ntorch.AcceleratorError: CUDA error: no kernel image is available for execution on the device\n")),
    ("exllama-jit-no-nvcc", ("Loading exllamav2_ext extension (JIT)...\nOSError: CUDA_HOME environment variable is not set. Please "
     "set it to your CUDA install root.\n")),
    ("exllama-jit-msvc", (" !! Unable to find cl.exe; compilation will probably fail\nsubprocess.CalledProcessError: Command "
     "'['ninja', '-v']' returned non-zero exit status 1.\n")),
    ("exllama-torch-cuda-mismatch", ("RuntimeError: The detected CUDA version (11.8) mismatches the version that was used to "
     "compile PyTorch (12.1). Please make sure to use the same CUDA versions.\n")),
    ("exllamav2-hidden-importerror", "NameError: name 'exllamav2_ext' is not defined\n"),
    ("flash-attn-missing", "AssertionError: Paged attention required Flash Attention 2.5.7 or later\n"),
    ("flash-attn-abi-mismatch", "ImportError: /v/flash_attn_2_cuda.cpython-311-x86_64-linux-gnu.so: undefined symbol: _ZN3c105E\n"),
    ("flash-attn-pre-ampere", "RuntimeError: FlashAttention only supports Ampere GPUs or newer.\n"),
    ("exllama-insufficient-vram", ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 256.00 MiB. GPU 0 has a total "
     "capacity of 23.69 GiB of which 123.88 MiB is free. Including non-PyTorch memory, this process has 23.56 GiB in use.\n")),
    ("exllama-insufficient-vram", "RuntimeError: Insufficient VRAM in split for model and cache\n"),
    # Configuration.
    ("ollama-llm-library-override", 'time=2025-07-30T10:36:50.000Z level=INFO source=routes.go:1238 msg="server config" env="map['
     'OLLAMA_DEBUG:INFO OLLAMA_LLM_LIBRARY:cpu_avx2 OLLAMA_NUM_PARALLEL:0]"\n' + CPU_2024.format("")),
    ("ollama-igpu-dropped", CPU_2026.format(WARN.format("INFO", "runner.go:300",
     "dropping integrated GPU; to enable, set OLLAMA_IGPU_ENABLE=1").replace('=1"', '=1" id=0 library=Vulkan name=Vulkan0'))),
    ("ollama-discovery-timeout", CPU_2026.format(WARN.format("WARN", "runner.go:430",
     "llama-server GPU discovery watchdog timed out"))),
    ("ollama-discovery-timeout", CPU_2026.format(WARN.format("WARN", "llama_server.go:130",
     "llama-server discovery: timed out waiting for server startup"))),
    ("ollama-discovery-timeout", CPU_2026.format(WARN.format("INFO", "runner.go:464", "failure during GPU discovery")
     .replace('very"', 'very" error="failed to finish discovery before timeout"'))),
    ("ollama-no-gpu-found", CPU_2024.format("")),
    ("ollama-no-gpu-found", CPU_2026.format("")),
    ("vulkan-software-renderer", HEALTHY.replace("ggml_cuda_init: found 1 CUDA devices:\n  Device 0: NVIDIA GeForce RTX 3060, "
     "compute capability 8.6, VMM: yes", "ggml_vulkan: Found 1 Vulkan devices:\nggml_vulkan: 0 = llvmpipe (LLVM 15.0.7, 256 bits) "
     "(llvmpipe) | uma: 0 | fp16: 1 | warp size: 8 | shared memory: 32768 | int dot: 0 | matrix cores: none")
     .replace("CUDA0 (NVIDIA GeForce RTX 3060)", "Vulkan0 (llvmpipe (LLVM 15.0.7, 256 bits))").replace("CUDA0", "Vulkan0")),
    ("ollama-wrong-instance", "Error: listen tcp 127.0.0.1:11434: bind: address already in use\n"),
    ("port-in-use", HEALTHY.replace("main: server", "error: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080\nmain: server")),
    ("quantized-v-needs-flash-attn", UP_TO_COMPUTE + "llama_init_from_model: quantized V cache requires flash_attn to be enabled\n"
     "ValueError: Failed to create llama_context\n"),
    ("quantized-v-needs-flash-attn", UP_TO_COMPUTE + "llama_new_context_with_model: V cache quantization requires flash_attn\n"),
    ("quantized-kv-no-kernel", HEALTHY + "ggml_cuda_flash_attn_ext: no FlashAttention vector kernel compiled for K/V types "
     'q5_1-q5_1, converting K and V to f16 instead (slow). Add "q5_1-q5_1" to GGML_CUDA_FA_QUANTS to compile it.\n'),
    ("quantized-kv-no-kernel", HEALTHY + "Unsupported KV type combination for head_size 128.\nBy default only f16 KV cache is "
     "supported.\nCompile with GGML_CUDA_FA_ALL_QUANTS for V cache quantization support.\n/src/ggml-cuda/fattn-common.cuh:580: "
     "fatal error\n"),
    ("ollama-kv-type-without-fa", GPU_2025 + WARN.format("WARN", "server.go:225",
     "quantized kv cache requested but flash attention disabled").replace('abled"', 'abled" type=q8_0')),
    ("ollama-num-gpu-forced", GPU_2025 + OFFLOAD_2025.format(10, 10, 10) + "llm_load_tensors: offloaded 10/33 layers to GPU\n"
     "llm_load_tensors:        CPU buffer size =  2900.00 MiB\nllm_load_tensors:      CUDA0 buffer size =  1255.00 MiB\n"),
    ("ollama-num-gpu-forced", GPU_2025 + OFFLOAD_2025.format(999, 33, 33) + "ggml_backend_cuda_buffer_type_alloc_buffer: allocating "
     "9000.00 MiB on device 0: cudaMalloc failed: out of memory\n" + LOAD_FAILED.format("cudaMalloc failed: out of memory")),
    ("flash-attn-disabled", HEALTHY.replace("main: server", "llama_context: layer 0 is assigned to device CUDA0 but Flash Attention "
     "is assigned to device CPU (usually due to missing support)\nmain: server")),
    ("load-error-hidden", ("Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n"
     "ValueError: Failed to load model from file: /models/a.gguf\n")),
    # Memory and crashes.
    ("ollama-runner-crash", GPU_2025 + OFFLOAD_2025.format(-1, 33, 33) + LOAD_FAILED.format("exit status 2")),
    ("ollama-runner-crash", GPU_2025 + OFFLOAD_2025.format(-1, 33, 33) + LOAD_FAILED.format("exit status 0xc0000005")),
    ("ollama-runner-crash", GPU_2025 + OFFLOAD_2025.format(-1, 33, 33) + LOAD_FAILED.format("cudaMalloc failed: out of memory")),
    ("ollama-load-timeout", GPU_2025 + OFFLOAD_2025.format(-1, 33, 33) + 'time=2025-07-30T10:42:00.000Z level=ERROR '
     'source=sched.go:455 msg="error loading llama server" error="timed out waiting for llama runner to start - progress 0.43 - "\n'),
    ("host-oom-kill", GPU_2025 + OFFLOAD_2025.format(-1, 33, 33) + LOAD_FAILED.format("signal: killed")),
    ("host-oom-kill", HEALTHY + "[123456.789012] Out of memory: Killed process 4711 (llama-server) total-vm:41943040kB, "
     "anon-rss:31457280kB, file-rss:0kB\n"),
    ("host-oom-kill", HEALTHY + "Killed\n"),
    ("host-oom-kill", HEALTHY + "./run.sh: line 12:  4711 Killed                  ./llama-server -m a.gguf\n"),
    ("host-oom-kill", GPU_2025 + "May 01 10:00:00 pc systemd[1]: ollama.service: A process of this unit has been killed by the OOM "
     "killer.\nMay 01 10:00:00 pc systemd[1]: ollama.service: Failed with result 'oom-kill'.\n"),
    ("host-oom-kill", UP_TO_COMPUTE + "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 42949672960\n"
     "llama_model_load: error loading model: unable to allocate CPU buffer\n"),
    ("kv-cache-evicts-layers", UP_TO_COMPUTE.replace("llama_kv_cache_unified:      CUDA0 KV buffer size =  1024.00 MiB\n", "")
     + "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 16384.00 MiB on device 0: cudaMalloc failed: out of memory\n"
     "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache\n"),
    ("vram-held-by-other", UP_TO_COMPUTE.replace("VMM: yes", "VMM: yes, VRAM: 12288 MiB").replace("11500 MiB free", "3000 MiB free")
     .replace("n_ctx         = 8192", "n_ctx         = 2048").replace("1024.00", " 256.00")
     + "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 300.00 MiB on device 0: cudaMalloc failed: out of memory\n"
     "ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size 314572800\n"),
    ("gpu-hang", HEALTHY + "May 01 10:00:00 pc kernel: amdgpu 0000:c4:00.0: amdgpu: ring gfx_0.0.0 timeout, signaled seq=18, "
     "emitted seq=20\nMay 01 10:00:00 pc kernel: amdgpu 0000:c4:00.0: amdgpu: MODE2 reset\n"),
    ("context-full", HEALTHY + "srv    send_error: task id = 0, error: request (9375 tokens) exceeds the available context size "
     "(8192 tokens), try increasing it\n"),
    ("gpu-hang", HEALTHY.replace("CUDA", "ROCm") + "ROCm error: unspecified launch failure\n  current device: -1, in function "
     "ggml_backend_cuda_synchronize at /src/ggml-cuda.cu:2543\n"),
    ("visible-devices-hides-gpu", "ggml_init_cublas: no CUDA devices found, CUDA will be disabled\n" + RUN_ON_CPU),
    ("ollama-runner-crash", GPU_2025 + 'time=2026-09-02T16:53:40.000Z level=WARN source=sched.go:900 msg="runtime OOM detected; '
     'expiring loaded models to clear memory before next request" model=/m/sha256-aa error="CUDA error: out of memory"\n'),
    # It runs, and slower than it could.
    ("parallel-multiplies-kv", GPU_2025 + OFFLOAD_2025.format(-1, 25, 25).replace("[11.6 GiB]", "[6.9 GiB]").replace('"1.0 GiB"', '"4.0 GiB"')
     .replace('full="5.8 GiB"', 'full="8.8 GiB"').replace("--parallel 1", "--parallel 4").replace("--ctx-size 8192", "--ctx-size 32768")
     + "llm_load_tensors: offloaded 25/33 layers to GPU\nllm_load_tensors:        CPU buffer size =  1200.00 MiB\n"
     "llm_load_tensors:      CUDA0 buffer size =  3000.00 MiB\n"),
    ("requests-queue", GPU_2025 + '[GIN] 2025/07/30 - 10:37:03 | 503 |     120.5µs |       127.0.0.1 | POST     "/api/chat"\n'),
    ("cpu-build-without-avx2", "system_info: n_threads = 8 (n_threads_batch = 8) / 16 | AVX = 1 | AVX_VNNI = 0 | AVX2 = 0 | FMA = 0 "
     "| NEON = 0 | F16C = 0 | SSE3 = 1 | \n" + RUN_ON_CPU),
    ("threads-oversubscribed", "system_info: n_threads = 64 (n_threads_batch = 64) / 16 | AVX = 1 | AVX2 = 1 | FMA = 1 | SSE3 = 1 | \n"
     + RUN_ON_CPU),
    ("mlock-limit", HEALTHY.replace("main: server", "warning: failed to mlock 4437221376-byte buffer (after previously locking 0 "
     "bytes): Cannot allocate memory\nTry increasing RLIMIT_MEMLOCK ('ulimit -l' as root).\nmain: server")),
    ("vram-not-released", GPU_2025 + 'time=2025-07-30T10:50:00.000Z level=WARN source=sched.go:687 msg="gpu VRAM usage didn\'t '
     'recover within timeout" seconds=5.12 model=/m/blobs/sha256-aabb\n'),
]  # fmt: skip

NOTES: list[tuple[str, str]] = [
    ("cpu-only-llama-cpp-python", RUN_ON_CPU + "AVX = 1 | AVX2 = 1 | FMA = 1 | NEON = 0 | F16C = 1 | BLAS = 0 | SSE3 = 1 | VSX = 0 |\n"),
    ("numa-placement", "WARNING: /proc/sys/kernel/numa_balancing is enabled, this has been observed to impair performance\n" + RUN_ON_CPU),
    ("no-tensor-cores", HEALTHY.replace("llama_model_load_from", "The following devices will have suboptimal performance due to a "
     "lack of tensor cores:\nllama_model_load_from", 1)),
]  # fmt: skip


def of(text: str) -> tuple[Finding, ...]:
    return findings(assemble(decode(text.splitlines())))


@pytest.mark.parametrize(("name", "text"), CASES, ids=[f"{name}-{number}" for number, (name, _) in enumerate(CASES)])
def test_the_mode_is_the_first_finding(name: str, text: str) -> None:
    found = of(text)
    assert [one.id for one in found[:1]] == [name], [(one.id, one.what) for one in found]
    assert found[0].severity != INFO and found[0].lines and found[0].fix


@pytest.mark.parametrize(("name", "text"), NOTES, ids=[name for name, _ in NOTES])
def test_what_only_may_cost_speed_is_a_note(name: str, text: str) -> None:
    found = of(text)
    assert [(one.id, one.severity) for one in found] == [(name, INFO)]
