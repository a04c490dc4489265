"""A benchmark as one picture to paste where people talk: whether it counts, the table, the charts, what else is to be known."""

from __future__ import annotations

from vramctl.records.measurement import Bench, Row
from vramctl.show.bench_charts import BOUND_COLOUR, BOUND_NOTE, COLOURS, Bar, Chart, charts, told_of
from vramctl.show.bench_text import (
    IN_THE_TABLE,
    cells,
    columns,
    facts,
    is_load_test,
    is_without_figures,
    remarks,
    shown_cells,
    verdict_line,
)
from vramctl.show.printable import printable
from vramctl.show.sheet import FAINT, INK, LEADING, MARGIN, RULE, USUAL_SIZE, WIDTH, Sheet, text_width, wrapped

_SMALL, _LABEL_WIDTH, _BAR, _BETWEEN = 11.5, 84.0, 20.0, 10.0
_COUNTS, _DOES_NOT = ("#e8f5e9", "#1b5e20"), ("#fdf0d5", "#7a4a00")
_FOOT = (
    "prefill: prompt tokens / time of llama_decode; decode: single-token decodes / their time, nothing sampled "
    "(llama-bench's pp and tg). TTFT: from a request's start on an empty cache to its first token. "
    "± is the farther end of the median's 95 % interval. Of limit: what was reached of what the hardware allows."
)
_FOOT_UNDER_LOAD = (
    "all tok/s: tokens given to all requests at a time / time from their common start to the last end. "
    "TTFT: from a request's start to its first token, waiting included. ± is the farther end of the median's 95 % interval."
)


def bench_png(bench: Bench) -> bytes:
    """The whole report as the bytes of a PNG file, 1520 pixels wide on white."""
    sheet = Sheet()
    sheet.paragraph(printable(bench.model), size=22, bold=True)
    sheet.y += 4
    told = [(label, value.plain) for label, value in facts(bench) if label != "model"]
    if bench.stand_in:
        told.append(("weights", "invented, a stand-in of the model's own sizes"))
    for label, value in [*told, ("measured", _moment(bench.started))]:
        _labelled(sheet, label, value, size=USUAL_SIZE)
    _verdict(sheet, bench)
    _table(sheet, bench)
    for chart in charts(bench):
        _chart(sheet, chart)
    sheet.y += 14
    sheet.line(MARGIN, sheet.y, WIDTH - MARGIN, sheet.y, colour=RULE)
    sheet.y += 10
    before = ""
    for label, remark in remarks(bench):
        if label not in IN_THE_TABLE:
            _labelled(sheet, "" if label == before else label, remark.plain, size=_SMALL)
            before = label
    sheet.y += 6
    foot = _FOOT_UNDER_LOAD if any(is_load_test(row) for row in bench.rows) else _FOOT
    sheet.paragraph(f"{foot} Made with vramctl bench.", size=_SMALL, colour=FAINT)
    return sheet.png()


def _moment(started: str) -> str:
    """`2026-11-21 01:27 UTC` of an ISO time; as it is where it is none."""
    if len(started) >= 16 and started[10] == "T":
        return f"{started[:10]} {started[11:16]}" + (" UTC" if started.endswith("+00:00") else "")
    return printable(started) or "unknown"


def _labelled(sheet: Sheet, label: str, text: str, *, size: float) -> None:
    sheet.text(MARGIN, sheet.y, label, size=size, colour=FAINT)
    sheet.paragraph(text, x=MARGIN + _LABEL_WIDTH, size=size)


def _verdict(sheet: Sheet, bench: Bench) -> None:
    """Whether the figures count, on a ground of its own, with every reason why they do not."""
    ground, ink = _COUNTS if bench.valid else _DOES_NOT
    text = " ".join(
        [printable(verdict_line(bench)), *(f"Also: {printable(why)}." for why in bench.invalid_because[1:])]
    )
    lines = list(wrapped(text, WIDTH - 2 * MARGIN - 24, USUAL_SIZE))
    sheet.y += 10
    sheet.box(MARGIN, sheet.y, WIDTH - 2 * MARGIN, len(lines) * USUAL_SIZE * LEADING + 14, ground)
    sheet.y += 7
    for line in lines:
        sheet.text(MARGIN + 12, sheet.y, line, colour=ink, bold=True)
        sheet.y += USUAL_SIZE * LEADING
    sheet.y += 17


def _table(sheet: Sheet, bench: Bench) -> None:
    """The table of the text, figures to the right; why a row failed takes the place of its figures."""
    heads = columns(bench)
    first = min(max(text_width(text) for text in (heads[0], *(cells(row)[0] for row in bench.rows))), WIDTH * 0.4)
    step = (WIDTH - 2 * MARGIN - first) / (len(heads) - 1)
    ends = [MARGIN + first + step * number for number in range(1, len(heads))]
    sheet.text(MARGIN, sheet.y, heads[0], bold=True)
    for end, text in zip(ends, heads[1:], strict=True):
        sheet.text(end, sheet.y, text, bold=True, right=True)
    sheet.y += USUAL_SIZE * LEADING + 4
    for row in bench.rows:
        sheet.line(MARGIN, sheet.y, WIDTH - MARGIN, sheet.y, colour=RULE)
        sheet.y += 5
        _table_row(sheet, row, shown_cells(bench, row), first, ends)
        sheet.y += 4


def _table_row(sheet: Sheet, row: Row, shown: tuple[str, ...], first: float, ends: list[float]) -> None:
    top = sheet.y
    names = list(wrapped(shown[0], first + 1, USUAL_SIZE))
    for number, line in enumerate(names):
        sheet.text(MARGIN, top + number * USUAL_SIZE * LEADING, line)
    if is_without_figures(row):
        sheet.paragraph(shown[1], x=MARGIN + first + 24, colour=_DOES_NOT[1])
    else:
        for end, text in zip(ends, shown[1:], strict=False):
            sheet.text(end, top, text, right=True)
    sheet.y = max(sheet.y, top + len(names) * USUAL_SIZE * LEADING)


def _chart(sheet: Sheet, chart: Chart) -> None:
    """Bars with their intervals, names at the left and figures behind their ends; a dashed mark for the bound."""
    sheet.y += 16
    sheet.text(MARGIN, sheet.y, chart.title, size=15, bold=True)
    x = WIDTH - MARGIN
    for place in reversed(chart.places):
        x -= text_width(place, _SMALL)
        sheet.text(x, sheet.y + 4, place, size=_SMALL, colour=FAINT)
        sheet.box(x - 15, sheet.y + 6, 10, 10, COLOURS[place])
        x -= 30
    sheet.y += 28
    left = MARGIN + min(max(text_width(bar.label) for bar in chart.bars), WIDTH * 0.4) + 12
    told = max(text_width(told_of(bar)) for bar in chart.bars)
    scale = (WIDTH - MARGIN - left - told - 10) / chart.most
    for bar in chart.bars:
        _bar(sheet, bar, left, scale)
        sheet.y += _BAR + _BETWEEN
    if chart.bounded:
        sheet.text(MARGIN, sheet.y - 2, BOUND_NOTE, size=_SMALL, colour=FAINT)
        sheet.y += _SMALL * LEADING


def _bar(sheet: Sheet, bar: Bar, left: float, scale: float) -> None:
    top, middle = sheet.y, sheet.y + _BAR / 2
    label = next(wrapped(bar.label, left - MARGIN, USUAL_SIZE))
    sheet.text(left - 10, top + 1.5, label, right=True)
    sheet.box(left, top, max(bar.median * scale, 1), _BAR, COLOURS[bar.where])
    if bar.interval:
        low, high = (left + end * scale for end in bar.interval)
        sheet.line(low, middle, high, middle, colour=INK)
        for end in (low, high):
            sheet.line(end, top + 5, end, top + _BAR - 5, colour=INK)
    behind = left + bar.end * scale + 8
    if bar.bound:
        x = left + bar.bound * scale
        sheet.line(x, top - 3, x, top + _BAR + 3, colour=BOUND_COLOUR, width=2, dashed=True)
        if behind - 8 < x < behind + text_width(told_of(bar)) + 4:
            behind = x + 8
    sheet.text(behind, top + 1.5, told_of(bar), halo=True)
