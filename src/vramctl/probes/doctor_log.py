"""An engine's log as a fact: the one that was given, else that of the Ollama service since its last start."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from vramctl.records.facts import OllamaServer, Platform
from vramctl.records.finding import Finding
from vramctl.records.load import Log
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import World

HEAD_BYTES, TAIL_BYTES = 1 << 20, 7 << 20
_JOURNAL_LINES = "4000"
# What happened to requests days ago says nothing on the machine as it is now.
_OLD_NEWS = frozenset(
    {"requests-queue", "requests-failed", "client-gave-up", "reload-thrash", "models-evict-each-other"}
)


def look_log(world: World, asked: Any, facts: Any) -> Log | Unknown | Absent:
    """The log as a record; of a long one its beginning and its end. Absent where there is none."""
    if asked.log:
        told = world.ask(f"log {asked.log}", lambda: _bounded(asked.log))
        text = told.get("text") if isinstance(told, dict) else None
        if isinstance(text, str):
            log = _log(text, asked.log)
            known = not isinstance(log.source.engine, Unknown) or bool(log.seen)
            return log if known else Unknown(f"{asked.log} holds no line of an engine that is known")
        return told if isinstance(told, Unknown | Absent) else Unknown(f"log {asked.log}: the answer has another form")
    return _service_log(world, facts)


def look_log_findings(world: World, asked: Any, facts: Any) -> tuple[Finding, ...] | Unknown | Absent:
    """What `vramctl explain` finds in that log, root cause first."""
    log = facts.fact("log")
    if not isinstance(log, Log):
        return log if isinstance(log, Unknown | Absent) else Unknown("the log could not be read")
    from vramctl.checks.log_findings import findings

    found = findings(log)
    return found if asked.log else tuple(one for one in found if one.id not in _OLD_NEWS)


def look_log_given(world: World, asked: Any, facts: Any) -> bool:
    """Whether the log was given, so that it counts whatever is wrong with this machine."""
    return bool(asked.log)


def _log(text: str, name: str) -> Log:
    from vramctl.logs.assemble import assemble  # its rules take a while to import, and most runs have no log
    from vramctl.logs.decode import Stats, decode

    stats = Stats()
    return assemble(decode(text.splitlines(), stats=stats), stats=stats, name=name, size_bytes=len(text))


def _bounded(spec: str) -> dict[str, Any]:
    """The text of a log, at most 8 MiB: its first MiB (what the server found) and its last seven."""
    from vramctl.probes.log_sources import open_source

    path = Path(spec)
    if path.is_fifo() and not spec.startswith(("/dev/fd/", "/proc/")):
        return {"unknown": f"{spec} is a pipe; give a file, or - for standard input"}
    if path.is_char_device() or path.is_block_device() or spec in {"/proc/kmsg", "/proc/kcore"}:
        return {"unknown": f"{spec} is a device, not a file"}
    plain = not spec.endswith((".gz", ".zst", ".xz", ".bz2")) and path.is_file()
    if plain and path.stat().st_size > HEAD_BYTES + TAIL_BYTES:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            stream.seek(-TAIL_BYTES, 2)
            tail = stream.read(TAIL_BYTES).partition(b"\n")[2]
        return {"text": _text(head.rpartition(b"\n")[0] + b"\n" + tail), "cut": True}
    head_lines: list[bytes] = []
    tail_lines: deque[bytes] = deque()
    taken = kept = 0
    for line in open_source(spec):
        if taken < HEAD_BYTES:
            head_lines.append(line)
            taken += len(line) + 1
            continue
        tail_lines.append(line)
        kept += len(line) + 1
        while kept > TAIL_BYTES:
            kept -= len(tail_lines.popleft()) + 1
    return {"text": _text(b"\n".join((*head_lines, *tail_lines)))}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _service_log(world: World, facts: Any) -> Log | Unknown | Absent:
    """The Ollama service's log since its last start."""
    server, platform = facts.fact("ollama"), facts.fact("platform")
    if not isinstance(server, OllamaServer):
        return Absent("no log was given (--log FILE), and no Ollama service is here")
    system = platform.system if isinstance(platform, Platform) else ""
    if system == "linux":
        if not isinstance(server.unit, str):
            return Absent("no log was given (--log FILE), and Ollama is no service here")
        ran = world.run(
            "journalctl", "-u", "ollama", "-n", _JOURNAL_LINES, "-o", "short-iso", "--no-pager", "-q", timeout_seconds=3
        )
        if isinstance(ran, Unknown | Absent) or ran.code != 0 or not ran.stdout.strip():
            return Absent("the journal of the service ollama cannot be read by this user (group systemd-journal may)")
        return _log(_since_start(ran.stdout), "journald:ollama")
    variables = world.environ()
    folder = variables.get("LOCALAPPDATA", "") if system == "windows" else variables.get("HOME", "")
    path = f"{folder}\\Ollama\\server.log" if system == "windows" else f"{folder}/.ollama/logs/server.log"
    told = world.ask(f"log {path}", lambda: _bounded(path) if Path(path).is_file() else {"absent": "no such file"})
    text = told.get("text") if isinstance(told, dict) else None
    return _log(_since_start(text), path) if isinstance(text, str) else Absent(f"there is no {path}")


def _since_start(text: str) -> str:
    """The lines from the server's last start on; all where it started before them."""
    lines = text.splitlines()
    starts = [at for at, line in enumerate(lines) if "server config" in line]
    return "\n".join(lines[starts[-1] :] if starts else lines)
