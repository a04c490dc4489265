"""A server's JSON API with a time limit on every answer, also on one that comes piece by piece."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 64 << 20


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


class Api:
    """Asks one server; every request is a connection of its own."""

    def __init__(self, url: str, *, api_key: str | None = None) -> None:
        parts = urllib.parse.urlsplit(url if "//" in url else f"http://{url}")
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host or not host.isprintable() or " " in host:
            raise ValueError(f"{url} is no http:// or https:// address")
        self.host, self.port = host, parts.port or (443 if parts.scheme == "https" else 80)
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._secure = parts.scheme == "https"
        self._base = parts.path.rstrip("/").removesuffix("/v1")
        self._headers = {"Content-Type": "application/json", "Connection": "close"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def get(self, path: str, *, timeout_seconds: float) -> Reply:
        """The answer to GET; ApiFailed where there is none in time."""
        with self._open("GET", path, None, timeout_seconds) as (response, _):
            return Reply(response.status, _json(response.read(MOST_BYTES)))

    def post(self, path: str, body: dict[str, Any], *, timeout_seconds: float) -> Reply:
        """The answer to POST; ApiFailed where there is none in time."""
        with self._open("POST", path, body, timeout_seconds) as (response, _):
            return Reply(response.status, _json(response.read(MOST_BYTES)))

    def stream(self, path: str, body: dict[str, Any], *, timeout_seconds: float) -> Iterator[tuple[float, Reply]]:
        """Each piece of an answer with the seconds from the request's start to its arrival.

        Lines of JSON, or server-sent events whose data is JSON. A refusal is one piece with its status.
        """
        started = time.monotonic()
        with self._open("POST", path, body, timeout_seconds) as (response, wait):
            if response.status != 200:
                yield time.monotonic() - started, Reply(response.status, _json(response.read(MOST_BYTES)))
                return
            while True:
                wait()
                line = response.readline(MOST_BYTES)
                arrived = time.monotonic() - started
                if not line:
                    return
                text = line.strip().removeprefix(b"data: ").removeprefix(b"error: ")
                if text and text != b"[DONE]" and not text.startswith(b":"):
                    yield arrived, Reply(200, _json(text))

    @contextmanager
    def _open(self, method: str, path: str, body: dict[str, Any] | None, timeout_seconds: float) -> Iterator[Any]:
        """(response, a function that bounds the next read by the time that is left)."""
        deadline = time.monotonic() + timeout_seconds
        made: http.client.HTTPConnection
        if self._secure:
            made = http.client.HTTPSConnection(
                self.host, self.port, timeout=timeout_seconds, context=ssl.create_default_context()
            )
        else:
            made = http.client.HTTPConnection(self.host, self.port, timeout=timeout_seconds)
        try:
            made.connect()
            sock = made.sock

            def wait() -> None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                sock.settimeout(left)

            wait()
            made.request(method, self._base + path, json.dumps(body) if body is not None else None, self._headers)
            wait()
            yield made.getresponse(), wait
        except TimeoutError as error:
            raise ApiFailed(f"{self.url} gave no answer within {timeout_seconds:g} s", timed_out=True) from error
        except (OSError, http.client.HTTPException) as error:
            words = str(error) or type(error).__name__
            raise ApiFailed(f"{self.url}: {words}", timed_out=False) from error
        finally:
            made.close()


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
