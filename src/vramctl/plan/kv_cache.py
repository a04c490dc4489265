"""The bytes of keys, values and recurrent state per device.

Follows src/llama-model.cpp `create_memory`, src/llama-kv-cache.cpp, src/llama-kv-cache-iswa.cpp and
src/llama-memory-recurrent.cpp of llama.cpp 0c1e57098 and b11434. Architectures with a cache of their own kind
(indexer keys, compressed blocks) are Unknown: only the engine knows.
"""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.ggml_types import QUANTISED
from vramctl.plan.graph_hparams import HYBRID, KNOWN_CACHE, RECURRENT, Hparams
from vramctl.plan.graph_tensor import row_bytes
from vramctl.plan.layer_split import HOST, LayerSplit
from vramctl.plan.weights import GPU_ALIGNMENT, HOST_ALIGNMENT
from vramctl.records import Settings, Unknown
from vramctl.units import pad


@dataclass(frozen=True, slots=True)
class Cells:
    """How many tokens the caches hold and a batch has. `streams` is 1 for a unified cache, else the sequences."""

    n_ctx: int
    n_batch: int
    n_ubatch: int
    per_stream: int
    windowed: int
    streams: int
    sequences: int


@dataclass(frozen=True, slots=True)
class LayerCache:
    """One layer's caches on one device: row widths in elements (0: none), cells per stream, recurrent elements."""

    device: int
    k_width: int
    v_width: int
    cells: int
    conv_state: int
    scan_state: int


def cells(hp: Hparams, settings: Settings) -> Cells:
    """Cells of the full and of the sliding-window cache (src/llama-context.cpp, src/llama-kv-cache-iswa.cpp)."""
    sequences = max(settings.n_parallel or 1, 1)
    asked = settings.n_ctx or 4096
    batch = min(asked, settings.n_batch or 2048)
    ubatch = min(batch, settings.n_ubatch or batch)
    n_ctx, unified = pad(asked, 256), bool(settings.kv_unified)
    per_stream = n_ctx if unified else pad(n_ctx // sequences, 256)
    if not unified:
        n_ctx = per_stream * sequences
    windowed = pad(min(per_stream, hp.window * (sequences if unified else 1) + ubatch), 256)
    if settings.swa_full:
        windowed = per_stream
    return Cells(n_ctx, batch, ubatch, per_stream, windowed, 1 if unified else sequences, sequences)


def values_transposed(settings: Settings) -> bool:
    """Whether V is stored transposed: where flash attention is off (`auto` counts as on when caches are made)."""
    return settings.flash_attn == "off"


def layer_caches(hp: Hparams, settings: Settings, split: LayerSplit) -> tuple[LayerCache | None, ...] | Unknown:
    """Each block's caches, None for blocks without; Unknown for caches of another kind."""
    if hp.arch not in KNOWN_CACHE:
        return Unknown(f"no formula for the cache of {hp.arch}: ask the engine")
    count, offload = cells(hp, settings), settings.offload_kqv is not False
    attends = hp.attends
    found: list[LayerCache | None] = []
    for i in range(hp.layers_all):
        device = split.layers[i] if offload else HOST
        state = hp.arch in RECURRENT | HYBRID and hp.recurrent[i] and i < hp.layers
        k = v = 0
        if attends[i]:
            k = hp.k_width(i)
            v = 0 if hp.mla else hp.v_width_max if values_transposed(settings) else hp.v_width(i)
        if not attends[i] and not state:
            found.append(None)
            continue
        found.append(LayerCache(
            device, k, v, count.windowed if hp.swa[i] else count.per_stream,
            hp.conv_state if state else 0, hp.scan_state if state else 0,
        ))  # fmt: skip
    return tuple(found)


def _cache_tensor_bytes(type_name: str, width: int, rows: int, device: int) -> int:
    """One cache tensor in its buffer: CUDA pads quantised rows to 512 elements once per tensor, as for weights."""
    if not width:
        return 0
    size = row_bytes(type_name, width) * rows
    if device != HOST and type_name in QUANTISED and width % 512:
        size += row_bytes(type_name, 512 - width % 512)
    return pad(size, HOST_ALIGNMENT if device == HOST else GPU_ALIGNMENT)


def layer_cache_bytes(cache: LayerCache, settings: Settings, count: Cells) -> int:
    """Bytes of one layer's caches, alignment included."""
    rows, where = cache.cells * count.streams, cache.device
    return (
        _cache_tensor_bytes((settings.type_k or "f16").upper(), cache.k_width, rows, where)
        + _cache_tensor_bytes((settings.type_v or "f16").upper(), cache.v_width, rows, where)
        + _cache_tensor_bytes("F32", cache.conv_state, count.sequences, where)
        + _cache_tensor_bytes("F32", cache.scan_state, count.sequences, where)
    )


def kv_bytes(hp: Hparams, settings: Settings, split: LayerSplit, devices: int) -> tuple[int, ...] | Unknown:
    """Bytes of KV and recurrent state on each GPU, and last on the host."""
    caches = layer_caches(hp, settings, split)
    if isinstance(caches, Unknown):
        return caches
    count, sums = cells(hp, settings), [0] * (devices + 1)
    for cache in caches:
        if cache is not None:
            sums[cache.device if cache.device != HOST else devices] += layer_cache_bytes(cache, settings, count)
    return tuple(sums)
