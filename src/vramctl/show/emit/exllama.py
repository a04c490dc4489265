"""What the ExLlama forms share: context, cache types, reserves, all in the engines' own units."""

from __future__ import annotations

import math
import re

from vramctl.records import Plan
from vramctl.show.emit.notes import inexpressible, visible_note
from vramctl.show.emit.source import Source, locate
from vramctl.units import GIB, pad

PAGE = 256  # tokens; both generators page the cache (exllamav2 0.3.2 and exllamav3 1.6.5)
_BITS = re.compile(r"^q?([2-8])(?:_0|bit|bits)?$")


def cache_tokens(plan: Plan, form: str) -> int:
    """The length of the cache in tokens, a multiple of 256 as the generators demand."""
    if plan.settings.n_ctx is None:
        raise inexpressible(
            form, "an open context", because="the default is the model's whole training context", fix="Plan with --ctx."
        )
    return pad(plan.settings.n_ctx, PAGE)


def cache_bits(plan: Plan, form: str) -> tuple[int, int]:
    """Bits of an element of K and of V: 16 for `f16`, 2 to 8 for `q8`, `q8_0`, `8`; one name for both, or `8,4`."""
    settings = plan.settings
    key, _, value = (settings.type_k or "f16").partition(",")
    return _bits(key, form), _bits(value or settings.type_v or key, form)


def _bits(name: str, form: str) -> int:
    text = name.strip().lower()
    if text in ("f16", "fp16", "16"):
        return 16
    match = _BITS.match(text)
    if match is None:
        raise inexpressible(
            form,
            f"a cache of type {name}",
            because="these snippets make FP16 caches, and caches quantised to whole bits (q8, q6, q4)",
            fix="Plan with --kv-type f16, q8, q6 or q4.",
        )
    return int(match[1])


def model_directory(plan: Plan, form: str) -> str:
    """The folder with the model; a placeholder where it is not a local one."""
    source: Source = locate(plan.model)
    if source.kind == "file":
        return source.path
    if source.kind == "missing":
        return "MODEL_DIR"
    raise inexpressible(
        form,
        plan.model.reference,
        because="ExLlama loads a local folder",
        fix="Download the repository, and plan with the folder.",
    )


def loading_notes(plan: Plan) -> tuple[str, ...]:
    """What to replace where the model is a built-in shape, and which GPUs to show the engine."""
    folder = "A built-in shape has no folder: put your model's path in the place of MODEL_DIR."
    return (*((folder,) if locate(plan.model).kind == "missing" else ()), *visible_note(plan))


def chunk_tokens(plan: Plan) -> int | None:
    """Tokens of one forward pass (`max_input_len`, `max_chunk_size`); None where the engine's default stands."""
    settings = plan.settings
    return settings.n_batch if settings.n_batch is not None else settings.n_ubatch


def withheld(plan: Plan) -> tuple[int, ...]:
    """Bytes per device that are free and that the plan may not use."""
    pairs = zip(plan.devices, plan.budgets, strict=True)
    return tuple(max(device.free_bytes - budget, 0) for device, budget in pairs)


def reserve_gibibytes(plan: Plan) -> list[float]:
    """GiB to reserve per device in ExLlamaV3, its own default of 0.5 at least, rounded up to 1/100."""
    return [max(math.ceil(size * 100 / GIB) / 100, 0.5) for size in withheld(plan)]


def refuse_attachments(plan: Plan, form: str) -> None:
    """BadInput for what the snippets do not write: projector, draft model, tensor overrides, layers in RAM."""
    settings = plan.settings
    for what, value in (
        ("a projector file", settings.mmproj),
        ("a draft model", settings.draft),
        ("tensor overrides", settings.tensor_overrides),
        ("a KV cache in system memory", settings.offload_kqv is False),
    ):
        if value:
            raise inexpressible(form, what, because="this configuration has no place for it", fix="Plan without it.")
    if not plan.devices:
        raise inexpressible(
            form, "a plan without a GPU", because="ExLlama runs on GPUs only", fix="Plan with --gpu, or for llama.cpp."
        )
