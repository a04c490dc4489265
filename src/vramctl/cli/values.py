"""The values that options take: parsed, completed, and refused with a reason."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from vramctl.show.emit.llama_options import KV_TYPES
from vramctl.units import parse_count, parse_size

if TYPE_CHECKING:
    from click import ParamType
else:

    class ParamType(click.ParamType):
        """click's own, which takes a type argument only from 8.4 on."""

        def __class_getitem__(cls, _: Any) -> type:
            return cls


# ExLlama's cache types: names of V2 (0.3.2), bits of keys and values of V3 (1.6.5).
EXLLAMA_KV_TYPES = ("fp16", "fp8", "8bit", "q8", "q6", "q4", *(str(bits) for bits in range(2, 9)))
_MOST = 1 << 31


class Count(ParamType[int]):
    """A whole number of at least one, `32k` allowed."""

    name = "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; fails below 1 and above what the engines can hold."""
        if isinstance(value, int):
            return value
        try:
            count = parse_count(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
        if not 1 <= count < _MOST:
            self.fail(f"{value!r} is not between 1 and {_MOST - 1}.", param, ctx)
        return count


class Contexts(ParamType[tuple[int, ...]]):
    """One context or several: `8192`, `32k`, `4k,8k,32k`."""

    name = "N[,N...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The contexts in the order given, each once."""
        if isinstance(value, tuple):
            return value
        return tuple(dict.fromkeys(Count().convert(part, param, ctx) for part in value.split(",")))


class GpuLayers(ParamType[int | str]):
    """`N`, `auto` (chosen by the plan) or `all`; -1 stands for all, as in llama.cpp."""

    name = "N|auto|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number of layers, -1 for all, `auto` as it is."""
        if isinstance(value, int) or value.lower() == "auto":
            return value if isinstance(value, int) else "auto"
        if value.lower() in ("all", "-1"):
            return -1
        if not value.isdecimal() or int(value) >= _MOST:
            self.fail(f"{value!r} is not a number of layers, auto or all.", param, ctx)
        return int(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The two words."""
        return [CompletionItem(word) for word in ("auto", "all") if word.startswith(incomplete)]


class KvTypes(ParamType[tuple[str, str]]):
    """One type for keys and values, or one for each: `q8_0`, `q8_0,q4_0`."""

    name = "F[,F]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The types of keys and of values, in lower case."""
        if isinstance(value, tuple):
            return value
        types = value.lower().split(",")
        if not 1 <= len(types) <= 2:
            self.fail(f"{value!r}: give one type, or one for keys and one for values.", param, ctx)
        for name in types:
            if name not in KV_TYPES and name not in EXLLAMA_KV_TYPES:
                self.fail(f"{name!r} is not one of {', '.join(KV_TYPES)} (ExLlama: fp16, q8, ...).", param, ctx)
        return types[0], types[-1]

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """llama.cpp's types."""
        first, comma, last = incomplete.rpartition(",")
        return [CompletionItem(first + comma + name) for name in KV_TYPES if name.startswith(last)]


class Shares(ParamType[tuple[float, ...]]):
    """Parts per GPU: `3,1`."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The parts; not all may be 0."""
        if isinstance(value, tuple):
            return value
        try:
            shares = tuple(float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 3,1.", param, ctx)
        if any(not math.isfinite(share) or share < 0 for share in shares) or not any(shares):
            self.fail(f"{value!r}: parts are 0 or more, and one of them is above 0.", param, ctx)
        return shares


class TensorOverride(ParamType[tuple[tuple[str, str], ...]]):
    """`RE=BUFFER`, several with commas, cut where llama.cpp's --override-tensor cuts (common/arg.cpp, 0c1e57098)."""

    name = "RE=BUF"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[str, str], ...]:
        """Pairs of a regular expression and a buffer's name."""
        if isinstance(value, tuple):
            return value
        return tuple(self._pair(part, param, ctx) for part in value.split(","))

    def _pair(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        pattern, equals, buffer = text.partition("=")
        if not (pattern and equals and buffer):
            self.fail(f"{text!r} is not RE=BUFFER, such as 'ffn_.*_exps=CPU'.", param, ctx)
        try:
            re.compile(pattern)
        except re.error as error:
            self.fail(f"{pattern!r} is not a regular expression: {error}.", param, ctx)
        return pattern, buffer


class Share(click.FloatRange):
    """A share above 0, at most 1; click's own range lets `nan` through."""

    def __init__(self) -> None:
        super().__init__(0, 1, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share."""
        share = float(super().convert(value, param, ctx))
        if math.isnan(share):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return share


class Size(ParamType[str]):
    """A size such as `32GiB`, checked and passed on as it was written."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text."""
        try:
            parse_size(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
        return str(value)


class ModelReference(ParamType[str]):
    """MODEL: a file, a folder, an address or a shape."""

    name = "MODEL"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Files, and the names of built-in shapes after `shape:`."""
        if not incomplete.startswith("shape:"):
            schemes = [CompletionItem("shape:")] if incomplete and "shape:".startswith(incomplete) else []
            return [*schemes, CompletionItem(incomplete, type="file")]
        from vramctl.shapes.build import names, quants

        name, at, quant = incomplete.removeprefix("shape:").partition("@")
        if at:
            return [CompletionItem(f"shape:{name}@{item}") for item in quants() if item.startswith(quant.upper())]
        return [CompletionItem(f"shape:{item}@Q4_K_M") for item in names() if item.startswith(name)]


class Gpu(ParamType[str]):
    """DEVICE: a name of the catalogue, a size, both, or none."""

    name = "DEVICE"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The catalogue's names, without spaces: `rtx-3060`."""
        from vramctl.catalogue import entries
        from vramctl.show.verdict import without_vendor

        names = [(without_vendor(entry.name).lower().replace(" ", "-"), entry.name) for entry in entries()]
        wanted = incomplete.lower()
        found = [CompletionItem(word, help=name) for word, name in names if word.startswith(wanted)]
        return found or [CompletionItem(word, help=name) for word, name in names if wanted in word]
