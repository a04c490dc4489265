"""Two saved runs as a page: what got worse is red, and nothing of a name becomes markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from test_bench_picture import HOSTILE, LAYERS, bench

from vramctl.records import Unknown
from vramctl.records.measurement import Ratio
from vramctl.show.compare_page import compare_page

SLOWER = Ratio("decode_tokens_per_second", "n_gpu_layers 0", 0.8, (0.78, 0.82), "lower")
FASTER = Ratio("ttft_seconds", "n_gpu_layers 0", 0.5, (0.4, 0.6), "lower")
FEW = Ratio("prefill_tokens_per_second", "", 3.0, Unknown("too few"), "unclear")


def page(*ratios: Ratio, model: str = "m") -> str:
    run = bench(*LAYERS, model=model)
    return compare_page(("a.json", run), ("b.json", replace(run, engine="another")), ratios)


def test_every_ratio_is_a_row_and_a_dot_within_the_drawing() -> None:
    text = page(SLOWER, FASTER, FEW)
    assert "1 of 3 figures are worse." in text and "an engine before, another after" in text
    assert len(re.findall("<tr>", text)) == 4
    drawing = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    dots = [(float(str(dot.get("cx"))[:-1]), dot.get("fill")) for dot in drawing.iter("circle")]
    assert [colour for _, colour in dots] == ["#cc3333", "#2e8b57", "#8a8a92"]
    assert dots[1][0] < dots[0][0] < dots[2][0]
    assert all(0 <= place <= 100 for place, _ in dots)


@pytest.mark.parametrize("text", [HOSTILE, "<script>", "&amp;"])
def test_names_are_text(text: str) -> None:
    found = page(replace(SLOWER, row=text), model=text)
    assert "<script" not in found
    ElementTree.fromstring(found[found.index("<svg") : found.index("</svg>") + 6])


def test_a_single_equal_ratio_has_an_axis() -> None:
    assert "Nothing is provably worse." in page(Ratio("ttft_seconds", "", 1.0, (1.0, 1.0), "same"))
