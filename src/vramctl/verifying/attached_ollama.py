"""Verify what a running Ollama has loaded, by the sums that it counts itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vramctl.engines.http_api import Api, ApiFailed
from vramctl.errors import CouldNotTell
from vramctl.records import DeviceUse, HostUse, Placement, Unknown
from vramctl.records.verification import COULD_NOT_TELL, CPU_ONLY, ON_GPU, PARTIAL, Evidence, Verification
from vramctl.units import format_bytes
from vramctl.verify.causes import causes

ASK_SECONDS = 5.0
_WORST_FIRST = (CPU_ONLY, PARTIAL, COULD_NOT_TELL, ON_GPU)


def loaded_by_ollama(api: Api) -> list[dict[str, Any]]:
    """The models that an Ollama has loaded."""
    try:
        document = api.get("/api/ps", timeout_seconds=ASK_SECONDS).document
    except ApiFailed as error:
        raise CouldNotTell(
            "no-server", f"The Ollama at {api.url} does not say what it has loaded.", because=(str(error),),
            fix="Look into its log: vramctl explain journald:ollama.",
        ) from error  # fmt: skip
    models = document.get("models") if isinstance(document, dict) else None
    return [model for model in models if isinstance(model, dict)] if isinstance(models, list) else []


def judge_ollama(models: Sequence[Mapping[str, Any]], url: str) -> Verification:
    """All models that it has loaded, each named; the worst verdict of them is the answer's."""
    if not models:
        raise CouldNotTell(
            "no-model-loaded", f"The Ollama at {url} has no model loaded.", because=("/api/ps lists none",),
            fix="Run a model first, then ask again while it is loaded.",
        )  # fmt: skip
    judged = [_judge_loaded(model) for model in models]
    verdict = min((one for one, _ in judged), key=_WORST_FIRST.index)
    not_asked = Unknown("Ollama says sums, not parts")
    counted = [_size(model.get("size")) for model in models] + [_size(model.get("size_vram")) for model in models]
    reported: Placement | Unknown = not_asked
    if all(isinstance(size, int) for size in counted):
        use = DeviceUse("GPUs", not_asked, not_asked, not_asked, not_asked)
        reported = Placement((use,), HostUse(not_asked, not_asked, not_asked, not_asked), not_asked)
    evidence = Evidence(layers_on_gpu=not_asked, layers_total=not_asked, gpus_listed=not_asked)
    return Verification(
        verdict=verdict, words=" ".join(told for one, told in sorted(judged, key=lambda one: _WORST_FIRST.index(one[0]))),
        planned=Unknown("Ollama's settings were not asked for"),
        reported=reported, observed=Unknown("Ollama's process was not watched"), differences=(),
        findings=causes(Unknown("sums only"), evidence, (), ()), evidence=evidence,
        notes=("`vramctl doctor` and `vramctl explain journald:ollama` say why",) if verdict != ON_GPU else (),
    )  # fmt: skip


def _judge_loaded(model: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict on one loaded model, and the words for it with its name."""
    size, vram = _size(model.get("size")), _size(model.get("size_vram"))
    name = model.get("name", "the model")
    if isinstance(size, Unknown) or isinstance(vram, Unknown):
        return COULD_NOT_TELL, f"{name}: Ollama does not say how much of it is on the GPU."
    share = vram / size if size else 0.0
    verdict = ON_GPU if vram >= size > 0 else CPU_ONLY if vram == 0 else PARTIAL
    told = {
        ON_GPU: f"On the GPU: all {format_bytes(size)} by Ollama's own count.",
        CPU_ONLY: f"Not on the GPU at all: its {format_bytes(size)} are in system memory, says Ollama.",
        PARTIAL: f"Only partly on the GPU: {format_bytes(vram)} of {format_bytes(size)} ({share:.0%}), says Ollama.",
    }[verdict]
    return verdict, f"{name}: {told}"


def _size(value: object) -> int | Unknown:
    return value if type(value) is int else Unknown("Ollama does not say")
