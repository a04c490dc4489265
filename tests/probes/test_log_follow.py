"""Logs that grow, are rotated, truncated and written in halves, with real files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vramctl.errors import BadInput
from vramctl.probes.log_follow import Tail, follow_files
from vramctl.probes.log_sources import open_source


def _write(path: Path, data: bytes, mode: str = "ab") -> None:
    with path.open(mode) as file:
        file.write(data)


class Watched:
    """What a follower in another thread has seen so far."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.notes: list[str] = []

    def wait_for(self, *expected: bytes) -> None:
        """Waits until exactly these lines were seen."""
        until = time.monotonic() + 5
        while self.lines != list(expected) and time.monotonic() < until:
            time.sleep(0.005)
        assert self.lines == list(expected)


@contextmanager
def followed(*paths: Path) -> Iterator[Watched]:
    watched, stop = Watched(), threading.Event()

    def read() -> None:
        for line in follow_files([str(p) for p in paths], note=watched.notes.append, stop=stop, poll_seconds=0.01):
            watched.lines.append(line)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


def test_lines_come_as_they_are_written_and_a_half_line_when_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"one\r\ntw")
    with followed(log) as seen:
        seen.wait_for(b"one")
        _write(log, b"o")
        _write(log, b"\n\nthree\n")
        seen.wait_for(b"one", b"two", b"", b"three")
        _write(log, b"unfinished")
        time.sleep(0.05)
    assert seen.lines[-1] == b"unfinished"


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with followed(log) as seen:
        time.sleep(0.05)
        log.write_bytes(b"first\n")
        seen.wait_for(b"first")
    assert "waiting" in seen.notes[0]


def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"one\n")
    with followed(log) as seen, log.open("ab", buffering=0) as writer:
        seen.wait_for(b"one")
        log.rename(tmp_path / "server-1.log")
        writer.write(b"two\nhalf")  # the writer has not noticed yet
        seen.wait_for(b"one", b"two")
        log.write_bytes(b"three\n")
        seen.wait_for(b"one", b"two", b"half", b"three")
    assert any("rotated" in note for note in seen.notes)


def test_a_truncated_log_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"a long first line\n")
    with followed(log) as seen:
        seen.wait_for(b"a long first line")
        os.truncate(log, 0)
        time.sleep(0.03)
        _write(log, b"new\n")
        seen.wait_for(b"a long first line", b"new")
    assert ["truncated" in note for note in seen.notes] == [True]


def test_a_log_that_grew_again_before_anybody_looked_is_seen_as_truncated(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"old\n")
    notes: list[str] = []
    tail = Tail(str(log), notes.append)
    assert tail.poll() == [b"old"]
    with log.open("r+b") as file:
        file.truncate(0)
        file.write(b"new, and longer than before\n")
    assert tail.poll() == [b"new, and longer than before"]
    assert "truncated" in notes[0]
    tail.close()


def test_zeros_of_a_writer_that_kept_its_place_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with log.open("wb", buffering=0) as writer:  # does not append: keeps its own position
        writer.write(b"one\n")
        tail = Tail(str(log), print)
        assert tail.poll() == [b"one"]
        os.truncate(log, 0)
        writer.write(b"two\n")
        assert tail.poll() == [b"two"]
        tail.close()


def test_several_files_are_followed_at_once(tmp_path: Path) -> None:
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.write_bytes(b"a1\n")
    second.write_bytes(b"b1\n")
    with followed(first, second) as seen:
        seen.wait_for(b"a1", b"b1")
        _write(second, b"b2\n")
        seen.wait_for(b"a1", b"b1", b"b2")
        _write(first, b"a2\n")
        seen.wait_for(b"a1", b"b1", b"b2", b"a2")
    assert seen.lines == [b"a1", b"b1", b"b2", b"a2"], "each line once, in the order in which they were written"


def test_an_endless_line_is_held_only_up_to_the_limit(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"x" * (9 << 20))
    tail = Tail(str(log), print)
    for _ in range(9):
        assert tail.poll() == []
    _write(log, b"\nnext\n")
    first, second = tail.poll()
    assert len(first) < (4 << 20) + 40
    assert first.endswith(b" [cut: 5242880 bytes more]")
    assert second == b"next"
    tail.close()


def test_an_archive_cannot_be_followed(tmp_path: Path) -> None:
    (tmp_path / "a.log.gz").write_bytes(b"")
    with pytest.raises(BadInput) as caught:
        open_source(str(tmp_path / "a.log.gz"), follow=True)
    assert caught.value.code == "cannot-follow-archive"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is POSIX's")
def test_control_c_ends_following_without_a_traceback_and_gives_the_last_half_line(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"one\nhal")
    code = (
        "import sys; from vramctl.probes.log_sources import open_source\n"
        "for line in open_source(sys.argv[1], follow=True): print(line, flush=True)\n"
        "print('done')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(log)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "b'one'\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "b'hal'\ndone\n", "")
