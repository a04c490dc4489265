"""A machine that answers from a dict: `World(Answers({...}))`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vramctl.world.machine import Recorded, World

HOSTS = Path(__file__).parent / "hosts"
ABSENT = {"absent": "no such file"}


class Answers:
    """Answers by key; what is not in it is unknown for the reason given."""

    live = False

    def __init__(self, answers: Mapping[str, Any], *, otherwise: Any = None) -> None:
        self.answers = dict(answers)
        self._otherwise = otherwise or {"unknown": "Permission denied"}
        self.asked: list[str] = []

    def answer(self, key: str, look: Callable[[], Any]) -> Any:
        """The answer under this key."""
        self.asked.append(key)
        return self.answers.get(key, self._otherwise)


def answers_of(host: str) -> dict[str, Any]:
    """All answers of a recording in tests/hosts, with those of what it is like."""
    recorded = Recorded(str(HOSTS / host))
    document = json.loads((HOSTS / host / "recording.json").read_text(encoding="utf-8"))
    assert document["schema"]
    found: dict[str, Any] = recorded._answers
    return dict(found)


def world(answers: Mapping[str, Any]) -> World:
    """A World that knows these answers alone."""
    return World(Answers(answers))
