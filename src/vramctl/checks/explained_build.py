"""Which findings on driver, libraries and builds are consequences of which others."""

from __future__ import annotations

_DRIVER = (
    "driver-library-version-mismatch", "cuda-compat-on-unsupported-gpu", "cuda13-windows-null-error", "driver-too-old-for-cuda",
)  # fmt: skip
_LOADING = (
    "cuda-path-dangling", "libcuda-not-found-or-stub", "windows-cuda13-bin-x64", "windows-cuda-dll-missing",
    "glibc-or-libstdcxx-too-old", "cuda-runtime-libs-missing-linux", "ggml-dll-conflict-in-path", "ggml-backend-api-mismatch",
)  # fmt: skip
# What keeps ExLlama from starting at all: what it would do after that is not to be told.
_NO_EXLLAMA = (
    "torch-cpu-only", "torch-arch-unsupported", "cuda13-build-on-old-gpu", "exllama-jit-msvc", "exllama-jit-no-nvcc",
    "exllama-torch-cuda-mismatch", "exllamav2-hidden-importerror", "flash-attn-4-breaks-exllamav2", "flash-attn-abi-mismatch",
)  # fmt: skip

EXPLAINED_BUILD: dict[str, tuple[str, ...]] = {
    "driver-too-old-for-cuda": ("cuda13-windows-null-error", "driver-library-version-mismatch"),
    "ptx-newer-than-driver": _DRIVER,
    "ollama-driver-filter": _DRIVER,
    "cuda-init-fails": (*_DRIVER, "ptx-newer-than-driver"),
    "windows-cuda-dll-missing": ("windows-cuda13-bin-x64", "cuda-path-dangling"),
    "cuda-runtime-libs-missing-linux": ("glibc-or-libstdcxx-too-old", "libcuda-not-found-or-stub"),
    "ggml-dll-conflict-in-path": ("cuda-runtime-libs-missing-linux",),
    "ggml-backend-api-mismatch": ("ggml-dll-conflict-in-path",),
    "ggml-cuda-backend-not-loaded": _LOADING,
    "ggml-cuda-init-failed": _LOADING,
    "engine-does-not-load": (*_LOADING, "ggml-cuda-backend-not-loaded", "two-cuda-toolkits-conflict"),
    "engine-does-not-answer": (*_LOADING, "engine-does-not-load"),
    "pip-cached-cpu-wheel": ("wrong-python-environment", "apple-x86-python"),
    "cpu-only-llama-cpp-python": ("pip-cached-cpu-wheel", "wrong-python-environment", "apple-x86-python"),
    "gpu-arch-not-in-build": ("cuda13-build-on-old-gpu",),
    "ptx-jit-first-run": ("gpu-arch-not-in-build",),
    "torch-arch-unsupported": ("torch-cpu-only", "cuda13-build-on-old-gpu"),
    "exllama-jit-no-nvcc": ("exllama-jit-msvc", "torch-cpu-only"),
    "exllama-torch-cuda-mismatch": ("torch-cpu-only", "exllama-jit-no-nvcc"),
    "exllamav2-hidden-importerror": ("exllama-torch-cuda-mismatch", "torch-cpu-only"),
    "flash-attn-4-breaks-exllamav2": ("torch-cpu-only",),
    "flash-attn-abi-mismatch": ("torch-cpu-only", "flash-attn-4-breaks-exllamav2"),
    "flash-attn-pre-ampere": _NO_EXLLAMA,
    "exllamav2-no-causal-mask": _NO_EXLLAMA,
    "flash-attn-missing": (*_NO_EXLLAMA, "exllamav2-no-causal-mask", "flash-attn-pre-ampere"),
    "exllama-slow-on-pascal": ("torch-arch-unsupported", "cuda13-build-on-old-gpu"),
}
