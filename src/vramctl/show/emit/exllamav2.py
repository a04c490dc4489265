"""A plan as a Python snippet for ExLlamaV2 (signatures of exllamav2 0.3.2)."""

from __future__ import annotations

from vramctl.records import Plan
from vramctl.show.emit.exllama import (
    cache_bits,
    cache_tokens,
    chunk_tokens,
    loading_notes,
    model_directory,
    refuse_attachments,
    withheld,
)
from vramctl.show.emit.notes import comment, inexpressible, require_engine, summary
from vramctl.show.emit.quote import number
from vramctl.units import MIB

FORM = "exllamav2"
_CACHES = {16: "ExLlamaV2Cache", 8: "ExLlamaV2Cache_Q8", 6: "ExLlamaV2Cache_Q6", 4: "ExLlamaV2Cache_Q4"}
_WITHOUT_FLASH_ATTENTION = (
    "Without flash-attn, ExLlamaV2 0.2.9 to 0.3.2 attends without a causal mask and answers wrongly;",
    "no_sdpa takes the right path there, and changes nothing where flash-attn is installed.",
)
_PAGED = ("paged=True needs flash-attn 2.5.7 or later; without it: paged=False, max_batch_size=1.",)


def emit_exllamav2(plan: Plan) -> str:
    """Python source that loads the model as planned and makes a generator."""
    require_engine(plan, FORM, engines=(FORM,))
    refuse_attachments(plan, FORM)
    paged = plan.settings.flash_attn != "off"
    cache = _cache_class(plan)
    tokens = cache_tokens(plan, FORM)
    notes = (*summary(plan, program=FORM), *loading_notes(plan))
    return (
        comment(notes)
        + f"from exllamav2 import ExLlamaV2, {cache}, ExLlamaV2Config, ExLlamaV2Tokenizer\n"
        + "from exllamav2.generator import ExLlamaV2DynamicGenerator\n\n"
        + f"config = ExLlamaV2Config({model_directory(plan, FORM)!r})\n"
        + _config(plan, tokens=tokens, paged=paged)
        + "model = ExLlamaV2(config)\n"
        + _load(plan, cache=cache, tokens=tokens)
        + "tokenizer = ExLlamaV2Tokenizer(config)\n"
        + comment(_PAGED if paged else ())
        + _generator(plan, paged=paged)
    )


def _cache_class(plan: Plan) -> str:
    bits = cache_bits(plan, FORM)
    if bits == (8, 4):  # what the engine calls Q6 holds K in 8 bits and V in 4
        return _CACHES[6]
    if bits[0] != bits[1] or bits[0] not in _CACHES:
        raise inexpressible(
            FORM,
            f"a cache of type {bits[0]},{bits[1]}",
            because="its generator takes FP16, Q8, Q6 (K 8 bits, V 4 bits) and Q4 caches",
            fix="Plan with --kv-type f16, q8, q6 or q4.",
        )
    return _CACHES[bits[0]]


def _config(plan: Plan, *, tokens: int, paged: bool) -> str:
    lines = [f"config.max_seq_len = {tokens}\n"]
    if (chunk := chunk_tokens(plan)) is not None:
        lines.append(f"config.max_input_len = {chunk}\n")
    lines.append(comment(_WITHOUT_FLASH_ATTENTION))
    lines.append("config.no_sdpa = True\n")
    if not paged:
        lines.append("config.no_flash_attn = True\n")
    return "".join(lines)


def _load(plan: Plan, *, cache: str, tokens: int) -> str:
    split = plan.settings.tensor_split
    if split is not None:
        return (
            comment(["GiB per GPU for weights and scratch; the cache comes on top."])
            + f"model.load(gpu_split=[{', '.join(map(number, split))}])\n"
            + f"cache = {cache}(model, max_seq_len={tokens})\n"
        )
    return (
        f"cache = {cache}(model, max_seq_len={tokens}, lazy=True)\n"
        + comment(["Bytes per GPU that stay free, beside the 256 MiB that the loader keeps by itself."])
        + f"model.load_autosplit(cache, reserve_vram={_reserve_vram(plan)})\n"
    )


def _reserve_vram(plan: Plan) -> list[int]:
    """Bytes per GPU for `load_autosplit`: its own defaults at least, 192 MiB on the first and 64 MiB on the others."""
    defaults = (192 * MIB, *[64 * MIB] * len(plan.devices))
    return [max(size - 256 * MIB, default) for size, default in zip(withheld(plan), defaults, strict=False)]


def _generator(plan: Plan, *, paged: bool) -> str:
    arguments = "model=model, cache=cache, tokenizer=tokenizer"
    if not paged:
        arguments += ", paged=False, max_batch_size=1"
    elif plan.settings.n_parallel is not None:
        arguments += f", max_batch_size={plan.settings.n_parallel}"
    return f"generator = ExLlamaV2DynamicGenerator({arguments})\n"
