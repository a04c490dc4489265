"""The edge: files, the web and programs, with all the ways they fail."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import file_server
from vramctl import world
from vramctl.errors import BadInput, VramctlError
from vramctl.records import Unknown
from vramctl.world import files, http

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
unprivileged = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
DATA = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[file_server.Site]:
    monkeypatch.setattr(http, "FIRST_PAUSE_SECONDS", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with file_server.serving({"x.gguf": DATA, "empty.gguf": b"", "a b/ü.gguf": DATA}) as site:
        yield site


def refused(url: str, **options: object) -> VramctlError:
    with pytest.raises(VramctlError) as caught:
        http.fetch_range(url, 0, 1000, **options)  # type: ignore[arg-type]
    assert caught.value.because
    assert caught.value.fix
    return caught.value


def test_a_range_is_fetched_and_nothing_else(site: file_server.Site) -> None:
    part = http.fetch_range(site.url("/ok/x.gguf"), 300, 5000)
    assert (part.data, part.file_bytes, part.etag) == (DATA[300:5300], len(DATA), '"one"')
    assert site.requests == [("/ok/x.gguf", "bytes=300-5299", None)]


def test_a_range_past_the_end_is_cut_there(site: file_server.Site) -> None:
    assert http.fetch_range(site.url("/ok/x.gguf"), len(DATA) - 10, 5000).data == DATA[-10:]


def test_redirects_keep_the_range(site: file_server.Site) -> None:
    assert http.fetch_range(site.url("/redirect/away/ok/x.gguf"), 10, 20).data == DATA[10:30]
    assert [asked for _, asked, _ in site.requests] == ["bytes=10-29"] * 3


def test_the_token_stays_with_its_host(site: file_server.Site) -> None:
    http.fetch_range(site.url("/redirect/away/ok/x.gguf"), 0, 20, token="secret")
    assert [sent for _, _, sent in site.requests] == ["Bearer secret", "Bearer secret", None]


@pytest.mark.parametrize("drops", [1, 3])
def test_a_broken_connection_is_taken_up_where_it_broke(site: file_server.Site, drops: int) -> None:
    site.drops = drops
    assert http.fetch_range(site.url("/drop/x.gguf"), 100, 100_000).data == DATA[100:100_100]
    starts = [int(asked.split("=")[1].split("-")[0]) for _, asked, _ in site.requests if asked]
    assert starts == sorted(starts)
    assert len(set(starts)) == drops + 1


def test_a_connection_that_always_breaks_could_not_tell(site: file_server.Site) -> None:
    site.drops = 99
    error = refused(site.url("/drop/x.gguf"))
    assert (error.code, error.exit_code) == ("network-failed", 3)
    assert len(site.requests) == http.ATTEMPTS


def test_a_busy_server_is_asked_again(site: file_server.Site) -> None:
    site.busy = 2
    assert http.fetch_range(site.url("/busy/x.gguf"), 0, 10).data == DATA[:10]
    assert len(site.requests) == 3


def test_a_server_without_ranges_is_an_error_and_its_answer_is_not_read(site: file_server.Site) -> None:
    site.files["x.gguf"] = bytes(64 << 20)
    assert refused(site.url("/norange/x.gguf")).code == "no-range-requests"
    time.sleep(0.1)
    assert site.sent < 32 << 20  # what the sockets' buffers took


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/html/x.gguf", "web-page"),
        ("/redirect/html/x.gguf", "web-page"),
        ("/missing/x.gguf", "url-not-found"),
        ("/ok/other.gguf", "url-not-found"),
        ("/gated/x.gguf", "not-allowed"),
        ("/forbidden/x.gguf", "not-allowed"),
        ("/teapot/x.gguf", "url-refused"),
        ("/gzip/x.gguf", "bad-range-answer"),
        ("/shifted/x.gguf", "bad-range-answer"),
        ("/unplaced/x.gguf", "bad-range-answer"),
        ("/ok/empty.gguf", "empty-file"),
        ("/loop/x.gguf", "too-many-redirects"),
        ("/file-redirect/x", "bad-redirect"),
    ],
)
def test_other_answers_are_clear_errors(site: file_server.Site, path: str, code: str) -> None:
    error = refused(site.url(path))
    assert (error.code, error.exit_code) == (code, 2)


def test_a_gated_file_needs_the_token(site: file_server.Site) -> None:
    site.token = "secret"
    assert "HF_TOKEN" in refused(site.url("/gated/x.gguf")).fix
    assert http.fetch_range(site.url("/gated/x.gguf"), 0, 10, token="secret").data == DATA[:10]


def test_a_file_that_changes_meanwhile_is_an_error(site: file_server.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.drops = 1
    reads = iter(["one", "two"])
    monkeypatch.setattr(file_server._Handler, "way_ok", lambda handler, name: handler.answer(
        206, b"x", {"Content-Range": "bytes 500-999/1048576", "ETag": next(reads)}))  # fmt: skip
    assert refused(site.url("/drop/x.gguf")).code == "remote-changed"


def test_a_slow_server_is_given_up(site: file_server.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_server._Handler, "way_slow", lambda handler, name: time.sleep(0.5), raising=False)
    start = time.monotonic()
    error = refused(site.url("/slow/x.gguf"), timeout_seconds=0.05, deadline_seconds=0.2)
    assert error.code == "network-failed"
    assert time.monotonic() - start < 2


def test_progress_is_told(site: file_server.Site) -> None:
    told: list[tuple[int, int]] = []
    http.fetch_range(site.url("/ok/x.gguf"), 0, 600_000, progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (600_000, 600_000)
    assert told == sorted(told)


def test_addresses_may_have_spaces_and_letters_of_all_kinds(site: file_server.Site) -> None:
    site.files["a%20b/%C3%BC.gguf"] = DATA
    assert http.fetch_range(site.url("/ok/a b/ü.gguf"), 0, 10).data == DATA[:10]
    assert http.fetch_range(site.url("/ok/a%20b/%C3%BC.gguf"), 0, 10).data == DATA[:10]


NO_ADDRESSES = ["ftp://h/x", "https://", "https:///x", "http://[::1/x", "http://h:99999/x", "http://h :1/x",
                "https://" + "a" * 70 + ".b/x", "http://h\u2100/x", "http://:80/x"]  # fmt: skip


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    assert refused(url).code in ("bad-url", "network-failed")


def test_nobody_there_could_not_tell() -> None:
    assert refused("http://127.0.0.1:9/x.gguf").exit_code == 3


def test_encryption_is_not_given_up_by_a_redirect() -> None:
    with pytest.raises(BadInput) as caught:
        http._next("https://a/x", "http://a/x", "https://a/x")
    assert caught.value.code == "bad-redirect"
    assert http._next("https://a/x", "/y", "https://a/x") == "https://a/y"


def test_messages_show_no_secrets_of_an_address() -> None:
    assert http.shown_url("https://me:pass@h/x.gguf?token=abc#f") == "https://h/x.gguf"


# Files


def test_a_file_is_mapped_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(DATA)
    with world.mapped(str(path), limit=5000) as file:
        assert (file.buffer[:], file.file_bytes) == (DATA[:5000], len(DATA))
        kept = file.buffer
    with pytest.raises(ValueError, match="closed"):
        kept[0]
    path.unlink()


def test_the_map_is_closed_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(DATA)
    with pytest.raises(RuntimeError), world.mapped(str(path), limit=5000) as file:
        kept = file.buffer
        raise RuntimeError
    with pytest.raises(ValueError, match="closed"):
        kept[0]


def test_an_empty_file_is_mapped_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with world.mapped(str(tmp_path / "x"), limit=5000) as file:
        assert (file.buffer, file.file_bytes) == (b"", 0)


def test_a_file_that_shrinks_meanwhile_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(DATA)
    with pytest.raises(BadInput) as caught, world.mapped(str(path), limit=5000):
        os.truncate(path, 6000)
    assert caught.value.code == "file-changed"


def unreadable(path: str) -> str:
    with pytest.raises(BadInput) as caught, world.mapped(path, limit=5000):
        pass
    with pytest.raises(BadInput):
        world.read_small(path, limit=5000)
    return caught.value.code


def test_what_is_no_file_is_an_error_and_never_waited_for(tmp_path: Path) -> None:
    assert unreadable(str(tmp_path)) == "not-a-file"
    assert unreadable(str(tmp_path / "missing")) == "file-not-found"
    assert unreadable(str(tmp_path / ("n" * 300))) == "file-not-readable"
    assert unreadable("a\0b") == "file-not-readable"


@posix
def test_pipes_devices_and_circles_of_links_are_errors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    assert unreadable(str(tmp_path / "pipe")) == "not-a-file"
    assert unreadable("/dev/zero") == "not-a-file"
    assert unreadable(str(tmp_path / "a")) == "file-not-readable"
    assert unreadable(str(tmp_path / "broken")) == "file-not-found"
    kinds = {entry.name: entry.kind for entry in world.list_directory(str(tmp_path))}
    assert kinds == {"pipe": "other", "a": "other", "b": "other", "broken": "other"}


@posix
@unprivileged
def test_what_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(DATA)
    path.chmod(0)
    assert unreadable(str(path)) == "file-not-readable"
    tmp_path.chmod(0)
    try:
        with pytest.raises(BadInput) as caught:
            world.list_directory(str(tmp_path))
        assert caught.value.code == "file-not-readable"
    finally:
        tmp_path.chmod(0o700)


def test_small_files_are_read_with_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert world.read_small(str(path), limit=5) == b"12345"
    with pytest.raises(BadInput) as caught:
        world.read_small(str(path), limit=4)
    assert caught.value.code == "file-too-large"


def test_near_names_are_offered(tmp_path: Path) -> None:
    (tmp_path / "Llama-3.1-8B-Q4_K_M.gguf").touch()
    assert files.near_names(str(tmp_path / "llama-3.1-8b-q4_K_M.ggu")) == (str(tmp_path / "Llama-3.1-8B-Q4_K_M.gguf"),)
    with pytest.raises(BadInput) as caught:
        world.read_small(str(tmp_path / "llama-3.1-8b-Q4_K_S.gguf"), limit=9)
    assert "Did you mean" in caught.value.fix


# Programs


def test_a_program_answers() -> None:
    ran = world.run_program(
        [sys.executable, "-c", "import sys; print(sys.stdin.read()); print('oops', file=sys.stderr); sys.exit(3)"],
        timeout_seconds=30,
        stdin=b"hello",
    )
    assert not isinstance(ran, Unknown)
    assert (ran.code, ran.stdout.strip(), ran.stderr.strip(), ran.timed_out) == (3, "hello", "oops", False)


def test_a_program_that_is_not_there_is_unknown() -> None:
    assert isinstance(world.run_program(["/no/such/program"], timeout_seconds=1), Unknown)


@posix
def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    start = time.monotonic()
    ran = world.run_program([sys.executable, "-c", script], timeout_seconds=1.5)
    assert not isinstance(ran, Unknown)
    assert ran.timed_out
    assert ran.code < 0
    assert time.monotonic() - start < 10
    pid = int(ran.stdout)
    for _ in range(100):  # the orphan is reaped by init, or stays a zombie in a container without one
        state = _state(pid)
        if state in ("", "Z"):
            break
        time.sleep(0.05)
    assert state in ("", "Z")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_a_flood_of_output_is_cut() -> None:
    ran = world.run_program([sys.executable, "-c", "print('x' * 10_000_000)"], timeout_seconds=30, output_limit=1000)
    assert not isinstance(ran, Unknown)
    assert ran.stdout == "x" * 1000


def test_a_program_may_be_run_from_any_thread() -> None:
    answers: list[object] = []
    thread = threading.Thread(
        target=lambda: answers.append(world.run_program([sys.executable, "-c", "print(1)"], timeout_seconds=30))
    )
    thread.start()
    thread.join()
    assert answers[0].stdout.strip() == "1"  # type: ignore[attr-defined]
