"""The charts of a benchmark: what they show, as SVG in a page and as a picture."""

from __future__ import annotations

import io
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from vramctl.errors import BadInput
from vramctl.records import Settings, Unknown
from vramctl.records.measurement import Bench, Limit, Row, Stat
from vramctl.show.bench_charts import CPU, GPU, PARTLY, charts
from vramctl.show.bench_page import html_page, svg
from vramctl.show.bench_picture import bench_png
from vramctl.show.sheet import in_font, refuse_without_pillow, text_width, wrapped

FEW = Unknown("too few samples")


def stat(median: float, *, unit: str = "tokens/s", half: float | None = None) -> Stat:
    return Stat(median, FEW if half is None else (median - half, median + half), (median,) * 6, unit)


def row(name: str, decode: float, prefill: float, *, layers: str = "", most: float | None = None) -> Row:
    bound = Unknown("not known") if most is None else float(most)
    return Row(
        name=name, settings=Settings(), prompt_tokens=512, depth=0, layers=layers,
        decode_tokens_per_second=stat(decode, half=decode / 20), prefill_tokens_per_second=stat(prefill),
        ttft_seconds=stat(0.5, unit="s"), load_seconds=stat(2.5, unit="s"),
        limit=Limit(bound, Unknown("not known") if most is None else decode / most, "memory bandwidth of CUDA0"),
    )  # fmt: skip


def bench(*rows: Row, **changes: object) -> Bench:
    plain = Bench(
        model="models/a.gguf", stand_in=False, engine="an engine", machine={"cpu": "a processor", "memory_bytes": 1 << 30},
        rows=rows, valid=True, started="2026-11-21T01:27:00+00:00",
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


LAYERS = (
    row("n_gpu_layers 0", 8, 700, layers="0/33", most=13),
    row("n_gpu_layers 16", 18, 1500, layers="16/33", most=27),
    row("n_gpu_layers auto", 258, 9400, layers="33/33", most=1039),
)
CONTEXT = (
    row("2048 tokens, GPU", 258, 9400, layers="33/33", most=995),
    row("2048 tokens, CPU", 8, 120, layers="0/33"),
)
LOADED = tuple(
    replace(
        row(f"{count} at a time", 100 / count, 0), throughput_tokens_per_second=stat(90.0 * count), parallel=count,
        requests_per_second=stat(1.0, unit="requests/s"), prefill_tokens_per_second=FEW,
    )
    for count in (1, 4)
)  # fmt: skip
FAILED = replace(LAYERS[2], failed="it does not fit: " + "needs a lot " * 30, decode_tokens_per_second=FEW,
                 prefill_tokens_per_second=FEW, limit=Limit(FEW, FEW, ""))  # fmt: skip
HOSTILE = "模型/" + "very" * 60 + "<script>&\x1b[31m é.gguf"
BENCHES = {
    "one": bench(row("", 258, 9400, layers="33/33", most=1039)),
    "layers": bench(*LAYERS),
    "all": bench(row("", 258, 9400, layers="33/33", most=1039), *LAYERS, *CONTEXT),
    "load": bench(*LOADED),
    "failed": bench(LAYERS[0], FAILED),
    "nothing": bench(FAILED, valid=False, invalid_because=("nothing was measured",)),
    "hostile": bench(*LAYERS, model=HOSTILE, engine="x" * 500, started="yesterday", stand_in=True,
                     valid=False, invalid_because=("contended: " + "much " * 40, "hot"), notes=("a note " * 50,)),
}  # fmt: skip


def test_each_table_of_a_run_has_charts_of_its_own() -> None:
    titles = [chart.title for chart in charts(BENCHES["all"])]
    assert titles == [
        "Decode, tokens/s", "Prefill, tokens/s", "Decode by n_gpu_layers, tokens/s", "Prefill by n_gpu_layers, tokens/s",
        "Decode by length of context, tokens/s", "Prefill by length of context, tokens/s",
    ]  # fmt: skip
    assert [chart.title for chart in charts(BENCHES["load"])] == [
        "All requests together, tokens/s", "Each request, tokens/s", "Time to first token (less is better), s",
    ]  # fmt: skip


def test_a_bar_tells_its_figure_its_bound_and_where_it_ran() -> None:
    decode = next(charts(BENCHES["layers"]))
    assert [(bar.label, bar.where) for bar in decode.bars] == [
        ("n_gpu_layers 0 (0/33)", CPU), ("n_gpu_layers 16 (16/33)", PARTLY), ("n_gpu_layers auto (33/33)", GPU),
    ]  # fmt: skip
    assert decode.most == 1039 and decode.bounded and decode.places == (GPU, PARTLY, CPU)
    assert decode.bars[2].interval == pytest.approx((245.1, 270.9))


def test_a_figure_stands_behind_the_bound_where_it_would_cover_it() -> None:
    near, far = (next(charts(bench(row("", 258, 9400, most=most)))) for most in (280, 5000))
    for chart, behind in ((near, near.bars[0].bound), (far, far.bars[0].end)):
        told = re.search(r'class="told" x="([\d.]+)%"', svg(chart))
        assert told is not None and behind is not None
        assert float(told[1]) == pytest.approx(62.0 * behind / chart.most, abs=0.01)


def test_what_was_not_measured_has_no_bar() -> None:
    assert [len(chart.bars) for chart in charts(BENCHES["failed"])] == [1, 1]
    assert list(charts(BENCHES["nothing"])) == []


@pytest.mark.parametrize("name", BENCHES)
def test_a_page_is_whole_and_runs_nothing(name: str) -> None:
    page = html_page(BENCHES[name])
    assert "<script" not in page and "\x1b" not in page and "http" not in page
    assert page.count("<svg") == len(list(charts(BENCHES[name])))


def test_a_chart_is_as_readable_on_a_telephone_as_on_a_desk() -> None:
    drawing = svg(next(charts(BENCHES["layers"])))
    assert "viewBox" not in drawing, "a view box would shrink the text with the page"
    lengths = [float(found) for found in re.findall(r'(?:x|x1|x2|width)="([\d.]+)%"', drawing)]
    assert len(lengths) > 10 and max(lengths) <= 70, "what stands behind the longest bar needs room"
    ElementTree.fromstring(drawing)


@pytest.mark.parametrize("name", BENCHES)
def test_a_picture_leaves_its_margins_white(name: str) -> None:
    image_of = pytest.importorskip("PIL.Image").open
    image = image_of(io.BytesIO(bench_png(BENCHES[name]))).convert("RGB")
    assert image.width == 1520 and image.height > 400
    for left in (0, image.width - 44):
        assert image.crop((left, 0, left + 44, image.height)).getcolors() == [(44 * image.height, (255, 255, 255))]


def test_a_picture_shows_bars_bounds_and_whether_it_counts() -> None:
    image_of = pytest.importorskip("PIL.Image").open

    def colours(name: str) -> set[tuple[int, int, int]]:
        found = image_of(io.BytesIO(bench_png(BENCHES[name]))).convert("RGB").getcolors(1 << 20)
        return {colour for _, colour in found}

    blue, amber, red, green, yellow = (0x3B, 0x78, 0xC4), (0xB9, 0x85, 0x34), (0xCC, 0x33, 0x33), (0xE8, 0xF5, 0xE9), (0xFD, 0xF0, 0xD5)  # fmt: skip  # noqa: E501
    assert {blue, amber, red, green} <= colours("layers")
    assert yellow in colours("nothing") and not {blue, red, green} & colours("nothing")


def test_a_picture_that_is_too_high_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    image_of = pytest.importorskip("PIL.Image").open
    monkeypatch.setattr("vramctl.show.sheet._HIGHEST", 1500)
    many = bench(*(row(f"n_gpu_layers {number}", 8, 700, layers=f"{number}/20") for number in range(20)))
    image = image_of(io.BytesIO(bench_png(many))).convert("L")
    assert image.height == 1500
    darkest, lightest = image.crop((0, image.height - 112, image.width, image.height)).getextrema()
    assert 90 < darkest < 120 and lightest > 250, "a line in grey on white, and no bar that is cut"


def test_what_the_font_lacks_is_written_as_its_number() -> None:
    assert in_font("模 ± é") == "\\u6a21 ± \\xe9"


def test_text_wraps_within_its_width_and_keeps_every_letter() -> None:
    pytest.importorskip("PIL")
    text = "some words and " + "x" * 200 + " end"
    lines = list(wrapped(text, 120, 13))
    assert all(text_width(line) <= 120 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_without_pillow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(BadInput) as raised:
        refuse_without_pillow()
    assert raised.value.code == "png-needs-pillow" and "pip install 'vramctl[png]'" in raised.value.fix


def test_an_old_pillow_is_refused_before_it_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest.importorskip("PIL"), "__version__", "9.5.0")
    with pytest.raises(BadInput) as raised:
        refuse_without_pillow()
    assert raised.value.because == ("Pillow 9.5.0 is older than 11.3",)
