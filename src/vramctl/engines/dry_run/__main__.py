"""`python -m vramctl.engines.dry_run LIBRARY...`: jobs as JSON lines on stdin, answers as JSON lines on stdout."""

from __future__ import annotations

import argparse
import json
import os
import sys

from vramctl.engines.dry_run.layouts import LayoutUnknown
from vramctl.engines.dry_run.session import Failed, Session

# Recurrent state on the host is allocated even in no_alloc mode, at whatever size a header claims. A dry run of an 8B needs
# 70 MiB; what fails at this bound makes the scheduler measure instead of reserve, or the engine refuse.
ADDRESS_SPACE_BYTES = 4 << 30


def limit_memory() -> None:
    """Bounds this process's memory and writes no core file, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    bound = ADDRESS_SPACE_BYTES if most == resource.RLIM_INFINITY else min(ADDRESS_SPACE_BYTES, most)
    resource.setrlimit(resource.RLIMIT_AS, (bound, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> int:
    """Answers jobs until stdin ends."""
    limit_memory()
    parser = argparse.ArgumentParser(prog="vramctl.engines.dry_run")
    parser.add_argument("library", nargs="+")
    parser.add_argument("--max-devices", type=int, default=1)
    parser.add_argument("--backends-from")
    options = parser.parse_args()
    # The engine prints what it likes on file descriptor 1; answers go to a private copy of it.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(document: dict[str, object]) -> None:
        answers.write(json.dumps(document) + "\n")
        answers.flush()

    try:
        session = Session(options.library, max_devices=options.max_devices, backends_from=options.backends_from)
        answer({"ready": True, **session.describe()})
    except (LayoutUnknown, OSError) as error:
        answer({"ready": False, "error": str(error)})
        return 3
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer({"id": job["id"], "ok": True, **session.ask(job)})
        except (Failed, LayoutUnknown) as error:
            answer({"id": job["id"], "ok": False, "error": str(error), "log": session.log[-20:]})
    # Static destructors of a half-known engine are not worth a crash: leave without them.
    answers.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
