"""Checks of a log: why no GPU is used at all."""

from __future__ import annotations

from collections.abc import Iterator

from vramctl.checks.evidence import events, finding, how_often, in_words, size_of, text_of
from vramctl.checks.failure_modes import environment_step
from vramctl.checks.modes import BY_ID
from vramctl.records.event import Event
from vramctl.records.finding import Finding
from vramctl.records.load import CPU_ONLY, Log

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
    if log.gpus:
        return
    for event in events(log, "gpu.skipped_compute")[:1]:
        compute = text_of(event, "compute")
        yield finding(
            "error",
            f"{text_of(event, 'device', 'name') or 'A GPU'} is not used: this Ollama has no code for its compute "
            f"capability{f' {compute}' if compute else ''}.",
            (event.text, _cpu_loads(log)),
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


def ollama_llm_library_override(log: Log, platform: str) -> Iterator[Finding]:
    """A variable forces one backend: a CPU one, or one that is not there."""
    library = log.environment.get("OLLAMA_LLM_LIBRARY", "")
    forced = library.startswith("cpu") or (library and not log.gpus and _none_found(log))
    if forced:
        yield finding(
            "error",
            f"OLLAMA_LLM_LIBRARY={library} forces "
            + ("the CPU backend." if library.startswith("cpu") else "one backend, and with it no GPU is found."),
            (f"server config: OLLAMA_LLM_LIBRARY:{library}",),
            BY_ID["ollama-llm-library-override"].fix(platform),
            (*events(log, "server.config")[-1:], *_compute(log)[-1:]),
        )


def distro_package_without_cuda(log: Log, platform: str) -> Iterator[Finding]:
    """The GPU is there and the libraries that would use it are not installed."""
    found = events(log, "gpu.amd_no_library")
    if found and not log.gpus:
        yield finding(
            "error",
            "The AMD GPU is there, but Ollama's ROCm libraries are not installed: models run on the CPU.",
            (found[0].text, text_of(found[0], "error")),
            BY_ID["distro-package-without-cuda"].fix(platform),
            found,
        )


def ollama_discovery_timeout(log: Log, platform: str) -> Iterator[Finding]:
    """The process that looks for GPUs did not answer in time, so the server goes on with the CPU."""
    found = events(log, "gpu.discovery_timeout", "gpu.discovery_failed")
    if found and not log.gpus:
        yield finding(
            "error",
            "The search for GPUs did not finish, so models run on the CPU.",
            (found[0].text, text_of(found[0], "error"), text_of(found[0], "detail")),
            BY_ID["ollama-discovery-timeout"].fix(platform),
            found,
        )


def rocm_unsupported_gfx(log: Log, platform: str) -> Iterator[Finding]:
    """The ROCm libraries hold no code for this AMD GPU."""
    found = () if log.gpus else events(log, "gpu.rocm_dropped", "gpu.amd_unsupported", "gpu.amd_too_old")
    tables = events(log, "gpu.rocblas_missing")
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
    elif tables:
        target = text_of(tables[0], "gfx")
        yield finding(
            "error",
            f"ROCm's libraries hold nothing for this AMD GPU{f' ({target})' if target else ''}: the first computation fails.",
            (tables[0].text,),
            BY_ID["rocm-unsupported-gfx"].fix(platform),
            tables,
        )
    elif broken:
        gpu = next((gpu for gpu in log.gpus if isinstance(gpu.compute_capability, str)), None)
        name = f"{gpu.name} ({gpu.compute_capability})" if gpu is not None else "this AMD GPU"
        yield finding(
            "error",
            f"The ROCm build has no code for {name}: the model loads, then the first computation fails.",
            (
                "ROCm error: invalid device function",
                "the model was loaded: memory is not the problem" if log.loads else "",
            ),
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


def ollama_no_gpu_found(log: Log, platform: str) -> Iterator[Finding]:
    """Ollama's search for GPUs ended with the CPU, and the log does not say why."""
    on_cpu = log.source.engine == "ollama" and bool(log.loads) and all(load.outcome == CPU_ONLY for load in log.loads)
    if log.gpus or not (_none_found(log) or on_cpu):
        return
    memory = next((size_of(event.fields.get("total")) for event in _compute(log)), None)
    searched = _none_found(log) or how_often(log, "gpu.discovering") > 0
    reasons = events(log, "gpu.cpu_without_avx", "gpu.l4t_unsupported", "gpu.vulkan_disabled", "gpu.library_failed")
    placed = [event for load in log.loads for event in events(load, "fit.offload", "fit.will_fit")]
    yield finding(
        "error",
        "Ollama found no GPU it can use: every model runs on the CPU."
        if searched
        else "Ollama places the model on the CPU: it knows of no GPU.",
        (
            f"the only device is the CPU{f' with {in_words(memory)} of memory' if memory else ''}" if searched else "",
            *(event.text for event in reasons[:2]),
            "this log does not say why a GPU was not seen; OLLAMA_DEBUG=1 would (if the machine has no GPU, this is as it "
            "should be)"
            if searched
            else "the log begins after the search for GPUs: the lines from the start of the server say what it found",
        ),
        BY_ID["ollama-no-gpu-found"].fix(platform),
        (*events(log, "gpu.none_found"), *_compute(log)[-1:], *reasons[:2], *(() if searched else placed[:1])),
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
