"""Which dry runs were compared with a real GPU, so that `exact` is said of nothing else.

A test holds these sets against the data in `benchmarks/results/exactness-*.json`.
"""

from __future__ import annotations

from collections.abc import Sequence

from vramctl.records import Device, Model, Settings, Unknown

ENGINES = ("xllamacpp 2026.10.11549", "llama-cpp-python 0.3.36")
ARCHITECTURES = frozenset(
    (
        "cohere2", "deepseek2", "gemma2", "gemma3", "gemma4", "gpt-oss", "granitehybrid", "lfm2", "llama", "nemotron_h",
        "nemotron_h_moe", "phi3", "qwen2", "qwen3", "qwen35", "qwen35moe", "qwen3moe",
    )
)  # fmt: skip
MOST_DEVICES = 2
KV_TYPES = frozenset(("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"))


def doubts(
    model: Model, settings: Settings, devices: Sequence[Device], engine: str, *, real_reserve: bool
) -> tuple[str, ...]:
    """Why this dry run cannot be called exact; empty where its like was equal to a real GPU's figures."""
    found = []
    if engine not in ENGINES:
        found.append(f"{engine} itself was not compared with a real GPU (compared: {', '.join(ENGINES)})")
    if settings.program == "llama-cpp-python" and not engine.startswith("llama-cpp-python"):
        found.append(f"{engine} was asked, but Llama() runs its own build: give its interpreter with --engine-path")
    if settings.program == "ollama" and "ollama" not in engine:
        found.append(
            f"these are {engine}'s figures, but Ollama runs its own build: give its libraries with --engine-path"
        )
    if model.architecture not in ARCHITECTURES:
        found.append(f"architecture {model.architecture} was not compared with a real GPU")
    if len(devices) > MOST_DEVICES:
        found.append(f"loads on {len(devices)} GPUs were not compared (at most {MOST_DEVICES})")
    if len(devices) > 1 and not real_reserve:
        found.append(
            "this build's scheduler could not be redirected: on several GPUs its measuring call differs from a load"
        )
    if not devices:
        found.append("a load without a GPU was not compared: a CPU build may repack weights into a second layout")
    found += _device_doubts(devices)
    for kind in (settings.type_k, settings.type_v):
        if kind is not None and kind not in KV_TYPES:
            found.append(f"a {kind} cache was not compared")
            break
    return tuple(found)


def _device_doubts(devices: Sequence[Device]) -> list[str]:
    found = []
    for device in devices:
        if device.backend != "cuda":
            found.append(f"{device.description}: compute buffers follow CUDA's rules, not those of {device.backend}")
            break
        if isinstance(device.compute_capability, Unknown):
            found.append(f"{device.description}: compute capability unknown, 8.6 assumed")
            break
        if float(device.compute_capability) < 7.5:
            found.append(
                f"{device.description}: kernels for compute capability {device.compute_capability} were not compared"
            )
            break
    return found
