"""Plans to emit: one record and what differs from it, so that each test says only what it is about."""

from __future__ import annotations

from dataclasses import replace

from vramctl.records import Device, DeviceUse, Host, HostUse, Model, Origin, Placement, Plan, Settings, Witness
from vramctl.units import GIB, MIB

GGUF = Model(
    reference="/models/llama-3.1-8b.Q4_K_M.gguf",
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
    files=("/models/llama-3.1-8b.Q4_K_M.gguf",),
)
EXL2 = replace(
    GGUF, reference="/models/llama-8b-exl2", kind="exl2", quantization="4.0bpw", files=("/models/llama-8b-exl2/a",)
)
EXL3 = replace(EXL2, reference="/models/llama-8b-exl3", kind="exl3", files=("/models/llama-8b-exl3/a",))

LLAMA = Settings(
    engine="llama.cpp",
    program="llama-server",
    n_ctx=16384,
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
    main_gpu=0,
    swa_full=False,
    kv_unified=True,
    n_outputs_max=4,
    use_mmap=True,
)
LLAMA_CPP_PYTHON = replace(
    LLAMA, program="llama-cpp-python", n_parallel=1, flash_attn="on", kv_unified=False, n_outputs_max=0, n_batch=512
)
EXLLAMA = Settings(engine="exllamav3", program="exllamav3", n_ctx=8192, type_k="fp16", n_batch=2048)


def gpu(index: int = 0, *, free: int = 11 * GIB) -> Device:
    """A 12 GB card as a plan holds it."""
    return Device(f"CUDA{index}", "NVIDIA GeForce RTX 3060", 12_622_757_888, free, "catalogue: NVIDIA")


def plan(
    settings: Settings = LLAMA,
    *,
    model: Model = GGUF,
    devices: tuple[Device, ...] = (gpu(),),
    asked: tuple[str, ...] = (),
    fits: bool = True,
) -> Plan:
    """A plan with these settings; what is not in `asked` came from the engine."""
    origins: dict[str, Origin] = dict.fromkeys(asked, "asked")
    use = tuple(DeviceUse(d.name, 4403 * MIB, 2048 * MIB, 116 * MIB, 527 * MIB) for d in devices)
    return Plan(
        model=model,
        devices=devices,
        host=Host(32 * GIB, 24 * GIB, 8, "asked"),
        settings=settings,
        origins=origins,
        placement=Placement(use, HostUse(281 * MIB, 0, 10 * MIB, 2 * MIB), "gpu"),
        witness=Witness("dry-run", "xllamacpp 2026.10.11549", True, ("measured",)),
        budgets=tuple(d.free_bytes * 9 // 10 for d in devices),
        layers_on_gpu=33,
        layers_total=33,
        fits=fits,
        max_ctx=65536,
        advice=(),
        overhead_source="measured on an H200",
    )
