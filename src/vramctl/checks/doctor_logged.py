"""Checks that only an engine's log answers: the runner puts what the log shows under the same id in their place."""

from __future__ import annotations

from collections.abc import Iterator

from vramctl.checks.runner import Check
from vramctl.records.finding import Finding

Shown = tuple[Finding, ...]


def ollama_igpu_dropped(log_findings: Shown) -> Iterator[Finding]:
    """
    Ollama leaves an integrated GPU out by policy.

    Why it matters: since v0.30.0 integrated GPUs are used only where a list of known good ones or OLLAMA_IGPU_ENABLE allows
    them; before, they were.

    How it is seen: `dropping integrated GPU; to enable, set OLLAMA_IGPU_ENABLE=1` in the server's log.

    How sure: certain that it is left out. A weak one can be slower than the CPU (reports of 30 to 38 %): measure after enabling.
    """
    return iter(())


def ollama_discovery_timeout(log_findings: Shown) -> Iterator[Finding]:
    """
    Ollama's search for GPUs took too long or crashed.

    Why it matters: the server gives up after 30 s on Linux and 90 s on Windows and serves from the CPU until it is restarted.
    Reasons: many GPUs without persistence mode, a virus scanner that reads the libraries for the first time, a hung driver.

    How it is seen: `GPU discovery watchdog timed out` or `failure during ... GPU discovery` in the server's log.

    How sure: high.
    """
    return iter(())


def ollama_load_timeout(log_findings: Shown) -> Iterator[Finding]:
    """
    A model took longer to load than the server waits.

    Why it matters: after OLLAMA_LOAD_TIMEOUT (5 minutes) without progress the runner is ended; the same happens at every try.
    Reasons: a slow or remote disk, the first compilation of PTX code, a model that does not fit in system memory.

    How it is seen: `timed out waiting for llama runner to start` with the progress it had, in the server's log.

    How sure: high.
    """
    return iter(())


def ollama_runner_crash(log_findings: Shown) -> Iterator[Finding]:
    """
    The process that runs a model died.

    Why it matters: the request fails. The exit code gives the class: an instruction that the CPU lacks (SIGILL, 0xc000001d), a
    driver or library (SIGSEGV, 0xc0000005), system memory (killed), GPU memory (exit 2).

    How it is seen: `llama runner process has terminated` in the server's log, with the lines before it.

    How sure: medium - the code gives the class, the lines before it the cause where they print one.
    """
    return iter(())


def load_error_hidden(log_findings: Shown) -> Iterator[Finding]:
    """
    The engine's reason for a failed load is hidden behind a general exception.

    Why it matters: `Failed to create llama_context` and `Failed to load model from file` are the same text for lack of memory,
    a missing flash attention, an unknown architecture. With verbose=False nothing else is printed.

    How it is seen: one of these exceptions in a log without the engine's lines before it.

    How sure: certain - reproduced with llama-cpp-python 0.3.36.
    """
    return iter(())


OLLAMA_CHECKS: tuple[Check, ...] = (ollama_igpu_dropped, ollama_discovery_timeout)
LOAD_CHECKS: tuple[Check, ...] = (ollama_load_timeout, ollama_runner_crash, load_error_hidden)
