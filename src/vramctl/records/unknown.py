"""Unknown is a value, with the reason why it is not known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that could not be found out; never written as 0, -1, null or an empty string."""

    reason: str

    def __bool__(self) -> bool:
        """An Unknown is never true: `if value:` must not take it for an answer."""
        return False


@dataclass(frozen=True, slots=True)
class Absent:
    """Something that is known not to be there (no such file, no GPU in the machine): what needs it does not apply."""

    reason: str

    def __bool__(self) -> bool:
        """What is not there is never true."""
        return False
