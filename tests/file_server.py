"""A web server on 127.0.0.1 for tests: serves files by ranges, and misbehaves in the ways that servers do."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """The files served, what was asked for, and how many body bytes went out."""

    files: dict[str, bytes]
    address: str = ""
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)  # path, Range, Authorization
    sent: int = 0
    drops: int = 0
    busy: int = 0
    token: str | None = None
    etag: str = '"one"'

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a path; `host` may be `localhost` for another origin."""
        return f"http://{host}:{self.address}{path}"

    def asked(self) -> int:
        """Bytes that all range requests so far have asked for."""
        found = [re.fullmatch(r"bytes=(\d+)-(\d+)", asked or "") for _, asked, _ in self.requests]
        return sum(int(match[2]) + 1 - int(match[1]) for match in found if match)


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site = self.site
        site.requests.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        way, _, rest = self.path.lstrip("/").partition("/")
        plain = getattr(self, f"way_{way.replace('-', '_')}", None)
        if plain is None:
            self.answer(404, b"<html>not here</html>", {"Content-Type": "text/html"})
        else:
            plain(rest.partition("?")[0])

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.write(body)

    def write(self, body: bytes) -> None:
        for start in range(0, len(body), 1 << 16):
            try:
                self.wfile.write(body[start : start + (1 << 16)])
            except OSError:
                self.close_connection = True
                return
            self.site.sent += len(body[start : start + (1 << 16)])

    def wanted(self, data: bytes) -> tuple[int, int]:
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        assert match is not None
        return int(match[1]), min(int(match[2]) + 1, len(data))

    def way_ok(self, name: str, headers: dict[str, str] | None = None) -> None:
        """Ranges, as they should be."""
        data = self.site.files.get(name)
        if data is None:
            self.answer(404, b"", {})
            return
        start, stop = self.wanted(data)
        if start >= len(data):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        place = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}", "ETag": self.site.etag}
        self.answer(206, data[start:stop], {**place, **(headers or {})})

    def way_norange(self, name: str) -> None:
        """The whole file, whatever was asked."""
        self.answer(200, self.site.files[name], {"Content-Type": "application/octet-stream"})

    def way_html(self, name: str) -> None:
        self.answer(200, b"<html>please log in</html>" * 1000, {"Content-Type": "text/html; charset=utf-8"})

    def way_redirect(self, name: str) -> None:
        """On to another path of this host."""
        self.answer(302, b"moved", {"Location": f"/{name}"})

    def way_away(self, name: str) -> None:
        """On to another host."""
        self.answer(302, b"moved", {"Location": self.site.url(f"/{name}", "localhost")})

    def way_loop(self, name: str) -> None:
        self.answer(302, b"", {"Location": f"/loop/{name}"})

    def way_file_redirect(self, name: str) -> None:
        self.answer(302, b"", {"Location": "file:///etc/passwd"})

    def way_drop(self, name: str) -> None:
        """Half of the range, then the connection breaks: `drops` times."""
        if self.site.drops <= 0:
            self.way_ok(name)
            return
        self.site.drops -= 1
        data = self.site.files[name]
        start, stop = self.wanted(data)
        self.send_response(206)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("ETag", self.site.etag)
        self.end_headers()
        self.write(data[start : start + (stop - start) // 2])
        self.close_connection = True

    def way_busy(self, name: str) -> None:
        if self.site.busy > 0:
            self.site.busy -= 1
            self.answer(503, b"later", {})
        else:
            self.way_ok(name)

    def way_changing(self, name: str) -> None:
        """Another content at each request."""
        self.site.etag += "x"
        self.way_ok(name)

    def way_gated(self, name: str) -> None:
        if self.headers.get("Authorization") == f"Bearer {self.site.token}":
            self.way_ok(name)
        else:
            self.answer(401, b"", {})

    def way_forbidden(self, name: str) -> None:
        self.answer(403, b"", {})

    def way_teapot(self, name: str) -> None:
        self.answer(418, b"", {})

    def way_gzip(self, name: str) -> None:
        self.way_ok(name, {"Content-Encoding": "gzip", "X-Size": str(len(gzip.compress(b"")))})

    def way_shifted(self, name: str) -> None:
        """Another range than the one asked for."""
        self.answer(206, b"abc", {"Content-Range": "bytes 5-7/100"})

    def way_unplaced(self, name: str) -> None:
        self.answer(206, b"abc", {})

    def way_resolve(self, name: str) -> None:
        self.way_ok(name)

    def way_ORG(self, name: str) -> None:
        """As the hub: /ORG/REPO/resolve/REVISION/FILE."""
        self.way_gated(name) if self.site.token else self.way_ok(name)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests are quiet."""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Site]:
    """The site, as long as the block lasts."""
    site = Site(dict(files))
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    site.address = str(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
