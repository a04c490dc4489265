"""Servers that are no llama-server, or one in trouble: each answers every path in one way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ODD: dict[str, tuple[int, bytes]] = {
    "page": (200, b"<html>Welcome</html>"),
    "not-found": (404, b"<html>404</html>"),
    "bad-gateway": (502, b"<html>502</html>"),
    "list": (200, b"[1, 2, 3]"),
    "nested": (200, b"[" * 100_000),
    "loading": (503, b'{"error": {"code": 503, "message": "Loading model"}}'),
    "locked": (401, b'{"error": {"code": 401, "message": "Invalid API Key"}}'),
    "router": (200, b'{"role": "router", "model_path": "none", "default_generation_settings": {}}'),
    "llama-server": (200, b'{"default_generation_settings": {"n_ctx": 512}, "total_slots": 1}'),
}


class Answers(BaseHTTPRequestHandler):
    """One connection; `how` is a key of ODD, `drip` (a byte now and then, for ever) or `mute` (nothing)."""

    how = ""
    asked: list[dict[str, Any]]

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """The same for every path."""
        type(self).asked.append(dict(self.headers))
        if self.how == "mute":
            time.sleep(5)
        elif self.how == "drip":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(100):
                    self.wfile.write(b" ")
                    time.sleep(0.05)
            except OSError:  # cut by the client
                return
        else:
            status, body = ODD[self.how]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_POST = do_GET


@contextmanager
def odd_server(how: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(its address, the headers of every request so far)."""
    asked: list[dict[str, Any]] = []
    handler = type("Handler", (Answers,), {"how": how, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
