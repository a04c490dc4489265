"""The machine as something that answers questions: live, recorded while it answers, or replayed from a recording.

Every question has a key that a person can read (`file /proc/driver/nvidia/version`), and its answer is JSON. A
recording is a
folder with `recording.json`, so that a bug report is a test: whatever reads the machine through a `World` can
be replayed anywhere.
"""

from __future__ import annotations

import codecs
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from vramctl.errors import BadInput
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.files import read_small
from vramctl.world.programs import Ran, run_program
from vramctl.world.redact import Redactor

SCHEMA = "vramctl.recording/1"
RECORDING = "recording.json"
MAX_RECORDING = 64 << 20
SLOW_SECONDS = 1.5
_QUICK = ("file ", "stat ", "list ", "environ")
_MOST_LIKE = 8  # recordings that stand on each other

Json = Any


class Source(Protocol):
    """Who answers: `look` asks the live machine."""

    live: bool

    def answer(self, key: str, look: Callable[[], Json]) -> Json:
        """JSON; `{"unknown": reason}` or `{"absent": reason}` where there is no answer."""


class World:
    """Questions to a machine. No method raises for what the machine does; failures are Unknown, what is not there is
    Absent."""

    def __init__(self, source: Source | None = None, on_wait: Callable[[str], object] | None = None) -> None:
        """`on_wait` is told the name of a question that takes longer than a person expects."""
        self._source: Source = source or Live()
        self._on_wait = on_wait

    @property
    def live(self) -> bool:
        """Whether this is the machine itself (recordings cannot answer what nobody asked)."""
        return self._source.live

    def ask(self, key: str, look: Callable[[], Json]) -> Json | Unknown | Absent:
        """The answer to any question that gives JSON: NVML, a child process, a library's imports, a web server."""
        with self._announced(key):
            found = self._source.answer(key, look)
        if isinstance(found, dict):
            if "unknown" in found:
                return Unknown(str(found["unknown"]))
            if "absent" in found:
                return Absent(str(found["absent"]))
        return found

    @contextmanager
    def _announced(self, key: str) -> Iterator[None]:
        if self._on_wait is None or not self.live or key.startswith(_QUICK):
            yield
            return
        timer = threading.Timer(SLOW_SECONDS, self._on_wait, (key,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def text(self, path: str, *, limit: int = 1 << 20) -> str | Unknown | Absent:
        """A small file as text, at most its first `limit` bytes (files of /proc and /sys too)."""
        found = self.ask(f"file {path}", lambda: _read(path, limit))
        return (
            found if isinstance(found, str | Unknown | Absent) else Unknown(f"file {path}: the recording has no text")
        )

    def names(self, path: str) -> tuple[str, ...] | Unknown | Absent:
        """The names in a folder, sorted, at most 5000."""
        found = self.ask(f"list {path}", lambda: _listed(path))
        return tuple(str(name) for name in found) if isinstance(found, list) else _reason(found, path)

    def status(self, path: str) -> Mapping[str, Json] | Unknown | Absent:
        """Of a path: kind (file, folder, char, other), mode, owner, group, size_bytes, target (real path), readable,
        writable."""
        found = self.ask(f"stat {path}", lambda: _status(path))
        return found if isinstance(found, dict) else _reason(found, path)

    def exists(self, path: str) -> bool:
        """Whether something is there that can be looked at."""
        return isinstance(self.status(path), dict)

    def run(
        self, *arguments: str, timeout_seconds: float = 10, environ: Mapping[str, str] | None = None, key: str = ""
    ) -> Ran | Unknown | Absent:
        """A program's answer within its time limit; `key` replaces the command line as the question's name."""
        found = self.ask(key or f"run {' '.join(arguments)}", lambda: _ran(arguments, timeout_seconds, environ))
        if isinstance(found, dict) and isinstance(found.get("code"), int):
            out, err = str(found.get("stdout", "")), str(found.get("stderr", ""))
            return Ran(found["code"], out, err, bool(found.get("timed_out", False)))
        return _reason(found, arguments[0])

    def environ(self) -> Mapping[str, str]:
        """The variables of this process (a recording keeps only those that matter to GPUs and engines)."""
        found = self.ask("environ", lambda: dict(os.environ))
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


class Live:
    """The machine itself; each question is asked once."""

    live = True

    def __init__(self) -> None:
        self._told: dict[str, Json] = {}

    def answer(self, key: str, look: Callable[[], Json]) -> Json:
        """Ask, and remember."""
        if key not in self._told:
            try:
                self._told[key] = look()
            except (OSError, ValueError) as error:
                self._told[key] = {"unknown": f"{type(error).__name__}: {error}"}
        return self._told[key]


class Recording(Live):
    """The machine itself, with everything that was asked and answered kept, names and keys redacted when it is
    saved."""

    def save(self, folder: str, *, version: str, note: str = "", asked: Mapping[str, Json] | None = None) -> Path:
        """Write `recording.json` into the folder (made where it is missing); BadInput where that cannot be done.

        `asked` is what the command was asked about: a replay asks the same.
        """
        redactor = Redactor.of_this_machine()
        answers = {redactor.text(key): redactor.value(key, value) for key, value in sorted(self._told.items())}
        document: dict[str, Json] = {"schema": SCHEMA, "vramctl": version, "made": "real", "note": redactor.text(note)}
        document |= {"asked": redactor.value("", dict(asked or {})), "answers": answers}
        path = Path(folder) / RECORDING
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise BadInput(
                "cannot-write", f"{path} cannot be written.", because=(error.strerror or str(error),),
                fix="Give --record a folder that can be made and written.",
            ) from None  # fmt: skip
        return path


class Recorded:
    """A recording that answers instead of a machine. Keys with null are taken out of the recording it is `like`."""

    live = False

    def __init__(self, folder: str) -> None:
        self.document, self._answers = _load(folder, _MOST_LIKE)

    def answer(self, key: str, look: Callable[[], Json]) -> Json:
        """What was answered then."""
        return self._answers.get(key, {"unknown": "not in this recording"})


def _load(folder: str, depth: int) -> tuple[dict[str, Json], dict[str, Json]]:
    """The document and all answers: those of what it is `like`, then its own, then those of `recording.*.json`
    beside it."""
    path = Path(folder) / RECORDING if Path(folder).is_dir() else Path(folder)
    document = _document(path)
    like = document.get("like", [])
    answers: dict[str, Json] = {}
    for name in [like] if isinstance(like, str) else like if isinstance(like, list) else []:
        if depth == 0:
            raise _no_recording(path, "it stands on too many others")
        answers |= _load(str(path.parent / str(name)), depth - 1)[1]
    for part in (document, *(_document(more) for more in sorted(path.parent.glob("recording.*.json")))):
        answers |= part["answers"]
    return document, {key: value for key, value in answers.items() if value is not None}


def _document(path: Path) -> dict[str, Json]:
    try:
        document = json.loads(read_small(str(path), limit=MAX_RECORDING))
        if document["schema"] != SCHEMA or not isinstance(document["answers"], dict):
            raise ValueError("it is no recording of vramctl doctor")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_recording(path, str(error) or type(error).__name__) from None
    found: dict[str, Json] = document
    return found


def _no_recording(path: Path, reason: str) -> BadInput:
    return BadInput(
        "not-a-recording",
        f"{path} cannot be replayed.",
        because=(reason,),
        fix="Give --replay a folder that `vramctl doctor --record` wrote.",
    )


def _reason(found: object, what: str) -> Unknown | Absent:
    return found if isinstance(found, Unknown | Absent) else Unknown(f"{what}: the recording's answer has another form")


def _read(path: str, limit: int) -> Json:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return {"unknown": "it is not a regular file"}
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            parts, left = [], limit
            while left > 0 and (part := os.read(descriptor, min(left, 1 << 16))):
                parts.append(part)
                left -= len(part)
        finally:
            os.close(descriptor)
        return _decoded(b"".join(parts))
    except OSError as error:
        return _failed(error)


def _decoded(raw: bytes) -> str:
    """As UTF-8; files that Windows' editors and PowerShell write by their mark, which is left out."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if raw.startswith(mark):
            return raw[len(mark) :].decode(name, "replace")
    return raw.decode("utf-8", "replace")


def _listed(path: str) -> Json:
    try:
        with os.scandir(path) as scan:
            return sorted(entry.name for entry, _ in zip(scan, range(5000), strict=False))
    except OSError as error:
        return _failed(error)


def _status(path: str) -> Json:
    try:
        found = Path(path).stat()
        kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFCHR: "char"}
        return {
            "kind": kinds.get(stat.S_IFMT(found.st_mode), "other"),
            "mode": stat.S_IMODE(found.st_mode),
            "owner": _owner(found.st_uid),
            "group": _group(found.st_gid),
            "size_bytes": found.st_size,
            "target": str(Path(path).resolve()),
            "readable": os.access(path, os.R_OK),
            "writable": os.access(path, os.W_OK),
        }
    except (OSError, RuntimeError) as error:
        return _failed(error) if isinstance(error, OSError) else {"unknown": "its links go in a circle"}


def _owner(number: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return str(number)


def _group(number: int) -> str:
    try:
        import grp

        return grp.getgrgid(number).gr_name
    except (ImportError, KeyError):
        return str(number)


def _ran(arguments: Sequence[str], timeout_seconds: float, environ: Mapping[str, str] | None) -> Json:
    ran = run_program(arguments, timeout_seconds=timeout_seconds, environ=environ)
    if isinstance(ran, Unknown):
        return {"absent" if "No such file" in ran.reason else "unknown": ran.reason}
    return {"code": ran.code, "stdout": ran.stdout, "stderr": ran.stderr, "timed_out": ran.timed_out}


def _failed(error: OSError) -> Json:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return {"absent": "no such file"}
    return {"unknown": error.strerror or type(error).__name__}
