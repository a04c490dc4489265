"""A hostile machine: servers that never end an answer, devices as files, folders without end, processes that are gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from answers import answers_of, world
from vramctl.doctor import Asked, diagnose
from vramctl.doctor.facts import MachineFacts
from vramctl.doctor.looks import LOOKS
from vramctl.probes import doctor_config, doctor_ollama
from vramctl.records.diagnosis import UNCLEAR
from vramctl.records.unknown import Unknown
from vramctl.world.machine import World

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that sends a space every tenth of a second."""
    listening = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not ended.wait(0.1):
                connection.sendall(b" ")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/version"
    ended.set()
    thread.join(2)
    listening.close()


def test_a_server_that_drips_is_given_up(dripping: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_ollama, "_SECONDS_IN_ALL", 0.5)
    started = time.monotonic()
    assert doctor_ollama._answer(dripping, None) == {"unknown": "no whole answer within 0.5 s"}
    assert time.monotonic() - started < 3


@linux
def test_a_device_is_no_log() -> None:
    found = MachineFacts(World(), Asked(log="/dev/zero"), LOOKS).fact("log")
    assert found == Unknown("/dev/zero is a device, not a file")


def test_a_folder_without_end_is_searched_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_config, "_MOST_FOLDERS", 5)
    (tmp_path / "z").symlink_to(tmp_path)
    for number in range(20):
        (tmp_path / f"d{number:02}").mkdir()
        (tmp_path / f"d{number:02}" / "app.py").write_text("pass")
    found = [path for path, _ in doctor_config._of_folder(World(), str(tmp_path))]
    assert [Path(path).parent.name for path in found] == ["d00", "d01", "d02", "d03"]


@linux
def test_the_environment_of_a_zombie_is_not_an_empty_one() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        found = MachineFacts(World(), Asked(pid=child.pid), LOOKS).fact("environment")
    finally:
        child.wait()
    assert isinstance(found, Unknown)


def test_a_process_whose_environment_cannot_be_read_is_not_called_fine() -> None:
    answers = answers_of("healthy-cpu-laptop") | {"environ 7": {"unknown": "Permission denied"}}
    found = diagnose(world(answers), Asked(pid=7))
    assert (found.status, found.root) == (UNCLEAR, None)
    assert "the environment of process 7: Permission denied" in found.verdict


def test_a_driver_library_that_crashes_while_it_is_loaded_is_told() -> None:
    answers = answers_of("healthy-linux") | {"child cuda": {"ended": "SIGSEGV", "noise": ""}}
    found = diagnose(world(answers), Asked())
    assert found.root is not None
    assert found.root.id == "cuda-init-fails"
    assert "SIGSEGV" in found.root.what


def test_what_a_recording_says_was_asked_is_read_with_distrust() -> None:
    then = {"engines": 5, "configs": "abc", "pid": "x", "log": 7, "active": "yes", "python": "/bin/python"}
    assert Asked().as_recorded(then) == Asked(python="/bin/python")
    assert Asked().as_recorded({"engines": ["ollama"], "pid": 7, "active": True}) == Asked(
        engines=("ollama",), pid=7, active=True
    )
