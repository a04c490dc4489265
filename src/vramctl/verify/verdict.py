"""Where a model really is: the verdict, in a word and in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from vramctl.records.finding import Finding
from vramctl.records.placement import Placement
from vramctl.records.unknown import Unknown
from vramctl.records.verification import (
    COULD_NOT_TELL,
    CPU_ONLY,
    MISMATCH,
    ON_GPU,
    PARTIAL,
    Difference,
    Evidence,
)
from vramctl.units import MIB


def verdict(reported: Placement | Unknown, evidence: Evidence, differences: Sequence[Difference]) -> str:
    """One of on-gpu, partial, cpu-only, mismatch, could-not-tell."""
    if isinstance(reported, Unknown):
        return COULD_NOT_TELL
    weights = [use.weights_bytes for use in reported.devices]
    if not any(isinstance(size, Unknown) or size > 0 for size in weights):
        return CPU_ONLY
    if any(isinstance(size, Unknown) for size in weights) and isinstance(evidence.layers_on_gpu, Unknown):
        return COULD_NOT_TELL
    if _is_partial(reported, evidence):
        return PARTIAL
    if any(difference.part == "used" and less_than_reported(difference) for difference in differences):
        return MISMATCH
    if any(difference.part in {"weights", "kv"} for difference in differences):
        return MISMATCH
    return ON_GPU


def _is_partial(reported: Placement, evidence: Evidence) -> bool:
    on, total = evidence.layers_on_gpu, evidence.layers_total
    if isinstance(on, int) and isinstance(total, int) and on < total:
        return True
    host_kv = reported.host.kv_bytes
    if evidence.kept_in_ram:
        return True
    return (isinstance(host_kv, int) and host_kv > 0) or _attention(reported, evidence) in {"cpu", "mixed"}


def _attention(reported: Placement, evidence: Evidence) -> str | Unknown:
    """Where attention runs: as the engine tells, else as the graph's splits show against the dry run's."""
    return "mixed" if more_splits(evidence) else reported.kv_operations


def less_than_reported(difference: Difference) -> bool:
    seen, said = difference.observed_bytes, difference.reported_bytes
    return isinstance(seen, int) and isinstance(said, int) and seen < said - max(64 * MIB, said * 0.01)


def words(found: str, evidence: Evidence, findings: Sequence[Finding]) -> str:
    """The verdict in a sentence, with its cause where there is one."""
    layers = (
        f"{evidence.layers_on_gpu} of {evidence.layers_total} layers"
        if isinstance(evidence.layers_on_gpu, int) and isinstance(evidence.layers_total, int)
        else "layers not reported"
    )
    cause = next((one.what for one in findings if one.severity in {"error", "warning"}), "")
    opening = {
        ON_GPU: f"On the GPU: {layers}, the KV cache and attention.",
        PARTIAL: f"Only partly on the GPU ({layers}).",
        CPU_ONLY: "Not on the GPU at all: it runs on the CPU.",
        MISMATCH: "The witnesses disagree.",
        COULD_NOT_TELL: "Could not tell.",
    }[found]
    return f"{opening} {cause}".strip()


def more_splits(evidence: Evidence) -> bool | None:
    """Whether the graph is cut about once per layer although all layers are on GPUs; None where that cannot be told.

    A graph that runs on GPUs alone has a split per device and one for its input (ggml-backend.cpp, `sched_split_graph`); an
    operation of each layer on the host cuts it twice per layer.
    """
    if evidence.kept_in_ram or evidence.layers_on_gpu != evidence.layers_total:
        return None
    splits, planned, layers = evidence.graph_splits, evidence.planned_splits, evidence.layers_total
    if not isinstance(splits, int) or not isinstance(planned, int) or not isinstance(layers, int):
        return None
    return splits > planned and splits >= layers
