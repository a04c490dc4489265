"""How far from the hardware's limit a benchmark is, and what that limit stands on."""

from __future__ import annotations

from collections.abc import Iterator

from vramctl.records import Unknown
from vramctl.records.measurement import NOT_MEASURED, Bench, Rate, Row

_TERA = 1e12


def share_cell(share: float | Unknown) -> str:
    """What was reached of a limit: `85 %`, `?` where that is not known."""
    return f"{100 * share:.0f} %" if isinstance(share, float) else "?"


def limit_lines(bench: Bench) -> Iterator[tuple[str | None, str]]:
    """(row's name, sentence) for the first row whose bound of prefill is known, then of decode; (None, why) where none is."""
    rows = [row for row in bench.rows if not row.failed]
    if not rows:
        return
    prefill = next((row for row in rows if isinstance(row.limit.prefill_tokens_per_second, float)), None)
    decode = next((row for row in rows if isinstance(row.limit.decode_tokens_per_second, float)), None)
    if prefill is not None:
        yield prefill.name, _prefill(prefill, bench)
    elif (why := rows[0].limit.prefill_tokens_per_second) != NOT_MEASURED and isinstance(why, Unknown):
        yield None, f"prefill's is not known: {why.reason}"
    if decode is not None:
        yield decode.name, _decode(decode, bench)
    elif (why := rows[0].limit.decode_tokens_per_second) != NOT_MEASURED and isinstance(why, Unknown):
        yield None, f"decode's is not known: {why.reason}"


def _prefill(row: Row, bench: Bench) -> str:
    """What bounds prefill, with the rates that this stands on."""
    most, by = row.limit.prefill_tokens_per_second, row.limit.prefill_bound_by
    assert isinstance(most, float)
    start = f"prefill can reach {_rate(most)} tok/s at most"
    if by.startswith("memory bandwidth of "):
        return f"{start}, by the bandwidth of {_memory(by.removeprefix('memory bandwidth of '))}"
    if by.startswith("copying weights to "):
        device = by.removeprefix("copying weights to ")
        rate = bench.bandwidths.get(f"host to {device}")
        speed = f", {rate / 1e9:.1f} GB/s measured" if isinstance(rate, float | int) else ""
        return f"{start}, by copying weights from system memory to {device}{speed}"
    device = by.removeprefix("compute of ")
    starts = tuple(source.partition(": ")[0] for source in row.limit.sources)
    used = [rate for rate in bench.rates if rate.device == device and f"{rate.device} {rate.type}" in starts]
    known = [(rate, rate.flops_per_second) for rate in used if isinstance(rate.flops_per_second, float)]
    return f"{start}, by the arithmetic of {'the processor' if device == 'host' else device}{_rates(known)}"


def _rates(known: list[tuple[Rate, float]]) -> str:
    """` (Q4_K 287, Q6_K 244 GFLOP/s measured in products with 32 tokens)`; empty where none is known."""
    if not known:
        return ""
    scale, unit = (_TERA, "TFLOP/s") if max(reached for _, reached in known) >= 2 * _TERA else (1e9, "GFLOP/s")
    columns = max(rate.columns for rate, _ in known)
    best: dict[str, float] = {}
    for rate, reached in known:
        if rate.columns == columns:
            best[rate.type] = max(reached, best.get(rate.type, 0.0))
    told = ", ".join(f"{kind} {reached / scale:.0f}" for kind, reached in best.items())
    return f" ({told} {unit} measured in products with {columns} tokens)"


def _decode(row: Row, bench: Bench) -> str:
    """What bounds decode, with the bandwidth that this stands on."""
    most = row.limit.decode_tokens_per_second
    assert isinstance(most, float)
    device = row.limit.bound_by.removeprefix("memory bandwidth of ")
    bandwidth = bench.bandwidths.get(device)
    source = next((one for one in row.limit.sources if one.startswith(f"{device}: ")), "").removeprefix(f"{device}: ")
    told = ""
    if isinstance(bandwidth, float | int):
        told = f", {bandwidth / 1e9:.{0 if bandwidth >= 1e12 else 1}f} GB/s {_how(source)}".rstrip()
    return f"decode can reach {_rate(most)} tok/s at most, by the bandwidth of {_memory(device)}{told}"


def _how(source: str) -> str:
    """How a bandwidth is known, in a word or two: the whole source stands in the document."""
    if "above its data sheet" in source or source.startswith("copying"):
        return "measured by copying"
    if source.startswith("its data sheet"):
        return "by its data sheet or clock and width"
    return "measured" if source else ""


def _memory(device: str) -> str:
    return "system memory" if device == "host" else device


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
