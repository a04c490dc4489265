"""How checks read a log's record: events of a kind, quotes, sizes in words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vramctl.records.event import Event, Printed
from vramctl.records.finding import Finding, Quote
from vramctl.records.load import Load, Log
from vramctl.units import GIB, MIB

_LONGEST_QUOTE, _LONGEST_WORDS = 400, 200
# Kinds of a GPU's runtime that failed, and those of a process that ended.
ERRORS = ("cuda.error", "rocm.error", "gpu.error", "gpu.arch_not_built")
ENDS = ("crash.assert", "crash.fatal", "crash.signal", "crash.exception", "crash.reason", "crash.abort", "server.panic")
_MESSAGES = ("runner.load_failed", "runner.terminated", "gpu.device_lost", "gpu.hang", "gpu.fault")
_SIGNAL = re.compile(
    r"segmentation (?:fault|violation)|illegal (?:hardware )?instruction|bus error|killed|aborted?|floating point exception",
    re.IGNORECASE,
)
_PCI_PAIR = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{4}")


def events(record: Log | Load, *kinds: str) -> tuple[Event, ...]:
    """The kept events of these kinds, in the order of their lines."""
    found = [event for kind in kinds if kind in record.seen for event in record.seen[kind].events]
    return tuple(sorted(found, key=lambda event: event.line))


def how_often(record: Log | Load, *kinds: str) -> int:
    """How many events of these kinds there were, also those that were not kept."""
    return sum(record.seen[kind].count for kind in kinds if kind in record.seen)


def quotes(found: Iterable[Event], most: int = 4) -> tuple[Quote, ...]:
    """The lines of the first few events, word for word; what says the same is quoted once."""
    once: dict[str, Event] = {}
    for event in found:
        # In slog lines the text is the message alone; what tells them apart stands in the attributes.
        once.setdefault(event.raw if ".go:" in event.function else event.text, event)
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
    if event.kind == "crash.signal":
        return _signal(event)
    where = text_of(event, "file").replace("\\", "/").rsplit("/", 1)[-1]
    place = f" at {where}:{event.fields['line']}" if where and "line" in event.fields else ""
    said = text_of(event, "expression").partition(") failed")[0]
    if event.kind == "crash.assert" and said:
        return f"GGML_ASSERT({said}) failed{place}"
    text = event.text if len(event.text) <= _LONGEST_WORDS else f"{event.text[:_LONGEST_WORDS]}..."
    what = text_of(event, "what", "error") or (text.rpartition(": ")[2] if event.kind == "crash.fatal" else "")
    return f"{what}{place}" if what and place else text


def _signal(event: Event) -> str:
    """What a shell says of a process that a signal ended, without its number and command."""
    said = _SIGNAL.search(event.text)
    return said[0].lower() if said else event.text[:_LONGEST_WORDS]


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


def saying(log: Log, *words: str) -> tuple[Event, ...]:
    """Lines of an error or an end that hold one of these words."""
    found = events(log, *ERRORS, *ENDS, *_MESSAGES)
    return tuple(event for event in found if any(word.lower() in event.raw.lower() for word in words))


def runners_gone(log: Log) -> tuple[Event, ...]:
    """The ends of Ollama's runners that nobody asked for.

    At an unload Ollama kills the runner, and where the runner had ever printed an error it logs `signal: killed` as one: alone,
    without a load or a request that failed, that line tells nothing.
    """
    told = events(log, "runner.load_failed", "runner.stopped")
    ended = events(log, "runner.terminated")
    if not told and not log.failed_requests:
        ended = tuple(event for event in ended if "signal: killed" not in event.raw)
    return tuple(sorted((*told, *ended), key=lambda event: event.line))


def answered(log: Log) -> int:
    """How many requests of the loads that were ready have been answered."""
    return sum(load.totals.count - load.totals.failed for load in log.loads if load.ready)


def gpu_name(log: Log) -> str:
    """The first GPU in words, with its architecture where the log has no name but a pair of PCI numbers."""
    for gpu in log.gpus:
        if isinstance(gpu.name, str) and gpu.name and not _PCI_PAIR.fullmatch(gpu.name):
            return gpu.name
        if isinstance(gpu.compute_capability, str):
            return f"The GPU ({gpu.compute_capability})"
    return "The GPU"
