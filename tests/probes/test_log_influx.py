"""Lines that were collected into InfluxDB: a real InfluxDB 1 where it is installed, a small imitation of InfluxDB 2."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from vramctl.errors import BadInput, CouldNotTell
from vramctl.logs import decode
from vramctl.probes.influx_queries import flux, place_of, select
from vramctl.probes.influx_repair import repaired
from vramctl.probes.log_sources import open_source

START = 1753836830_000000000  # 2025-07-30T00:53:50Z
MESSAGES = [
    ('time=2025-07-30T10:53:50.023+10:00 level=INFO source=sched.go:548 msg="updated VRAM based on existing loaded models" '
    'gpu=GPU-72c48c23-32a4-2e54-95c9-99bb82483caa library=cuda total="11.8 GiB" available="3.1 GiB"'),
    "llama_context:      CUDA0 compute buffer size =   560.00 MiB",
    "two\nlines",
    "[GIN] 2025/07/30 - 10:53:50 | 200 |      46.635s |       127.0.0.1 | GET      \"/api/version\"",
    json.dumps(list(b"\x1b[33mcoloured\x1b[0m")),
    'quotes " and \\ backslash, comma, =',
]  # fmt: skip


def _escaped(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def influx1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a fresh influxd 1.x on the loopback, with a user who may read."""
    program = shutil.which("influxd")
    if program is None:
        pytest.skip("influxd is not installed")
    for _ in range(5):  # a free port can be taken by somebody else before influxd binds it
        with _influxd(program, tmp_path_factory.mktemp("influx")) as address:
            if address is not None:
                yield address
                return
    raise AssertionError("influxd did not start in five tries")


@contextlib.contextmanager
def _influxd(program: str, folder: Path) -> Iterator[str | None]:
    """Its address, once its database is there; None where it did not come up."""
    port = _free_port()
    (folder / "conf").write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{_free_port()}"\n'
        f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n'
        f'[http]\nbind-address = "127.0.0.1:{port}"\nauth-enabled = true\nlog-enabled = false\n'
        "[monitor]\nstore-enabled = false\n"
    )
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, "-config", str(folder / "conf")], stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            yield address if _is_ready(server, address) else None
        finally:
            server.terminate()
            server.wait(10)


def _is_ready(server: subprocess.Popen[bytes], address: str) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"{address}/ping", timeout=1) as answer:
                if "X-Influxdb-Version" not in answer.headers:
                    return False  # another server's port
            _ask(address, "CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES")
            _ask(address, "CREATE DATABASE telegraf")
            if "telegraf" in _ask(address, "SHOW DATABASES"):
                return True
        time.sleep(0.1)
    return False


def _ask(address: str, query: str) -> str:
    asked = {"q": query, "u": "admin", "p": "secret"}
    with urllib.request.urlopen(f"{address}/query?{urllib.parse.urlencode(asked)}", b"", timeout=10) as answer:
        return str(answer.read().decode())


def _write(address: str, measurement: str, field: str, points: list[tuple[int, str]]) -> None:
    """Writes as Ollama_Influx_Translator does: a tag that makes every point a series of its own."""
    lines = [
        f"{measurement},host=alpha,msg_hash={n} {field}={_escaped(text)} {at}" for n, (at, text) in enumerate(points)
    ]
    url = f"{address}/write?db=telegraf&u=admin&p=secret&precision=ns"
    urllib.request.urlopen(url, "\n".join(lines).encode(), timeout=10).close()


@pytest.fixture
def written(influx1: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("INFLUX_USERNAME", "admin")
    monkeypatch.setenv("INFLUX_PASSWORD", "secret")
    points = [(START + n * 1_000_000, text) for n, text in enumerate(MESSAGES)]
    _write(influx1, "ollama_logs", "message", points[::-1])
    return influx1


def test_a_real_influxdb_1_gives_the_lines_back_in_order_of_time(written: str) -> None:
    lines = list(open_source(f"influx1:{written}/telegraf?measurement=ollama_logs"))
    stamps = [line.split(b" ", 1)[0] for line in lines]
    texts = [line.split(b" ", 1)[1].decode() for line in lines]
    assert texts == [
        MESSAGES[0], MESSAGES[1], "two", "lines", MESSAGES[3].replace("46.635s", "46.635µs"),
        "\x1b[33mcoloured\x1b[0m", MESSAGES[5],
    ]  # fmt: skip
    assert stamps[:2] == [b"2025-07-30T00:53:50.000000Z", b"2025-07-30T00:53:50.001000Z"]
    event = next(iter(decode(lines)))
    assert event.text == "updated VRAM based on existing loaded models"


def test_the_measurement_is_found_where_only_one_holds_log_lines(written: str) -> None:
    assert len(list(open_source(f"influx1:{written}/telegraf"))) == 7


def test_more_than_one_chunk_of_rows_is_read(written: str) -> None:
    _write(written, "many", "value", [(START + n, f"n_ctx = {n}") for n in range(2500)])
    lines = list(open_source(f"influx1:{written}/telegraf?measurement=many&field=value"))
    assert [line.split(b" ", 1)[1] for line in lines] == [b"n_ctx = %d" % n for n in range(2500)]


def test_a_stretch_of_time_and_a_host_can_be_asked_for(written: str) -> None:
    now = time.time_ns()
    _write(written, "recent", "message", [(now - 3 * 3600 * 10**9, "old"), (now - 60 * 10**9, "new")])
    source = f"influx1:{written}/telegraf?measurement=recent&since=1h&host=alpha"
    assert [line.split(b" ")[1] for line in open_source(source)] == [b"new"]
    with pytest.raises(CouldNotTell) as caught:
        list(open_source(source.replace("alpha", "it's")))
    assert caught.value.code == "influx-empty"


def test_following_gives_what_is_written_later(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vramctl.probes.log_influx.POLL_SECONDS", 0.05)
    stop = threading.Event()
    _write(written, "grows", "message", [(START, "one")])
    lines = open_source(f"influx1:{written}/telegraf?measurement=grows", follow=True, stop=stop)
    assert next(lines).endswith(b" one")
    _write(written, "grows", "message", [(START + 1, "two")])
    assert next(lines).endswith(b" two")
    stop.set()
    assert list(lines) == []


def test_wrong_credentials_and_a_wrong_database_are_told_apart(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput) as missing:
        list(open_source(f"influx1:{written}/nosuch?measurement=x"))
    assert "database not found" in missing.value.because[0]
    monkeypatch.setenv("INFLUX_PASSWORD", "wrong")
    with pytest.raises(BadInput) as caught:
        list(open_source(f"influx1:{written}/telegraf"))
    assert caught.value.code == "influx-not-allowed"
    assert "wrong" not in str(caught.value.because) + caught.value.what


class _Fake2(BaseHTTPRequestHandler):
    """InfluxDB 2's /api/v2/query as its documentation describes it; no real one is packaged for Debian."""

    queries: list[tuple[str, str]] = []  # noqa: RUF012
    answer = b""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.queries.append((self.path, body))
        allowed = self.headers["Authorization"] == "Token t0ken"
        self.send_response(200 if allowed else 401)
        answer = self.answer if allowed else b'{"code":"unauthorized","message":"unauthorized access"}'
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def influx2(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("INFLUX_TOKEN", "t0ken")
    monkeypatch.setenv("INFLUX_ORG", "home lab")
    server = HTTPServer(("127.0.0.1", 0), _Fake2)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    _Fake2.queries.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_influxdb_2s_csv_gives_the_lines(influx2: str) -> None:
    _Fake2.answer = (
        b",result,table,_time,_value\r\n"
        b',_result,0,2025-07-30T00:53:50Z,"say ""hi"", then\nstop"\r\n'
        b",_result,0,2025-07-30T00:53:50.001000001Z,llama_context: n_ctx = 4096\r\n\r\n"
    )
    lines = list(open_source(f"influx2:{influx2}/logs?measurement=ollama_logs&since=24h"))
    assert lines == [
        b'2025-07-30T00:53:50.000000Z say "hi", then',
        b"2025-07-30T00:53:50.000000Z stop",
        b"2025-07-30T00:53:50.001000Z llama_context: n_ctx = 4096",
    ]
    path, query = _Fake2.queries[-1]
    assert path == "/api/v2/query?org=home+lab"
    assert 'from(bucket: "logs")\n  |> range(start: -24h)' in query


def test_an_error_in_the_middle_of_influxdb_2s_answer_is_told(influx2: str) -> None:
    _Fake2.answer = b",error,reference\r\n,failed to do it,897\r\n"
    with pytest.raises(BadInput) as caught:
        list(open_source(f"influx2:{influx2}/logs?measurement=m"))
    assert "failed to do it" in caught.value.because[0]


def test_a_wrong_token_is_told_without_showing_it(influx2: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFLUX_TOKEN", "other")
    with pytest.raises(BadInput) as caught:
        list(open_source(f"influx2:{influx2}/logs?measurement=m"))
    assert (caught.value.code, "other" in caught.value.because[0]) == ("influx-not-allowed", False)


def test_a_server_that_does_not_answer_could_not_be_told() -> None:
    with pytest.raises(CouldNotTell) as caught:
        list(open_source(f"influx1:http://127.0.0.1:{_free_port()}/db?measurement=m"))
    assert caught.value.code == "influx-not-reached"


@pytest.mark.parametrize(
    "address", ["http://u:p@h/db", "ftp://h/db", "http://h/", "http://h/db?x=1", "http://h/db?since=now", "h:1:2/db"]
)
def test_addresses_that_cannot_be_used_are_told(address: str) -> None:
    with pytest.raises(BadInput) as caught:
        list(open_source(f"influx1:{address}"))
    assert caught.value.code == "bad-log-source"


def test_names_in_queries_cannot_leave_their_quotes() -> None:
    name = urllib.parse.quote("""a"b'c\\${d}""")
    place = place_of(f"http://h/db?measurement={name}&host={name}&until=2025-01-01", 1, {})
    assert select(place, 7) == (
        'SELECT "message" FROM "a\\"b\'c\\\\${d}" WHERE time > 7 AND time < \'2025-01-01\' AND "host" = \'a"b\\\'c\\\\${d}\''
    )
    assert '"a\\"b\'c\\\\\\${d}"' in flux(place._replace(version=2), 0)


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        ("| 200 |     110.535s |       127.0", "| 200 |     110.535µs |       127.0"),
        ("| 200 |        46.6s |       127.0", "| 200 |        46.6µs |       127.0"),
        ("| 200 |  46.635123456s |       127.0", "| 200 |  46.635123456s |       127.0"),
        ("| 200 |         1m12s |       127.0", "| 200 |         1m12s |       127.0"),
        ("| 200 |     110.535ms |       127.0", "| 200 |     110.535ms |       127.0"),
    ],
)
def test_a_lost_micro_sign_is_put_back_only_where_go_would_not_print_seconds(stored: str, meant: str) -> None:
    head = "[GIN] 2025/07/30 - 10:53:50 "
    assert repaired(head + stored) == (head + meant, stored != meant)


def test_bytes_that_were_stored_as_a_list_are_text_again() -> None:
    assert repaired("[27,91,51,51,109,104,105]")[0] == "\x1b[33mhi"
    assert repaired("[1234, 5]")[0] == "[1234, 5]"
