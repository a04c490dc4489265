"""Two benchmarks beside each other as one HTML page: each figure's ratio with its interval, worse ones in red."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vramctl.records.measurement import Bench, Ratio
from vramctl.show.bench_page import STYLE, listed
from vramctl.show.bench_text import FIGURES, compare_head, is_worse, unlike
from vramctl.show.printable import printable

_STEP, _LEAST, _MOST = 44, 0.9, 1.1  # pixels a ratio, and what is shown of the axis at least
_WORSE, _BETTER, _NEITHER = "#cc3333", "#2e8b57", "#8a8a92"


def compare_page(before: tuple[str, Bench], after: tuple[str, Bench], ratios: Sequence[Ratio]) -> str:
    """The whole page; each run comes with its name."""
    worse = any(is_worse(one) for one in ratios)
    facts = [("before", printable(before[0])), ("after", printable(after[0])), ("model", printable(after[1].model))]
    facts += [(label, text.plain) for label, text in unlike(before[1], after[1])]
    facts += [("measured", printable(f"{before[1].started} before, {after[1].started} after"))]
    heads = "".join(f"<th>{head}</th>" for head in ("row", "figure", "ratio", "95 % interval", "verdict"))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>vramctl bench compare</title><style>{STYLE}</style><h1>After over before</h1>"
        f'<p class="{"bad" if worse else "good"}">{escape(compare_head(before[1], after[1], ratios))}</p>{listed(facts)}'
        f'<div class="wide"><table><tr>{heads}</tr>{"".join(_row(one) for one in ratios)}</table></div>'
        f"<h2>Ratios</h2>{_chart(ratios)}"
        '<p class="note">Lines: 95 % intervals. Dashed: no change. Red is worse, green is better, grey is neither for sure. '
        "More tokens per second are better, more seconds are worse.</p></html>\n"
    )


def _row(one: Ratio) -> str:
    interval = f"{one.ci95[0]:.3f} to {one.ci95[1]:.3f}" if isinstance(one.ci95, tuple) else "too few samples"
    shown = (printable(one.row or "-"), _figure(one), f"{one.ratio:.3f}", interval, one.verdict)
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in shown) + "</tr>"


def _figure(one: Ratio) -> str:
    return FIGURES.get(one.quantity, one.quantity)


def _colour(one: Ratio) -> str:
    if one.verdict not in {"higher", "lower"}:
        return _NEITHER
    return _WORSE if is_worse(one) else _BETTER


def _chart(ratios: Sequence[Ratio]) -> str:
    """A dot with a line for each ratio, on one axis."""
    ends = [end for one in ratios for end in (one.ratio, *(one.ci95 if isinstance(one.ci95, tuple) else ()))]
    low, high = min(_LEAST, *ends), max(_MOST, *ends)

    def at(ratio: float) -> str:
        return f"{2 + 90 * (ratio - low) / (high - low):.2f}%"

    parts = [f'<line class="end" x1="{at(1)}" x2="{at(1)}" y1="0" y2="{len(ratios) * _STEP}" stroke-dasharray="4 3"/>']
    for number, one in enumerate(ratios):
        y, colour = number * _STEP + 30, _colour(one)
        label = escape(printable(f"{one.row + ' ' if one.row else ''}{_figure(one)}: {one.ratio:.3f}"))
        parts.append(f'<text class="told" x="0" y="{y - 14}">{label}</text>')
        if isinstance(one.ci95, tuple):
            x1, x2 = (at(end) for end in one.ci95)
            parts.append(f'<line x1="{x1}" x2="{x2}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<circle cx="{at(one.ratio)}" cy="{y}" r="5" fill="{colour}"/>')
    return f'<svg height="{len(ratios) * _STEP}" role="img" aria-label="Ratios">{"".join(parts)}</svg>'
