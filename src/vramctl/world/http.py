"""Ranges of a file on the web. A body is read only when it is the range that was asked for."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import IO, Any, NoReturn

from vramctl import __version__
from vramctl.errors import BadInput, CouldNotTell, VramctlError
from vramctl.records import Unknown

MAX_REDIRECTS = 10
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.25
_CONTENT_RANGE = re.compile(r"^\s*bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18})\s*$", re.IGNORECASE)
_NO_RANGE = re.compile(r"^\s*bytes\s+\*/(\d{1,18})\s*$", re.IGNORECASE)
_FINAL = (socket.gaierror, ConnectionRefusedError)  # no name, no server: trying again at once does not help
_BUSY = (429, 500, 502, 503, 504)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Ranged:
    """A part of a remote file: its bytes, the whole file's size in bytes, and what identifies its content."""

    data: bytes
    file_bytes: int
    etag: str | Unknown


def fetch_range(
    url: str,
    start: int,
    length: int,
    *,
    token: str | None = None,
    timeout_seconds: float = 20.0,
    deadline_seconds: float = 300.0,
    progress: Progress | None = None,
) -> Ranged:
    """Bytes [start, start + length) of a remote file, fewer where it ends before; errors as VramctlError.

    Redirects are followed (never from https to http; `token` stays with the host it is for), dropped connections
    are taken up where they broke.  A server that answers with anything but that range is an error, and its
    answer is not read.  `progress` receives bytes so far and bytes wanted.
    """
    data = bytearray()
    total: int | None = None
    etag: str | Unknown = Unknown("the server sent no ETag")
    end_time = time.monotonic() + deadline_seconds
    failure = "no answer"
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        try:
            with _open_range(url, start + len(data), length - len(data), token, timeout_seconds) as answer:
                size, tag = _described(answer, url, start + len(data))
                if total is not None and (size, tag) != (total, etag):
                    _changed(url)
                total, etag = size, tag
                wanted = min(length, total - start)
                _read_into(data, answer, wanted, end_time, progress)
                if len(data) >= wanted:
                    return Ranged(bytes(data), total, etag)
                failure = f"the connection broke after {len(data)} of {wanted} bytes"
        except _Busy as busy:
            failure = str(busy)
        except (OSError, http.client.HTTPException) as error:
            failure = _network_reason(error, url)
            if not data and isinstance(getattr(error, "reason", None), _FINAL):
                break
        if time.monotonic() > end_time:
            failure = f"{failure}; {deadline_seconds:.0f} s are over"
            break
    raise CouldNotTell(
        "network-failed",
        f"{shown_url(url)} could not be fetched.",
        because=(failure,),
        fix="Check the address and the network (HTTPS_PROXY is honoured), then try again.",
    )


def shown_url(url: str) -> str:
    """The address without credentials and query, to be shown in messages."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return repr(url.partition("?")[0].rpartition("@")[2][:200])
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def split_url(url: str) -> urllib.parse.SplitResult:
    """The parts of a web address; BadInput where it is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = (parts.hostname or "").encode("idna")  # UnicodeError is a ValueError
        usable = parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:
        usable = False
    if usable:
        return parts
    raise BadInput(
        "bad-url",
        f"{shown_url(url)} is not a web address.",
        because=("it needs https:// (or http://) and a host",),
        fix="Give an address such as https://host/path/model.gguf.",
    )


class _Busy(Exception):
    """The server asks to come back later."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to `_open_range`: urllib would read their bodies and carry the token to other hosts."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message[str, str], newurl: str
    ) -> None:
        """No request: the redirect is handed back."""
        return


def _open_range(
    url: str, start: int, length: int, token: str | None, timeout_seconds: float
) -> http.client.HTTPResponse:
    """The open answer to one range request, after redirects."""
    opener = urllib.request.build_opener(_NoRedirects)
    here = url
    for _ in range(MAX_REDIRECTS + 1):
        request = _request(here, start, length)
        if token is not None and _origin(here) == _origin(url):
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            answer: http.client.HTTPResponse = opener.open(request, timeout=timeout_seconds)
            return answer
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in (301, 302, 303, 307, 308):
                    _refused(error.code, error.headers, url, token)
                here = _next(here, error.headers.get("Location"), url)
    raise BadInput(
        "too-many-redirects",
        f"{shown_url(url)} redirects in a circle.",
        because=(f"more than {MAX_REDIRECTS} redirects, the last to {shown_url(here)}",),
        fix="Give the address of the file itself.",
    )


def _request(url: str, start: int, length: int) -> urllib.request.Request:
    parts = split_url(url)
    host = (parts.hostname or "").encode("idna").decode()
    port = "" if parts.port is None else f":{parts.port}"
    path = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    netloc = (f"[{host}]" if ":" in host else host) + port
    clean = urllib.parse.urlunsplit((parts.scheme, netloc, path, query, ""))
    return urllib.request.Request(
        clean,
        headers={
            "Range": f"bytes={start}-{start + length - 1}",
            "Accept-Encoding": "identity",
            "User-Agent": f"vramctl/{__version__}",
        },
    )


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _next(here: str, location: str | None, first: str) -> str:
    """Where a redirect leads; BadInput where it leads away from encryption, or nowhere."""
    try:
        target = urllib.parse.urljoin(here, location or "")
        scheme = urllib.parse.urlsplit(target).scheme
    except ValueError:
        target, scheme = "a broken address", ""
    if location and scheme in ("http", "https") and not (here.startswith("https:") and scheme == "http"):
        return target
    raise BadInput(
        "bad-redirect",
        f"{shown_url(first)} redirects to where it will not be followed.",
        because=(f"from {shown_url(here)} to {shown_url(target) if location else 'no address'}",),
        fix="Give the https address of the file itself.",
    )


def _described(answer: http.client.HTTPResponse, url: str, start: int) -> tuple[int, str | Unknown]:
    """The whole file's size in bytes and its ETag; BadInput unless the answer is the range that was asked for."""
    kind = (answer.headers.get("Content-Type") or "").lower()
    if kind.startswith(("text/html", "application/xhtml")):
        raise BadInput(
            "web-page",
            f"{shown_url(url)} is a web page, not a model file.",
            because=(f"it ends at {shown_url(answer.url)}", f"Content-Type: {kind[:60]}"),
            fix="Give the address of the file itself (on the hub: /resolve/ instead of /blob/), or log in first.",
        )
    if answer.status != 206:
        raise BadInput(
            "no-range-requests",
            f"{shown_url(url)} cannot be read in part.",
            because=(f"the server answered {answer.status} to a range request: it would send the whole file",),
            fix="Download the file and give its path, or use a server with range requests (HTTP 206).",
        )
    encoding = (answer.headers.get("Content-Encoding") or "identity").strip().lower()
    found = _CONTENT_RANGE.match(answer.headers.get("Content-Range") or "")
    if encoding != "identity" or found is None or int(found[1]) != start or int(found[2]) >= int(found[3]):
        raise BadInput(
            "bad-range-answer",
            f"{shown_url(url)} answers range requests wrongly.",
            because=(
                f"Content-Range: {(answer.headers.get('Content-Range') or 'missing')[:60]}, asked from byte {start}",
                f"Content-Encoding: {encoding[:20]}",
            ),
            fix="Download the file and give its path.",
        )
    return int(found[3]), answer.headers.get("ETag") or answer.headers.get("Last-Modified") or Unknown("no ETag")


def _read_into(
    data: bytearray,
    answer: http.client.HTTPResponse,
    wanted: int,
    end_time: float,
    progress: Progress | None,
) -> None:
    """Appends the body to `data` until `wanted` bytes are there, the body ends or time is up."""
    while len(data) < wanted and time.monotonic() < end_time:
        part = answer.read1(min(wanted - len(data), 1 << 18))
        if not part:
            return
        data += part
        if progress is not None:
            progress(len(data), wanted)


def _changed(url: str) -> NoReturn:
    raise BadInput(
        "remote-changed",
        f"{shown_url(url)} changed while it was read.",
        because=("its size or ETag is another than a moment ago",),
        fix="Try again.",
    )


def _refused(status: int, headers: Any, url: str, token: str | None) -> NoReturn:
    """Raises what an HTTP error status means for the user."""
    raise _refusal(status, headers, shown_url(url), token)


def _refusal(status: int, headers: Any, url: str, token: str | None) -> VramctlError | _Busy:
    answered = (f"the server answered {status}",)
    if status in _BUSY:
        return _Busy(f"the server answered {status}")
    if status == 416:
        found = _NO_RANGE.match(headers.get("Content-Range") or "")
        if found is not None and int(found[1]) == 0:
            return BadInput("empty-file", f"{url} is empty.", because=answered, fix="Give another file.")
        return BadInput("bad-range-answer", f"{url} has no such range.", because=answered, fix="Download the file.")
    if status in (401, 403):
        return BadInput(
            "not-allowed",
            f"{url} may not be read" + (" with this token." if token else " without a token, or does not exist."),
            because=(*answered, "HF_TOKEN was sent" if token else "no token was sent"),
            fix="Accept the model's terms on its page, and set HF_TOKEN to a token that may read it."
            " Also check the spelling: hubs answer the same for a name that does not exist.",
        )
    if status in (404, 410):
        return BadInput(
            "url-not-found",
            f"There is no file at {url}.",
            because=answered,
            fix="Check the spelling (capitals count) and the revision.",
        )
    return BadInput("url-refused", f"{url} was refused.", because=answered, fix="Check the address in a browser.")


def _network_reason(error: Exception, url: str) -> str:
    """Why the network failed, in words; certificate trouble is final and raised."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise CouldNotTell(
            "certificate-not-trusted",
            f"The certificate of {shown_url(url)} is not trusted.",
            because=(reason.verify_message,),
            fix="Set SSL_CERT_FILE to your organisation's certificates; do not turn checking off.",
        ) from error
    if isinstance(reason, http.client.InvalidURL):
        raise BadInput(
            "bad-url", f"{shown_url(url)!r} is not a web address.", because=(str(reason),), fix="Check the address."
        ) from error
    return f"{type(reason).__name__}: {reason}" if str(reason) else type(reason).__name__
