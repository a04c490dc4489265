"""A sheet of white paper that becomes a PNG: text, boxes and lines from top to bottom, drawn with Pillow.

Lengths are points of a sheet 760 wide; a point is two pixels.  Text is set in the font inside Pillow (Aileron, which has
ASCII and little more), so a picture looks the same on a machine without fonts; other characters are written as \\u4e2d.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from vramctl.errors import BadInput

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

WIDTH, MARGIN, POINT = 760.0, 28.0, 2
INK, FAINT, RULE, PAPER = "#1c1c1e", "#66666c", "#d9d9de", "#ffffff"
USUAL_SIZE, LEADING = 13.0, 1.45
_IN_FONT = frozenset("±…°·“”‘’")
_OLDEST = (11, 3)  # sizes of the font inside it, strokes thinner than a pixel
_HIGHEST = 16_000  # pixels: more than anybody pastes


def refuse_without_pillow() -> None:
    """BadInput where no PNG can be drawn here, so that nothing is measured in vain."""
    if why := _missing():
        raise BadInput(
            "png-needs-pillow", "A PNG cannot be drawn here.", because=(why,),
            fix="pip install 'vramctl[png]', or write --html instead.",
        )  # fmt: skip


def _missing() -> str:
    """Why Pillow cannot draw here; "" where it can."""
    try:
        import PIL
        from PIL import features
    except ImportError as error:
        return f"the package Pillow is not installed ({error})"
    if tuple(int(part) for part in PIL.__version__.split(".")[:2] if part.isdigit()) < _OLDEST:
        return f"Pillow {PIL.__version__} is older than {_OLDEST[0]}.{_OLDEST[1]}"
    return "" if features.check("freetype2") else "this Pillow was built without FreeType, which draws text"


class Sheet:
    """What is drawn, in order; `y` is where the next thing goes."""

    def __init__(self) -> None:
        self.y = MARGIN
        self._parts: list[Callable[[ImageDraw], None]] = []

    def text(
        self, x: float, y: float, text: str, *, size: float = USUAL_SIZE, colour: str = INK, bold: bool = False,
        right: bool = False, halo: bool = False,
    ) -> None:  # fmt: skip
        """A line of text; `x` is its left end, or its right end; `halo` lays paper under it."""
        shown, font = in_font(text), _font(size)
        left = x - text_width(text, size) if right else x
        if halo:
            self.box(left - 2, y, text_width(text, size) + 4, size * LEADING, PAPER)
        at, weight = (left * POINT, y * POINT), 0.6 if bold else 0
        self._parts.append(lambda on: on.text(at, shown, fill=colour, font=font, stroke_width=weight))

    def paragraph(
        self, text: str, *, x: float = MARGIN, size: float = USUAL_SIZE, colour: str = INK, bold: bool = False
    ) -> None:
        """Text that wraps between `x` and the right margin."""
        for line in wrapped(text, WIDTH - MARGIN - x, size):
            self.text(x, self.y, line, size=size, colour=colour, bold=bold)
            self.y += size * LEADING

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        corners = (x * POINT, y * POINT, (x + width) * POINT, (y + height) * POINT)
        self._parts.append(lambda on: on.rectangle(corners, fill=colour))

    def line(
        self, x: float, y: float, to_x: float, to_y: float, *, colour: str = INK, width: int = 1, dashed: bool = False
    ) -> None:
        """A line `width` points wide; a dashed one goes down."""
        ends = (
            [(y + 6 * n, min(y + 6 * n + 4, to_y)) for n in range(int((to_y - y) / 6) + 1)] if dashed else [(y, to_y)]
        )
        for start, end in ends:
            corners = (x * POINT, start * POINT, to_x * POINT, end * POINT)
            self._parts.append(
                lambda on, corners=corners: on.line(corners, fill=colour, width=width * POINT)  # type: ignore[misc]
            )

    def png(self) -> bytes:
        """The sheet down to `y`, as the bytes of a PNG file; one that is too high ends with a sentence that says so."""
        from PIL import Image, ImageDraw

        height = int((self.y + MARGIN) * POINT)
        if height > _HIGHEST:
            height, end = _HIGHEST, _HIGHEST / POINT - 2 * MARGIN
            self.box(0, end, WIDTH, 2 * MARGIN, PAPER)
            self.text(MARGIN, end + MARGIN / 2, "The picture ends here; --html shows the rest.", colour=FAINT)
        image = Image.new("RGB", (int(WIDTH * POINT), height), PAPER)
        on = ImageDraw.Draw(image)
        for part in self._parts:
            part(on)
        file = io.BytesIO()
        image.quantize(256, Image.Quantize.MAXCOVERAGE).save(file, "PNG", optimize=True)
        return file.getvalue()


def in_font(text: str) -> str:
    """The text with what the font lacks written as its number."""
    return "".join(c if c.isascii() or c in _IN_FONT else c.encode("ascii", "backslashreplace").decode() for c in text)


def text_width(text: str, size: float = USUAL_SIZE) -> float:
    """How wide a line of text is, in points."""
    return _font(size).getlength(in_font(text)) / POINT


def wrapped(text: str, width: float, size: float) -> Iterator[str]:
    """The lines of a text that is at most `width` points wide; a word that is longer than a line is cut."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if text_width(longer, size) <= width:
            line = longer
            continue
        if line:
            yield line
        line = word
        while text_width(line, size) > width:
            fits = next(n for n in range(len(line), 0, -1) if n == 1 or text_width(line[:n], size) <= width)
            yield line[:fits]
            line = line[fits:]
    if line:
        yield line


@cache
def _font(size: float) -> FreeTypeFont:
    """The font inside Pillow, which needs no font on the machine."""
    from PIL import ImageFont

    font = ImageFont.load_default(size * POINT)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
