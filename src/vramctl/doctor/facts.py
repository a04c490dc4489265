"""Every fact the checks can ask for, and who looks at it; nothing is looked at before it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

_KEPT = ("engines", "python", "pid", "configs", "log", "active")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the doctor was asked about. `engines` are kinds (llama-cpp-python, ...), empty for all that are found.

    `python` is the interpreter of the engine in question, `pid` a running process, `configs` source or .env files, `log` an
    engine's log, `active` allows to load a small model.
    """

    engines: tuple[str, ...] = ()
    python: str | None = None
    pid: int | None = None
    configs: tuple[str, ...] = ()
    log: str | None = None
    active: bool = False
    only: tuple[str, ...] = ()

    def as_recorded(self, then: object) -> Asked:
        """What was asked when a recording was made, where nothing else is asked now."""
        told = then if isinstance(then, dict) else {}
        kept = {name: value for name in _KEPT if not getattr(self, name) and (value := _as_asked(name, told.get(name)))}
        return replace(self, **kept)

    def to_record(self) -> dict[str, Any]:
        """What a replay needs to ask the same."""
        values = {name: getattr(self, name) for name in _KEPT}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value}


def _as_asked(name: str, value: object) -> Any:
    """A recording's value for a field of Asked, None where it is of another kind."""
    if name in {"engines", "configs"}:
        return tuple(str(part) for part in value) if isinstance(value, list) else None
    kind = {"pid": int, "active": bool}.get(name, str)
    return value if type(value) is kind else None


Look = Callable[[World, Asked, "MachineFacts"], Any]


class MachineFacts:
    """Facts of one machine by name: `LOOKS` says which function finds each."""

    def __init__(self, world: World, asked: Asked, looks: dict[str, Look]) -> None:
        self.world, self.asked = world, asked
        self._looks, self._seen = looks, {}
        self._looking: list[str] = []

    _seen: dict[str, Any]

    def fact(self, name: str) -> Any | Unknown | Absent:
        """The fact, looked at once; a look that fails is Unknown with the reason."""
        if name not in self._seen:
            if name in self._looking:
                return Unknown(f"{name} stands on itself: {' <- '.join(self._looking)}")
            self._looking.append(name)
            try:
                self._seen[name] = self._look(name)
            finally:
                self._looking.pop()
        return self._seen[name]

    def _look(self, name: str) -> Any:
        look = self._looks.get(name)
        if look is None:
            return Unknown(f"nothing looks at {name}")
        try:
            return look(self.world, self.asked, self)
        except Exception as error:  # an edge that did not expect this machine: the checks say "could not tell"
            return Unknown(f"looking at {name} failed: {type(error).__name__}: {error}")
