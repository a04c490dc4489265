"""A server's JSON API with a time limit on every answer, also on one that comes piece by piece or never ends."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 64 << 20
KEY_VARIABLE = "LLAMA_API_KEY"  # llama-server's own name for it (common/arg.cpp, b11434)


class ApiFailed(Exception):
    """No answer: the connection could not be made, broke, or took too long. The text says which."""

    def __init__(self, reason: str, *, timed_out: bool) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, and its JSON (None where it has none)."""

    status: int
    document: Any

    @property
    def error(self) -> str:
        """The server's own words for what it refused."""
        said = self.document.get("error") if isinstance(self.document, dict) else None
        if isinstance(said, dict):
            said = said.get("message")
        return f"HTTP {self.status}: {said}" if said else f"HTTP {self.status}"


def key_of_environment() -> str | None:
    """The key for a server that asks for one: LLAMA_API_KEY, as llama-server itself reads it."""
    return os.environ.get(KEY_VARIABLE, "").strip() or None


def shown_url(url: str) -> str:
    """An address as it may be printed and saved: without a user's name and password, and without what follows a `?`.

    All before the last @ is taken for these: a password may have a / or ? in it that should have been written as %2F or %3F.
    """
    scheme, mark, rest = url.partition("://") if "://" in url else ("", "", url)
    return f"{scheme}{mark}{rest.rpartition('@')[2].partition('?')[0]}"


class Api:
    """Asks one server; every request is a connection of its own, and ends at its limit whatever the server does."""

    def __init__(self, url: str, *, api_key: str | None = None) -> None:
        parts = urllib.parse.urlsplit(url if "//" in url else f"http://{url}")
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host or not host.isprintable() or " " in host:
            raise ValueError(f"{shown_url(url)} is no http:// or https:// address")
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise ValueError(f"{KEY_VARIABLE} has a character that no header can carry")
        self.host, self.port = host, parts.port or (443 if parts.scheme == "https" else 80)
        user, _, place = parts.netloc.rpartition("@")
        self.url = f"{parts.scheme}://{place}"
        self._secure = parts.scheme == "https"
        self._base = parts.path.rstrip("/").removesuffix("/v1")
        self._headers = {"Content-Type": "application/json", "Connection": "close"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        elif user:
            known = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
            self._headers["Authorization"] = f"Basic {known}"
        self._connected: set[socket.socket] = set()
        self.given_up = ""

    def get(self, path: str, *, timeout_seconds: float) -> Reply:
        """The answer to GET; ApiFailed where there is none in time."""
        with self._open("GET", path, None, timeout_seconds) as response:
            return Reply(response.status, _json(response.read(MOST_BYTES)))

    def post(self, path: str, body: dict[str, Any], *, timeout_seconds: float) -> Reply:
        """The answer to POST; ApiFailed where there is none in time."""
        with self._open("POST", path, body, timeout_seconds) as response:
            return Reply(response.status, _json(response.read(MOST_BYTES)))

    def stream(self, path: str, body: dict[str, Any], *, timeout_seconds: float) -> Iterator[tuple[float, Reply]]:
        """Each piece of an answer with the seconds from the request's start to its arrival.

        Lines of JSON, or server-sent events whose data is JSON. A refusal is one piece with its status.
        """
        started = time.monotonic()
        with self._open("POST", path, body, timeout_seconds) as response:
            if response.status != 200:
                yield time.monotonic() - started, Reply(response.status, _json(response.read(MOST_BYTES)))
                return
            while line := response.readline(MOST_BYTES):
                arrived = time.monotonic() - started
                text = line.strip().removeprefix(b"data: ").removeprefix(b"error: ")
                if text and text != b"[DONE]" and not text.startswith(b":"):
                    yield arrived, Reply(200, _json(text))

    def give_up(self, reason: str) -> None:
        """Ends every request that is under way, from another thread, and refuses later ones: ApiFailed with this reason."""
        self.given_up = reason
        for sock in tuple(self._connected):
            _cut(sock)

    @contextmanager
    def _open(
        self, method: str, path: str, body: dict[str, Any] | None, timeout_seconds: float
    ) -> Iterator[http.client.HTTPResponse]:
        """The response. At the limit the connection is cut: a socket's own limit would start anew with each byte."""
        made = self._connection(timeout_seconds)
        deadline = time.monotonic() + timeout_seconds
        late = threading.Event()
        sock: socket.socket | None = None
        limit: threading.Timer | None = None
        try:
            self._refuse_given_up()
            made.connect()
            sock = made.sock
            self._connected.add(sock)
            limit = threading.Timer(max(0.0, deadline - time.monotonic()), _cut_late, (sock, late))
            limit.daemon = True
            limit.start()
            made.request(method, self._base + path, json.dumps(body) if body is not None else None, self._headers)
            yield made.getresponse()
            self._refuse_cut(late, timeout_seconds)
        except TimeoutError as error:
            raise self._too_late(timeout_seconds) from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            self._refuse_cut(late, timeout_seconds)
            words = str(error) or type(error).__name__
            raise ApiFailed(f"{self.url}: {words}", timed_out=False) from error
        finally:
            if limit is not None:
                limit.cancel()
            if sock is not None:
                self._connected.discard(sock)
            made.close()

    def _connection(self, timeout_seconds: float) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_seconds, context=context)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_seconds)

    def _refuse_given_up(self) -> None:
        if self.given_up:
            raise ApiFailed(self.given_up, timed_out=True)

    def _refuse_cut(self, late: threading.Event, timeout_seconds: float) -> None:
        """ApiFailed where the connection was cut by us: what came of the answer is not all of it."""
        self._refuse_given_up()
        if late.is_set():
            raise self._too_late(timeout_seconds)

    def _too_late(self, timeout_seconds: float) -> ApiFailed:
        return ApiFailed(f"{self.url} gave no answer within {timeout_seconds:g} s", timed_out=True)


def _cut_late(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    _cut(sock)


def _cut(sock: socket.socket) -> None:
    """Ends a connection under a thread that reads from it; an SSLSocket's own shutdown would take its state away too."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
