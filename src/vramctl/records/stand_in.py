"""Files with invented weights: what one takes, what was written, what is kept."""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.records.unknown import Unknown


@dataclass(frozen=True, slots=True)
class Room:
    """What a file takes and what its disk has: bytes, and the bytes a second that a trial has shown."""

    folder: str
    file_bytes: int
    free_bytes: int
    bytes_per_second: float | Unknown

    @property
    def seconds(self) -> float | Unknown:
        """How long writing will take, about."""
        if isinstance(self.bytes_per_second, Unknown):
            return self.bytes_per_second
        return self.file_bytes / self.bytes_per_second


@dataclass(frozen=True, slots=True)
class TypeShare:
    """How much of a file is of one tensor type."""

    type: str
    tensors: int
    data_bytes: int


@dataclass(frozen=True, slots=True)
class Written:
    """A stand-in that was written: where, its bytes, how it was made, and how many seconds that took."""

    path: str
    file_bytes: int
    header_bytes: int
    types: tuple[TypeShare, ...]
    seed: int
    generator: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file that an engine can load for a model.

    `invented`: its weights are invented (its text is noise).  `was_there`: it was not written for this use.
    """

    path: str
    file_bytes: int
    invented: bool
    was_there: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """A stand-in in the cache: its bytes, when it was used last (seconds since 1970), and whether it is in use now."""

    path: str
    file_bytes: int
    used_at_seconds: float
    in_use: bool


@dataclass(frozen=True, slots=True)
class Shelf:
    """The cache of stand-ins: its folder, the bytes it may take, what is in it, and what was just removed.

    `unfinished` are being written (in use), or were left by a writer that was killed: the next writer removes them.
    """

    folder: str
    limit_bytes: int
    kept: tuple[Kept, ...]
    removed: tuple[Kept, ...] = ()
    unfinished: tuple[Kept, ...] = ()
