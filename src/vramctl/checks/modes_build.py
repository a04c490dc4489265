"""Failure modes and what to do about them: build and wheel."""

from __future__ import annotations

from vramctl.checks.failure_modes import Mode


def _mode(name: str, title: str, **fixes: str) -> Mode:
    return Mode(name, title, tuple(fixes.items()))


MODES: tuple[Mode, ...] = (
    _mode("pip-cached-cpu-wheel", "CMAKE_ARGS was set, and pip reused a CPU build",
          any="`pip cache remove llama_cpp_python`, then `CMAKE_ARGS='-DGGML_CUDA=on' pip install --force-reinstall "
              "--no-cache-dir "
              "llama-cpp-python` (in Windows' cmd without quotes: `set CMAKE_ARGS=-DGGML_CUDA=on`)."),
    _mode("wrong-python-environment", "Another copy of the package is imported",
          any="Use `python -m pip` with the interpreter that runs the program; uninstall the copy that is not meant, rename "
              "a folder of "
              "the same name.",
          override="Unset LLAMA_CPP_LIB_PATH where it is set, and start the program anew."),
    _mode("distro-package-without-cuda", "Distribution package without the CUDA backend",
          linux="Arch: `sudo pacman -S ollama-cuda` (AMD: ollama-rocm); elsewhere the official script: "
                "`curl -fsSL https://ollama.com/install.sh | sh`.",
          container="Use the official image ollama/ollama (AMD: ollama/ollama:rocm).",
          any="Install Ollama with its official installer."),
    _mode("cuda13-build-on-old-gpu", "CUDA 13 build on Maxwell, Pascal or Volta",
          any="llama-cpp-python: a cu124 or cu125 wheel; torch: `--index-url https://download.pytorch.org/whl/cu126`; "
              "llama.cpp: the "
              "CUDA 12 release; Ollama: keep its cuda_v12 folder. Stay on driver branch 580, the last for these GPUs."),
    _mode("torch-arch-unsupported", "torch has no code for this GPU",
          any="`pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128` (GPUs before 7.5: "
              "cu126), then "
              "the ExLlama and flash-attn wheels that match it."),
    _mode("torch-cpu-only", "torch without CUDA",
          any="`pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128`."),
    _mode("exllama-jit-no-nvcc", "ExLlama is compiled at its first import",
          any="Install the wheel of the project's GitHub releases whose tag (+cuXXX.torchY.Z) matches Python, torch and "
              "CUDA; or install "
              "the CUDA toolkit of torch.version.cuda, a C++ compiler and ninja."),
    _mode("exllama-jit-msvc", "Windows: no C++ compiler for the extension",
          windows="Install the wheel of the project's GitHub releases that matches Python, torch and CUDA; or the Build "
                  "Tools of Visual "
                  "Studio 2022 (\"Desktop development with C++\") and CUDA with its Visual Studio integration."),
    _mode("exllama-torch-cuda-mismatch", "ExLlama, torch and CUDA do not belong together",
          any="Install the ExLlama wheel that matches torch (its tag is +cuXXX.torchY.Z), or point CUDA_HOME to the toolkit "
              "of torch's "
              "CUDA version."),
    _mode("exllamav2-hidden-importerror", "ExLlama's extension does not load",
          any="Install the wheel that matches torch and CUDA; `python -c \"import torch, exllamav2_ext\"` shows the true "
              "message."),
    _mode("flash-attn-4-breaks-exllamav2", "flash-attn 4 ends ExLlamaV2's import",
          any="`pip uninstall flash-attn-4` (or rename the stray folder) and install a flash-attn 2 wheel; "
              "EXLLAMA_NO_FLASH_ATTN=1 lets "
              "the import pass, then also set EXLLAMA_NO_SDPA=1 (without it answers are wrong)."),
    _mode("flash-attn-abi-mismatch", "flash-attn built for another torch, CUDA or ABI",
          any="`pip uninstall flash-attn` and install the wheel for this torch, CUDA and C++ ABI; until then "
              "EXLLAMA_NO_FLASH_ATTN=1 and "
              "EXLLAMA_NO_SDPA=1."),
    _mode("flash-attn-pre-ampere", "flash-attn 2 on a GPU before Ampere",
          any="Set EXLLAMA_NO_FLASH_ATTN=1 and EXLLAMA_NO_SDPA=1 and use `paged=False`; in a mixed machine hide the old GPU "
              "with "
              "CUDA_VISIBLE_DEVICES."),
    _mode("exllamav2-no-causal-mask", "ExLlamaV2 reads prompts without a causal mask",
          any="Install flash-attn 2.5.7 or later (a 2.x wheel that matches torch, CUDA and ABI), or set EXLLAMA_NO_SDPA=1 "
              "(slower, right)."),
    _mode("flash-attn-missing", "flash-attn is missing or too old",
          linux="Install the release wheel flash_attn-*+cu12torch<version>cxx11abi<TRUE|FALSE> that matches torch (a plain "
                "`pip install "
                "flash-attn` compiles for a long time and needs nvcc), or use `paged=False`.",
          any="Install a flash-attn 2 wheel that matches torch, or use `paged=False`."),
    _mode("exllama-slow-on-pascal", "ExLlama on a GPU that is slow at half precision",
          any="Use GGUF models with llama.cpp on this card."),
    _mode("ptx-jit-first-run", "GPU code is compiled at the first start",
          any="Keep ~/.nv (or CUDA_CACHE_PATH) on a disk that lasts, with CUDA_CACHE_MAXSIZE=4294967296; or take a build "
              "with code for this "
              "GPU."),
    _mode("apple-x86-python", "Intel Python on Apple silicon",
          macos="Install a Python for arm64 and reinstall the package in it with --no-cache-dir."),
)  # fmt: skip
