"""What ExLlamaV2, ExLlamaV3 and torch beneath them print."""

from __future__ import annotations

from vramctl.logs.rule import Rule, rule
from vramctl.logs.values import size

RULES: tuple[Rule, ...] = (
    rule(
        "model.loading", r"^(?:\| \w+ +\| )?Loading model: (?P<path>.+)$",
        fields={"path": str},
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 INFO:     Loading model: /models/Llama-3.1-70B-exl2-4.0bpw",
        gives={"path": "/models/Llama-3.1-70B-exl2-4.0bpw"},
    ),
    rule(
        "model.loading_draft", r"^(?:\| \w+ +\| )?(?:Loading|Using) draft model: (?P<path>.+)$",
        fields={"path": str},
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 INFO:     Loading draft model: /models/Qwen2.5-0.5B-exl2",
        gives={"path": "/models/Qwen2.5-0.5B-exl2"},
    ),
    rule(
        "fit.split", r"^(?:\| \w+ +\| )?Loading with (?P<how>autosplit)$",
        fields={"how": str},
        seen="TabbyAPI 2024-2026", example="2025-06-15 12:34:56.789 INFO:     Loading with autosplit",
        gives={"how": "autosplit"},
    ),
    rule(
        "fit.split", r"^(?:\| \w+ +\| )?Loading with (?P<how>tensor parallel)$",
        fields={"how": str},
        seen="TabbyAPI 2024-2026", example="2025-06-15 12:34:56.789 INFO:     Loading with tensor parallel",
        gives={"how": "tensor parallel"},
    ),
    rule(
        "fit.split", r"^(?:\| \w+ +\| )?Loading with a (?P<how>manual GPU split) \(or a one GPU setup\)$",
        fields={"how": str},
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 INFO:     Loading with a manual GPU split (or a one GPU setup)",
        gives={"how": "manual GPU split"},
    ),
    rule(
        "fit.split", r"^(?:\| \w+ +\| )?Disabling GPU split because one GPU is in use\.$",
        seen="TabbyAPI 2024-2026",
        example="2025-06-15 12:34:56.789 INFO:     Disabling GPU split because one GPU is in use.",
    ),
    rule(
        "flash.unsupported",
        r"^(?:\| \w+ +\| )?(?:## Warning: )?Flash Attention is installed but unsupported GPUs were detected\.$",
        seen="exllamav2 0.1-0.3",
        example=" ## Warning: Flash Attention is installed but unsupported GPUs were detected.",
    ),
    rule(
        "flash.unsupported",
        r"^(?:\| \w+ +\| )?(?:\w+: )?Paged attention required Flash Attention (?P<version>[\d.]+) or later$",
        fields={"version": str},
        seen="exllamav2 0.1-0.3", example="AssertionError: Paged attention required Flash Attention 2.5.7 or later",
        gives={"version": "2.5.7"},
    ),
    rule(
        "flash.unsupported",
        r"^(?:\| \w+ +\| )?(?:\w+: )?Paged mode requires flash-attn, but flash-attn is disabled in model config\.$",
        seen="exllamav2 0.1-0.3",
        example="AssertionError: Paged mode requires flash-attn, but flash-attn is disabled in model config.",
    ),
    rule(
        "flash.unsupported",
        r"^An unsupported GPU is found in this configuration\. Switching to compatibility mode\.$",
        seen="TabbyAPI 2024-2025",
        example=(
            "2025-06-15 12:34:56.789 WARNING:  An unsupported GPU is found in this configuration. Switching "
            "to compatibility mode. "
        ),
    ),
    rule(
        "flash.unsupported", r"^This disables parallel batching and features that rely on it \(ex\. CFG\)\.$",
        seen="TabbyAPI 2024-2025",
        example="2025-06-15 12:34:56.789 WARNING:  This disables parallel batching and features that rely on it (ex. CFG). ",
    ),
    rule(
        "flash.unsupported",
        r"^To disable compatability mode, all GPUs must be ampere \(30 series\) or newer\. AMD GPUs are not"
        r" supported\.$",
        seen="TabbyAPI 2024-2025",
        example=(
            "2025-06-15 12:34:56.789 WARNING:  To disable compatability mode, all GPUs must be ampere (30 "
            "series) or newer. AMD GPUs are not supported."
        ),
    ),
    rule(
        "memory.alloc_failed",
        r"^(?:\| \w+ +\| )?(?:RuntimeError: )?Insufficient VRAM (?P<where>for|in split for) model and cache$",
        fields={"where": str},
        seen="exllamav2, exllamav3", example="RuntimeError: Insufficient VRAM in split for model and cache",
        gives={"where": "in split for"},
    ),
    rule(
        "memory.alloc_failed", r"^(?:\| \w+ +\| )?(?:AssertionError: )?Insufficient space in device allocation$",
        seen="exllamav2 0.1-0.3", example="AssertionError: Insufficient space in device allocation",
    ),
    rule(
        "memory.alloc_failed",
        r"^(?:\| \w+ +\| )?(?:torch\.(?:cuda\.)?OutOfMemoryError: )?(?P<library>CUDA|HIP) out of memory\."
        r" Tried to allocate (?P<size>\d+(?:\.\d+)? [KMGT]iB)\. GPU (?P<device>\d+) has a total capacity of"
        r" (?P<total>\d+(?:\.\d+)? [KMGT]iB) of which (?P<free>\d+(?:\.\d+)? (?:[KMGT]iB|bytes)) is"
        r" free\..*$",
        fields={"library": str, "size": size, "device": int, "total": size, "free": size},
        seen="torch 2.1 on",
        example=(
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 256.00 MiB. GPU 0 has a total "
            "capacity of 23.69 GiB of which 123.88 MiB is free. Including non-PyTorch memory, this process "
            "has 23.56 GiB memory in use."
        ),
        gives={
            "library": "CUDA", "size": size("256.00 MiB"), "device": 0, "total": size("23.69 GiB"),
            "free": size("123.88 MiB"),
        },
    ),
    rule(
        "memory.alloc_failed",
        r"^(?:\| \w+ +\| )?(?:torch\.(?:cuda\.)?OutOfMemoryError: )?(?P<library>CUDA|HIP) out of memory\."
        r" Tried to allocate (?P<size>\d+(?:\.\d+)? [KMGT]iB) \(GPU (?P<device>\d+);"
        r" (?P<total>\d+(?:\.\d+)? [KMGT]iB) total capacity; .+$",
        fields={"library": str, "size": size, "device": int, "total": size},
        seen="torch to 2.0",
        example=(
            "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 256.00 MiB (GPU 0; 23.69 "
            "GiB total capacity; 22.50 GiB already allocated; 100.00 MiB free; 23.00 GiB reserved in total "
            "by PyTorch)"
        ),
        gives={"library": "CUDA", "size": size("256.00 MiB"), "device": 0, "total": size("23.69 GiB")},
    ),
    rule(
        "cuda.error",
        r"^(?:\| \w+ +\| )?(?:RuntimeError|torch\.AcceleratorError|AcceleratorError): (?P<library>CUDA|HIP)"
        r" error: (?P<error>.+)$",
        fields={"library": str, "error": str},
        seen="torch", example="torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
        gives={"library": "CUDA", "error": "an illegal memory access was encountered"},
    ),
    rule(
        "gpu.not_compiled",
        r"^(?:\| \w+ +\| )?(?:## Warning: )?The installed version of PyTorch is (?P<version>\S+) and does"
        r" not support CUDA or ROCm\.$",
        fields={"version": str},
        seen="exllamav2 0.1-0.3",
        example=" ## Warning: The installed version of PyTorch is 2.6.0+cpu and does not support CUDA or ROCm.",
        gives={"version": "2.6.0+cpu"},
    ),
    rule(
        "gpu.not_compiled", r"^(?:\| \w+ +\| )?(?:AssertionError: )?Torch not compiled with CUDA enabled$",
        seen="torch", example="AssertionError: Torch not compiled with CUDA enabled",
    ),
    rule(
        "gpu.none", r"^(?:\| \w+ +\| )?(?:RuntimeError: )?No CUDA GPUs are available$",
        seen="torch", example="RuntimeError: No CUDA GPUs are available",
    ),
    rule(
        "gpu.none",
        r"^(?:\| \w+ +\| )?(?:RuntimeError: )?No (?:CUDA|ROCm) device is visible to (?:determine the"
        r" architectures to )?build .+$",
        seen="exllamav3",
        example=(
            "RuntimeError: No CUDA device is visible to determine the architectures to build exllamav3_ext "
            "for. Set TORCH_CUDA_ARCH_LIST to the target architectures"
        ),
    ),
    rule(
        "gpu.init_failed",
        r"^(?:\| \w+ +\| )?(?:RuntimeError: )?Found no NVIDIA driver on your system\. (?P<error>.+)$",
        fields={"error": str},
        seen="torch",
        example=(
            "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU "
            "and installed a driver from http://www.nvidia.com/Download/index.aspx"
        ),
        gives={
            "error": "Please check that you have an NVIDIA GPU and installed a driver from http://www.nvidia.com/Download/index.aspx",
        },
    ),
    rule(
        "gpu.arch_not_built",
        r"^(?:\| \w+ +\| )?(?P<name>.+) with CUDA capability (?P<arch>sm_\d+) is not compatible with the"
        r" current PyTorch installation\.$",
        fields={"name": str, "arch": str},
        seen="torch",
        example="NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch installation.",
        gives={"name": "NVIDIA GeForce RTX 5090", "arch": "sm_120"},
    ),
    rule(
        "gpu.unsupported",
        r"^(?:\| \w+ +\| )?(?:RuntimeError: )?Device (?P<index>\d+) \((?P<name>.+), (?P<arch>gfx\w+)\)"
        r" executes (?P<wave>\d+)-wide wavefronts\. exllamav3 on ROCm supports wave32 \(RDNA\) GPUs only\.$",
        fields={"index": int, "name": str, "arch": str, "wave": int},
        seen="exllamav3",
        example=(
            "RuntimeError: Device 0 (AMD Radeon VII, gfx906) executes 64-wide wavefronts. exllamav3 on ROCm "
            "supports wave32 (RDNA) GPUs only."
        ),
        gives={"index": 0, "name": "AMD Radeon VII", "arch": "gfx906", "wave": 64},
    ),
    rule(
        "gpu.peer_copy_corrupt",
        r"^(?:\| \w+ +\| )?!! Direct copies between (?P<first>\S+) and (?P<second>\S+) corrupt data"
        r" \((?P<direction>\S*)\); routing them through system memory.*$",
        fields={"first": str, "second": str, "direction": str},
        seen="exllamav3",
        example=(
            " !! Direct copies between cuda:0 and cuda:1 corrupt data (-><-); routing them through system "
            "memory (see EXLLAMA_NO_P2P_COPY)"
        ),
        gives={"first": "cuda:0", "second": "cuda:1", "direction": "-><-"},
    ),
    rule(
        "extension.building", r"^(?:\| \w+ +\| )?(?:-- )?Loading exllamav2_ext extension \(JIT\)\.\.\.$",
        seen="exllamav2 0.1-0.3", example="Loading exllamav2_ext extension (JIT)...",
    ),
    rule(
        "extension.missing",
        r"^(?:\| \w+ +\| )?(?:(?:ModuleNotFoundError|ImportError): )?No module named"
        r" '(?P<module>exllamav[23]\w*|flash_attn\w*|torch|llama_cpp|triton)'$",
        fields={"module": str},
        seen="Python", example="ModuleNotFoundError: No module named 'flash_attn'",
        gives={"module": "flash_attn"},
    ),
    rule(
        "extension.missing",
        r"^(?:\| \w+ +\| )?(?:ImportError: )?(?P<module>\S+\.(?:so|pyd)\S*): undefined symbol: (?P<symbol>\S+)$",
        fields={"module": str, "symbol": str},
        seen="Python",
        example=(
            "ImportError: /venv/lib/python3.11/site-packages/exllamav2_ext.cpython-311-x86_64-linux-gnu.so: "
            "undefined symbol: _ZN3c106detail14torchCheckFailE"
        ),
        gives={
            "module": "/venv/lib/python3.11/site-packages/exllamav2_ext.cpython-311-x86_64-linux-gnu.so",
            "symbol": "_ZN3c106detail14torchCheckFailE",
        },
    ),
    rule(
        "extension.missing",
        r"^(?:\| \w+ +\| )?(?:ImportError: )?DLL load failed while importing (?P<module>\S+): (?P<error>.+)$",
        fields={"module": str, "error": str},
        seen="Python on Windows",
        example="ImportError: DLL load failed while importing exllamav2_ext: The specified module could not be found.",
        gives={"module": "exllamav2_ext", "error": "The specified module could not be found."},
    ),
    rule(
        "model.loading", r"^-- Model: (?P<path>.+)$",
        fields={"path": str},
        seen="exllamav2 0.1-0.3", example=" -- Model: /models/Llama-3-8B-exl2",
        gives={"path": "/models/Llama-3-8B-exl2"},
    ),
    rule(
        "model.loading_options", r"^-- Options: (?P<value>.+)$",
        fields={"value": str},
        seen="exllamav2 0.1-0.3", example=" -- Options: ['gpu_split: auto', 'length: 8192']",
        gives={"value": "['gpu_split: auto', 'length: 8192']"},
    ),
    rule(
        "model.loading_step", r"^-- (?P<what>Loading model|Loading tokenizer|Loading draft model)\.\.\.$",
        seen="exllamav2 0.1-0.3", example=" -- Loading model...",
    ),
    rule(
        "timing.load", r"^-- Loaded model in (?P<seconds>\d+\.\d+) seconds$",
        fields={"seconds": float},
        seen="exllamav2 0.1-0.3", example=" -- Loaded model in 8.1234 seconds",
        gives={"seconds": 8.1234},
    ),
    rule(
        "model.load_failed", r"^## Error: (?P<error>.+)$",
        fields={"error": str},
        seen="exllamav2 0.1-0.3", example=" ## Error: Too many entries in gpu_split. 2 CUDA devices are available.",
        gives={"error": "Too many entries in gpu_split. 2 CUDA devices are available."},
    ),
    rule(
        "model.load_failed",
        r"^(?:\| \w+ +\| )?(?:ValueError: )?Models quantized with '(?P<type>[^']+)' require the exllamav2"
        r" backend, which is no longer supported\. Please use an exl3 or unquantized model\.$",
        fields={"type": str},
        seen="TabbyAPI 2026",
        example=(
            "2025-06-15 12:34:56.789 ERROR:    ValueError: Models quantized with 'exl2' require the "
            "exllamav2 backend, which is no longer supported. Please use an exl3 or unquantized model."
        ),
        gives={"type": "exl2"},
    ),
    rule(
        "tensors.offloaded", r"^-- CPU-offloaded experts(?: \(worker\))?: (?P<tensor>\S+)$",
        fields={"tensor": str},
        seen="exllamav3", example=" -- CPU-offloaded experts (worker): model.layers.12.mlp",
        gives={"tensor": "model.layers.12.mlp"},
    ),
)  # fmt: skip
