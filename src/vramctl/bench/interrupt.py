"""A run that somebody ends early (Ctrl-C, SIGTERM): the rows that are done are kept, and it says so."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, replace

from vramctl.records.measurement import Bench

BY_CTRL_C = 130


@dataclass(slots=True)
class Interrupt:
    """Whether the work was ended early: `code` is the exit code that this means, 0 where it was not."""

    done: Sized
    of: int
    code: int = 0

    def told(self, bench: Bench) -> Bench:
        """The run, which does not count where it was ended early."""
        if not self.code:
            return bench
        why = f"interrupted: {len(self.done)} of {self.of} rows"
        return replace(bench, valid=False, invalid_because=(why, *bench.invalid_because), ended_by=self.code)


@contextmanager
def rows_kept(done: Sized, of: int) -> Iterator[Interrupt]:
    """Swallows what ends the process while something is in `done` already; with nothing done, it ends as ever.

    Everything inside is left by that exception first, which ends children at once.
    """
    interrupt = Interrupt(done, of)
    try:
        yield interrupt
    except (KeyboardInterrupt, SystemExit) as ending:
        if not len(done):
            raise
        code = getattr(ending, "code", BY_CTRL_C)
        interrupt.code = code if isinstance(code, int) and code else BY_CTRL_C
