"""Why a model did not fit, from the log's own figures, and what change makes it fit: an estimate, and it says so."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vramctl.checks.evidence import events, in_words
from vramctl.records.event import Event
from vramctl.records.load import Load, Log, LoggedUse

# Bits a weight of llama.cpp's usual file types (llama-quantize's own table, build 6000): largest first.
_QUANTIZATIONS = (
    ("Q8_0", 8.5), ("Q6_K", 6.56), ("Q5_K_M", 5.69), ("Q4_K_M", 4.89), ("Q4_K_S", 4.67), ("IQ4_XS", 4.32),
    ("Q3_K_M", 4.02), ("Q3_K_S", 3.64), ("IQ3_XXS", 3.25), ("Q2_K", 3.16), ("IQ2_XS", 2.59), ("IQ1_M", 1.98),
)  # fmt: skip
# A q8_0 cache is 34 bytes for 32 values (ggml-common.h, block_q8_0), an f16 one 64.
_Q8_SHARE = 34 / 64
_SMALLEST_CTX = 2048
# Below this a smaller model answers better.
_WORTH_HAVING_BITS = 2.5
_WORTH_NAMING = 100 << 20


@dataclass(frozen=True, slots=True)
class Needs:
    """What a load needs to be wholly on the GPUs and what they have free, in bytes."""

    weights: int
    kv: int
    compute: int
    available: int
    line: int
    said: bool
    """The engine printed the sum itself; else it was added up from what was placed."""
    needed: int

    @property
    def biggest(self) -> str:
        """The part that takes most."""
        parts = {"the weights": self.weights, "the KV cache": self.kv, "the compute buffer": self.compute}
        return max(parts, key=lambda part: parts[part])

    @property
    def parts(self) -> str:
        """The parts in words: `weights 8.2 + KV 0.4 + compute 0.3 GiB`."""
        other = self.needed - self.weights - self.kv - self.compute
        rest = f", other {in_words(other)}" if other > _WORTH_NAMING else ""
        compute = f", compute {in_words(self.compute)}" if self.compute else ""
        return f"weights {in_words(self.weights)}, KV cache {in_words(self.kv)}{compute}{rest}"


def _sum(uses: tuple[LoggedUse, ...], part: str) -> int:
    return sum(size for use in uses if isinstance(size := getattr(use, part), int))


def needs(load: Load, log: Log) -> Needs | None:
    """What the load needs against what was free; None where the log prints one of the two too sparsely."""
    fit = load.fit
    available = sum(fit.available_bytes) if fit is not None and fit.available_bytes else _free(load, log)
    weights = _sum(load.devices, "weights_bytes")
    kv, compute = _sum(load.devices, "kv_bytes"), _sum(load.on_gpus, "compute_bytes")
    if isinstance(load.model.file_bytes, int):
        weights = min(weights, load.model.file_bytes) if weights else load.model.file_bytes
    if fit is not None and isinstance(fit.required_full_bytes, int) and available:
        weights = fit.weights_bytes if isinstance(fit.weights_bytes, int) else weights
        kv = fit.kv_bytes if isinstance(fit.kv_bytes, int) else kv
        graph = fit.graph_full_bytes if isinstance(fit.graph_full_bytes, int) else compute
        projector = fit.projector_bytes if isinstance(fit.projector_bytes, int) else 0
        weights += projector
        return Needs(weights, kv, graph, available, fit.line, True, fit.required_full_bytes)
    if not weights or not available:
        return None
    return Needs(weights, kv, compute, available, load.lines[0], False, weights + kv + compute)


def _free(load: Load, log: Log) -> int:
    """Free bytes of the GPUs before the load, 0 where the log does not print them."""
    free = [gpu.available_bytes for gpu in log.gpus if isinstance(gpu.available_bytes, int)]
    if len(free) == len(log.gpus) and free:
        return sum(free)
    total = [gpu.total_bytes for gpu in log.gpus if isinstance(gpu.total_bytes, int)]
    return sum(total) if len(total) == len(log.gpus) else 0


def what_makes_it_fit(load: Load, need: Needs) -> str:
    """The change that makes it fit, as few as possible: context, cache type, quantization; with numbers."""
    changes = [change for change in (_context(load, need), _cache(load, need), _quantization(load, need)) if change]
    if not changes:
        return f"This model needs a GPU with {in_words(need.needed + (1 << 29))} free, or stays partly on the CPU."
    text = "; or ".join(changes)
    return f"{text[0].upper()}{text[1:]} (estimated from this log's figures)."


def _context(load: Load, need: Needs) -> str:
    """A smaller context, where that is enough."""
    ctx = load.settings.ctx
    if not isinstance(ctx, int) or not need.kv:
        return ""
    room = need.available - (need.needed - need.kv)
    fits = int(room / need.kv * ctx) // 1024 * 1024
    if fits < _SMALLEST_CTX or fits >= ctx:
        return ""
    slots = load.settings.parallel if isinstance(load.settings.parallel, int) and load.settings.parallel > 1 else 1
    if slots > 1:
        return f"lower the context from {ctx} to {fits} tokens (of all {slots} slots together), or use fewer slots"
    return f"lower the context from {ctx} to {fits} tokens"


def _cache(load: Load, need: Needs) -> str:
    """A cache of q8_0, where that is enough."""
    kind = load.settings.type_k
    if isinstance(kind, str) and kind not in {"f16", "bf16", "f32"}:
        return ""
    if need.needed - need.kv * (1 - _Q8_SHARE) > need.available or not need.kv:
        return ""
    return f"quantise the KV cache to q8_0 with flash attention on (saves {in_words(int(need.kv * (1 - _Q8_SHARE)))})"


def _quantization(load: Load, need: Needs) -> str:
    """The largest usual quantization that fits."""
    parameters = load.model.parameters
    if not isinstance(parameters, int) or parameters <= 0:
        return ""
    room = need.available - (need.needed - need.weights)
    bits, now = room * 8 / parameters, need.weights * 8 / parameters
    for name, wanted in _QUANTIZATIONS:
        if _WORTH_HAVING_BITS <= wanted <= bits and wanted < now * 0.97:
            return f"take a quantisation of at most {bits:.1f} bits a weight, such as {name} (this one has {now:.1f})"
    return ""


def missing(need: Needs) -> int:
    """Bytes that are missing for the whole model; 0 where it would fit."""
    return max(0, math.ceil(need.needed - need.available))


def fit_lines(load: Load) -> tuple[Event, ...]:
    return (
        *events(load, "fit.offload"),
        *events(load, "layers.offloaded"),
        *events(load, "kv.buffer")[:2],
        *events(load, "compute.buffer")[:1],
    )
