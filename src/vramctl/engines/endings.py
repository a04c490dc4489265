"""How a run ended, from what is left of it: exit status, the engine's log, and what the process wrote last."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vramctl.logs.assemble import assemble
from vramctl.logs.decode import Stats, decode
from vramctl.records import Unknown
from vramctl.records.event import Event, Printed
from vramctl.records.load import Load
from vramctl.records.run import CRASHED, KILLED, OUT_OF_MEMORY, REFUSED, TIMEOUT, Ended, LogLine

_NO_MEMORY = frozenset(("memory.alloc_failed", "memory.buffer_failed", "gpu.alloc_over_limit"))
_SAID = frozenset(("model.load_failed", "context.failed", "crash.assert", "crash.fatal", "crash.reason", "crash.exception",
                   "cuda.error", "rocm.error", "compute.failed", "kv.no_slot"))  # fmt: skip
_WORDS = ("out of memory", "bad_alloc", "MemoryError", "Cannot allocate memory", "requires more system memory")
_LAST_LINES = 3
_MEANT = {
    "SIGBUS": ": a file in memory got shorter, or its disk failed",
    "SIGILL": ": the build uses instructions that this processor has not",
}
NO_SYSTEM_MEMORY = "the system's memory ran out, and the kernel ended the process"
_NO_LOAD = Unknown("the log shows no load")


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a process left: its log lines, what it wrote on stderr, and the events in both."""

    log: tuple[LogLine, ...]
    events: tuple[Event, ...]
    load: Load | Unknown


def witnessed(log: Sequence[LogLine]) -> Witnessed:
    """The lines with their events and the last load that they report."""
    stats = Stats()
    events = tuple(decode([line.text for line in log], stats=stats, live=True))
    loads = assemble(events, stats=stats).loads
    return Witnessed(tuple(log), events, loads[-1] if loads else _NO_LOAD)


def ended(
    how: str, phase: str, *, seen: Witnessed, otherwise: str, seconds: float | Unknown, code: int | None = None
) -> Ended:
    """The ending; out-of-memory instead of `how` where the log shows an allocation that failed before a crash or refusal."""
    failed = _failed_allocation(seen.events) if how in (CRASHED, REFUSED, KILLED) else None
    words = [line.text for line in seen.log if any(word in line.text for word in _WORDS)]
    if how in (CRASHED, REFUSED) and (failed is not None or words or any(word in otherwise for word in _WORDS)):
        how = OUT_OF_MEMORY
    buffer, wanted = _asked_for(failed)
    name = _signal_name(code)
    return Ended(
        how=how,
        phase=phase,
        what=_words(how, seen, otherwise, name),
        exit_code=code if code is not None and code >= 0 else Unknown("it did not exit by itself"),
        signal=name or Unknown("no signal ended it"),
        seconds=seconds,
        buffer=buffer,
        wanted_bytes=wanted,
        log=seen.log,
        load=seen.load,
    )


def how_gone(code: int, *, timed_out: bool) -> str:
    """Which ending an exit status is: SIGKILL comes from outside (a person, or the kernel's out-of-memory killer)."""
    if timed_out:
        return TIMEOUT
    return KILLED if -code in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP) else CRASHED


def what_to_do(run: Ended | Unknown) -> str:
    """The next step after a run that did not come to its end."""
    how = run.how if isinstance(run, Ended) else ""
    return {
        OUT_OF_MEMORY: "Shorten the context (--ctx), take a smaller quantisation, or end what else holds memory.",
        KILLED: "Run it again; where the system ended it, `dmesg` says why.",
        TIMEOUT: "Run it again; where nobody stopped it, `vramctl doctor` looks for what holds it up.",
    }.get(how, "`vramctl doctor` looks for the cause; --engine-path tries another build.")


def _failed_allocation(events: Iterable[Event]) -> list[Event] | None:
    found = [event for event in events if event.kind in _NO_MEMORY]
    return found or None


def _asked_for(failed: list[Event] | None) -> tuple[str | Unknown, int | Unknown]:
    """(buffer, bytes) of the allocation that failed: the first events that name them."""
    buffer: str | Unknown = Unknown("the log names no buffer")
    wanted: int | Unknown = Unknown("the log names no size")
    for event in failed or ():
        device, size = event.fields.get("device"), event.fields.get("size")
        if isinstance(buffer, Unknown) and device is not None:
            buffer = device if isinstance(device, str) else f"device {device}"
        if isinstance(wanted, Unknown) and isinstance(size, Printed):
            wanted = size.bytes
    return buffer, wanted


def _signal_name(code: int | None) -> str | None:
    if code is None or code >= 0:
        return None
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _last_word(text: str, seen: Witnessed) -> str:
    """An event's line; of a Python traceback the last line, which names the error."""
    if not text.startswith("Traceback "):
        return text
    return next((line.text.strip() for line in reversed(seen.log) if line.text.strip()), text)


def _words(how: str, seen: Witnessed, otherwise: str, name: str | None) -> str:
    """One sentence: what we know, then the engine's own last words that explain it."""
    if how in (TIMEOUT, KILLED) or otherwise == NO_SYSTEM_MEMORY:
        return otherwise
    kinds = _SAID | _NO_MEMORY if how in (OUT_OF_MEMORY, REFUSED, CRASHED) else frozenset[str]()
    said = list(dict.fromkeys(_last_word(event.text, seen) for event in seen.events if event.kind in kinds))
    if not said:
        said = list(dict.fromkeys(line.text.strip() for line in seen.log if line.level == "error"))
    first = f"{otherwise} ({name}{_MEANT.get(name, '')})" if name else otherwise
    return ": ".join([first, "; ".join(text[:300] for text in said[:_LAST_LINES])]) if said else first
