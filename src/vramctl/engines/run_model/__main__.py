"""`python -m vramctl.engines.run_model LIBRARY...`: jobs as JSON lines on stdin, answers as JSON lines on stdout."""

from __future__ import annotations

import argparse
import gc
import json
import os
import queue
import sys
import threading

from vramctl.engines.dry_run.layouts import LayoutUnknown
from vramctl.engines.leash import die_with
from vramctl.engines.run_model.context import EngineFailed
from vramctl.engines.run_model.log_file import LogFile
from vramctl.engines.run_model.session import Session


def limit_memory(most_bytes: int | None) -> None:
    """Writes no core file (a model is large), and bounds this process's address space where that is asked."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))


def read_jobs(into: queue.SimpleQueue[str]) -> None:
    """Puts each line of stdin into the queue; ends this process, whatever it computes, once the parent is gone."""
    for line in sys.stdin:
        into.put(line)
    os._exit(0)


def main() -> int:
    """Answers jobs until one says unload, or the parent ends."""
    parser = argparse.ArgumentParser(prog="vramctl.engines.run_model")
    parser.add_argument("library", nargs="+")
    parser.add_argument("--backends-from")
    parser.add_argument("--log-number", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--memory-limit", type=int)
    options = parser.parse_args()
    die_with(options.parent)
    limit_memory(options.memory_limit)
    # The engine prints what it likes on file descriptor 1; answers go to a private copy of it.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(document: dict[str, object]) -> None:
        answers.write(json.dumps(document) + "\n")
        answers.flush()

    try:
        session = Session(options.library, backends_from=options.backends_from, log=LogFile(options.log_number))
        answer({"ready": True, **session.describe()})
    except (LayoutUnknown, OSError) as error:
        answer({"ready": False, "error": str(error)})
        return 3
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=read_jobs, args=(jobs,), daemon=True).start()
    gc.collect()
    gc.disable()  # no pause inside a measurement; this process makes few cycles
    while True:
        job = json.loads(jobs.get())
        try:
            answer({"id": job["id"], "ok": True, **session.ask(job)})
        except (EngineFailed, LayoutUnknown, MemoryError) as error:
            layout = isinstance(error, LayoutUnknown)
            answer({"id": job["id"], "ok": False, "layout": layout, "error": str(error) or type(error).__name__})
        if job["do"] == "unload":
            os._exit(0)  # static destructors of a half-known engine are not worth a crash


if __name__ == "__main__":
    sys.exit(main())
