"""Log lines that were collected into InfluxDB 1 or 2: the text field of a measurement, ordered by time."""

from __future__ import annotations

import csv
import http.client
import io
import json
import os
import re
import ssl
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from vramctl import __version__
from vramctl.errors import BadInput, CouldNotTell, VramctlError
from vramctl.probes.influx_queries import Place, fields_query_1, fields_query_2, flux, place_of, select
from vramctl.probes.influx_repair import repaired
from vramctl.probes.log_lines import LONGEST_LINE_BYTES, Note

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
POLL_SECONDS = 2.0
CHUNK_ROWS = 1000
"""Rows that InfluxDB 1 sends at once: one such chunk is what stays in memory."""
_MOST_BYTES = 256 << 20


def influx_lines(
    address: str, *, version: int, follow: bool, note: Note, stop: threading.Event | None = None
) -> Iterator[bytes]:
    """The stored lines, oldest first, each behind its time in UTC; `follow` asks again every POLL_SECONDS.

    Credentials come from the environment, under the names that InfluxDB's own clients use: INFLUX_USERNAME and
    INFLUX_PASSWORD (1), INFLUX_TOKEN and INFLUX_ORG (2).
    """
    place = place_of(address, version, os.environ)
    if not place.measurement:
        place = _chosen(place)
    stop = stop or threading.Event()
    after = 0
    repairs = 0
    any_line = False
    try:
        while True:
            for nanoseconds, message in _rows(place, after):
                after, any_line = max(after, nanoseconds), True
                text, changed = repaired(message)
                repairs += changed
                yield from _stamped(nanoseconds, text)
            if not follow or stop.wait(POLL_SECONDS):
                break
    except KeyboardInterrupt:
        if not follow:
            raise
    if repairs:
        note(f"{place.shown}: {repairs} request times had lost their µ when they were stored; it was put back")
    if not any_line:
        raise CouldNotTell(
            "influx-empty",
            f"{place.shown} holds no line in that time.",
            because=(f"measurement {place.measurement}, field {place.field}",),
            fix="Check the measurement, the field and since= (docs/log-sources.md).",
        )


def _stamped(nanoseconds: int, text: str) -> Iterator[bytes]:
    """A message's lines, each behind the time of the point."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    stamp = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06}Z "
    for line in text.rstrip("\r\n").split("\n"):
        yield (stamp + line.rstrip("\r")).encode("utf-8", "replace")


def _rows(place: Place, after: int) -> Iterator[tuple[int, str]]:
    """Time in nanoseconds since 1970 and text of the points after `after`."""
    return _rows_1(place, select(place, after)) if place.version == 1 else _rows_2(place, flux(place, after))


def _chosen(place: Place) -> Place:
    """The place with the measurement and field that hold log lines, where that is not in doubt."""
    if place.version == 1:
        found = [
            (series.get("name", ""), row[0])
            for series in _series_1(place, fields_query_1())
            for row in series.get("values", ())
            if row[-1] == "string"
        ]
    else:
        found = [(row.get("_measurement", ""), row.get("_field", "")) for row in _table(place, fields_query_2(place))]
    known = [pair for pair in found if pair[1] in ("message", "value", "log", "line", "msg")]
    best = [pair for pair in known if pair[0] == "ollama_logs"] or known
    if len(best) == 1:
        return place._replace(measurement=best[0][0], field=best[0][1])
    because = tuple(f"measurement {name}, field {key}" for name, key in (known or found)[:8])
    raise BadInput(
        "influx-measurement-open",
        f"Which measurement of {place.shown} holds the log is not clear.",
        because=because or ("no measurement there has a text field",),
        fix="Name it: ?measurement=NAME&field=NAME at the end of the address.",
    )


def _rows_1(place: Place, query: str) -> Iterator[tuple[int, str]]:
    for series in _series_1(place, query):
        for row in series.get("values", ()):
            if isinstance(row[0], int) and isinstance(row[1], str):
                yield row[0], row[1]


def _series_1(place: Place, query: str) -> Iterator[dict[str, Any]]:
    """The series of InfluxDB 1's answer; it comes as one JSON object a line, CHUNK_ROWS rows each."""
    asked = {"db": place.database, "q": query, "epoch": "ns", "chunked": "true", "chunk_size": str(CHUNK_ROWS)}
    if place.policy:
        asked["rp"] = place.policy
    with _answer(place, "GET", f"/query?{urllib.parse.urlencode(asked)}", b"") as answer:
        while line := answer.readline(_MOST_BYTES):
            if line.isspace():
                continue
            document = _json(line, place)
            for result in [document, *document.get("results", ())]:
                if "error" in result:
                    raise _refused(place, str(result["error"]))
                yield from result.get("series", ())


def _json(line: bytes, place: Place) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    raise _refused(place, f"the answer is not InfluxDB's: {line[:80]!r}")


def _rows_2(place: Place, query: str) -> Iterator[tuple[int, str]]:
    for row in _table(place, query):
        stamp, text = row.get("_time", ""), row.get("_value")
        if text is not None and (nanoseconds := _nanoseconds(stamp)) is not None:
            yield nanoseconds, text


def _nanoseconds(stamp: str) -> int | None:
    """Nanoseconds since 1970 of RFC 3339 with up to nine decimals; None where it is none."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", stamp)
    if match is None:
        return None
    seconds = int(datetime.fromisoformat(match[1] + "+00:00").timestamp())
    return seconds * 1_000_000_000 + int((match[2] or "").ljust(9, "0"))


def _table(place: Place, query: str) -> Iterator[dict[str, str]]:
    """The rows of InfluxDB 2's answer (CSV with a header a table), as it comes."""
    path = f"/api/v2/query?{urllib.parse.urlencode({'org': place.org})}"
    with _answer(place, "POST", path, query.encode()) as answer:
        limit = csv.field_size_limit(LONGEST_LINE_BYTES)
        try:
            header: list[str] = []
            for row in csv.reader(io.TextIOWrapper(answer, "utf-8", "replace", newline="")):
                if not row:
                    header = []
                elif not header:
                    header = row
                elif "error" in header:
                    raise _refused(place, dict(zip(header, row, strict=False))["error"])
                else:
                    yield dict(zip(header, row, strict=False))
        except csv.Error as error:
            raise _refused(place, f"the answer is not CSV: {error}") from error
        finally:
            csv.field_size_limit(limit)


@contextmanager
def _answer(place: Place, method: str, path: str, body: bytes) -> Iterator[http.client.HTTPResponse]:
    """The open answer to one request, status 200; redirects are not followed, so the credentials stay here."""
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(place.host, place.port, timeout=CONNECT_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(READ_SECONDS)
        connection.request(method, place.path + path, body or None, _headers(place))
        answer = connection.getresponse()
        if answer.status != 200:
            raise _status(place, answer)
        yield answer
    except (OSError, http.client.HTTPException) as error:
        reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
        raise CouldNotTell(
            "influx-not-reached",
            f"{place.shown} could not be read.",
            because=(f"{type(error).__name__}: {reason}",),
            fix="Check the address and the port (8086), and that InfluxDB runs.",
        ) from error
    finally:
        connection.close()


def _headers(place: Place) -> Mapping[str, str]:
    headers = {"User-Agent": f"vramctl/{__version__}"}
    if place.authorization:
        headers["Authorization"] = place.authorization
    if place.version == 2:
        headers |= {"Content-Type": "application/vnd.flux", "Accept": "application/csv"}
    return headers


def _status(place: Place, answer: http.client.HTTPResponse) -> VramctlError:
    """What an HTTP status other than 200 means."""
    said = answer.read(2000)
    try:
        document = json.loads(said)
        reason = str(document.get("error") or document.get("message"))
    except (ValueError, AttributeError):
        reason = said.decode("utf-8", "replace").strip()[:200]
    if answer.status in (401, 403):
        names = "INFLUX_USERNAME and INFLUX_PASSWORD" if place.version == 1 else "INFLUX_TOKEN and INFLUX_ORG"
        return BadInput(
            "influx-not-allowed",
            f"{place.shown} may not be read"
            + (" with these credentials." if place.authorization else " without credentials."),
            because=(f"the server answered {answer.status}: {reason}",),
            fix=f"Set {names} in the environment.",
        )
    return _refused(place, f"the server answered {answer.status}: {reason}")


def _refused(place: Place, reason: str) -> BadInput:
    return BadInput(
        "influx-refused",
        f"{place.shown} did not answer the query.",
        because=(reason,),
        fix=f"Check the database's name, and that it is an InfluxDB {place.version} (influx1: or influx2:).",
    )
