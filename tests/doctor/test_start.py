"""What `vramctl doctor` costs before it looks at anything."""

from __future__ import annotations

import subprocess
import sys

# Large modules that only --active, --log and --config need.
HEAVY = (
    "vramctl.engines.binding",
    "vramctl.logs.assemble",
    "vramctl.logs.tables",
    "vramctl.checks.log_findings",
    "xllamacpp",
)


def test_the_doctor_starts_without_engines_and_log_tables() -> None:
    code = f"import sys, vramctl.doctor; print([name for name in {HEAVY!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"
