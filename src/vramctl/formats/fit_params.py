"""What `llama-fit-params --fit-print on` prints: a line per device and one for the host, whole MiB.

Format read from tools/fit-params/fit-params.cpp and common/fit.cpp of llama.cpp 0c1e57098, and from its real output on two
H200s (`CUDA0 2113 544 172`, `Host 281 0 72`: name, model, context, compute).
"""

from __future__ import annotations

import re

from vramctl.units import MIB

_LINE = re.compile(r"^(?P<name>\S+) (?P<model>\d{1,9}) (?P<context>\d{1,9}) (?P<compute>\d{1,9})\s*$")


def parse_fit_params(text: str) -> dict[str, tuple[int, int, int]]:
    """Bytes by device name (weights, KV, compute), each rounded down to a MiB by the program; other lines are ignored."""
    found = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            found[match["name"]] = (
                int(match["model"]) * MIB,
                int(match["context"]) * MIB,
                int(match["compute"]) * MIB,
            )
    return found
