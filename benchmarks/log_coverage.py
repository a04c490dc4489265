"""How much of each log's engine lines no rule recognises: `python benchmarks/log_coverage.py LOG...`.

Lines of other programs (shell, Markdown, kernel) are counted apart.  The lines that count are listed at the end.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from vramctl.logs import Stats, decode

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def main(paths: list[str]) -> None:
    """Prints a row a log, the sum, and the commonest shapes of lines that no rule knows."""
    shapes: Counter[str] = Counter()
    total = Stats()
    print(f"{'engine lines':>12} {'unknown':>8} {'share':>7} {'foreign':>8}  log")
    for path in paths:
        stats = Stats()
        with Path(path).open("rb") as lines:
            for event in decode(lines, stats=stats):
                if event.kind == "unrecognised":
                    shapes[f"{event.function}: {_NUMBER.sub('N', event.text)[:140]}"] += 1
        total.recognised += stats.recognised
        total.unrecognised += stats.unrecognised
        total.foreign += stats.foreign
        print(_row(stats, Path(path).name))
    print(_row(total, "all"))
    for shape, count in shapes.most_common(100):
        print(f"{count:6} {shape}")


def _row(stats: Stats, name: str) -> str:
    """One line of the table."""
    share = stats.unrecognised / stats.engine_lines if stats.engine_lines else 0.0
    return f"{stats.engine_lines:12} {stats.unrecognised:8} {share:7.2%} {stats.foreign:8}  {name}"


if __name__ == "__main__":
    main(sys.argv[1:])
