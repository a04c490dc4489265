"""What Ollama from v0.30 on asks of llama-server, which then places the model by its own `--fit`.

Read from `llm/llama_server.go`, `server/sched.go` and `server/routes.go` at v0.30.0, v0.31.2, v0.32.15 and v0.33.0-rc2.
"""

from __future__ import annotations

from vramctl.plan.ollama import default_num_ctx, parse_version
from vramctl.records import Device, Model, Settings, Unknown
from vramctl.units import GIB, MIB

_ONE_SEQUENCE = frozenset(
    {
        "mllama", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3next", "lfm2", "lfm2moe", "nemotron_h",
        "nemotron_h_moe", "nemotron_h_omni",
    }
)  # fmt: skip
_FIT_TARGET_BYTES = 1024 * MIB
_PROJECTOR_HEADROOM_BYTES = GIB


def predict_server_vram(model: Model, n_ctx: int) -> int:
    """Ollama's prediction of a load's bytes, for eviction and batch size: file and an F16 cache on every layer.

    `PredictServerVRAM` of `llm/llama_server.go` v0.33.0-rc2: it ignores key_length, sliding windows, recurrent layers
    and the cache type. `n_ctx` counts all sequences.
    """
    heads, heads_kv = _largest(model, "attention.head_count"), _smallest(model, "attention.head_count_kv")
    embedding = model.meta("embedding_length")
    head = embedding // heads if heads and isinstance(embedding, int) else 0
    blocks = model.meta("block_count")
    layers = blocks if isinstance(blocks, int) else model.layers
    return model.file_bytes + 2 * layers * (heads_kv or 1) * head * n_ctx * 2


def _largest(model: Model, key: str) -> int:
    value = model.meta(key)
    if isinstance(value, tuple):
        return max((int(item) for item in value), default=1)
    return value if isinstance(value, int) else 1


def _smallest(model: Model, key: str) -> int:
    value = model.meta(key)
    if isinstance(value, tuple):
        return min((int(item) for item in value), default=1)
    return value if isinstance(value, int) else 1


def automatic_batch(
    n_ctx: int, predicted_bytes: int, free_bytes: tuple[int, ...], *, flash_attn: bool, cuda: bool
) -> int:
    """The -b and -ub that Ollama picks where num_batch is left open (`automaticGenerationBatch`, `server/sched.go`).

    2048 above 32768 tokens, 1024 above 4096, else 512; lowered while the prediction leaves too little of the free
    memory. CUDA without flash attention keeps 512 (256 on a card of 8 GiB or less above 4096 tokens).
    """
    if not flash_attn and cuda:
        small = n_ctx > 4096 and any(0 < free <= 8 * GIB for free in free_bytes)
        return 256 if small else 512
    available = sum(free_bytes)
    batch = 2048 if n_ctx > 32768 else 1024 if n_ctx > 4096 else 512
    while batch > 512 and not _batch_fits(batch, predicted_bytes, available):
        batch = 1024 if batch > 1024 else 512
    return batch


def _batch_fits(batch: int, predicted: int, available: int) -> bool:
    if not predicted or not available:
        return True
    surcharge, percent = (2 * GIB, 60) if batch >= 2048 else (768 * MIB, 75)
    threshold = available * 80 // 100
    return predicted <= min(threshold, available * percent // 100) and surcharge <= threshold - predicted


def ollama_server_settings(
    model: Model,
    devices: tuple[Device, ...],
    version: str,
    num_ctx: int | None = None,
    num_parallel: int | None = None,
    asked: Settings | None = None,
) -> Settings | Unknown:
    """The settings with which Ollama from v0.30 on starts llama-server; what stays None is llama-server's own choice.

    `num_ctx` (per sequence) is by default chosen by the GPUs' total memory and cut to the trained context;
    `-c` is num_ctx x num_parallel, and as `-np` is always given each sequence has its own part of the cache.
    `asked` may hold num_gpu (`n_gpu_layers`), num_batch, main_gpu, OLLAMA_KV_CACHE_TYPE (`type_k`),
    OLLAMA_FLASH_ATTENTION (`flash_attn`), num_thread and use_mmap. Flags: `startLlamaServer` of `llm/llama_server.go`
    v0.30.0 and v0.33.0-rc2 (which passes `--load-mode none` where v0.30.0 passed `--no-mmap`).
    """
    if parse_version(version) < (0, 30, 0):
        return Unknown(f"Ollama {version} does not start llama-server")
    asked = asked or Settings()
    embedding = model.meta("pooling_type") is not None
    parallel = 1 if embedding or model.architecture in _ONE_SEQUENCE else max(num_parallel or 1, 1)
    per_sequence = num_ctx or default_num_ctx(version, sum(device.total_bytes for device in devices))
    if not isinstance(model.train_ctx, Unknown) and model.train_ctx > 0:
        per_sequence = min(per_sequence, model.train_ctx)
    flash = asked.flash_attn or "auto"
    batch = asked.n_batch or (
        min(2048, per_sequence)
        if embedding
        else automatic_batch(
            per_sequence * parallel,
            predict_server_vram(model, per_sequence * parallel),
            tuple(device.free_bytes for device in devices),
            flash_attn=flash != "off",
            cuda=any(device.backend == "cuda" for device in devices),
        )
    )
    on_cpu = not devices or asked.n_gpu_layers == 0
    return Settings(
        engine="llama.cpp",
        program="ollama",
        n_ctx=per_sequence * parallel,
        n_parallel=parallel,
        n_batch=batch,
        n_ubatch=batch,
        n_gpu_layers=asked.n_gpu_layers,
        type_k=asked.type_k,
        type_v=asked.type_k,
        flash_attn=flash,
        split_mode=None if asked.main_gpu is None else "none",
        main_gpu=asked.main_gpu,
        kv_unified=False,
        n_threads=asked.n_threads,
        use_mmap=asked.use_mmap if asked.use_mmap is not None else not on_cpu,
        mmproj=asked.mmproj,
        draft=asked.draft,
    )


def fit_target_bytes(
    devices: tuple[Device, ...], version: str, projector_bytes: int, *, n_gpu_layers: int | None = None, layers: int = 0
) -> int:
    """The bytes per GPU that llama-server's `--fit` must leave free under Ollama.

    1024 MiB (llama-server's own), but projector + 1 GiB rounded up to a MiB where a projector is put on the GPU
    (`mmprojFitTargetMiB`, since v0.31.2); the projector stays on the host where some GPU has less than that free,
    or when not all layers are asked for the GPU (`shouldDisableMMProjOffload`).
    """
    wanted = projector_bytes + _PROJECTOR_HEADROOM_BYTES
    on_host = (
        n_gpu_layers == 0
        or (n_gpu_layers is not None and 0 < n_gpu_layers < layers + 1)
        or any(device.free_bytes < wanted for device in devices)
    )
    if parse_version(version) < (0, 31, 2) or not projector_bytes or on_host:
        return _FIT_TARGET_BYTES
    return -(-wanted // MIB) * MIB
