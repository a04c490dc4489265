"""A running server is asked for tokens, and a busy or broken one is no proof of anything."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vramctl.engines.llama_server import free_port
from vramctl.probes.device_watch import NvmlWatcher
from vramctl.records import Unknown
from vramctl.verifying import verify_server
from vramctl.verifying.attached_decode import DECODE_TOKENS, Decoded, ask_to_decode

IMITATION = Path(__file__).parent.parent / "engines" / "imitation_server.py"


@pytest.fixture
def server() -> Iterator[Callable[[str], str]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(model: str) -> str:
        port = free_port()
        command = [sys.executable, str(IMITATION), "--model", model, "--port", str(port), "--host", "127.0.0.1"]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    return f"http://127.0.0.1:{port}"
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the imitation did not start")

    yield start
    for process in started:
        process.kill()
        process.wait()


class Phases(NvmlWatcher):
    """Writes down what it is told."""

    def __init__(self) -> None:
        super().__init__(())
        self.phases: list[str] = []

    def mark(self, phase: str, *, pid: int | None = None) -> None:
        self.phases.append(phase)


def test_a_server_decodes_while_it_is_watched(server: Callable[[str], str]) -> None:
    watcher = Phases()
    found = ask_to_decode(server("m.gguf"), watcher)
    assert isinstance(found, Decoded)
    assert found.tokens >= DECODE_TOKENS and found.tokens_per_second > 0
    assert watcher.phases == ["decode", "decoded"]


@pytest.mark.parametrize("model", ["busy.gguf", "old.gguf", "crash.gguf"])
def test_a_server_that_gives_no_tokens_says_why(server: Callable[[str], str], model: str) -> None:
    found = ask_to_decode(server(model), Phases())
    assert isinstance(found, Unknown) and found.reason


def test_the_verdict_on_a_server_has_its_speed(server: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vramctl.verifying.attached._has_model", lambda pid: True)  # the imitation has no library
    found = verify_server(server("m.gguf"))
    assert found.notes[0].startswith("attached: nothing was loaded; ")
    assert "tokens/s, sampling included" in found.notes[0]
