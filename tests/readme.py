"""The README's outputs: `python tests/readme.py` rewrites them from the commands named above them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
READMES = (ROOT / "README.md", ROOT / "README.ru.md")
_OUTPUT = re.compile(
    r"(?P<head><!-- output: vramctl (?P<arguments>[^\n]*?) -->\n```\w*\n)(?P<body>.*?)(?P<tail>```\n)", re.DOTALL
)


def printed(arguments: str) -> str:
    """What the command prints at 80 columns without colour."""
    environ = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8", "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "vramctl", *shlex.split(arguments)]
    ran = subprocess.run(
        command, capture_output=True, text=True, env=environ, timeout=120, check=False, encoding="utf-8"
    )
    return ran.stdout


def outputs(text: str) -> dict[str, str]:
    """Each command named in a README with the output that stands under it."""
    return {match["arguments"]: match["body"] for match in _OUTPUT.finditer(text)}


def rewritten(text: str) -> str:
    """The README with fresh outputs."""
    return _OUTPUT.sub(lambda m: m["head"] + printed(m["arguments"]) + m["tail"], text)


if __name__ == "__main__":
    for readme in (*READMES, ROOT / "docs" / "explain.md", ROOT / "docs" / "plan.md", ROOT / "docs" / "doctor.md"):
        readme.write_text(rewritten(readme.read_text(encoding="utf-8")), encoding="utf-8")
