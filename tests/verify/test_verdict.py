"""Each planted fault is told apart by what an H200 reported and held (driver 580.159.04, Llama 3.1 8B Q4_K_M at n_ctx 8192)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vramctl.records.placement import DeviceUse, HostUse, Placement
from vramctl.records.unknown import Unknown
from vramctl.records.verification import (
    COULD_NOT_TELL,
    CPU_ONLY,
    MISMATCH,
    ON_GPU,
    PARTIAL,
    DeviceWatch,
    Evidence,
)
from vramctl.units import GIB, MIB
from vramctl.verify.causes import causes
from vramctl.verify.compare import differences, observed
from vramctl.verify.verdict import verdict, words

UNKNOWN = Unknown("not needed")


def mib(size: float) -> int:
    return int(size * MIB)


def placement(
    weights: float, kv: float, compute: float, *, host_kv: float = 0, runs: str = "gpu", overhead: float = 612
) -> Placement:
    use = DeviceUse("CUDA0", mib(weights), mib(kv), mib(compute), mib(overhead))
    return Placement((use,), HostUse(mib(281.81), mib(host_kv), mib(24.01), mib(0.49)), runs)


def watch(loaded: float, more: float, decoded: float, **others: int) -> DeviceWatch:
    """MiB that NVML counted after loading, more with the context, more after the first decode."""
    peak = mib(loaded + more + decoded)
    return DeviceWatch(
        name="CUDA0",
        total_bytes=140 * GIB,
        before_bytes=others.get("others", 0),
        loaded_bytes=mib(loaded + more) + others.get("others", 0),
        peak_bytes=peak + others.get("others", 0),
        others_before_bytes=others.get("others", 0),
        busy_percent=(95, 96),
    )


FULL = placement(4403.49, 1024, 258.5)
SEEN = Evidence(
    layers_on_gpu=33,
    layers_total=33,
    gpus_listed=1,
    graph_splits=2,
    planned_splits=2,
    asked_kv_offload=True,
    type_k="f16",
    type_v="f16",
    flash_attn="on",
    backends=frozenset({"cuda", "cpu"}),
    hidden_by="",
    gpus_in_machine=1,
)


def judged(
    reported: Placement | Unknown, evidence: Evidence, one: DeviceWatch, planned: Placement | Unknown = UNKNOWN
) -> tuple[str, list[str]]:
    differ = differences(planned, reported, [one])
    found = causes(reported, evidence, [one], differ)
    return verdict(reported, evidence, differ), [finding.id for finding in found if finding.severity != "info"]


def test_full_offload_is_on_the_gpu_and_all_witnesses_agree() -> None:
    seen = watch(4930, 1286, 78)
    assert differences(FULL, FULL, [seen]) == ()
    assert judged(FULL, SEEN, seen, FULL) == (ON_GPU, [])
    assert words(ON_GPU, SEEN, ()) == "On the GPU: 33 of 33 layers, the KV cache and attention."


@pytest.mark.parametrize(
    ("reported", "changed", "seen", "expected"),
    [
        (
            placement(4005.99, 928, 258.5, host_kv=96),
            {"layers_on_gpu": 30, "asked_layers": 30},
            (4532, 1186, 78),
            (PARTIAL, ["partial-offload"]),
        ),
        (
            placement(4120.0, 1024, 258.5),
            {"layers_on_gpu": 32, "asked_layers": 32},
            (4648, 1286, 78),
            (PARTIAL, ["one-layer-short"]),
        ),
        (
            placement(0, 0, 669.48, host_kv=1024),
            {"layers_on_gpu": 0, "asked_layers": 0},
            (526, 670, 118),
            (CPU_ONLY, ["n-gpu-layers-zero"]),
        ),
        (
            placement(4403.49, 0, 258.5, host_kv=1024, runs="cpu"),
            {"asked_kv_offload": False, "graph_splits": 66},
            (4930, 262, 80),
            (PARTIAL, ["offload-kqv-false"]),
        ),
        (
            placement(4403.49, 384, 258.5, runs="mixed"),
            {"type_k": "q5_1", "type_v": "q5_1", "graph_splits": 66},
            (4930, 646, 78),
            (PARTIAL, ["quantized-kv-no-kernel"]),
        ),
        (
            placement(4403.49, 1024, 564.01),
            {"flash_attn": "off", "asked_flash_attn": "off"},
            (4930, 1592, 84),
            (ON_GPU, ["flash-attn-disabled"]),
        ),
    ],
    ids=["ngl-30", "ngl-32", "ngl-0", "no-kv-offload", "q5_1", "no-flash-attention"],
)
def test_a_planted_fault_is_named(
    reported: Placement, changed: dict[str, object], seen: tuple[float, float, float], expected: tuple[str, list[str]]
) -> None:
    evidence = replace(SEEN, **changed)  # type: ignore[arg-type]
    assert judged(reported, evidence, watch(*seen), reported) == expected


def test_a_cpu_build_and_hidden_gpus_are_told_apart() -> None:
    none = placement(0, 0, 0, runs="cpu")
    idle = watch(0, 0, 0)
    seen = replace(SEEN, layers_on_gpu=0, gpus_listed=0)
    assert judged(none, replace(seen, backends=frozenset({"cpu"})), idle) == (CPU_ONLY, ["cpu-only-build"])
    assert judged(none, replace(seen, hidden_by="CUDA_VISIBLE_DEVICES="), idle) == (
        CPU_ONLY,
        ["visible-devices-hides-gpu"],
    )
    assert judged(none, seen, idle) == (CPU_ONLY, ["engine-lists-no-gpu"])
    assert judged(none, replace(seen, gpus_in_machine=0), idle) == (CPU_ONLY, [])


def test_a_variable_is_not_blamed_for_a_build_that_could_not_use_a_gpu_anyway() -> None:
    none, idle = placement(0, 0, 0, runs="cpu"), watch(0, 0, 0)
    cpu = replace(SEEN, layers_on_gpu=0, gpus_listed=0, backends=frozenset({"cpu"}))
    assert judged(none, replace(cpu, hidden_by="CUDA_VISIBLE_DEVICES="), idle)[1] == ["cpu-only-build"]
    assert judged(none, replace(cpu, hidden_by="GGML_VK_VISIBLE_DEVICES="), idle)[1] == ["visible-devices-hides-gpu"]
    assert judged(none, replace(cpu, backends=frozenset({"cpu", "opencl"})), idle)[1] == ["engine-lists-no-gpu"]


def test_memory_of_other_processes_is_named_and_not_counted_as_ours() -> None:
    reported = placement(2290.21, 480, 258.5, host_kv=544, runs="mixed")
    seen = watch(2818, 742, 100, others=8 * GIB)
    evidence = replace(SEEN, layers_on_gpu=16)
    assert seen.grown_bytes == mib(3660)
    assert judged(reported, evidence, seen) == (PARTIAL, ["partial-offload", "vram-held-by-other"])


def test_what_the_device_does_not_hold_has_spilled() -> None:
    seen = watch(3000, 0, 0)
    assert judged(FULL, SEEN, seen, FULL) == (MISMATCH, ["windows-sysmem-fallback"])


def test_without_a_report_nothing_is_claimed() -> None:
    assert judged(Unknown("no log"), SEEN, watch(0, 0, 0)) == (COULD_NOT_TELL, [])


def test_an_idle_gpu_computes_nothing() -> None:
    seen = replace(watch(4930, 262, 80), busy_percent=(0, 0, 0))
    found = observed([seen], FULL)
    assert isinstance(found, Placement)
    assert found.kv_operations == "cpu"


@pytest.mark.parametrize("away", [{"layers_on_gpu": 30}, {"kept_in_ram": "the experts of 24 layers"}])
def test_splits_say_nothing_of_attention_where_layers_or_experts_are_on_the_host(away: dict[str, object]) -> None:
    evidence = replace(SEEN, graph_splits=74, **away)  # type: ignore[arg-type]
    found = causes(FULL, evidence, (), ())
    assert "attention-on-cpu" not in [one.id for one in found]
    assert verdict(FULL, evidence, ()) == PARTIAL
    assert verdict(FULL, replace(SEEN, graph_splits=74), ()) == PARTIAL
