"""How fast each device multiplies matrices, on the kernels of the engine that runs the model: prefill is bound by that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vramctl.engines.binding import START_SECONDS, Binding
from vramctl.engines.child import Child, Gone
from vramctl.engines.endings import how_gone
from vramctl.records import Unknown
from vramctl.records.measurement import Rate

SECONDS_EACH, MOST_SECONDS_EACH = 0.4, 15.0


def look_rates(
    engine: Binding,
    wanted: Sequence[tuple[str, str]],
    *,
    columns: int,
    threads: int,
    seconds_each: float = SECONDS_EACH,
) -> tuple[Rate, ...]:
    """The rate of each (device, weight type) with `columns` tokens at a time, measured in a child process of its own.

    Never raises: a child that crashes or hangs leaves the rest Unknown.
    """
    if not wanted:
        return ()
    if not engine.build.libraries:
        why = Unknown(f"{engine.build.name} has no library to measure with")
        return tuple(Rate(device, kind, why, columns) for device, kind in wanted)
    try:
        child = engine.start_child()
    except OSError as error:
        why = Unknown(f"no process can be started: {error}")
        return tuple(Rate(device, kind, why, columns) for device, kind in wanted)
    try:
        return tuple(_rates(child, wanted, columns, threads, seconds_each))
    finally:
        child.close()


def _rates(
    child: Child, wanted: Sequence[tuple[str, str]], columns: int, threads: int, seconds: float
) -> Iterator[Rate]:
    hello = child.answer(timeout_seconds=START_SECONDS)
    ready = not isinstance(hello, Gone) and hello.get("ready")
    for device, kind in wanted:
        if isinstance(hello, Gone):
            yield Rate(device, kind, _gone(hello, START_SECONDS), columns)
            continue
        if not ready:
            yield Rate(device, kind, Unknown(str(hello.get("error"))), columns)
            continue
        found = child.ask(
            {"do": "multiply", "device": device, "type": kind, "columns": columns, "threads": threads, "seconds": seconds},
            timeout_seconds=MOST_SECONDS_EACH,
        )  # fmt: skip
        if isinstance(found, Gone):
            yield Rate(device, kind, _gone(found, MOST_SECONDS_EACH), columns)
        elif not found["ok"]:
            yield Rate(device, kind, Unknown(str(found["error"])), columns)
        else:
            width, rows, _ = found["shape"]
            how = f"{width} x {rows} times {width} x {columns}, weights in {found['buffer']}"
            how += f", {threads} threads" if device == "host" else ""
            yield Rate(device, kind, float(found["flops_per_second"]), columns, how)


def _gone(gone: Gone, seconds: float) -> Unknown:
    """Why a child that ended has no answer."""
    if gone.timed_out:
        return Unknown(f"measuring matrix products took more than {seconds:g} s")
    return Unknown(f"measuring matrix products ended the process: {how_gone(gone.code, timed_out=False)}")
