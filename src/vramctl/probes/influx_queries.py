"""Where in an InfluxDB the lines are, and the queries that ask for them; pure text."""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Mapping
from typing import NamedTuple

from vramctl.errors import BadInput

_OPTIONS = ("measurement", "field", "since", "until", "host", "org", "rp")
_AGO = re.compile(r"\d{1,9}(?:ns|us|ms|s|m|h|d|w)")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)?")


class Place(NamedTuple):
    """Server, database (bucket), measurement and field, the stretch of time, and how to be let in."""

    version: int
    scheme: str
    host: str
    port: int
    path: str
    database: str
    measurement: str
    field: str
    since: str
    until: str
    tag_host: str
    org: str
    policy: str
    authorization: str

    @property
    def shown(self) -> str:
        """The address as messages name it, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}/{self.database}"


def place_of(address: str, version: int, environ: Mapping[str, str]) -> Place:
    """The place that `http://HOST:8086/DATABASE?measurement=...` names; BadInput where it names none."""
    try:
        parts = urllib.parse.urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _bad("it is not a web address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _bad("it needs http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise _bad("credentials in an address are seen by every program of the machine; give them in the environment")
    path, _, database = parts.path.rstrip("/").rpartition("/")
    if not database:
        raise _bad("the database or bucket is missing: http://host:8086/NAME")
    options = {key: values[-1] for key, values in urllib.parse.parse_qs(parts.query).items()}
    for key in options:
        if key not in _OPTIONS:
            raise _bad(f"there is no option {key}; there are " + ", ".join(_OPTIONS))
    for key in ("since", "until"):
        if (value := options.get(key)) and not (_AGO.fullmatch(value) or _MOMENT.fullmatch(value)):
            raise _bad(f"{key}={value} is neither like 24h nor like 2026-01-31 or 2026-01-31T12:00:00Z")
    return Place(
        version=version,
        scheme=parts.scheme,
        host=host,
        port=port or (443 if parts.scheme == "https" else 8086),
        path=path,
        database=urllib.parse.unquote(database),
        measurement=options.get("measurement", ""),
        field=options.get("field", "message"),
        since=options.get("since", ""),
        until=options.get("until", ""),
        tag_host=options.get("host", ""),
        org=options.get("org") or environ.get("INFLUX_ORG", ""),
        policy=options.get("rp", ""),
        authorization=_authorization(version, environ),
    )


def _authorization(version: int, environ: Mapping[str, str]) -> str:
    """The Authorization header that the environment's credentials give; empty without any."""
    if version == 2:
        token = environ.get("INFLUX_TOKEN", "")
        return f"Token {token}" if token else ""
    user, password = environ.get("INFLUX_USERNAME", ""), environ.get("INFLUX_PASSWORD", "")
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""


def _bad(reason: str) -> BadInput:
    return BadInput(
        "bad-log-source",
        "This address of an InfluxDB cannot be used.",
        because=(reason,),
        fix="Write for example 'influx1:http://127.0.0.1:8086/telegraf?measurement=ollama_logs&field=message&since=24h'.",
    )


def select(place: Place, after: int) -> str:
    """The InfluxQL query for the lines after a time in nanoseconds; series are merged and ordered by time."""
    where = [f"time > {after}"] if after else []
    if place.since and not after:
        where.append(f"time >= {_moment_1(place.since)}")
    if place.until:
        where.append(f"time < {_moment_1(place.until)}")
    if place.tag_host:
        where.append(f'"host" = {_text_1(place.tag_host)}')
    condition = " WHERE " + " AND ".join(where) if where else ""
    return f"SELECT {_name_1(place.field)} FROM {_name_1(place.measurement)}{condition}"


def fields_query_1() -> str:
    """The InfluxQL query for all measurements' fields and types."""
    return "SHOW FIELD KEYS"


def _moment_1(text: str) -> str:
    return f"now() - {text}" if _AGO.fullmatch(text) else f"'{text}'"


def _name_1(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text_1(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def flux(place: Place, after: int) -> str:
    """The Flux query for the lines after a time in nanoseconds; series (one a message, often) are merged by time."""
    start = f"time(v: {after + 1})" if after else _moment_2(place.since) if place.since else "0"
    stop = f", stop: {_moment_2(place.until)}" if place.until else ""
    host = f" and r.host == {_text_2(place.tag_host)}" if place.tag_host else ""
    return (
        f"from(bucket: {_text_2(place.database)})\n"
        f"  |> range(start: {start}{stop})\n"
        f"  |> filter(fn: (r) => r._measurement == {_text_2(place.measurement)} and r._field == {_text_2(place.field)}{host})\n"
        '  |> keep(columns: ["_time", "_value"])\n'
        "  |> group()\n"
        '  |> sort(columns: ["_time"])\n'
    )


def fields_query_2(place: Place) -> str:
    """The Flux query for one point of each text field that may hold log lines."""
    start = _moment_2(place.since) if place.since else "-30d"
    return (
        f"from(bucket: {_text_2(place.database)})\n"
        f"  |> range(start: {start})\n"
        '  |> filter(fn: (r) => contains(value: r._field, set: ["message", "value", "log", "line", "msg"]))\n'
        '  |> keep(columns: ["_measurement", "_field"])\n'
        '  |> group(columns: ["_measurement", "_field"])\n'
        '  |> distinct(column: "_field")\n'
    )


def _moment_2(text: str) -> str:
    """A time in Flux: a duration before now, or a moment."""
    if _AGO.fullmatch(text):
        return f"-{text}"
    return text if "T" in text else f"{text}T00:00:00Z"


def _text_2(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'
