"""Benchmarks against servers: what cannot be asked of one is refused before anything is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from vramctl.bench.request import Effort, Request
from vramctl.bench.server import _waiting, bench_server, is_server
from vramctl.cli.main import main
from vramctl.engines.llama_server import free_port
from vramctl.planning.ready import Machine
from vramctl.records import Settings, Unknown
from vramctl.records.measurement import Bench, Stat
from vramctl.records.run import Loaded
from vramctl.show.bench_json import bench_document
from vramctl.show.bench_text import bench_text
from vramctl.show.page import Page
from vramctl.show.schemas import schema
from vramctl.units import GIB

sys.path.insert(0, str(Path(__file__).parent.parent))
from h200 import GPU, Nvml

IMITATION = Path(__file__).parent.parent / "engines" / "imitation_server.py"


@pytest.mark.parametrize(
    "options", [["--layers", "0,8"], ["--long-context", "512"], ["--all"], ["--ctx", "512"], ["--threads", "2"]]
)
def test_what_a_running_server_cannot_be_asked_is_refused(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "http://me:secret@127.0.0.1:1", *options, "--json"]) == 2
    told = capsys.readouterr().out
    assert json.loads(told)["code"] == "usage" and "secret" not in told


def test_tables_are_refused_with_several_requests_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "shape:llama3.1-8b@Q4_K_M", "--parallel", "1,4", "--all", "--json"]) == 2
    assert "--all" in json.loads(capsys.readouterr().out)["what"]


def test_nobody_at_the_address_is_said_without_the_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "http://me:secret@127.0.0.1:1/?key=secret", "--json"]) == 3
    told = capsys.readouterr().out
    assert json.loads(told)["code"] == "no-server" and "secret" not in told


def test_an_address_is_told_from_a_file_that_is_fetched() -> None:
    assert is_server("HTTP://127.0.0.1:8080") and is_server("https://host/v1?x=1")
    assert not is_server("https://host/model.GGUF?download=true") and not is_server("model.gguf")


@pytest.mark.parametrize(("slots", "notes"), [(1, 1), (3, 1), (4, 0), (8, 0), (None, 0)])
def test_requests_that_wait_for_a_slot_are_said(slots: int | None, notes: int) -> None:
    known = Unknown("the server does not say") if slots is None else slots
    loaded = Loaded(
        vehicle="llama-server", engine="", version="", model="", settings=Settings(), not_applied=(), n_seq_max=known
    )
    request = Request(model="http://127.0.0.1", settings=Settings(), parallels=(1, 4))
    assert len(_waiting(request, loaded)) == notes


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an imitation of llama-server."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, str(IMITATION), "--model", "m.gguf", "--port", url.rpartition(":")[2], "-c", "2048"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=2):
                    break
            except OSError:
                time.sleep(0.02)
        yield url
        process.kill()


def benched(url: str, *parallels: int, busy: int = 96) -> Bench:
    nvml = Nvml(p4242=5 * GIB)
    nvml.busy = busy
    effort = Effort(prompt_tokens=16, decode_tokens=8, answer_tokens=4, rounds=1, seconds=1.0)
    request = Request(model=url, settings=Settings(), effort=effort, parallels=parallels)
    found = bench_server(request, say=lambda _: None, machine=Machine((GPU,), nvml))
    jsonschema.validate(bench_document(found), schema("bench"))
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="the server's process is found through /proc")  # noqa: PTH112
@pytest.mark.parametrize("parallels", [(), (1, 2)])
def test_the_gpu_of_a_server_on_this_machine_is_watched(server: str, parallels: tuple[int, ...]) -> None:
    found = benched(server, *parallels)
    assert len(found.rows) == max(1, len(parallels))
    for row in found.rows:
        (gpu,) = row.activity
        assert isinstance(gpu.busy_percent, Stat) and gpu.busy_percent.median == 96
        assert isinstance(gpu.power_watts, Stat) and gpu.power_watts.median == 480
        assert gpu.used_bytes == 5 * GIB and isinstance(gpu.energy_joules_per_token, float)
    assert "busy 96 %" in bench_text(found, Page())
    assert found.engine.endswith("(b11434-imitation)")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="the server's process is found through /proc")  # noqa: PTH112
@pytest.mark.parametrize(("busy", "said"), [(96, False), (40, True), (0, False)])
def test_a_gpu_that_waits_for_the_processor_is_said(server: str, busy: int, said: bool) -> None:
    notes = benched(server, 1, 2, busy=busy).notes
    assert any(note.startswith("2 at a time: the GPU was busy 40 % of the time") for note in notes) == said
    assert not any(note.startswith("1 at a time: the GPU") for note in notes)
