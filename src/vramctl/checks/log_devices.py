"""Checks of a log: why no GPU is used at all."""

from __future__ import annotations

from collections.abc import Iterator

from vramctl.checks.evidence import events, finding, how_often, in_words, size_of, text_of
from vramctl.checks.failure_modes import BY_ID, environment_step
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import CPU_ONLY, Load, Log

_SOFTWARE = ("llvmpipe", "lavapipe", "swiftshader", "softpipe")


def ollama_driver_filter(log: Log, platform: str) -> Iterator[Finding]:
    """Ollama found the GPU and left it out: its driver is older than this version wants, or its architecture is not built in."""
    for event in events(log, "gpu.driver_too_old")[:1]:
        device = text_of(event, "device", "name") or "the GPU"
        driver, wanted = _said(event, "driver"), _said(event, "required_driver", "required")
        yield finding(
            "error",
            f"{device} is not used: its driver {driver} is older than this Ollama needs ({wanted}), so models run "
            "on the CPU.",
            (f"driver {driver}, needed {wanted}", _cpu_loads(log)),
            BY_ID["ollama-driver-filter"].fix(platform),
            (event, *_compute(log)),
        )
    for event in events(log, "gpu.arch_not_built")[:1]:
        yield finding(
            "error",
            f"{text_of(event, 'device', 'name') or 'A GPU'} is not used: this Ollama has no code for its compute "
            "capability.",
            (event.text,),
            "Take an Ollama version that lists the GPU, or another backend (OLLAMA_VULKAN=1).",
            (event,),
        )


def rocm_driver_too_old(log: Log, platform: str) -> Iterator[Finding]:
    """The amdgpu kernel driver is older than the ROCm libraries want."""
    for event in events(log, "gpu.amd_driver_too_old")[:1]:
        yield finding(
            "error",
            "The AMD GPU is not used: its driver is too old for this version's ROCm.",
            (event.text,),
            BY_ID["rocm-driver-too-old"].fix(platform),
            (event,),
        )


def rocm_permissions(log: Log, platform: str) -> Iterator[Finding]:
    """The server may not open the AMD GPU's device files."""
    for event in events(log, "gpu.amd_no_permission")[:1]:
        yield finding(
            "error",
            "The AMD GPU is there, but the server may not open its device files.",
            (event.text,),
            BY_ID["rocm-permissions"].fix(platform),
            (event,),
        )


def ollama_llm_library_override(log: Log, platform: str) -> Iterator[Finding]:
    """A variable forces one backend: if it is a CPU one, the GPU is never asked."""
    library = log.environment.get("OLLAMA_LLM_LIBRARY", "")
    if library.startswith("cpu"):
        yield finding(
            "error",
            f"OLLAMA_LLM_LIBRARY={library} forces the CPU backend.",
            (f"server config: OLLAMA_LLM_LIBRARY:{library}",),
            BY_ID["ollama-llm-library-override"].fix(platform),
            events(log, "server.config")[-1:],
        )


def visible_devices_hides_gpu(log: Log, platform: str) -> Iterator[Finding]:
    """A variable names no GPU that exists, and none was found."""
    names = (
        "CUDA_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "GGML_VK_VISIBLE_DEVICES",
        "GPU_DEVICE_ORDINAL",
    )
    hidden = [f"{name}={log.environment[name]}" for name in names if log.environment.get(name)]
    if hidden and not log.gpus and _none_found(log):
        yield finding(
            "error",
            f"No GPU was found while {hidden[0]} limits which ones may be seen.",
            (*hidden, "no GPU in the list that the server printed"),
            BY_ID["visible-devices-hides-gpu"].fix(platform),
            (*events(log, "gpu.visible_overridden"), *_compute(log)),
        )


def ollama_discovery_timeout(log: Log, platform: str) -> Iterator[Finding]:
    """The process that looks for GPUs did not answer in time, so the server goes on with the CPU."""
    found = events(log, "gpu.discovery_timeout", "gpu.discovery_failed")
    if found and not log.gpus:
        yield finding(
            "error",
            "The search for GPUs did not finish, so models run on the CPU.",
            (found[0].text,),
            BY_ID["ollama-discovery-timeout"].fix(platform),
            found,
        )


def rocm_unsupported_gfx(log: Log, platform: str) -> Iterator[Finding]:
    """The ROCm libraries hold no code for this AMD GPU."""
    found = events(log, "gpu.rocm_dropped", "gpu.amd_unsupported")
    broken = [event for event in _errors(log) if "invalid device function" in _message(event)]
    if found:
        target = text_of(found[0], "gfx_target", "gpu_type", "gfx")
        yield finding(
            "error",
            f"The AMD GPU{f' ({target})' if target else ''} is not used: this ROCm build does not support it.",
            (found[0].text,),
            BY_ID["rocm-unsupported-gfx"].fix(platform),
            found,
        )
    elif broken:
        gpu = next((gpu for gpu in log.gpus if isinstance(gpu.compute_capability, str)), None)
        name = f"{gpu.name} ({gpu.compute_capability})" if gpu is not None else "this AMD GPU"
        yield finding(
            "error",
            f"The ROCm build has no code for {name}: the model loads, then the first computation fails.",
            ("ROCm error: invalid device function", *_first_failures(log)),
            BY_ID["rocm-unsupported-gfx"].fix(platform),
            broken,
        )


def ollama_igpu_dropped(log: Log, platform: str) -> Iterator[Finding]:
    """Ollama leaves integrated GPUs out unless told otherwise, and there is no other."""
    found = events(log, "gpu.integrated_dropped")
    if found and not log.gpus:
        yield finding(
            "warning",
            "The integrated GPU is left out by Ollama's policy, and there is no other GPU.",
            (found[0].text,),
            environment_step("OLLAMA_IGPU_ENABLE=1", platform),
            found,
        )


def vulkan_software_renderer(log: Log, platform: str) -> Iterator[Finding]:
    """The only Vulkan device is a program that computes on the CPU."""
    for gpu in log.gpus:
        if isinstance(gpu.name, str) and any(word in gpu.name.lower() for word in _SOFTWARE):
            yield finding(
                "error",
                f"Vulkan runs on {gpu.name}, which is the CPU.",
                (f"device {gpu.name}",),
                BY_ID["vulkan-software-renderer"].fix(platform),
                events(log, "vulkan.device")[:2],
            )
            return


def driver_too_old_for_cuda(log: Log, platform: str) -> Iterator[Finding]:
    """The CUDA runtime of the build does not start with this driver."""
    for event in events(log, "gpu.init_failed"):
        said = text_of(event, "error").lower()
        if "driver version is insufficient" in said:
            yield finding(
                "error",
                "CUDA does not start: the driver is missing or older than the CUDA version of this build.",
                (event.text,),
                BY_ID["driver-too-old-for-cuda"].fix(platform),
                (event,),
            )
            return
        if "no cuda-capable device" in said or "no rocm-capable" in said:
            yield finding(
                "error",
                "The driver answers, but shows this program no GPU.",
                (event.text, "a variable hides it, or the container was started without it"),
                "Unset CUDA_VISIBLE_DEVICES; in a container start it with `--gpus all`; check `nvidia-smi` there.",
                (event,),
            )
            return


def ggml_backend_api_mismatch(log: Log, platform: str) -> Iterator[Finding]:
    """A backend library of another build lies in the engine's folder."""
    for event in events(log, "backend.load_failed"):
        if "incompatible" in event.text and "version" in event.text:
            yield finding(
                "error",
                "A GPU backend is of another build than the engine and was not loaded.",
                (event.text,),
                BY_ID["ggml-backend-api-mismatch"].fix(platform),
                (event,),
            )
            return


def ggml_dll_conflict_in_path(log: Log, platform: str) -> Iterator[Finding]:
    """Libraries of another program stand before the engine's own in PATH."""
    found = events(log, "library.conflict")
    if found and (not log.gpus or any(load.outcome == CPU_ONLY for load in log.loads)):
        yield finding(
            "error",
            "Libraries of another program in PATH shadow the engine's own.",
            (found[0].text,),
            BY_ID["ggml-dll-conflict-in-path"].fix(platform),
            found,
        )


def ggml_cuda_backend_not_loaded(log: Log, platform: str) -> Iterator[Finding]:
    """The GPU was found, but the process that holds the model loaded the CPU backend only."""
    if not log.gpus or not log.loads or how_often(log, "cuda.found", "cuda.device", "vulkan.device", "metal.device"):
        return
    loaded = events(log, "backend.loaded")
    names = {text_of(event, "backend") for event in loaded}
    if names and all(name.startswith("CPU") for name in names) and all(load.outcome == CPU_ONLY for load in log.loads):
        yield finding(
            "error",
            "The GPU is there, but the engine loaded only its CPU backend.",
            (f"backends loaded: {', '.join(sorted(names))}",),
            BY_ID["ggml-cuda-backend-not-loaded"].fix(platform),
            loaded,
        )


def cpu_only_llama_cpp_python(log: Log, platform: str) -> Iterator[Finding]:
    """The engine was built without a GPU backend (or the build finds none) although layers were asked for on the GPU."""
    for event in events(log, "gpu.none")[:1]:
        yield finding(
            "error",
            "This build of the engine has no usable GPU backend: the layers asked for stay on the CPU.",
            (event.text,),
            BY_ID["cpu-only-llama-cpp-python"].fix(platform),
            (event, *events(log, "gpu.none_hint")[:2]),
        )


def ollama_no_gpu_found(log: Log, platform: str) -> Iterator[Finding]:
    """Ollama's search for GPUs ended with the CPU, and the log does not say why."""
    on_cpu = log.source.engine == "ollama" and bool(log.loads) and all(load.outcome == CPU_ONLY for load in log.loads)
    if log.gpus or not (_none_found(log) or on_cpu):
        return
    shown = (*events(log, "gpu.none_found"), *_compute(log)[-1:])
    memory = next((size_of(event.fields.get("total")) for event in _compute(log)), None)
    yield finding(
        "error",
        "Ollama found no GPU it can use: every model runs on the CPU.",
        (
            f"the only device is the CPU{f' with {in_words(memory)} of memory' if memory else ''}",
            (
                "this log does not say why a GPU was not seen; OLLAMA_DEBUG=1 would (if the machine has no GPU, this "
                "is as it should be)"
            ),
        ),
        BY_ID["ollama-no-gpu-found"].fix(platform),
        shown,
    )


def _none_found(log: Log) -> bool:
    """Whether the server said that only the CPU is there."""
    compute = _compute(log)
    return bool(compute) or how_often(log, "gpu.none_found") > 0


def _compute(log: Log) -> tuple[Event, ...]:
    """The lines that name the CPU as the device to compute on."""
    return tuple(e for e in events(log, "gpu.inference_compute") if text_of(e, "library").lower() == "cpu")


def _cpu_loads(log: Log) -> str:
    count = sum(load.outcome == CPU_ONLY for load in log.loads)
    return f"{count} model load{'s' if count > 1 else ''} on the CPU in this log" if count else ""


def _said(event: Event, *names: str) -> str:
    for name in names:
        value = event.fields.get(name)
        if value not in (None, ""):
            return str(value)
    return "?"


def _errors(log: Log) -> tuple[Event, ...]:
    return events(log, "cuda.error", "rocm.error", "gpu.error", "runner.load_failed", "runner.terminated")


def _message(event: Event) -> str:
    return f"{event.text} {text_of(event, 'error')}"


def _first_failures(log: Log) -> tuple[str, ...]:
    return tuple(load.ended for load in log.loads if load.ended)[:1]


def only_cpu(load: Load) -> bool:
    """Whether nothing of this load is on a GPU."""
    return load.outcome == CPU_ONLY
