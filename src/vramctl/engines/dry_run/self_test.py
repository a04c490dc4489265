"""Tries the layouts that were found: plans a tiny model whose sizes are known, and sees every parameter take effect.

A parameter written to a wrong place changes something else, or nothing.  So each check changes one and compares with
what must follow; the first that does not hold is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from vramctl.engines.dry_run import tiny
from vramctl.engines.dry_run.layouts import LayoutUnknown

Ask = Callable[[dict[str, Any]], dict[str, Any]]
CARD = {"total": 16 << 30, "free": 15 << 30, "cc": 860}
CELLS = 2048
F16, Q8_0 = 1, 8
_SHAPES = tiny.tensors()
_ALLOCATED = re.compile(r"model buffer size = *(?!0\.00 MiB)\d")  # with no_alloc these are empty
_BASE = {
    "n_ctx": CELLS, "n_batch": 512, "n_ubatch": 64, "n_seq_max": 1, "type_k": F16, "type_v": F16, "flash_attn": 1,
    "offload_kqv": True, "op_offload": True, "swa_full": False, "kv_unified": False,
}  # fmt: skip


class _Trial:
    """Asks for the tiny model with one change after another."""

    def __init__(self, ask: Ask, path: str) -> None:
        self._ask = ask
        self._path = path

    def place(
        self, what: str, *, cards: int = 1, model: dict[str, Any] | None = None, **context: Any
    ) -> dict[str, list[int]]:
        """Bytes [weights, KV, compute] of each phantom and of the `host`."""
        job = {
            "model": self._path,
            "devices": [CARD] * cards,
            "model_params": {"n_gpu_layers": 99, "split_mode": 1} | (model or {}),
            "context_params": _BASE | context,
        }
        answer = self._ask(job)
        buffers: dict[str, list[int]] = answer["buffers"]
        if any(_ALLOCATED.search(line) for line in answer["log"]):
            raise LayoutUnknown(f"self-test: {what}: the engine allocates weights in spite of no_alloc")
        if not buffers:
            raise LayoutUnknown(f"self-test: {what}: the engine names no buffers")
        known = {f"CUDA{i}": buffers.get(f"CUDA{i}", [0, 0, 0]) for i in range(cards)}
        rest = [sizes for name, sizes in buffers.items() if name not in known]
        return known | {"host": [sum(sizes[part] for sizes in rest) for part in range(3)]}


def check(ask: Ask, *, fields: Collection[str], cards: int) -> None:
    """Does nothing where this build plans the tiny model as it must; LayoutUnknown names the first check that fails."""
    with tiny.tiny_model() as path:
        trial = _Trial(ask, path)
        _contexts(trial, fields)
        _models(trial, cards)


def kv_bytes(cells: int) -> int:
    """The tiny model's F16 cache of K and V, in bytes."""
    return 2 * tiny.LAYERS * cells * tiny.KV_WIDTH * 2


def _contexts(trial: _Trial, fields: Collection[str]) -> None:
    base = trial.place("a plain load")
    gpu = sum(tiny.cuda_bytes(shape) for name, shape in _SHAPES.items() if name != "token_embd.weight")
    _same("weights on the device", base["CUDA0"][0], gpu)
    _same("weights on the host", base["host"][0], tiny.host_bytes(_SHAPES["token_embd.weight"]))
    _same("the cache of 2048 cells", base["CUDA0"][1], kv_bytes(CELLS))
    compute = base["CUDA0"][2]
    logits = 4 * tiny.VOCABULARY * 64
    if not logits <= compute < 8 * logits:
        raise LayoutUnknown(f"self-test: the compute buffer takes {compute} bytes where {logits} are the logits alone")

    wide = trial.place("ubatch 128, 512 cells", n_ctx=512, n_ubatch=128)["CUDA0"]
    _same("the cache of 512 cells", wide[1], kv_bytes(512))
    if wide[2] <= compute:
        raise LayoutUnknown(f"self-test: ubatch 128 instead of 64 takes {wide[2]} bytes of compute buffer, not more")

    short = trial.place("a batch of 32", n_batch=32)["CUDA0"][2]
    if short >= compute:
        raise LayoutUnknown(f"self-test: a batch of 32 takes {short} bytes of compute buffer, not less than 64 rows")

    mixed = trial.place("a q8_0 cache for K", type_k=Q8_0)["CUDA0"]
    smaller = tiny.LAYERS * tiny.cuda_bytes((tiny.KV_WIDTH, CELLS)) + kv_bytes(CELLS) // 2
    _same("a q8_0 cache for K", mixed[1], smaller)

    plain = trial.place("flash attention off, cache on the host", flash_attn=0, offload_kqv=False)
    _same("the device's cache without offload_kqv", plain["CUDA0"][1], 0)
    _same("the host's cache without offload_kqv", plain["host"][1], kv_bytes(CELLS))
    scores = 4 * tiny.HEADS * CELLS * 64
    slow = trial.place("flash attention off", flash_attn=0)["CUDA0"][2]
    if slow < max(compute, scores):
        raise LayoutUnknown(f"self-test: without flash attention the compute buffer takes {slow} bytes, not more")

    # 1100 cells for 4 sequences: one pool of 1280, or four of 512 (llama-context.cpp pads to 256).
    apart = trial.place("4 sequences", n_ctx=1100, n_seq_max=4)["CUDA0"][1]
    _same("the cache of 4 separate sequences", apart, kv_bytes(4 * 512))
    pooled = trial.place("4 sequences, unified", n_ctx=1100, n_seq_max=4, kv_unified=True)["CUDA0"][1]
    _same("the cache of 4 unified sequences", pooled, kv_bytes(1280))
    if "n_outputs_max" in fields:
        few = trial.place("1 output", n_outputs_max=1)["CUDA0"][2]
        if few >= logits:
            raise LayoutUnknown(f"self-test: with one output the compute buffer still takes {few} bytes")


def _models(trial: _Trial, cards: int) -> None:
    """A partial offload with an override, and where there are two phantoms a split."""
    pattern = r"ffn_down\.weight"
    params = {"n_gpu_layers": 2, "overrides": [[pattern, "CPU"]]}
    part = trial.place("2 layers offloaded", model=params)["CUDA0"]
    kept = [
        shape
        for name, shape in _SHAPES.items()
        if name.startswith((f"blk.{tiny.LAYERS - 1}.", "output")) and not re.search(pattern, name)
    ]
    _same("weights of 2 offloaded layers without ffn_down", part[0], sum(map(tiny.cuda_bytes, kept)))
    _same("the cache of 1 offloaded layer", part[1], kv_bytes(CELLS) // tiny.LAYERS)
    alone = trial.place("2 layers offloaded, nothing else", model=params, op_offload=False)["CUDA0"]
    if alone[2] >= part[2]:
        raise LayoutUnknown(f"self-test: without op_offload the compute buffer takes {alone[2]} bytes, not less")
    if cards > 1:
        split = trial.place("a tensor split of 0,1", cards=2, model={"tensor_split": [0.0, 1.0]})
        _same("the first device's cache with a tensor split of 0,1", split["CUDA0"][1], 0)
        _same("the second device's cache with a tensor split of 0,1", split["CUDA1"][1], kv_bytes(CELLS))


def _same(what: str, found: int, must: int) -> None:
    if found != must:
        raise LayoutUnknown(f"self-test: {what} takes {found} bytes where {must} are known to be right")
