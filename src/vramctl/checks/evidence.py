"""How checks read a log's record: events of a kind, quotes, sizes in words."""

from __future__ import annotations

from collections.abc import Iterable

from vramctl.records.event import Event, Printed
from vramctl.records.finding import Finding, Quote
from vramctl.records.load import Load, Log
from vramctl.units import GIB, MIB

_LONGEST_QUOTE, _LONGEST_WORDS = 400, 200


def events(record: Log | Load, *kinds: str) -> tuple[Event, ...]:
    """The kept events of these kinds, in the order of their lines."""
    found = [event for kind in kinds if kind in record.seen for event in record.seen[kind].events]
    return tuple(sorted(found, key=lambda event: event.line))


def how_often(record: Log | Load, *kinds: str) -> int:
    """How many events of these kinds there were, also those that were not kept."""
    return sum(record.seen[kind].count for kind in kinds if kind in record.seen)


def quotes(found: Iterable[Event], most: int = 4) -> tuple[Quote, ...]:
    """The lines of the first few events, word for word."""
    once = {event.line: event for event in found}
    return tuple(Quote(event.line, event.raw.strip()[:_LONGEST_QUOTE]) for event in list(once.values())[:most])


def finding(
    severity: str, what: str, because: Iterable[str], fix: str, shown: Iterable[Event] = (), *, most: int = 4
) -> Finding:
    """A finding that quotes the lines of these events."""
    return Finding(severity, what, tuple(part for part in because if part), fix, quotes(shown, most))


def in_words(size: int) -> str:
    """Bytes with one digit after the point: `10.9 GiB`, `512 MiB`."""
    if size >= GIB:
        return f"{size / GIB:.1f} GiB"
    return f"{size / MIB:.0f} MiB" if size >= 10 * MIB else f"{size / MIB:.1f} MiB"


def size_of(value: object) -> int | None:
    """Bytes of a field, None where it is absent or unreadable."""
    if isinstance(value, Printed):
        return value.bytes
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text_of(event: Event, *names: str) -> str:
    """The first of these fields that is text, else the empty string."""
    for name in names:
        value = event.fields.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def crash_words(event: Event) -> str:
    """What a crash line says, once: several threads print it into each other."""
    where = text_of(event, "file").replace("\\", "/").rsplit("/", 1)[-1]
    place = f" at {where}:{event.fields['line']}" if where and "line" in event.fields else ""
    said = text_of(event, "expression").partition(") failed")[0]
    if event.kind == "crash.assert" and said:
        return f"GGML_ASSERT({said}) failed{place}"
    text = event.text if len(event.text) <= _LONGEST_WORDS else f"{event.text[:_LONGEST_WORDS]}..."
    what = text_of(event, "what", "error")
    return f"{what}{place}" if what and place else text


def load_name(load: Load) -> str:
    """A load in words: the model's name and quantization, or its file, or `a model`."""
    model = load.model
    name = model.name if isinstance(model.name, str) else ""
    if not name and isinstance(model.path, str):
        name = model.path.replace("\\", "/").rsplit("/", 1)[-1]
        name = name[:19] if name.startswith("sha256-") else name
    quantization = model.quantization if isinstance(model.quantization, str) else ""
    if quantization and quantization.lower() not in name.lower():
        name = f"{name} {quantization}".strip()
    return name or "the model"
