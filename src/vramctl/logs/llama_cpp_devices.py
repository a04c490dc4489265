"""What llama.cpp prints about devices: CUDA, ROCm, Vulkan, and which are used."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import flag, mib, size

RULES: tuple[Rule, ...] = (
    rule(
        "gpu.no_tensor_cores", r"^The following devices will have suboptimal performance due to a lack of tensor cores:$",
        seen="llama.cpp, 2025 on",
        example="The following devices will have suboptimal performance due to a lack of tensor cores:",
    ),
    rule(
        "gpu.no_tensor_cores_hint",
        r"^Consider compiling with CMAKE_CUDA_ARCHITECTURES=.{1,80} to force the use of the Pascal code for Turing\.$",
        seen="llama.cpp, 2025 on",
        example=(
            "Consider compiling with CMAKE_CUDA_ARCHITECTURES=61-virtual;80-virtual and DGGML_CUDA_FORCE_MMQ to "
            "force the use of the Pascal code for Turing."
        ),
    ),
    rule(
        "cuda.found", r"^found (?P<count>\d+) (?P<library>CUDA|ROCm|MUSA) devices:$",
        fields={"count": int, "library": str},
        seen="llama.cpp, Jan 2024 on", example="ggml_cuda_init: found 2 CUDA devices:",
        gives={"count": 2, "library": "CUDA"},
    ),
    rule(
        "cuda.found",
        r"^found (?P<count>\d+) (?P<library>CUDA|ROCm|MUSA) devices \(Total VRAM: (?P<total>\d+) MiB\):$",
        fields={"count": int, "library": str, "total": mib},
        seen="llama.cpp, 2026", example="ggml_cuda_init: found 2 CUDA devices (Total VRAM: 48232 MiB):",
        gives={"count": 2, "library": "CUDA", "total": mib("48232")},
    ),
    rule(
        "sycl.found", r"^found (?P<count>\d+) (?P<library>SYCL|OpenCL) devices?:?$",
        fields={"count": int, "library": str},
        seen="llama.cpp, Jan 2024 on", example="found 2 SYCL devices:",
        gives={"count": 2, "library": "SYCL"},
    ),
    rule(
        "vulkan.found", r"^Found (?P<count>\d+) (?P<library>Vulkan) devices:$",
        fields={"count": int, "library": str},
        seen="llama.cpp, 2024 on", example="ggml_vulkan: Found 1 Vulkan devices:",
        gives={"count": 1, "library": "Vulkan"},
    ),
    rule(
        "cuda.device", r"^Device (?P<index>\d+): (?P<name>.+), compute capability (?P<compute>\d+\.\d+)$",
        fields={"index": int, "name": str, "compute": str},
        seen="llama.cpp 2023", example="  Device 0: Tesla P40, compute capability 6.1",
        gives={"index": 0, "name": "Tesla P40", "compute": "6.1"},
    ),
    rule(
        "cuda.device",
        r"^Device (?P<index>\d+): (?P<name>.+), compute capability (?P<compute>\d+\.\d+), VMM: (?P<vmm>yes|no)$",
        fields={"index": int, "name": str, "compute": str, "vmm": flag},
        seen="llama.cpp, Jan 2024 on",
        example="  Device 1: NVIDIA GeForce RTX 4090, compute capability 8.9, VMM: yes",
        gives={"index": 1, "name": "NVIDIA GeForce RTX 4090", "compute": "8.9", "vmm": True},
    ),
    rule(
        "cuda.device",
        r"^Device (?P<index>\d+): (?P<name>.+), compute capability (?P<compute>\d+\.\d+), VMM:"
        r" (?P<vmm>yes|no), ID: (?P<id>\S+)$",
        fields={"index": int, "name": str, "compute": str, "vmm": flag, "id": str},
        seen="llama.cpp in Ollama 0.11.5-0.24.0",
        example="  Device 0: NVIDIA L40S, compute capability 8.9, VMM: yes, ID: GPU-05589cd8-b6d1-316d-b2dd-ebfc6237db1b",
        gives={
            "index": 0, "name": "NVIDIA L40S", "compute": "8.9", "vmm": True,
            "id": "GPU-05589cd8-b6d1-316d-b2dd-ebfc6237db1b",
        },
    ),
    rule(
        "cuda.device",
        r"^Device (?P<index>\d+): (?P<name>.+), compute capability (?P<compute>\d+\.\d+), VMM:"
        r" (?P<vmm>yes|no), VRAM: (?P<total>\d+) MiB$",
        fields={"index": int, "name": str, "compute": str, "vmm": flag, "total": mib},
        seen="llama.cpp and ik_llama.cpp, 2026",
        example="  Device 0: NVIDIA GeForce RTX 3060, compute capability 8.6, VMM: yes, VRAM: 12053 MiB",
        gives={"index": 0, "name": "NVIDIA GeForce RTX 3060", "compute": "8.6", "vmm": True, "total": mib("12053")},
    ),
    rule(
        "cuda.device",
        r"^Device (?P<index>\d+): (?P<name>.+), (?P<compute>gfx\w+) \(0x[0-9a-f]+\), VMM: (?P<vmm>yes|no),"
        r" Wave Size: (?P<wave>\d+)$",
        fields={"index": int, "name": str, "compute": str, "vmm": flag, "wave": int},
        seen="llama.cpp with ROCm, 2025 on",
        example="  Device 0: Radeon 8060S Graphics, gfx1151 (0x1151), VMM: no, Wave Size: 32",
        gives={"index": 0, "name": "Radeon 8060S Graphics", "compute": "gfx1151", "vmm": False, "wave": 32},
    ),
    rule(
        "cuda.device",
        r"^Device (?P<index>\d+): (?P<name>.+), (?P<compute>gfx\w+) \(0x[0-9a-f]+\), VMM: (?P<vmm>yes|no),"
        r" Wave Size: (?P<wave>\d+), ID: (?P<id>\S+)$",
        fields={"index": int, "name": str, "compute": str, "vmm": flag, "wave": int, "id": str},
        seen="llama.cpp with ROCm in Ollama 0.11.5-0.24.0",
        example="  Device 0: AMD Radeon Graphics, gfx1151 (0x1151), VMM: no, Wave Size: 32, ID: 0",
        gives={"index": 0, "name": "AMD Radeon Graphics", "compute": "gfx1151", "vmm": False, "wave": 32, "id": "0"},
    ),
    rule(
        "cuda.device",
        r"^Device (?P<index>\d+): (?P<name>.+), (?P<compute>gfx\w+) \(0x[0-9a-f]+\), VMM: (?P<vmm>yes|no),"
        r" Wave Size: (?P<wave>\d+), VRAM: (?P<total>\d+) MiB$",
        fields={"index": int, "name": str, "compute": str, "vmm": flag, "wave": int, "total": mib},
        seen="llama.cpp with ROCm, 2026",
        example="  Device 0: Radeon RX 7900 XTX, gfx1100 (0x1100), VMM: no, Wave Size: 32, VRAM: 24560 MiB",
        gives={
            "index": 0, "name": "Radeon RX 7900 XTX", "compute": "gfx1100", "vmm": False, "wave": 32,
            "total": mib("24560"),
        },
    ),
    rule(
        "vulkan.device",
        r"^(?P<index>\d+) = (?P<name>.+) \((?P<driver>[^()]*)\) \| uma: (?P<uma>[01]) \| fp16: (?P<fp16>\w+)"
        r"(?: \| bf16: (?P<bf16>[01]))?(?: \| fp4: (?P<fp4>[01]))? \| warp size: (?P<wave>\d+)"
        r"(?: \| shared memory: (?P<shared>\d+))?(?: \| int dot: (?P<int_dot>[01]))?(?: \| matrix cores: (?P<matrix>.+))?$",
        fields={
            "index": int, "name": str, "driver": str, "uma": flag, "fp16": flag, "bf16": flag, "fp4": flag,
            "wave": int, "shared": int, "int_dot": flag, "matrix": str,
        },
        seen="llama.cpp with Vulkan, Oct 2024 on: more columns with every year",
        example=(
            "ggml_vulkan: 0 = Radeon 8060S Graphics (RADV GFX1151) (radv) | uma: 1 | fp16: 1 | bf16: 0 | "
            "warp size: 64 | shared memory: 65536 | int dot: 1 | matrix cores: KHR_coopmat"
        ),
        gives={
            "index": 0, "name": "Radeon 8060S Graphics (RADV GFX1151)", "driver": "radv", "uma": True, "fp16": True,
            "bf16": False, "wave": 64, "shared": 65536, "int_dot": True, "matrix": "KHR_coopmat",
        },
    ),
    rule(
        "vulkan.device",
        r"^(?P<name>.+) \((?P<driver>[^()]*)\) \| uma: (?P<uma>[01]) \| fp16: (?P<fp16>[01]) \| warp size:"
        r" (?P<wave>\d+)$",
        fields={"name": str, "driver": str, "uma": flag, "fp16": flag, "wave": int},
        function=("Vulkan0", "Vulkan1", "Vulkan2", "Vulkan3", "Vulkan4", "Vulkan5", "Vulkan6", "Vulkan7"),
        seen="llama.cpp and ik_llama.cpp with Vulkan, 2024",
        example="Vulkan0: AMD Radeon RX 7900 XTX (RADV NAVI31) (radv) | uma: 0 | fp16: 1 | warp size: 64",
        gives={
            "name": "AMD Radeon RX 7900 XTX (RADV NAVI31)", "driver": "radv", "uma": False, "fp16": True,
            "wave": 64,
        },
    ),
    rule(
        "device.used",
        r"^using device (?P<device>\S+) \((?P<name>(?:(?!\) \((?:[0-9a-fA-F]{4,8}:|unknown id)).)+)\) -"
        r" (?P<free>\d+) MiB free$",
        fields={"device": str, "name": str, "free": mib},
        seen="llama.cpp, Oct 2024-Oct 2025",
        example="llama_model_load_from_file_impl: using device CUDA0 (NVIDIA GeForce RTX 4090) - 9862 MiB free",
        gives={"device": "CUDA0", "name": "NVIDIA GeForce RTX 4090", "free": mib("9862")},
    ),
    rule(
        "device.used",
        r"^using device (?P<device>\S+) \((?P<name>.+)\) \((?P<pci>[0-9a-fA-F]{4,8}:[0-9a-fA-F:.]+|unknown"
        r" id)\) - (?P<free>\d+) MiB free$",
        fields={"device": str, "name": str, "pci": str, "free": mib},
        seen="llama.cpp, Oct 2025 on",
        example="llama_model_load_from_file_impl: using device CUDA0 (NVIDIA L40S) (0000:e1:00.0) - 45456 MiB free",
        gives={"device": "CUDA0", "name": "NVIDIA L40S", "pci": "0000:e1:00.0", "free": mib("45456")},
    ),
    rule(
        "device.used", r"^using device (?P<device>\S+) - (?P<free>\d+) MiB free$",
        fields={"device": str, "free": mib},
        seen="ik_llama.cpp 2026", example="CUDA0: using device CUDA0 - 23698 MiB free",
        gives={"device": "CUDA0", "free": mib("23698")},
    ),
    rule(
        "gpu.main", r"^[Uu]sing device (?P<index>\d+) \((?P<name>.+)\) as main device$",
        fields={"index": int, "name": str},
        seen="llama.cpp 2023",
        example="ggml_cuda_set_main_device: using device 0 (NVIDIA GeForce RTX 3090) as main device",
        gives={"index": 0, "name": "NVIDIA GeForce RTX 3090"},
    ),
    rule(
        "gpu.main_changed",
        r"^cannot set main_device=(?P<asked>\d+) because there are only (?P<count>\d+) devices\. Using"
        r" device (?P<index>\d+) instead\.$",
        fields={"asked": int, "count": int, "index": int},
        seen="llama.cpp 2023",
        example="warning: cannot set main_device=1 because there are only 1 devices. Using device 0 instead.",
        gives={"asked": 1, "count": 1, "index": 0},
    ),
    rule(
        "gpu.device_skipped",
        r"^skipping device (?P<device>\S+) \((?P<name>.{1,80})\) with id (?P<id>\S+) - already using device"
        r" (?P<used>\S+) \((?P<used_name>.{1,80})\) with the same id$",
        fields={"device": str, "name": str, "id": str, "used": str, "used_name": str},
        seen="llama.cpp, Oct 2025 on",
        example=(
            "llama_prepare_model_devices: skipping device Vulkan0 (NVIDIA L40S) with id 0000:e1:00.0 - "
            "already using device CUDA0 (NVIDIA L40S) with the same id"
        ),
        gives={
            "device": "Vulkan0", "name": "NVIDIA L40S", "id": "0000:e1:00.0", "used": "CUDA0",
            "used_name": "NVIDIA L40S",
        },
    ),
    rule(
        "gpu.memory_reported",
        r"^ggml_backend_cuda_device_get_memory device (?P<id>\S+) utilizing (?P<source>.+) memory reporting"
        r" free: (?P<free>\d+) total: (?P<total>\d+)$",
        fields={"id": str, "source": str, "free": size, "total": size},
        seen="llama.cpp in Ollama 0.12.4-0.24.0",
        example=(
            "ggml_backend_cuda_device_get_memory device GPU-08d291aa-c825-4655-f8fc-91b378636c10 utilizing "
            "NVML memory reporting free: 25185681408 total: 25769803776"
        ),
        gives={
            "id": "GPU-08d291aa-c825-4655-f8fc-91b378636c10", "source": "NVML", "free": size("25185681408"),
            "total": size("25769803776"),
        },
    ),
    rule(
        "gpu.memory_reported", r"^device (?P<device>\S+) did not report memory; --fit will not use it$",
        fields={"device": str},
        seen="llama.cpp, 2026",
        example="common_get_device_memory_data: device RPC0 did not report memory; --fit will not use it",
        gives={"device": "RPC0"},
    ),
    rule(
        "device.listed",
        r"^- (?P<device>[A-Z]\w*(?:\[[^\]]*\])?) *: (?P<name>.+) \((?P<total>\d+) MiB, (?P<free>\d+) MiB free\)$",
        fields={"device": str, "name": str, "total": mib, "free": mib},
        seen="llama.cpp, 2026",
        example="cmn  common_param:   - CUDA0   : NVIDIA GeForce RTX 3060 (12053 MiB, 11022 MiB free)",
        gives={"device": "CUDA0", "name": "NVIDIA GeForce RTX 3060", "total": mib("12053"), "free": mib("11022")},
    ),
    rule(
        "device.listed", r"^(?P<name>.+) \((?P<total>\d+) MiB, (?P<free>\d+) MiB free\)$",
        fields={"name": str, "total": mib, "free": mib},
        function=(
            "CUDA0", "CUDA1", "CUDA2", "CUDA3", "CUDA4", "CUDA5", "CUDA6", "CUDA7", "ROCm0", "ROCm1", "Vulkan0",
            "Vulkan1", "SYCL0", "SYCL1", "Metal", "MTL0", "CPU", "BLAS", "OpenCL0",
        ),
        seen="llama.cpp --list-devices, 2025 on",
        example="  CUDA0: NVIDIA GeForce RTX 3060 (12053 MiB, 11022 MiB free)",
        gives={"name": "NVIDIA GeForce RTX 3060", "total": mib("12053"), "free": mib("11022")},
    ),
    rule(
        "device.listing", r"^device_info:$",
        seen="llama.cpp, 2026", example="cmn  common_param: device_info:",
    ),
    rule(
        "device.listing", r"^Available devices:$",
        seen="llama.cpp --list-devices, 2025 on", example="Available devices:",
    ),
)  # fmt: skip
