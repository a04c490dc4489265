"""The failure modes that a log can show: id, title, and what to do about it on each platform."""

from __future__ import annotations

from dataclasses import dataclass

LINUX, WINDOWS, MACOS, CONTAINER, ANY = "linux", "windows", "macos", "container", "any"


@dataclass(frozen=True, slots=True)
class Mode:
    """One way in which it goes wrong. `fixes` maps a platform, or `any`, to what to do there."""

    id: str
    title: str
    fixes: tuple[tuple[str, str], ...]

    def fix(self, platform: str) -> str:
        """What to do on this platform, in one or two sentences."""
        by_platform = dict(self.fixes)
        return by_platform.get(platform) or by_platform.get(ANY) or by_platform.get(LINUX) or self.fixes[0][1]


def _mode(name: str, title: str, **fixes: str) -> Mode:
    return Mode(name, title, tuple(fixes.items()))


def environment_step(variable: str, platform: str) -> str:
    """How a variable of Ollama's server is set on this platform."""
    name = variable.partition("=")[0]
    return {
        LINUX: f'Run `sudo systemctl edit ollama`, add `Environment="{variable}"` under [Service], '
        "then `sudo systemctl restart ollama`.",
        CONTAINER: f"Start the container with `-e {variable}`.",
        WINDOWS: f"Quit Ollama from the tray, set the user variable {name} to {variable.partition('=')[2]} and start it again.",
        MACOS: f'Run `launchctl setenv {name} "{variable.partition("=")[2]}"` and restart the Ollama app.',
    }.get(platform, f"Set {variable} in the environment of the server (not of the client) and restart it.")


# Order is that of the causal chain: hardware, driver, access, libraries, build, configuration, placement, host.
MODES: tuple[Mode, ...] = (
    _mode("gpu-fell-off-bus", "GPU lost during work",
          any="Reboot; then reseat card and power cables, try without a riser, update the BIOS. If it is stable with "
              "`sudo nvidia-smi -lgc 300,1500`, suspect the power supply."),
    _mode("xid-errors", "GPU fault during inference",
          any="Update the engine and the GPU driver first; an illegal access that comes back at the same place "
              "is a bug to "
              "report with this log. If it moves around or other programs fail too, test the GPU's memory."),
    _mode("driver-not-installed", "No GPU driver",
          linux="Install the NVIDIA driver (`sudo ubuntu-drivers install` on Ubuntu), reboot, and check with "
                "`nvidia-smi`.",
          host="On the host: install the NVIDIA driver (`sudo ubuntu-drivers install` on Ubuntu), reboot, and check with "
               "`nvidia-smi`.",
          windows="Install the current driver from the vendor and reboot.",
          container="Start the container with `--gpus all` and install the NVIDIA container toolkit on the host."),
    _mode("driver-too-old-for-cuda", "Driver older than the CUDA version of the build",
          any="Install a driver that runs the CUDA version of this build, or take the build for an older CUDA."),
    _mode("ollama-driver-filter", "Ollama leaves the GPU out because of its driver or architecture",
          any="Install a current GPU driver and restart Ollama.",
          windows="Install a current driver on Windows (under WSL and Docker Desktop too the Windows driver "
                  "counts), reboot.",
          container="Update the driver of the host (on Docker Desktop: of Windows), then recreate the container."),
    _mode("ptx-newer-than-driver", "Build's GPU code is newer than the driver",
          any="Update the GPU driver, or take a build made with an older CUDA."),
    _mode("rocm-permissions", "No permission for the AMD GPU's device files",
          linux="`sudo usermod -aG render,video $USER` (and the user ollama), log in again, restart the server.",
          container="Pass `--device /dev/kfd --device /dev/dri --group-add <gid of render>`."),
    _mode("rocm-driver-too-old", "amdgpu driver older than ROCm needs",
          linux="Install the current amdgpu driver or a newer kernel; until then the Vulkan backend works.",
          any="Install AMD's current driver; until then the Vulkan backend works."),
    _mode("rocm-unsupported-gfx", "AMD GPU not in the ROCm build",
          linux="Use the Vulkan backend (Ollama 0.12.11 on: OLLAMA_VULKAN=1), or HSA_OVERRIDE_GFX_VERSION with the nearest "
                "supported "
                "target (11.0.0 for gfx1101-1103, 10.3.0 for gfx1031-1036), or a build for this target.",
          windows="Use the Vulkan backend (Ollama 0.12.11 on: OLLAMA_VULKAN=1, or llama.cpp's Vulkan zip): "
                  "HSA_OVERRIDE_GFX_VERSION has no "
                  "effect on Windows."),
    _mode("cuda-runtime-libs-missing-linux", "A library of the engine is missing",
          linux="Reinstall with the official script or package so that its lib folder is complete; `ldd` on the "
                "named program "
                "shows what is not found.",
          container="Use another tag of the image (or the official one): the file is not inside. Pull it again "
                    "first.",
          any="Reinstall the engine: one of its own libraries is missing or cannot be found."),
    _mode("ggml-dll-conflict-in-path", "Another program's ggml libraries stand in PATH",
          windows="Take FOLDER out of PATH.",
          any="Take FOLDER out of LD_LIBRARY_PATH (Windows: PATH)."),
    _mode("ggml-backend-api-mismatch", "Backend library from another build",
          any="Delete the folder of the engine and unpack one release into it."),
    _mode("ggml-cuda-backend-not-loaded", "GPU backend not loaded",
          linux="`ldd libggml-cuda.so` names the missing library; reinstall so that lib/ollama/cuda_v* is complete.",
          windows="Unpack the cudart zip of the same release beside llama-server.exe.",
          any="Reinstall the engine with its GPU backend."),
    _mode("cpu-only-llama-cpp-python", "Built without a GPU backend",
          any="Install a build with a GPU backend: for llama-cpp-python `CMAKE_ARGS='-DGGML_CUDA=on' pip install "
              "--force-reinstall "
              "--no-cache-dir llama-cpp-python`; for llama.cpp a CUDA, HIP or Vulkan release, or `cmake -B build "
              "-DGGML_CUDA=ON`."),
    _mode("gpu-arch-not-in-build", "Build has no code for this GPU",
          any="Rebuild for this GPU (`-DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=native`, after deleting the "
              "build folder), with a "
              "CUDA toolkit that knows it, or take a release that lists it."),
    _mode("debug-build", "Compiled without optimisation",
          any="Configure a release build: `cmake -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build "
              "--config Release`."),
    _mode("visible-devices-hides-gpu", "An environment variable hides the GPU",
          any="Unset the variable for the server and restart it.",
          linux="Unset it (`systemctl edit ollama` shows whether the unit sets it) and restart the server."),
    _mode("ollama-discovery-timeout", "GPU discovery timed out",
          linux="Enable nvidia-persistenced (`sudo systemctl enable --now nvidia-persistenced`), update the GPU "
                "driver, restart Ollama.",
          windows="Exclude Ollama's folder from the virus scanner, update the GPU driver, restart Ollama.",
          any="Update the GPU driver and restart the server."),
    _mode("ollama-igpu-dropped", "Integrated GPU left out by policy",
          any="Set OLLAMA_IGPU_ENABLE=1 in the server's environment and restart it."),
    _mode("ollama-llm-library-override", "OLLAMA_LLM_LIBRARY forces a backend",
          any="Unset OLLAMA_LLM_LIBRARY in the server's environment and restart it."),
    _mode("ollama-no-gpu-found", "Ollama found no GPU",
          linux="Check `nvidia-smi` (or `rocminfo`); then restart Ollama with OLLAMA_DEBUG=1: the lines after "
                "`looking for` or "
                "`discovering` say why each GPU was refused.",
          windows="Check that the vendor's driver is installed (`nvidia-smi`), then restart Ollama with "
                  "OLLAMA_DEBUG=1: server.log says "
                  "why each GPU was refused.",
          container="Start the container with `--gpus all` (AMD: `--device /dev/kfd --device /dev/dri` and the "
                    ":rocm image) and check "
                    "`nvidia-smi` inside it."),
    _mode("n-gpu-layers-zero", "No layers asked for on the GPU",
          any="Ask for them: `-ngl 99` (llama-server, llama-cli), `n_gpu_layers=-1` (llama-cpp-python)."),
    _mode("ollama-num-gpu-forced", "num_gpu pins the layer count",
          any="Remove `PARAMETER num_gpu` from the Modelfile, or `num_gpu` from the client's options."),
    _mode("one-layer-short", "Output layer left on the CPU",
          any="Ask for one layer more: `-ngl 99`, `n_gpu_layers=-1`."),
    _mode("offload-kqv-false", "KV cache and attention forced to the CPU",
          any="Leave out `--no-kv-offload` / `offload_kqv=False`; save memory with a smaller context or `-ctk "
              "q8_0 -ctv q8_0 -fa on`."),
    _mode("quantized-v-needs-flash-attn", "Quantised V cache without flash attention",
          any="Switch flash attention on (`-fa on`, `flash_attn=True`, OLLAMA_FLASH_ATTENTION=1), or keep the V "
              "cache at f16."),
    _mode("ollama-kv-type-without-fa", "OLLAMA_KV_CACHE_TYPE has no effect",
          any="Set OLLAMA_FLASH_ATTENTION=1 in the server's environment as well, and restart it."),
    _mode("quantized-kv-no-kernel", "No attention kernel for these KV types",
          any="Use `-ctk q8_0 -ctv q8_0` (or q4_0 for both, or f16), or build with "
              "`-DGGML_CUDA_FA_QUANTS=all` (before September 2026: `-DGGML_CUDA_FA_ALL_QUANTS=ON`)."),
    _mode("flash-attn-disabled", "Flash attention is off",
          any="Switch it on: `-fa on`, `flash_attn=True`, or OLLAMA_FLASH_ATTENTION=1 in the server's environment."),
    _mode("multi-gpu-uneven", "Split over several GPUs overflows one of them",
          any="Give the full GPU less: `--tensor-split` by free memory; with pipeline parallelism build with "
              "`-DGGML_SCHED_MAX_COPIES=1`."),
    _mode("vram-held-by-other", "Another process holds GPU memory",
          any="End what holds it: `nvidia-smi` names the processes, `ollama ps` the models that are still loaded."),
    _mode("kv-cache-evicts-layers", "The context takes the memory of the layers",
          any="Lower the context (`-c`, num_ctx), or quantise the cache (`-ctk q8_0 -ctv q8_0 -fa on`)."),
    _mode("parallel-multiplies-kv", "Parallel slots multiply the context",
          any="Set OLLAMA_NUM_PARALLEL=1 (llama-server: `-np 1`, or `--kv-unified`)."),
    _mode("partial-offload", "Model only partly on the GPU",
          any="Lower the context, quantise the cache, or take a smaller quantisation of the model."),
    _mode("vram-not-released", "GPU memory not returned after an unload",
          any="Restart the server; end left-over runner processes by their pid."),
    _mode("ollama-load-timeout", "Loading took longer than the server waits",
          any="Set OLLAMA_LOAD_TIMEOUT=30m in the server's environment, and move the models to a local SSD "
              "(OLLAMA_MODELS)."),
    _mode("ollama-runner-crash", "The runner process died",
          any="Update the engine first; if the same line comes back, report it upstream with this log."),
    _mode("ollama-context-default", "Prompts are cut at the context",
          any="Set a larger num_ctx for the model (`/set parameter num_ctx 16384`, or PARAMETER in the "
              "Modelfile), or "
              "OLLAMA_CONTEXT_LENGTH for the server."),
    _mode("ollama-wrong-instance", "Another server has the port",
          any="Stop the other instance (often the background service), or give this one another port with "
              "OLLAMA_HOST=127.0.0.1:11435."),
    _mode("engine-regression-after-update", "Another version of the engine is slower at the same work",
          any="Stay on the faster build, and report both builds and numbers upstream."),
    _mode("pcie-link-degraded", "Data crosses PCIe slowly",
          any="Reseat the card, use the x16 slot, no x1 riser; the BIOS may share lanes with an M.2 slot. Until then a larger "
              "batch (`-b 4096 -ub 4096`) sends less."),
    _mode("vulkan-software-renderer", "Vulkan uses a software device",
          any="Install the GPU vendor's Vulkan driver, and pick the device with GGML_VK_VISIBLE_DEVICES."),
    _mode("cpu-illegal-instruction", "Binary needs instructions that the CPU lacks",
          any="Build on this machine with `-DGGML_NATIVE=ON`, or take a build for an older CPU."),
    _mode("host-oom-kill", "Killed for lack of system memory",
          container="Take a smaller model or context, leave mmap on, or raise the container's memory limit.",
          any="Take a smaller model or context, leave mmap on, or close other programs."),
    _mode("model-on-slow-disk", "Loading is bound by the disk",
          any="Copy the model to a local SSD (OLLAMA_MODELS for Ollama); for network disks load without mmap."),
    _mode("mmap-with-little-ram", "Too little system memory for the model file",
          any="Load without mmap (`--no-mmap`, use_mmap=false) when most of the model goes to the GPU; else take "
              "a smaller model."),
    _mode("mlock-limit", "Memory could not be locked",
          any="Raise the limit (`ulimit -l unlimited`, LimitMEMLOCK=infinity) or leave mlock off."),
    _mode("threads-oversubscribed", "More threads than cores",
          any="Set `-t` to the number of physical cores."),
    # Ours: what maintainers answer although the catalogue of causes has no entry of its own for it. See docs/decisions/0004.
    _mode("out-of-memory", "GPU memory ran out",
          any="Lower the context or the micro-batch (`-ub`), quantise the cache, or put fewer layers on the GPU."),
    _mode("buffer-too-large-for-driver", "One buffer is larger than the driver allows",
          any="Use another driver for the same GPU (RADV for AMDVLK), or the ROCm or CUDA backend; "
              "GGML_VK_FORCE_MAX_BUFFER_SIZE cannot "
              "exceed the driver's limit."),
    _mode("engine-crash", "The engine crashed",
          any="Update the engine first; if the same line comes back, report it upstream with this log."),
    _mode("gpu-hang", "The GPU hung or its driver was reset",
          any="Update kernel, firmware and GPU driver; try the other backend (Vulkan for ROCm, or the reverse). "
              "The kernel log of that "
              "moment (`journalctl -k`) says which engine of the GPU hung."),
    _mode("context-full", "The context was full and could not be shifted",
          any="Start with a larger context (`-c`), or an f16 cache where it must be shifted."),
    _mode("models-evict-each-other", "Models push each other out of memory",
          any="Let both fit (smaller context or quantisation), set OLLAMA_MAX_LOADED_MODELS, or use one model "
              "for both jobs."),
    _mode("reload-thrash", "The same model is loaded again and again",
          any="Send the same num_ctx and options with every request, and raise OLLAMA_KEEP_ALIVE."),
    _mode("requests-queue", "Requests wait for each other",
          any="Raise OLLAMA_NUM_PARALLEL (llama-server: `-np`) if memory allows, or send fewer at once."),
    _mode("results-not-numbers", "The results are not numbers",
          any="Leave out the option that was added last (cache type, attention, fused kernels): compute again with `-ctk f16`, "
              "then with the CPU; report what differs upstream."),
    _mode("port-in-use", "Another process has the port",
          any="Stop the other server, or start this one with another `--port`."),
    _mode("requests-failed", "Requests fail, the reason is not in this log",
          any="Show the server's whole output (stderr too) around that time."),
    _mode("client-gave-up", "Clients disconnected before the answer",
          any="Raise the client's time limit."),
    _mode("model-load-failed", "The model could not be loaded",
          any="Check the file and update the engine."),
)  # fmt: skip

OURS = frozenset({
    "out-of-memory", "buffer-too-large-for-driver", "engine-crash", "gpu-hang", "context-full", "models-evict-each-other",
    "reload-thrash", "requests-queue", "results-not-numbers", "port-in-use", "requests-failed", "client-gave-up",
    "model-load-failed",
})  # fmt: skip

BY_ID: dict[str, Mode] = {mode.id: mode for mode in MODES}
