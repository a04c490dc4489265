"""Which program answers at an address: what is no llama-server is never taken for one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from odd_servers import odd_server

from vramctl.engines import server_kind
from vramctl.engines.server_kind import look_server
from vramctl.engines.server_program import server_program
from vramctl.errors import BadInput, CouldNotTell


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("page", "server-not-known"), ("not-found", "server-not-known"), ("bad-gateway", "server-not-known"),
        ("list", "server-not-known"), ("nested", "server-not-known"), ("loading", "server-not-ready"),
        ("locked", "server-needs-key"), ("router", "server-is-router"),
    ],
)  # fmt: skip
def test_another_program_or_one_in_trouble_is_named(how: str, code: str) -> None:
    with odd_server(how) as (url, _), pytest.raises(CouldNotTell) as raised:
        look_server(url.replace("//", "//me:secret@"))
    assert raised.value.code == code
    assert "secret" not in str(raised.value)


def test_a_llama_server_is_recognised_with_its_process_and_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_API_KEY", "k1")
    with odd_server("llama-server") as (url, asked):
        found = look_server(url)
    assert (found.kind, found.pid) == ("llama-server", os.getpid())
    assert asked[0]["Authorization"] == "Bearer k1"


@pytest.mark.skipif(sys.platform != "linux", reason="a process is stopped and looked up")
def test_a_stopped_server_is_said_to_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_kind, "ASK_SECONDS", 0.3)
    serve = (
        "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); "
        "print(s.getsockname()[1], flush=True); time.sleep(30)"
    )
    with subprocess.Popen([sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(CouldNotTell) as raised:
                look_server(f"http://127.0.0.1:{port}")
        finally:
            process.kill()
    assert raised.value.code == "server-stopped"
    assert raised.value.fix == f"Let it go on: kill -CONT {process.pid}"


def test_a_llama_server_is_found_in_the_folder_or_beside_the_program_that_was_asked_for(tmp_path: Path) -> None:
    for name in ("llama-server", "llama-cli"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "libllama.so").touch()
    wanted = str(tmp_path / "llama-server")
    assert server_program(str(tmp_path)) == wanted
    assert server_program(wanted) == wanted


def test_a_folder_without_a_server_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as raised:
        server_program(str(tmp_path))
    assert raised.value.code in {"engine-not-known", "no-server-program"}
