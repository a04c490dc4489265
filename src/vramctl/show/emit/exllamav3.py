"""A plan as a Python snippet for ExLlamaV3 (signatures of exllamav3 1.6.5)."""

from __future__ import annotations

from vramctl.records import Plan
from vramctl.show.emit.exllama import (
    cache_bits,
    cache_tokens,
    chunk_tokens,
    loading_notes,
    model_directory,
    refuse_attachments,
    reserve_gibibytes,
)
from vramctl.show.emit.notes import comment, inexpressible, require_engine, summary
from vramctl.show.emit.quote import number

FORM = "exllamav3"


def emit_exllamav3(plan: Plan) -> str:
    """Python source that loads the model as planned and makes a generator."""
    require_engine(plan, FORM, engines=(FORM,))
    refuse_attachments(plan, FORM)
    cache, quantised = _cache(plan)
    names = "Cache, CacheLayer_quant, Config" if quantised else "Cache, Config"
    chunk = "" if chunk_tokens(plan) is None else f", max_chunk_size={chunk_tokens(plan)}"
    batch = "" if plan.settings.n_parallel is None else f", max_batch_size={plan.settings.n_parallel}"
    offload = f"config.infer_params.moe_cpu_offload = {plan.settings.n_cpu_moe}\n" if plan.settings.n_cpu_moe else ""
    return (
        comment((*summary(plan, program=FORM), *loading_notes(plan)))
        + f"from exllamav3 import {names}, Generator, Model, Tokenizer\n\n"
        + f"config = Config.from_directory({model_directory(plan, FORM)!r})\n"
        + offload
        + "model = Model.from_config(config)\n"
        + f"cache = Cache(model, {cache}{batch})\n"
        + comment([_UNIT])
        + f"model.load({_split(plan)}{chunk}{batch})\n"
        + "tokenizer = Tokenizer.from_config(config)\n"
        + f"generator = Generator(model=model, cache=cache, tokenizer=tokenizer{chunk}{batch})\n"
    )


_UNIT = "GiB per GPU, as floats: bytes would be taken for a reserve larger than any card."


def bit_pair(plan: Plan, form: str) -> tuple[int, int] | None:
    """Bits of K and of V, each 2 to 8; None for an FP16 cache."""
    bits = cache_bits(plan, form)
    if bits == (16, 16):
        return None
    if 16 in bits:
        raise inexpressible(
            form,
            f"a cache of type {bits[0]},{bits[1]}",
            because="ExLlamaV3's cache is FP16 for K and V, or quantised for both",
            fix="Plan with --kv-type f16, or with two quantised types such as q8,q4.",
        )
    return bits


def _cache(plan: Plan) -> tuple[str, bool]:
    """The cache's arguments, and whether they name the quantised layer."""
    bits = bit_pair(plan, FORM)
    tokens = f"max_num_tokens={cache_tokens(plan, FORM)}"
    if bits is None:
        return tokens, False
    return f"{tokens}, layer_type=CacheLayer_quant, k_bits={bits[0]}, v_bits={bits[1]}", True


def _split(plan: Plan) -> str:
    split = plan.settings.tensor_split
    if split is not None:
        return f"use_per_device=[{', '.join(map(number, split))}]"
    return f"reserve_per_device={reserve_gibibytes(plan)}"
