"""Where logs come from: files in every form that people have them in, standard input, programs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vramctl.errors import BadInput, CouldNotTell
from vramctl.logs import decode
from vramctl.probes import log_programs
from vramctl.probes.log_lines import LONGEST_LINE_BYTES, lines_of, split_lines
from vramctl.probes.log_sources import expand_sources, natural, open_source

GIN = '[GIN] 2025/07/30 - 10:53:50 | 200 |      46.635µs |       127.0.0.1 | GET      "/api/version"'
LINES = [GIN, "", "llama_context: n_ctx = 4096", "ünïcode … 漢字", "last"]
TEXT = "\n".join(LINES) + "\n"
BYTES = [line.encode() for line in LINES]


def _zstd(data: bytes) -> bytes:
    return pytest.importorskip("zstandard").ZstdCompressor().compress(data)


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lzma.compress, _zstd], ids=["plain", "gz", "bz2", "xz", "zst"]
)
def test_a_file_gives_its_lines_however_it_is_compressed(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "server.log").write_bytes(pack(TEXT.encode()))  # the first bytes tell, not the name
    assert list(open_source(str(tmp_path / "server.log"))) == BYTES


def test_archives_that_were_put_one_behind_the_other_are_read_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    (tmp_path / "a.zst").write_bytes(_zstd(b"one\n") + _zstd(b"two\n"))
    assert list(open_source(str(tmp_path / "a.gz"))) == list(open_source(str(tmp_path / "a.zst"))) == [b"one", b"two"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, _zstd], ids=["gz", "bz2", "xz", "zst"])
def test_a_broken_archive_gives_what_came_before_and_says_so(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    text = "\n".join(f"line {random.Random(n).random()}" for n in range(200_000)).encode()
    (tmp_path / "cut.gz").write_bytes(pack(text)[:-1000])
    notes: list[str] = []
    lines = list(open_source(str(tmp_path / "cut.gz"), note=notes.append))
    assert len(lines) > 100_000
    assert lines[:1000] == text.split(b"\n")[:1000]
    assert "break off" in notes[0]


def test_what_only_begins_like_an_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "no.gz").write_bytes(b"\x1f\x8bnothing of the kind")
    with pytest.raises(BadInput) as caught:
        list(open_source(str(tmp_path / "no.gz")))
    assert caught.value.code == "archive-broken"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_of_windows_is_read_with_and_without_its_mark(tmp_path: Path, encoding: str) -> None:
    data = TEXT.replace("\n", "\r\n").encode(encoding)
    (tmp_path / "server.log").write_bytes(data)
    assert list(open_source(str(tmp_path / "server.log"))) == BYTES


def test_a_utf_16_file_is_cut_between_chunks_without_loss() -> None:
    data = (TEXT * 400).encode("utf-16")

    class Small(io.BytesIO):
        def peek(self, size: int = 0) -> bytes:
            return self.getvalue()[self.tell() : self.tell() + 6]

        def read1(self, size: int | None = -1) -> bytes:
            return super().read(997)

    assert list(lines_of(Small(data), "memory", note=print)) == BYTES * 400


@pytest.mark.parametrize("seed", range(40))
def test_lines_do_not_depend_on_where_the_chunks_end(seed: int) -> None:
    dice = random.Random(seed)
    data = bytes(dice.choice(b"ab\r\n\n") for _ in range(dice.randrange(300)))
    chunks, at = [], 0
    while at < len(data):
        size = dice.randrange(1, 9)
        chunks.append(data[at : at + size])
        at += size
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert list(split_lines(chunks)) == [line[:-1] if line.endswith(b"\r") else line for line in expected]


def test_a_line_longer_than_the_limit_is_cut_with_a_mark() -> None:
    assert list(split_lines([b"ab", b"cdef", b"gh\nxy", b"z\n1234567\n"], longest=4)) == [
        b"abcd [cut: 4 bytes more]", b"xyz", b"1234 [cut: 3 bytes more]",
    ]  # fmt: skip


def test_a_line_of_a_megabyte_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"x" * 1_000_000 + b"\nend\n")
    assert [len(line) for line in open_source(str(tmp_path / "a.log"))] == [1_000_000, 3]


def test_zeros_that_truncation_leaves_in_front_do_not_hide_the_line() -> None:
    assert list(split_lines([bytes(1 << 20)] * 5 + [b"\0\0first\nsecond\n"])) == [b"first", b"second"]


def test_globs_are_expanded_in_natural_order(tmp_path: Path) -> None:
    for name in ("server-10.log", "server-2.log", "server.log", "other.txt"):
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / "folder.log").mkdir()
    pattern = str(tmp_path / "server*.log")
    found = expand_sources([pattern, "-", "journald:ollama", pattern])
    assert [Path(name).name for name in found] == [
        "server-2.log",
        "server-10.log",
        "server.log",
        "-",
        "journald:ollama",
    ]
    assert list(open_source(pattern)) == [b"server-2.log", b"server-10.log", b"server.log"]
    assert natural("a2") < natural("a10")


def test_a_name_that_holds_a_globs_characters_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "log[1].txt").write_text("yes\n")
    assert list(open_source(str(tmp_path / "log[1].txt"))) == [b"yes"]


def test_a_missing_file_is_told_with_the_nearest_name_and_a_folder_with_its_logs(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("")
    with pytest.raises(BadInput) as missing:
        open_source(str(tmp_path / "sever.log"))
    assert missing.value.code == "log-not-found"
    assert "server.log" in missing.value.because[0]
    with pytest.raises(BadInput) as folder:
        open_source(str(tmp_path))
    assert "*.log" in folder.value.fix
    with pytest.raises(BadInput):
        open_source(str(tmp_path / "*.none"))


def test_standard_input_is_read_and_unpacked() -> None:
    code = "from vramctl.probes.log_sources import open_source; print(list(open_source('-')))"
    ran = subprocess.run([sys.executable, "-c", code], input=gzip.compress(b"a\r\nb"), capture_output=True, check=True)
    assert ran.stdout.strip() == b"[b'a', b'b']"


needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts stand in for the programs")


def _program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text("#!/bin/sh\n" + script)
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the front of the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@needs_posix
def test_journald_is_asked_for_whole_messages_and_decoded(programs: Path) -> None:
    entry = '{"MESSAGE":"llama_context: n_ctx = 4096","_PID":"7","__REALTIME_TIMESTAMP":"1753836830023456"}'
    _program(programs, "journalctl", f"echo \"$@\" > {programs}/asked; echo '{entry}'\n")
    lines = list(open_source("journald:ollama?since=2025-07-30"))
    assert lines == [entry.encode()]
    asked = (programs / "asked").read_text().split()
    assert {"--unit=ollama", "--all", "--output=json", "--since=2025-07-30"} <= set(asked)
    event = next(iter(decode(lines)))
    assert (event.origin.platform, event.origin.pid, event.seconds) == ("journald", "7", 1753836830.023456)


@needs_posix
def test_user_units_and_following_are_options_of_journalctl(programs: Path) -> None:
    _program(programs, "journalctl", 'for a in "$@"; do echo "$a"; done\n')
    assert b"--user-unit=ollama.service" in list(open_source("journald-user:ollama.service"))
    assert b"--follow" in list(open_source("journald:ollama", follow=True))


@needs_posix
def test_a_journal_without_the_unit_cannot_tell(programs: Path) -> None:
    _program(programs, "journalctl", "exit 0\n")
    with pytest.raises(CouldNotTell) as caught:
        list(open_source("journald:ollama"))
    assert caught.value.code == "journal-empty"


@needs_posix
def test_a_program_that_fails_is_quoted_after_its_lines_were_given(programs: Path) -> None:
    _program(programs, "journalctl", "echo one; echo 'no such journal' >&2; exit 1\n")
    lines = open_source("journald:ollama")
    assert next(lines) == b"one"
    with pytest.raises(CouldNotTell) as caught:
        next(lines)
    assert caught.value.because == ("no such journal",)


@needs_posix
def test_a_program_that_says_nothing_is_given_up(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_programs, "SILENCE_SECONDS", 0.2)
    _program(programs, "journalctl", "sleep 60\n")
    with pytest.raises(CouldNotTell) as caught:
        list(open_source("journald:ollama"))
    assert caught.value.code == "log-source-silent"


@needs_posix
@pytest.mark.parametrize("program", ["docker", "podman"])
def test_a_containers_two_streams_come_with_times(programs: Path, program: str) -> None:
    stamp = "2025-07-30T10:53:50.023456789Z"
    script = f'[ "$1" = inspect ] && exit 0\necho "{stamp} $*"; echo "{stamp} n_ctx" >&2\n'
    _program(programs, program, script)
    lines = list(open_source(f"{program}:my-ollama?since=24h"))
    assert lines == [f"{stamp} logs --timestamps --since=24h my-ollama".encode(), f"{stamp} n_ctx".encode()]


@needs_posix
def test_a_container_that_is_not_there_is_told_in_the_programs_words(programs: Path) -> None:
    _program(programs, "docker", "echo 'Error: No such container: olama' >&2; exit 1\n")
    with pytest.raises(BadInput) as caught:
        list(open_source("docker:olama"))
    assert "No such container" in caught.value.because[0]


@pytest.mark.parametrize("spec", ["journald:ollama", "docker:ollama", "podman:ollama"])
def test_a_missing_program_is_a_clear_error(spec: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput) as caught:
        list(open_source(spec))
    assert caught.value.code == "program-missing"


@pytest.mark.parametrize(
    "spec", ["docker:--help", "journald:", "docker:a b", "journald:x?since=$(id)", "journald:x?colour=red", "podman:-f"]
)
def test_nothing_that_a_program_could_take_for_an_option_reaches_it(spec: str) -> None:
    with pytest.raises(BadInput) as caught:
        list(open_source(spec))
    assert caught.value.code == "bad-log-source"


@needs_posix
def test_the_program_is_ended_when_the_reader_stops(programs: Path) -> None:
    _program(programs, "journalctl", f"echo $$ > {programs}/pid; echo one; exec sleep 300\n")
    lines = open_source("journald:ollama", follow=True)
    assert next(lines) == b"one"
    lines.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(int((programs / "pid").read_text()), 0)


MEMORY = """
import resource, sys
from vramctl.logs import Stats, decode
from vramctl.probes.log_lines import split_lines
list(decode([b"x"]))
block = b"".join(line + b"\\n" for line in sys.stdin.buffer.read().splitlines())
resource.setrlimit(resource.RLIMIT_AS, (%d << 20, %d << 20))
def chunks():
    given = 0
    while given < %d << 20:
        yield block
        given += len(block)
    for _ in range(%d):
        yield b"y" * (1 << 20)
stats = Stats()
events = sum(1 for _ in decode(split_lines(chunks()), stats=stats))
print(stats.lines, events)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux's")
def test_memory_does_not_grow_with_the_log_nor_with_one_endless_line() -> None:
    size = int(os.environ.get("VRAMCTL_BIG_LOG_MIB", "30"))
    block = (GIN + "\nllama_context: n_ctx = 4096\nprint_info: file size   = 4.33 GiB (4.64 BPW) \n").encode() * 4000
    code = MEMORY % (400, 400, size, size)
    ran = subprocess.run([sys.executable, "-c", code], input=block, capture_output=True, check=False, timeout=600)
    assert ran.returncode == 0, ran.stderr[-500:]
    lines, events = map(int, ran.stdout.split())
    assert lines % 12_000 == 1
    assert events >= lines - 1
    assert LONGEST_LINE_BYTES < 30 << 20
