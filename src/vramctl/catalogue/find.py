"""A GPU's entry by a name as people write it: `3060`, `rtx3060`, `RTX 3060 12GB`, `NVIDIA GeForce RTX 3060`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from functools import cache

from vramctl.catalogue.entry import GpuEntry
from vramctl.catalogue.table import entries
from vramctl.errors import BadInput
from vramctl.records import Unknown
from vramctl.units import GIB

_WORD = re.compile(r"\d+(?:\.\d+)?|[a-z]+")
_MARKS = re.compile(r"\((?:r|tm)\)|®|™", re.IGNORECASE)
_SIZE_UNITS = frozenset({"gb", "gib", "g"})
_NOISE = frozenset(
    {"nvidia", "geforce", "amd", "radeon", "intel", "apple", "tesla", "instinct", "graphics", "gpu", "card"}
    | {"generation", "edition", "blackwell"}
)
_SERIES = frozenset({"rtx", "gtx", "rx", "arc", "jetson"})
_SYNONYMS = {"mobile": "laptop", "notebook": "laptop"}
_LISTED = 8

Words = tuple[str, ...]


def words(text: str) -> Words:
    """The words of a GPU's name, sorted, lower case, sizes as one word (`12gb`), without vendors' names."""
    found = _WORD.findall(_MARKS.sub(" ", text.lower()))
    kept: list[str] = []
    for word in found:
        if word in _SIZE_UNITS and kept and kept[-1].isdigit() and int(kept[-1]) <= 1024:
            kept[-1] += "gb"
        elif word not in _NOISE:
            kept.append(_SYNONYMS.get(word, word))
    return tuple(sorted(kept))


def find(text: str) -> GpuEntry:
    """The entry that `text` names; BadInput that lists candidates where it names several or none.

    Where a driver prints one name for two cards, the plain name is the common card's only where the catalogue says so
    (RTX 3060 is the 12 GB card; docs/gpus.md lists these); else the size must be given.
    """
    asked = words(text)
    if not asked:
        raise _unknown(text)
    matches = _matches(asked)
    size = next((word for word in asked if word.endswith("gb") and word[:-2].isdigit()), None)
    if not matches and size is not None:
        sizeless = _matches(tuple(word for word in asked if word != size))
        matches = tuple(entry for entry in sizeless if entry.nominal_bytes == int(size[:-2]) * GIB)
        if sizeless and not matches:
            raise _no_such_size(text, size, sizeless)
    if not matches:
        raise _unknown(text)
    if len(matches) > 1:
        raise _ambiguous(text, matches)
    return matches[0]


def _matches(asked: Words) -> tuple[GpuEntry, ...]:
    """Entries by the first of five readings that has any, from the exact name to some of its words."""
    if not asked:
        return ()
    short = _without_series(asked)
    numbered = any(word[0].isdigit() and not word.endswith("gb") for word in asked)
    readings: tuple[Callable[[_Keys], bool], ...] = (
        lambda keys: asked in keys.names,
        lambda keys: asked in keys.driver,
        lambda keys: bool(short) and short in map(_without_series, keys.names),
        lambda keys: bool(short) and short in map(_without_series, keys.driver),
        lambda keys: numbered and set(asked) <= keys.all_words,
    )
    for reading in readings:
        found = tuple(entry for entry, keys in _index() if reading(keys))
        if found:
            return found
    return ()


class _Keys:
    """An entry's names in words: its own and aliases, the driver's, and every word of them."""

    __slots__ = ("all_words", "driver", "names")

    def __init__(self, entry: GpuEntry) -> None:
        self.names = frozenset(words(name) for name in (entry.name, *entry.aliases))
        self.driver = frozenset({words(entry.driver_name)})
        self.all_words = frozenset(word for key in (*self.names, *self.driver) for word in key)


@cache
def _index() -> tuple[tuple[GpuEntry, _Keys], ...]:
    return tuple((entry, _Keys(entry)) for entry in entries())


def _without_series(key: Words) -> Words:
    return tuple(word for word in key if word not in _SERIES)


def _names(found: Iterable[GpuEntry]) -> str:
    names = [entry.name for entry in found]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _ambiguous(text: str, found: tuple[GpuEntry, ...]) -> BadInput:
    return BadInput(
        "ambiguous-gpu",
        f"{text!r} names {len(found)} GPUs of the catalogue.",
        because=(_names(found),),
        fix=f"Write one of these names in full, for example --gpu {found[0].name!r}.",
    )


def _no_such_size(text: str, size: str, found: tuple[GpuEntry, ...]) -> BadInput:
    sizes = ", ".join(
        f"{entry.name} ({entry.nominal_bytes / GIB:g} GB)"
        for entry in found[:_LISTED]
        if not isinstance(entry.nominal_bytes, Unknown)
    )
    return BadInput(
        "unknown-gpu",
        f"The catalogue has no {text!r}: no such card with {size[:-2]} GB.",
        because=(sizes,),
        fix=f"Write one of these, or the memory itself: --gpu {size[:-2]}GiB.",
    )


def _unknown(text: str) -> BadInput:
    by_key = {" ".join(words(entry.name)): entry.name for entry in entries()}
    near = difflib.get_close_matches(" ".join(words(text)), by_key, n=4, cutoff=0.5)
    because = (
        (f"nearest: {', '.join(by_key[key] for key in near)}",) if near else ("no name in the catalogue is near it",)
    )
    return BadInput(
        "unknown-gpu",
        f"The catalogue has no GPU called {text!r}.",
        because=because,
        fix="Write a name of docs/gpus.md, the memory itself (--gpu 12GiB), or both (--gpu 'RTX 3060=9.5GiB').",
    )
