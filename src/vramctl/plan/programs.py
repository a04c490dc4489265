"""What each program fills in where the user leaves a setting open: they differ by hundreds of MiB.

Read from llama-server (common/common.h, tools/server/server.cpp, common/speculative.cpp) and include/llama.h of llama.cpp
0c1e57098 and b11434, and from `llama_cpp/llama.py` of llama-cpp-python 0.3.36. Ollama's are in `ollama_server.py`,
ExLlama's in `exllama.py`.
"""

from __future__ import annotations

from dataclasses import fields, replace

from vramctl.records import Model, Settings

PROGRAMS = ("llama-server", "llama-cpp-python", "ollama", "exllamav2", "exllamav3", "tabbyapi")
ENGINE_OF = {
    "llama-server": "llama.cpp",
    "llama-cpp-python": "llama.cpp",
    "ollama": "ollama",
    "exllamav2": "exllamav2",
    "exllamav3": "exllamav3",
    "tabbyapi": "exllamav3",
}
_COMMON = Settings(
    type_k="f16", type_v="f16", offload_kqv=True, op_offload=True, split_mode="layer", main_gpu=0, n_cpu_moe=0, use_mmap=True
)  # fmt: skip
MIN_CTX = 4096  # llama.cpp's own fit goes no lower by itself (--fit-ctx, common/common.h)


def overlay(base: Settings, asked: Settings) -> Settings:
    """`base` with every field that `asked` sets."""
    given = {f.name: getattr(asked, f.name) for f in fields(Settings) if getattr(asked, f.name) is not None}
    return replace(base, **given)


def llama_server(asked: Settings) -> Settings:
    """llama-server's defaults: four slots in one unified cache, few outputs, small caches for sliding windows.

    Without -np it takes 4 slots and a unified cache (tools/server/server.cpp); with -np the cache is split unless --kv-unified.
    Outputs: one per slot (common/speculative.cpp, without a draft model).
    """
    parallel = asked.n_parallel or 4
    base = replace(
        _COMMON, program="llama-server", n_batch=2048, n_ubatch=512, n_parallel=parallel, flash_attn="auto",
        kv_unified=asked.n_parallel is None, swa_full=False, n_outputs_max=parallel,
    )  # fmt: skip
    return overlay(base, asked)


def llama_cpp_python(asked: Settings, n_ctx: int | None) -> Settings:
    """`Llama()`'s defaults: flash attention off, full caches for sliding windows, logits for the whole batch.

    `n_batch` is cut to n_ctx and `n_ubatch` to n_batch (llama.py, `Llama.__init__`).
    """
    batch = min(asked.n_batch or 512, n_ctx or 1 << 30)
    base = replace(
        _COMMON, program="llama-cpp-python", n_parallel=1, flash_attn="off", kv_unified=False, swa_full=True, n_outputs_max=0,
    )  # fmt: skip
    return replace(overlay(base, asked), n_batch=batch, n_ubatch=min(asked.n_ubatch or 512, batch))


def has_experts(model: Model) -> bool:
    """Whether the model has routed experts that can stay on the host."""
    count = model.meta("expert_count")
    return isinstance(count, int) and count > 1


MAX_TRAIN_CTX = 1 << 24  # the longest published is 10 million tokens


def train_ctx(model: Model, otherwise: int = 131072) -> int:
    """The training context, at most MAX_TRAIN_CTX, or `otherwise` where the header does not say."""
    known = isinstance(model.train_ctx, int) and model.train_ctx > 0
    return min(int(model.train_ctx), MAX_TRAIN_CTX) if known else otherwise  # type: ignore[arg-type]
