"""A plan as TabbyAPI's config.yml (`common/config_models.py`, commit e632af41 of August 2026)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from vramctl.records import Plan
from vramctl.show.emit.exllama import (
    cache_tokens,
    chunk_tokens,
    loading_notes,
    model_directory,
    refuse_attachments,
    reserve_gibibytes,
)
from vramctl.show.emit.exllamav3 import bit_pair
from vramctl.show.emit.notes import comment, require_engine, summary
from vramctl.show.emit.quote import number, yaml_text

FORM = "tabbyapi"


def emit_tabbyapi(plan: Plan) -> str:
    """A YAML document with TabbyAPI's `model` section; all else keeps TabbyAPI's defaults."""
    require_engine(plan, FORM, engines=("exllamav3",))
    refuse_attachments(plan, FORM)
    notes = comment((*summary(plan, program=FORM), *loading_notes(plan), *_split_note(plan)))
    return notes + "model:\n" + "".join(f"  {name}: {value}\n" for name, value in _model(plan))


def _model(plan: Plan) -> Iterator[tuple[str, str]]:
    settings = plan.settings
    directory = PurePosixPath(model_directory(plan, FORM))
    tokens = cache_tokens(plan, FORM)
    bits = bit_pair(plan, FORM)
    yield "model_dir", yaml_text(str(directory.parent))
    yield "model_name", yaml_text(directory.name)
    yield "backend", "exllamav3"
    yield "max_seq_len", str(tokens)
    yield "cache_size", str(tokens)
    yield "cache_mode", "FP16" if bits is None else yaml_text(f"{bits[0]},{bits[1]}")
    if (chunk := chunk_tokens(plan)) is not None:
        yield "chunk_size", str(chunk)
    if settings.n_parallel is not None:
        yield "max_batch_size", str(settings.n_parallel)
    if settings.n_cpu_moe:
        yield "cpu_moe_offload_layers", str(settings.n_cpu_moe)
    if settings.tensor_split is not None:
        yield "gpu_split_auto", "false"
        yield "gpu_split", _numbers(settings.tensor_split)
    else:
        yield "gpu_split_auto", "true"
        yield "autosplit_reserve", _numbers([math.ceil(size * 1024) for size in reserve_gibibytes(plan)])


def _numbers(values: Iterable[float]) -> str:
    return "[" + ", ".join(map(number, values)) + "]"


def _split_note(plan: Plan) -> tuple[str, ...]:
    if len(plan.devices) > 1:
        return ()
    return ("On a machine with one GPU, TabbyAPI ignores the split and reserve lines.",)
