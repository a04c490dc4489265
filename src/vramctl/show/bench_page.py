"""A benchmark as one HTML page with charts as SVG inside it: nothing is fetched, nothing is run."""

from __future__ import annotations

from html import escape

from vramctl.records.measurement import Bench
from vramctl.show.bench_charts import BOUND_COLOUR, BOUND_NOTE, COLOURS, Bar, Chart, charts, told_of
from vramctl.show.bench_json import DEFINITIONS
from vramctl.show.bench_text import IN_THE_TABLE, columns, facts, remarks, shown_cells, verdict_line
from vramctl.show.printable import printable
from vramctl.units import format_bytes

STYLE = """
:root{--paper:#fff;--ink:#1c1c1e;--faint:#66666c;--rule:#ddd}
body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:var(--ink);background:var(--paper)}
h1{overflow-wrap:anywhere}.wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0}
th,td{padding:.3rem .8rem;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child,td[colspan]{text-align:left;padding-left:0}td[colspan]{white-space:normal}.bad{color:#a11}.good{color:#161}
svg{display:block;width:100%;max-width:45rem}svg text{font-size:13px;fill:var(--ink)}
.told{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}.end{stroke:var(--ink)}
.note{color:var(--faint);margin:.2rem 0}.key{display:inline-block;width:.7em;height:.7em;margin:0 .4em 0 .9em}
dt{font-weight:600}dd{margin-left:1.5rem;overflow-wrap:anywhere}
@media(prefers-color-scheme:dark){:root{--paper:#16161a;--ink:#eee;--faint:#9a9aa2;--rule:#444}.bad{color:#f88}.good{color:#8d8}}
"""
_BAR, _STEP, _ROOM = 18, 48, 62.0  # pixels, pixels, percent of the width that the longest bar takes
_TOLD = 40.0  # percent of the width that a figure takes on a telephone


def html_page(bench: Bench) -> str:
    """The whole report."""
    reasons = "".join(f"<br>Also: {escape(printable(why))}." for why in bench.invalid_because[1:])
    verdict = f'<p class="{"good" if bench.valid else "bad"}">{escape(printable(verdict_line(bench)))}{reasons}</p>'
    heads = "".join(f"<th>{escape(column)}</th>" for column in columns(bench))
    rows = "".join(
        _table_row(shown_cells(bench, row), len(columns(bench)), failed=bool(row.failed)) for row in bench.rows
    )
    notes = listed([(label, text.plain) for label, text in remarks(bench) if label not in IN_THE_TABLE])
    title = escape(printable(bench.model))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>vramctl bench: {title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1>{listed([*((label, text.plain) for label, text in facts(bench)), ('started', bench.started)])}"
        f'{verdict}<div class="wide"><table><tr>{heads}</tr>{rows}</table></div>'
        f"{''.join(_figure(chart) for chart in charts(bench))}"
        f"<h2>Notes</h2>{notes}<h2>Machine</h2>{listed([(name, _fact(value, name)) for name, value in bench.machine.items()])}"
        f"<h2>Definitions</h2>{listed(list(DEFINITIONS.items()))}</html>\n"
    )


def _table_row(shown: tuple[str, ...], count: int, *, failed: bool) -> str:
    if failed and shown[1].startswith("failed"):
        return f'<tr><td>{escape(shown[0])}</td><td colspan="{count - 1}">{escape(shown[1])}</td></tr>'
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in shown[:count]) + "</tr>"


def listed(pairs: list[tuple[str, str]]) -> str:
    """A list of names and what is said of them; a name that comes again is not written again."""
    parts, before = [], None
    for name, text in pairs:
        parts += [f"<dt>{escape(name)}</dt>"] if name != before else []
        parts.append(f"<dd>{escape(text)}</dd>")
        before = name
    return f"<dl>{''.join(parts)}</dl>"


def _fact(value: object, name: str = "") -> str:
    """A fact of the machine as a person writes it."""
    if isinstance(value, dict) and set(value) == {"unknown"}:
        return f"unknown: {value['unknown']}"
    if isinstance(value, dict):
        return ", ".join(_fact(one, name) for name, one in value.items())
    if isinstance(value, list):
        return "; ".join(_fact(one) for one in value) or "none"
    return format_bytes(value) if isinstance(value, int) and name.endswith("_bytes") else str(value)


def _figure(chart: Chart) -> str:
    """One chart below its heading, with a legend where its rows ran in several places."""
    keys = "".join(f'<span class="key" style="background:{COLOURS[place]}"></span>{place}' for place in chart.places)
    notes = [f'<p class="note">{note}</p>' for note in (keys, BOUND_NOTE if chart.bounded else "") if note]
    return f"<h2>{escape(chart.title)}</h2>{svg(chart)}{''.join(notes)}"


def svg(chart: Chart) -> str:
    """Bars of medians with their intervals as lines, the bound as a dashed mark.

    Lengths across are percentages and the text has a size of its own, so it can be read on a telephone too.
    """
    heading = escape(chart.title)
    drawing = "".join(_bar(bar, number * _STEP, _ROOM / chart.most) for number, bar in enumerate(chart.bars))
    height = len(chart.bars) * _STEP
    return f'<svg height="{height}" role="img" aria-label="{heading}">{drawing}</svg>'


def _bar(bar: Bar, top: int, scale: float) -> str:
    y = top + 20
    middle = y + _BAR // 2
    parts = [
        f'<text x="0" y="{top + 14}">{escape(bar.label)}</text>',
        f'<rect x="0" y="{y}" width="{max(bar.median * scale, 0.2):.2f}%" height="{_BAR}" fill="{COLOURS[bar.where]}"/>',
    ]
    if bar.interval:
        low, high = (end * scale for end in bar.interval)
        ends = ((low, high, middle, middle), (low, low, y + 4, y + _BAR - 4), (high, high, y + 4, y + _BAR - 4))
        parts += [f'<line class="end" x1="{a:.2f}%" x2="{b:.2f}%" y1="{c}" y2="{d}"/>' for a, b, c, d in ends]
    behind = bar.end * scale
    if bar.bound:
        behind = bar.bound * scale if behind <= bar.bound * scale < behind + _TOLD else behind
        x = f"{bar.bound * scale:.2f}%"
        dashes = f'stroke="{BOUND_COLOUR}" stroke-width="2" stroke-dasharray="4 2"'
        parts.append(f'<line x1="{x}" x2="{x}" y1="{y - 3}" y2="{y + _BAR + 3}" {dashes}/>')
    parts.append(f'<text class="told" x="{behind:.2f}%" dx="8" y="{y + 14}">{escape(told_of(bar))}</text>')
    return "".join(parts)
