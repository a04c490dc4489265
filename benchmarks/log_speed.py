"""How many MB of log a CPU second reads: vramctl, the requirement document's regexes, the logfmt package, lnav.

    python benchmarks/log_speed.py FOLDER-OF-LOGS [--megabytes 200] [--rounds 3] [--lnav lnav] [--out FILE]

All logs of the folder, one behind the other, are repeated to the given size; every contestant reads that file, in turn, in a
process of its own.  Four texts:

- `mix`: as described.  Its lines recur, as lines of a server do that loads the same model again and again, only more so.
- `changed`: the same, with every digit changed in another way in each repetition: no line recurs letter for letter, other
  than by chance.  It shows what a log costs that never says the same thing twice.
- `slog`: only Ollama's own `time= level= source= msg=` lines, which are the ones that lnav has a format for (logfmt_log).
- `slog changed`: the same with the digits changed, as in `changed`, and a time of its own on every line, as in a server's log.

Counted are the CPU seconds (user and system) of reading the file and finding all events.  What each does for it: vramctl gives
events with typed fields; the regexes (14, from docs/requirement-regexes.md, with the doubled backslashes reduced, since as
printed 13 of them match nothing) give groups of text; logfmt gives a dict of texts; lnav indexes time and level ("index"), or
writes out all fields ("fields").
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

DOCUMENT = Path(__file__).parents[1] / "docs" / "requirement-regexes.md"
SLOG = re.compile(rb"^time=\S+ level=\S+ .*msg=")
LNAV_FIELDS = ["-c", ";SELECT log_time, log_level, fields FROM logfmt_log", "-c", ":write-csv-to /dev/null"]
LNAV_INDEX = ["-c", ";SELECT count(*) FROM logfmt_log"]


def requirement_regexes() -> list[re.Pattern[str]]:
    """The document's 14 regexes with single backslashes."""
    printed = re.findall(r"```regex printed\n(.+)\n```", DOCUMENT.read_text(encoding="utf-8"))
    return [re.compile(regex.replace("\\\\", "\\")) for regex in printed]


def events(path: str) -> int:
    """How many events vramctl finds."""
    from vramctl.logs import decode
    from vramctl.probes.log_sources import open_source

    next(decode(["load_tensors: offloaded 1/2 layers to GPU"]), None)  # the rules are compiled before the clock starts
    return timed(lambda: sum(1 for _ in decode(open_source(path))))


def regexes(path: str) -> int:
    """How many lines the requirement's regexes match, each tried on each line."""
    patterns = requirement_regexes()

    def run() -> int:
        found = 0
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                for pattern in patterns:
                    match = pattern.search(line)
                    if match is not None:
                        match.groups()
                        found += 1
        return found

    return timed(run)


def logfmt(path: str) -> int:
    """How many lines the package logfmt turns into a dict."""
    import logfmt as package

    def run() -> int:
        with open(path, encoding="utf-8", errors="replace") as file:
            return sum(1 for _ in package.parse(file))

    return timed(run)


def loop(path: str) -> int:
    """The floor: a loop over the file's lines as bytes that does nothing."""

    def run() -> int:
        with open(path, "rb") as file:
            return sum(1 for _ in file)

    return timed(run)


def timed(run: Any) -> int:
    """Runs and prints CPU seconds and the count."""
    before = time.process_time()
    found: int = run()
    print(json.dumps([time.process_time() - before, found]))
    return found


CONTESTANTS = {"vramctl": events, "requirement regexes": regexes, "logfmt": logfmt, "bytes loop": loop}
RACES = {
    "mix": ("vramctl", "requirement regexes", "logfmt", "bytes loop"),
    "changed": ("vramctl", "requirement regexes", "logfmt"),
    "slog": ("vramctl", "lnav index", "lnav fields", "requirement regexes", "logfmt"),
    "slog changed": ("vramctl", "lnav index", "lnav fields", "requirement regexes", "logfmt"),
}


def texts(folder: Path, size: int, into: Path) -> dict[str, Path]:
    """The three files."""
    lines = [line for path in sorted(folder.rglob("*.log")) for line in path.read_bytes().splitlines()]
    mix = b"\n".join(lines) + b"\n"
    slog = b"\n".join(line for line in lines if SLOG.match(line)) + b"\n"
    for name, text in (("mix", mix), ("slog", slog)):
        (into / name).write_bytes(text * max(1, size // len(text)))
    with (into / "changed").open("wb") as file:
        for digits in other_digits(size // len(mix)):
            file.write(mix.translate(digits))
    without_time = re.sub(rb"^time=\S+", b"", slog, flags=re.MULTILINE)
    lines_before = 0
    with (into / "slog changed").open("wb") as file:
        for digits in other_digits(size // len(slog)):
            rests = without_time.translate(digits).splitlines(keepends=True)
            file.writelines(b"time=%s%s" % (stamp(number), rest) for number, rest in enumerate(rests, lines_before))
            lines_before += len(rests)
    return {name: into / name for name in RACES}


def other_digits(times: int) -> Iterator[bytes]:
    """Tables for `bytes.translate` that put other digits for all digits."""
    dice = Random(1)
    for _ in range(max(1, times)):
        digits = list(b"0123456789")
        dice.shuffle(digits)
        yield bytes.maketrans(b"0123456789", bytes(digits))


def stamp(number: int) -> bytes:
    """The time of a line: one every 37 ms."""
    seconds, millis = divmod(number * 37, 1000)
    return b"2025-07-%02dT%02d:%02d:%02d.%03d+02:00" % (
        1 + seconds // 86400 % 31, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60, millis,
    )  # fmt: skip


def once(who: str, path: Path, lnav: str, home: Path) -> tuple[float, int]:
    """CPU seconds and how much was found."""
    if who.startswith("lnav"):
        command = [lnav, "-n", *(LNAV_FIELDS if who == "lnav fields" else LNAV_INDEX), str(path)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environ = {**os.environ, "HOME": str(home), "TERM": "dumb"}
        subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, -1
    command = [sys.executable, __file__, "--contestant", who, str(path)]
    seconds, found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return seconds, found


def measure(folder: Path, size: int, rounds: int, lnav: str) -> dict[str, Any]:
    """MB per CPU second of every contestant on every text, with the samples."""
    with tempfile.TemporaryDirectory() as name:
        found: dict[str, Any] = {}
        files = texts(folder, size, Path(name))
        for race, names in RACES.items():
            here = [who for who in names if not who.startswith("lnav") or shutil.which(lnav)]
            samples: dict[str, list[float]] = {who: [] for who in here}
            counts: dict[str, int] = {}
            megabytes = files[race].stat().st_size / 1e6
            for _ in range(rounds):
                for who in here:
                    seconds, counts[who] = once(who, files[race], lnav, Path(name))
                    samples[who].append(seconds)
                    print(f"{race:12} {who:20} {megabytes / seconds:8.1f} MB/s", file=sys.stderr)
            found[race] = {
                "megabytes": round(megabytes, 1),
                "rows": {who: row(megabytes, taken, counts[who]) for who, taken in samples.items()},
            }
    return found


def row(megabytes: float, seconds: list[float], found: int) -> dict[str, Any]:
    """One contestant's result."""
    median = statistics.median(seconds)
    result: dict[str, Any] = {"megabytes_per_cpu_second": round(megabytes / median, 1), "cpu_seconds": seconds}
    return result | ({} if found < 0 else {"found": found})


def ratios(races: dict[str, Any]) -> dict[str, float]:
    """How many times faster vramctl is."""
    return {
        f"{race}: vramctl / {who}": round(
            found["rows"]["vramctl"]["megabytes_per_cpu_second"] / other["megabytes_per_cpu_second"], 2
        )
        for race, found in races.items()
        for who, other in found["rows"].items()
        if who != "vramctl"
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=float, default=200.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lnav", default="lnav")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "log-speed.json")
    parser.add_argument("--contestant", choices=CONTESTANTS)
    asked = parser.parse_args()
    if asked.contestant:
        CONTESTANTS[asked.contestant](str(asked.folder))
        return
    races = measure(asked.folder, int(asked.megabytes * 1e6), asked.rounds, asked.lnav)
    version = subprocess.run([asked.lnav, "-V"], capture_output=True, text=True, check=False).stdout.strip()
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cpu": cpu(), "lnav": version}
    result = {
        "machine": machine,
        "goals": {"requirement regexes": 3, "logfmt": 25, "lnav": 1},
        "ratios": ratios(races),
        **races,
    }
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["ratios"], indent=1))


def cpu() -> str:
    """The processor's name, as Linux tells it."""
    try:
        return re.findall(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())[0]
    except (OSError, IndexError):
        return platform.processor()


if __name__ == "__main__":
    main()
