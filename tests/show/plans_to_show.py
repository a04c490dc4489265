"""Plans as they come out of the job, made by hand: one for each way a plan can look."""

from __future__ import annotations

from dataclasses import replace

from vramctl.records import (
    Advice,
    Device,
    DeviceUse,
    Host,
    HostUse,
    Model,
    Origin,
    Placement,
    Plan,
    Settings,
    Unknown,
    Witness,
)
from vramctl.units import GIB, MIB

LLAMA_8B = Model(
    reference="llama-3.1-8b-q4_k_m.gguf",
    kind="gguf",
    name="Llama 3.1 8B Instruct",
    architecture="llama",
    parameters=8_030_261_312,
    quantization="Q4_K_M",
    file_bytes=4_920_739_232,
    layers=32,
    train_ctx=131072,
    metadata={},
    tensors=(),
    files=("llama-3.1-8b-q4_k_m.gguf",),
)
SETTINGS = Settings(
    engine="llama.cpp",
    program="llama-server",
    n_ctx=32768,
    n_parallel=4,
    n_batch=2048,
    n_ubatch=512,
    n_gpu_layers=33,
    type_k="f16",
    type_v="f16",
    flash_attn="auto",
    offload_kqv=True,
    op_offload=True,
    split_mode="layer",
    swa_full=False,
    kv_unified=True,
    n_outputs_max=4,
    use_mmap=True,
)
ORIGINS: dict[str, Origin] = {"n_ctx": "asked", "n_gpu_layers": "chosen"}
DRY_RUN = Witness(
    "dry-run",
    "xllamacpp 2026.10.11549",
    True,
    ("compared with a real H200 for llama: weights, KV and compute within 0.1 MiB",),
)
OVERHEAD = "CUDA context and pools: 605 MiB measured on an H200 (527 after loading, 78 after the first decode)"
HOST = Host(32 * GIB, 24 * GIB, 8, "asked")


def rtx_3060(index: int = 0) -> Device:
    """A 12 GB card as Linux reports it."""
    return Device(f"CUDA{index}", "NVIDIA GeForce RTX 3060", 12_622_757_888, 12_500_000_000, "catalogue: llama.cpp")


def mib(size: float) -> int:
    """A size as llama.cpp's log has it, in bytes."""
    return round(size * MIB)


ON_ONE_GPU = Plan(
    model=LLAMA_8B,
    devices=(rtx_3060(),),
    host=HOST,
    settings=SETTINGS,
    origins=ORIGINS,
    placement=Placement(
        (DeviceUse("CUDA0", mib(4403.49), mib(4096), mib(258.5), mib(605)),),
        HostUse(mib(281.81), 0, mib(72.01), mib(1.95)),
        "gpu",
    ),
    witness=DRY_RUN,
    budgets=(11_238_204_620,),
    layers_on_gpu=33,
    layers_total=33,
    fits=True,
    max_ctx=44032,
    advice=(
        Advice(
            "q8_0 KV frees 1920 MiB, but adds 64 MiB of scratch.",
            ("KV 4096.00 -> 2176.00 MiB", "compute 258.50 -> 322.50 MiB"),
            "Add --kv-type q8_0.",
        ),
    ),
    overhead_source=OVERHEAD,
)

DOES_NOT_FIT = replace(
    ON_ONE_GPU,
    settings=replace(SETTINGS, n_ctx=131072),
    origins={"n_ctx": "asked", "n_gpu_layers": "asked"},
    placement=Placement(
        (DeviceUse("CUDA0", mib(4403.49), mib(16384), mib(258.5), mib(605)),),
        HostUse(mib(281.81), 0, mib(264.01), mib(1.95)),
        "gpu",
    ),
    fits=False,
    advice=(
        Advice(
            "With 44032 tokens of context it fits.", ("KV 16384.00 -> 5504.00 MiB",), "Ask for --ctx 44032 or less."
        ),
        Advice("Half of the layers fit.", ("KV and weights of 17 layers move to the CPU",), "Leave --ngl out."),
    ),
)

TWO_GPUS = replace(
    ON_ONE_GPU,
    devices=(
        replace(rtx_3060(0), description="NVIDIA GeForce RTX 3090", total_bytes=25_298_141_184, free_bytes=25 * 10**9),
        rtx_3060(1),
    ),
    settings=replace(SETTINGS, n_ctx=65536, tensor_split=(2.0, 1.0), type_v="q8_0"),
    origins={"n_ctx": "asked", "tensor_split": "chosen", "n_gpu_layers": "chosen", "type_k": "asked"},
    placement=Placement(
        (
            DeviceUse("CUDA0", mib(2901.34), mib(5632), mib(354.55), mib(605)),
            DeviceUse("CUDA1", mib(1502.15), mib(2560), mib(386.5), mib(605)),
        ),
        HostUse(mib(281.81), 0, mib(136.01), mib(1.95)),
        "gpu",
    ),
    budgets=(22_530_000_000, 11_238_204_620),
    witness=replace(DRY_RUN, exact=False, because=("two GPUs with pipeline parallelism differ by up to 32 MiB",)),
    max_ctx=131072,
    advice=(),
)

CPU_ONLY = replace(
    ON_ONE_GPU,
    devices=(),
    settings=replace(SETTINGS, n_ctx=8192, n_gpu_layers=0),
    placement=Placement((), HostUse(mib(4685.3), mib(1024), mib(304.01), mib(1.95)), "cpu"),
    budgets=(),
    layers_on_gpu=0,
    max_ctx=0,
    advice=(),
    overhead_source="",
)

EXPERTS = replace(
    ON_ONE_GPU,
    model=replace(
        LLAMA_8B,
        reference="shape:qwen3-30b-a3b@Q4_K_M",
        name="Qwen3 30B A3B",
        architecture="qwen3moe",
        layers=48,
        train_ctx=40960,
        files=(),
    ),
    settings=replace(SETTINGS, n_ctx=16384, n_gpu_layers=49, n_cpu_moe=26),
    origins={"n_ctx": "chosen", "n_gpu_layers": "chosen", "n_cpu_moe": "chosen"},
    placement=Placement(
        (DeviceUse("CUDA0", mib(8312.02), mib(1536), mib(341.5), mib(605)),),
        HostUse(mib(9394.31), 0, mib(44.01), mib(2.32)),
        "gpu",
    ),
    layers_on_gpu=49,
    layers_total=49,
    max_ctx=0,
)

PARTLY_UNKNOWN = replace(
    ON_ONE_GPU,
    placement=Placement(
        (DeviceUse("CUDA0", mib(4403.49), mib(4096), Unknown("no formula for architecture 'newone'"), mib(605)),),
        HostUse(mib(281.81), 0, Unknown("no formula for architecture 'newone'"), mib(1.95)),
        Unknown("the witness does not say"),
    ),
    model=replace(
        LLAMA_8B,
        name=Unknown("the header has no general.name"),
        quantization=Unknown("mixed types"),
        train_ctx=Unknown("the header has no context length"),
    ),
    witness=Witness("formula", "llama.cpp b11434", False, ("the compute buffer of 'newone' is not known",)),
    layers_on_gpu=20,
    max_ctx=Unknown("the compute buffer is not known"),
    advice=(),
)

MANY_GPUS = replace(
    TWO_GPUS,
    devices=tuple(replace(rtx_3060(i), name=f"CUDA{i}") for i in range(4)),
    placement=Placement(
        tuple(DeviceUse(f"CUDA{i}", mib(1100 + 10 * i), mib(2048), mib(386.5), mib(605)) for i in range(4)),
        TWO_GPUS.placement.host,
        "gpu",
    ),
    budgets=(11_238_204_620,) * 4,
)
