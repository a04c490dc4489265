"""A benchmark as one HTML page with charts as SVG inside it: nothing is fetched, nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vramctl.records.measurement import Bench, Measured, Row, Stat
from vramctl.show.bench_json import DEFINITIONS
from vramctl.show.bench_text import cells, columns

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1e;background:#fff}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.3rem .8rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}.bad{color:#a11}.good{color:#161}svg{max-width:100%;height:auto}dt{font-weight:600}
@media(prefers-color-scheme:dark){body{color:#eee;background:#16161a}th,td{border-color:#444}.bad{color:#f88}.good{color:#8d8}text{fill:#eee}}
"""
WIDTH, BAR, LEFT, RIGHT = 720, 26, 190, 120


def html_page(bench: Bench) -> str:
    """The whole report."""
    verdict = (
        '<p class="good">These figures count.</p>'
        if bench.valid
        else f'<p class="bad">These figures do not count: {escape("; ".join(bench.invalid_because))}.</p>'
    )
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells(row)[: len(columns(bench))]) + "</tr>"
        for row in bench.rows
    )
    machine = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in bench.machine.items())
    notes = "".join(f"<li>{escape(note)}</li>" for note in bench.notes)
    definitions = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in DEFINITIONS.items())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>vramctl bench: {escape(bench.model)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(bench.model)}</h1><p>{escape(bench.engine)}, {escape(bench.started)}</p>{verdict}"
        f"<table><tr>{''.join(f'<th>{escape(column)}</th>' for column in columns(bench))}</tr>{rows}</table>"
        f"{chart('Decode, tokens/s', bench.rows, 'decode_tokens_per_second', limit=True)}"
        f"{chart('Prefill, tokens/s', bench.rows, 'prefill_tokens_per_second')}"
        f"{chart('All requests together, tokens/s', bench.rows, 'throughput_tokens_per_second')}"
        f"<h2>Machine</h2><dl>{machine}</dl><h2>Notes</h2><ul>{notes}</ul><h2>Definitions</h2><dl>{definitions}</dl></html>\n"
    )


def chart(title: str, rows: Sequence[Row], quantity: str, *, limit: bool = False) -> str:
    """Bars of medians with their intervals as lines; the hardware's limit as a mark. Empty where nothing was measured."""
    drawn = [(cells(row)[0], getattr(row, quantity), row.limit.decode_tokens_per_second) for row in rows]
    shown = [
        (name, value, most if limit and isinstance(most, float) else None)
        for name, value, most in drawn
        if isinstance(value, Stat)
    ]
    if not shown:
        return ""
    ends = [_end(value) for _, value, _ in shown] + [most for _, _, most in shown if most]
    scale = (WIDTH - LEFT - RIGHT) / max(ends)
    parts = []
    for number, (name, value, most) in enumerate(shown):
        y = 10 + number * (BAR + 10)
        width = value.median * scale
        parts.append(f'<text x="{LEFT - 8}" y="{y + 18}" text-anchor="end" font-size="13">{escape(name)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="#3b78c4"/>')
        if isinstance(value.ci95, tuple):
            low, high = (LEFT + edge * scale for edge in value.ci95)
            middle = y + BAR / 2
            serifs = f"M{low:.1f} {y + 6}V{y + BAR - 6}M{high:.1f} {y + 6}V{y + BAR - 6}"
            parts.append(f'<path d="M{low:.1f} {middle}H{high:.1f}{serifs}" stroke="#111" fill="none"/>')
        if most:
            x = LEFT + most * scale
            parts.append(
                f'<path d="M{x:.1f} {y - 3}V{y + BAR + 3}" stroke="#c33" stroke-width="2" stroke-dasharray="4 2"/>'
            )
        label = LEFT + max(width, _end(value) * scale) + 6
        parts.append(f'<text x="{label:.1f}" y="{y + 18}" font-size="13">{value.median:.1f}</text>')
    height = 20 + len(shown) * (BAR + 10)
    note = "<p>Dashed: what memory bandwidth allows.</p>" if any(most for _, _, most in shown) else ""
    drawing = "".join(parts)
    heading = escape(title)
    return (
        f'<h2>{heading}</h2><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{heading}">{drawing}</svg>{note}'
    )


def _end(value: Measured) -> float:
    assert isinstance(value, Stat)
    return max(value.median, value.ci95[1] if isinstance(value.ci95, tuple) else 0.0)
