"""Where a log comes from: files, globs, standard input, archives, journald, containers, InfluxDB; as lines of bytes."""

from __future__ import annotations

import glob
import re
import sys
import threading
import urllib.parse
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from vramctl.errors import BadInput
from vramctl.probes.log_follow import follow_files
from vramctl.probes.log_influx import influx_lines
from vramctl.probes.log_lines import CHUNK_BYTES, Note, lines_of, lists_of_lines, unreadable
from vramctl.probes.log_programs import container_lines, journal_lines
from vramctl.world import kind_of, near_names

STANDARD_INPUT = "-"
_SCHEME = re.compile(r"(journald-user|journald|docker|podman|influx1|influx2):")
_DIGITS = re.compile(r"(\d+)")


def expand_sources(specs: Iterable[str]) -> tuple[str, ...]:
    """The sources that are meant, one for each file: globs are expanded (not every shell does), in natural order.

    What is no file, and a file whose name holds the glob's characters, stays as it is.
    """
    found: list[str] = []
    for spec in specs:
        found += [spec] if _SCHEME.match(spec) or spec == STANDARD_INPUT else _paths(spec)
    return tuple(dict.fromkeys(found))


def open_source(
    spec: str, *, follow: bool = False, note: Note | None = None, stop: threading.Event | None = None
) -> Iterator[bytes]:
    """The lines of a log, without their ends, in constant memory; a file that is not there is a BadInput at once.

    `spec`: a file (also .gz, .zst, .xz, .bz2; UTF-8 or UTF-16), a glob, `-` for standard input, `journald:UNIT`,
    `journald-user:UNIT`, `docker:NAME`, `podman:NAME`, `influx1:URL/DATABASE`, `influx2:URL/BUCKET`.
    A line over 4 MiB is cut and says so.  `follow` reads on until `stop` is set or Ctrl-C; `note` is told what the reader
    should know: a rotation, a broken archive.
    """
    note = note or _silent
    match = _SCHEME.match(spec)
    if match is not None:
        return _asked(match[1], spec[match.end() :], follow, note, stop)
    if spec == STANDARD_INPUT:
        return lines_of(sys.stdin.buffer, "standard input", note=note)
    if follow:
        paths = _paths(spec, missing_is_fine=True)
        _refuse_archives(paths)
        return follow_files(paths, note=note, stop=stop)
    paths = _paths(spec)
    return chain.from_iterable(_file_lines(paths, note))


def _silent(text: str) -> None:
    """Tells nobody."""


def _asked(scheme: str, rest: str, follow: bool, note: Note, stop: threading.Event | None) -> Iterator[bytes]:
    """The lines of a source that is not a file."""
    if scheme.startswith("influx"):
        return influx_lines(rest, version=int(scheme[-1]), follow=follow, note=note, stop=stop)
    name, _, query = rest.partition("?")
    options = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    if scheme.startswith("journald"):
        return journal_lines(name, options, user=scheme.endswith("user"), follow=follow)
    return container_lines(name, options, program=scheme, follow=follow)


def _paths(spec: str, *, missing_is_fine: bool = False) -> list[str]:
    """The files that a path or a glob names, at least one; BadInput otherwise."""
    path = str(Path(spec).expanduser()) if spec.startswith("~") else spec
    kind = kind_of(path)
    if kind == "folder":
        raise BadInput(
            "log-is-a-folder",
            f"{spec} is a folder.",
            because=("a log is a file",),
            fix=f"Give its logs: {Path(spec) / '*.log'}",
        )
    if kind != "missing":
        return [path]
    if glob.has_magic(path):
        found = [name for name in glob.glob(path, recursive=True) if kind_of(name) != "folder"]  # noqa: PTH207 - absolute patterns
        if found:
            return sorted(found, key=natural)
    elif missing_is_fine:
        return [path]
    near = near_names(path)
    raise BadInput(
        "log-not-found",
        f"There is no log at {spec}.",
        because=tuple(f"there is {name}" for name in near) or ("no file has that name",),
        fix="Check the path; other sources are journald:ollama, docker:NAME and - for standard input.",
    )


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A sorting key that puts server-2.log before server-10.log."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _DIGITS.split(name)]


def _file_lines(paths: Iterable[str], note: Note) -> Iterator[list[bytes]]:
    for path in paths:
        with _opened(path) as stream:
            yield from lists_of_lines(stream, path, note=note)


def _opened(path: str) -> Any:
    try:
        return Path(path).open("rb", buffering=CHUNK_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error


def _refuse_archives(paths: Iterable[str]) -> None:
    for path in paths:
        if path.endswith((".gz", ".zst", ".xz", ".bz2")):
            raise BadInput(
                "cannot-follow-archive",
                f"{path} is an archive: nothing will be added to it.",
                because=("--follow waits for new lines",),
                fix="Leave --follow away, or follow the log that is being written.",
            )
