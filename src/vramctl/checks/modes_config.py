"""Failure modes of configuration, placement and Ollama, and what to do about them."""

from __future__ import annotations

from vramctl.checks import failure_modes
from vramctl.checks.failure_modes import Mode


def _mode(name: str, title: str, **fixes: str) -> Mode:
    return Mode(name, title, tuple(fixes.items()))


MODES: tuple[Mode, ...] = (
    _mode("device-order-mismatch", "CUDA counts the GPUs in another order than nvidia-smi",
          any="Set CUDA_DEVICE_ORDER=PCI_BUS_ID, or choose GPUs by UUID (CUDA_VISIBLE_DEVICES=GPU-..., from "
              "`nvidia-smi -L`)."),
    _mode("gpu-layers-read-as-count", "n_gpu_layers taken for the number of GPUs",
          any="Ask for all layers: n_gpu_layers=-1 (llama-cpp-python), `-ngl 99` (llama.cpp)."),
    _mode("ollama-env-not-in-service", "OLLAMA_* set in the shell, not in the service",
          linux="Run `sudo systemctl edit ollama`, add a line `Environment=\"NAME=value\"` for each under [Service], then "
                "`sudo systemctl restart ollama`.",
          windows="`setx NAME value`, quit Ollama from the tray and start it again.",
          macos="`launchctl setenv NAME value`, then restart the Ollama app.",
          container="Start the container with `-e NAME=value`."),
    _mode("load-error-hidden", "The engine's reason is hidden behind a general exception",
          any="Run once with `Llama(..., verbose=True)` and read the lines before the exception (`vramctl explain` "
              "reads them too)."),
    _mode("context-beyond-training", "Context longer than the model was trained for",
          any="Lower n_ctx to the trained length, or set up RoPE scaling (YaRN) as the model's authors describe it."),
    _mode("swa-full-cache", "Full-size cache for sliding-window layers",
          any="Leave out `--swa-full`; keep it only where prompts are often taken up again in the middle."),
    _mode("batch-too-small", "Prompts are read in very small batches",
          any="Set n_batch=512 (llama.cpp's own default) or more."),
    _mode("parallel-splits-context", "Slots share out the context",
          any="Give `-c` the context of one request times `-np`, add `--kv-unified`, or lower `-np`."),
    _mode("threads-above-cores", "More threads asked for than cores",
          any="Set n_threads (`-t`) to the number of physical cores, or leave it out; with all layers on the GPU a "
              "few are enough."),
    _mode("settings-without-effect", "Settings that contradict each other or do nothing",
          any="Leave them out, or make them agree."),
    _mode("container-without-gpu", "Container started without a GPU",
          any="Add `gpus: all` to the service (older compose: deploy.resources.reservations.devices with driver nvidia and "
              "capabilities [gpu]), `--gpus all` to docker run; for AMD the devices /dev/kfd and /dev/dri."),
    _mode("config-audit", "Given configuration as a whole",
          any="Give the file that calls the engine, its .env, its unit or its start script."),
    _mode("windows-sysmem-fallback", "Windows moves GPU memory to system memory",
          windows="NVIDIA Control Panel > Manage 3D settings > Program settings > CUDA - Sysmem Fallback Policy: Prefer "
                  "No Sysmem Fallback for the engine; then ask for less (fewer layers, a smaller context), about 1 GiB "
                  "below what is free."),
    _mode("cuda-unified-memory-env", "GGML_CUDA_ENABLE_UNIFIED_MEMORY is set",
          any="Unset it (any value switches it on, 0 too) and let the model be placed by what fits."),
    _mode("exllama-insufficient-vram", "ExLlama finds no room for model and cache",
          any="Give the cache a length (max_seq_len / cache_size), a quantised cache (Q8, Q6, Q4), or take a model of "
              "fewer bits per weight; reserve_vram (V2) is in bytes, reserve_per_device (V3) in GiB."),
)  # fmt: skip

# Where a program has its own words for the remedy.
_BY_PROGRAM: dict[tuple[str, str], str] = {
    ("n-gpu-layers-zero", "llama-cpp-python"): "Set n_gpu_layers=-1 (all layers), or as many as fit (`vramctl plan`).",
    ("n-gpu-layers-zero", "llama-server"): "Set -ngl 99 (all layers), or leave it out in llama.cpp from b6325 on.",
    ("n-gpu-layers-zero", "llama-cli"): "Set -ngl 99 (all layers), or leave it out in llama.cpp from b6325 on.",
    ("gpu-layers-read-as-count", "llama-cpp-python"): "Set n_gpu_layers=-1 for all layers.",
    ("gpu-layers-read-as-count", "llama-server"): "Set -ngl 99 for all layers.",
    ("offload-kqv-false", "llama-cpp-python"): (
        "Leave offload_kqv out (it is True); save memory with a smaller n_ctx, or with type_k=8, type_v=8, flash_attn=True."
    ),
    ("offload-kqv-false", "llama-server"): "Leave out --no-kv-offload; save memory with a smaller -c, or `-ctk q8_0 -ctv q8_0`.",
    ("quantized-v-needs-flash-attn", "llama-cpp-python"): "Add flash_attn=True, or leave type_v out (f16).",
    ("quantized-v-needs-flash-attn", "llama-server"): "Leave out -fa off (or set -fa on), or leave out -ctv.",
    ("quantized-kv-no-kernel", "llama-cpp-python"): (
        "Use type_k=8, type_v=8 (q8_0 for both) or 2, 2 (q4_0), with flash_attn=True."
    ),
    ("flash-attn-disabled", "llama-cpp-python"): "Set flash_attn=True, and measure: `flash_attn=False` means off, not automatic.",
    ("flash-attn-disabled", "llama-server"): "Leave -fa out: it is `auto` since b6325.",
    ("flash-attn-disabled", "ollama"): (
        "Unset OLLAMA_FLASH_ATTENTION in the server's environment, or set it to 1, and restart it."
    ),
}  # fmt: skip


def fix(name: str, program: str = "", platform: str = "any") -> str:
    """What to do about this mode: in the program's own words where there are any, else for the platform."""
    own = _BY_PROGRAM.get((name, program))
    if own:
        return own
    mode = next((mode for mode in MODES if mode.id == name), None) or failure_modes.BY_ID[name]
    return mode.fix(platform)
