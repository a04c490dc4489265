"""Two runs beside each other: row by row, figure by figure."""

from __future__ import annotations

from vramctl.bench.stats import compare
from vramctl.records.measurement import Bench, Ratio

QUANTITIES = ("prefill_tokens_per_second", "decode_tokens_per_second", "ttft_seconds")


def against(before: Bench, after: Bench) -> tuple[Ratio, ...]:
    """After over before, for every row that both have (by its name, its prompt and its depth)."""
    old = {(row.name, row.prompt_tokens, row.depth, row.parallel): row for row in before.rows}
    found = []
    for row in after.rows:
        other = old.get((row.name, row.prompt_tokens, row.depth, row.parallel))
        if other is None:
            continue
        for quantity in QUANTITIES:
            ratio = compare(getattr(other, quantity), getattr(row, quantity), quantity=quantity, row=row.name)
            if isinstance(ratio, Ratio):
                found.append(ratio)
    return tuple(found)
