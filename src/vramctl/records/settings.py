"""What an engine is asked to do. One record for all commands; names are the engines' own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one load; None means left open (the program's default, or to be chosen by the plan).

    `n_ctx` counts tokens of all sequences together, as llama.cpp's `-c` does. `n_gpu_layers` counts repeating
    layers plus one for the output layer (33 for an 8B of 32 layers), as llama.cpp's `-ngl` does.
    `type_k`/`type_v` are ggml type names in lower case (`f16`, `q8_0`). `flash_attn` is on, off or auto.
    `tensor_overrides` are (regular expression, buffer type name) pairs, first match wins; `n_cpu_moe` counts the
    first layers whose experts stay on the host. `n_outputs_max` is how many rows of logits one ubatch can yield
    (0: n_batch). `main_gpu` is used with split_mode none.
    """

    engine: str | None = None
    program: str | None = None
    n_ctx: int | None = None
    n_parallel: int | None = None
    n_batch: int | None = None
    n_ubatch: int | None = None
    n_gpu_layers: int | None = None
    type_k: str | None = None
    type_v: str | None = None
    flash_attn: str | None = None
    offload_kqv: bool | None = None
    op_offload: bool | None = None
    split_mode: str | None = None
    main_gpu: int | None = None
    tensor_split: tuple[float, ...] | None = None
    n_cpu_moe: int | None = None
    tensor_overrides: tuple[tuple[str, str], ...] | None = None
    swa_full: bool | None = None
    kv_unified: bool | None = None
    n_outputs_max: int | None = None
    n_threads: int | None = None
    use_mmap: bool | None = None
    mmproj: str | None = None
    draft: str | None = None
