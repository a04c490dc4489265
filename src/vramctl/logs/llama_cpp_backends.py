"""What llama.cpp prints about backends: loaded, missing, failed, and their settings."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import flag

RULES: tuple[Rule, ...] = (
    rule(
        "gpu.none", r"^no usable GPU found, --gpu-layers option will be ignored$",
        seen="llama.cpp, 2025 on", example="warning: no usable GPU found, --gpu-layers option will be ignored",
    ),
    rule(
        "gpu.not_compiled", r"^not compiled with GPU offload support, --(?:n-)?gpu-layers option will be ignored$",
        seen="llama.cpp 2023-2025 and ik_llama.cpp",
        example="warning: not compiled with GPU offload support, --gpu-layers option will be ignored",
    ),
    rule(
        "gpu.none_hint", r"^one possible reason is that llama\.cpp was compiled without GPU support$",
        seen="llama.cpp, 2025 on",
        example="warning: one possible reason is that llama.cpp was compiled without GPU support",
    ),
    rule(
        "gpu.none_hint", r"^consult docs/build\.md for compilation instructions$",
        seen="llama.cpp, 2025 on", example="warning: consult docs/build.md for compilation instructions",
    ),
    rule(
        "gpu.none_hint", r"^see main README\.md for information on enabling GPU BLAS support$",
        seen="llama.cpp 2023-2024 and ik_llama.cpp",
        example="warning: see main README.md for information on enabling GPU BLAS support",
    ),
    rule(
        "gpu.none_hint",
        r"^llama\.cpp was compiled without (?P<libraries>[\w/]+)\. (?P<effect>Setting (?:the|a) [\w ]+ has"
        r" no effect|It is not possible to set [\w ]+)\.$",
        fields={"libraries": str, "effect": str},
        seen="llama.cpp 2023-2024",
        example="warning: llama.cpp was compiled without CUDA/SYCL/Vulkan. Setting the main GPU has no effect.",
        gives={"libraries": "CUDA/SYCL/Vulkan", "effect": "Setting the main GPU has no effect"},
    ),
    rule(
        "gpu.none", r"^No devices found\.$",
        seen="llama.cpp with Vulkan or Kompute", example="ggml_vulkan: No devices found.",
    ),
    rule(
        "gpu.init_failed", r"^failed to initialize (?P<library>CUDA|ROCm|MUSA|SYCL|Vulkan|Metal|HIP): (?P<error>.+)$",
        fields={"library": str, "error": str},
        seen="llama.cpp, Apr 2024 on",
        example="ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected",
        gives={"library": "CUDA", "error": "no CUDA-capable device is detected"},
    ),
    rule(
        "gpu.init_failed", r"^no (?P<library>CUDA|ROCm|MUSA) devices found, (?P<error>.+)$",
        fields={"library": str, "error": str},
        seen="llama.cpp 2023-2024", example="ggml_init_cublas: no CUDA devices found, CUDA will be disabled",
        gives={"library": "CUDA", "error": "CUDA will be disabled"},
    ),
    rule(
        "gpu.init_failed", r"^failed to initialize (?P<backend>[A-Za-z]+[\d ]*)(?: for No\.\d+)? backend$",
        fields={"backend": str},
        seen="llama.cpp 2023-2025 and ik_llama.cpp",
        example="llama_new_context_with_model: failed to initialize CUDA0 backend",
        gives={"backend": "CUDA0"},
    ),
    rule(
        "gpu.invalid_main", r"^invalid value for main_gpu: (?P<index>-?\d+) \(available devices: (?P<count>\d+)\)$",
        fields={"index": int, "count": int},
        seen="llama.cpp, Oct 2024 on",
        example="llama_model_load_from_file_impl: invalid value for main_gpu: 1 (available devices: 1)",
        gives={"index": 1, "count": 1},
    ),
    rule(
        "gpu.setting",
        r"^(?P<name>GGML_CUDA_FORCE_MMQ|GGML_CUDA_FORCE_CUBLAS|CUDA_USE_TENSOR_CORES|GGML_SYCL_F16|GGML_SY"
        r"CL_FORCE_MMQ|SYCL_USE_XMX|GGML_CUDA_NO_PINNED)(?: \([^)]*\))?:\s+(?P<value>yes|no)$",
        fields={"name": str, "value": flag},
        function=(
            "ggml_cuda_init", "ggml_init_cublas", "ggml_sycl_init", "ggml_init_sycl", "ggml_check_sycl",
            "ggml_backend_sycl_print_sycl_devices",
        ),
        seen="llama.cpp 2023 on", example="ggml_cuda_init: GGML_CUDA_FORCE_MMQ:    no",
        gives={"name": "GGML_CUDA_FORCE_MMQ", "value": False},
    ),
    rule(
        "gpu.setting", r"^(?P<value>yes|no|\d+)$",
        fields={"value": str},
        function=(
            "GGML_SYCL_F16", "GGML_SYCL_DEBUG", "GGML_SYCL_FORCE_MMQ", "GGML_SYCL_DISABLE_OPT",
            "GGML_SYCL_DISABLE_GRAPH", "GGML_SYCL_DISABLE_DNN", "GGML_SYCL_DNN", "GGML_SYCL_PRIORITIZE_DMMV",
            "GGML_SYCL_FA_ONEDNN", "GGML_SYCL_GRAPH", "GGML_SYCL_SUPPORT_LEVEL_ZERO",
        ),
        seen="llama.cpp with SYCL", example="  GGML_SYCL_DEBUG: 0",
        gives={"value": "0"},
    ),
    rule(
        "backend.loaded", r"^loaded (?P<backend>\S+) backend from (?P<path>.+)$",
        fields={"backend": str, "path": str},
        seen="llama.cpp, Nov 2024 on",
        example="load_backend: loaded CUDA backend from /usr/lib/ollama/cuda_v13/libggml-cuda.so",
        gives={"backend": "CUDA", "path": "/usr/lib/ollama/cuda_v13/libggml-cuda.so"},
    ),
    rule(
        "backend.registered", r"^registered backend (?P<backend>\S+) \((?P<count>\d+) devices?\)$",
        fields={"backend": str, "count": int},
        seen="llama.cpp, Oct 2024 on (debug builds)", example="register_backend: registered backend CUDA (1 devices)",
        gives={"backend": "CUDA", "count": 1},
    ),
    rule(
        "backend.registered", r"^registered device (?P<device>\S+) \((?P<name>.+)\)$",
        fields={"device": str, "name": str},
        seen="llama.cpp, Oct 2024 on (debug builds)",
        example="register_device: registered device CUDA0 (NVIDIA GeForce RTX 3060)",
        gives={"device": "CUDA0", "name": "NVIDIA GeForce RTX 3060"},
    ),
    rule(
        "backend.load_failed", r"^failed to load (?P<path>\S+\.(?:so|dll|dylib)[\w.]*)(?:: (?P<error>.+))?$",
        fields={"path": str, "error": str},
        seen="llama.cpp, Nov 2024 on",
        example=(
            "load_backend: failed to load /app/libggml-cuda.so: libcudart.so.12: cannot open shared object "
            "file: No such file or directory"
        ),
        gives={
            "path": "/app/libggml-cuda.so",
            "error": "libcudart.so.12: cannot open shared object file: No such file or directory",
        },
    ),
    rule(
        "backend.load_failed", r"^failed to find (?P<symbol>ggml_backend_\w+) in (?P<path>.+)$",
        fields={"symbol": str, "path": str},
        seen="llama.cpp, Nov 2024 on",
        example="load_backend: failed to find ggml_backend_init in /app/libggml-cuda.so",
        gives={"symbol": "ggml_backend_init", "path": "/app/libggml-cuda.so"},
    ),
    rule(
        "backend.load_failed",
        r"^failed to initialize backend from (?P<path>.+): incompatible API version \(backend:"
        r" (?P<version>\d+), current: (?P<current>\d+)\)$",
        fields={"path": str, "version": int, "current": int},
        seen="llama.cpp, Nov 2024 on",
        example=(
            "load_backend: failed to initialize backend from C:\\llama\\ggml-cuda.dll: incompatible API "
            "version (backend: 1, current: 2)"
        ),
        gives={"path": "C:\\llama\\ggml-cuda.dll", "version": 1, "current": 2},
    ),
    rule(
        "backend.load_failed", r"^failed to initialize backend from (?P<path>.+): ggml_backend_init returned NULL$",
        fields={"path": str},
        seen="llama.cpp, Nov 2024 on",
        example="load_backend: failed to initialize backend from /app/libggml-vulkan.so: ggml_backend_init returned NULL",
        gives={"path": "/app/libggml-vulkan.so"},
    ),
    rule(
        "backend.load_failed", r"^backend (?P<path>.+) is not supported on this system$",
        fields={"path": str},
        seen="llama.cpp, Nov 2024 on",
        example="load_backend: backend /app/libggml-cpu-icelake.so is not supported on this system",
        gives={"path": "/app/libggml-cpu-icelake.so"},
    ),
    rule(
        "backend.none",
        r"^no backends are loaded\. hint: use ggml_backend_load\(\) or ggml_backend_load_all\(\) to load a"
        r" backend before calling this function$",
        seen="llama.cpp, 2025 on",
        example=(
            "llama_model_load_from_file_impl: no backends are loaded. hint: use ggml_backend_load() or "
            "ggml_backend_load_all() to load a backend before calling this function"
        ),
    ),
    rule(
        "backend.search", r"^search path (?P<path>.+) does not exist$",
        fields={"path": str},
        seen="llama.cpp, Nov 2024 on",
        example="ggml_backend_load_best: search path /usr/local/lib/llama does not exist",
        gives={"path": "/usr/local/lib/llama"},
    ),
    rule(
        "gpu.emulated",
        r"^emulating (?P<virtual>\d+) virtual device\(s\) on (?P<physical>\d+) physical device\(s\)"
        r" \(GGML_CUDA_DEVICES\)$",
        fields={"virtual": int, "physical": int},
        seen="llama.cpp, 2026",
        example="ggml_cuda_init: emulating 4 virtual device(s) on 1 physical device(s) (GGML_CUDA_DEVICES)",
        gives={"virtual": 4, "physical": 1},
    ),
    rule(
        "gpu.fa_arch", r"^ggml was not compiled with any CUDA arch <= (?P<arch>\d+)$",
        seen="llama.cpp, 2025 on", example="ggml was not compiled with any CUDA arch <= 520",
    ),
    rule(
        "gpu.clamped", r"^requested (?P<asked>\d+) devices, clamping to GGML_CUDA_MAX_DEVICES=(?P<count>\d+)$",
        fields={"asked": int, "count": int},
        seen="llama.cpp, 2026", example="ggml_cuda_init: requested 32 devices, clamping to GGML_CUDA_MAX_DEVICES=16",
        gives={"asked": 32, "count": 16},
    ),
    rule(
        "backend.accelerator", r"^using (?P<library>CUDA|Metal|OpenCL|MPS|BLAS|ROCm|Vulkan) for GPU acceleration$",
        fields={"library": str},
        seen="llama.cpp 2023", example="llm_load_tensors: using CUDA for GPU acceleration",
        gives={"library": "CUDA"},
    ),
    rule(
        "gpu.vulkan_unusable", r"^cannot use GPU (?P<index>\d+), check `vulkaninfo --summary`$",
        seen="llama.cpp 2024 with Kompute",
        example="llama_default_buffer_type_offload: cannot use GPU 0, check `vulkaninfo --summary`",
    ),
)  # fmt: skip
