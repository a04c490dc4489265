"""What the doctor finds in configurations."""

from __future__ import annotations

from dataclasses import dataclass

from vramctl.records.unknown import Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting found in a configuration: `name` is the field's (n_gpu_layers, offload_kqv, ...), `written` what
    stood there.

    `program` is whose setting it is: llama-cpp-python, llama-server, ollama, exllamav2, ...; `value` is Unknown
    where it is an expression.
    """

    name: str
    value: str | int | float | bool | Unknown
    written: str
    file: str
    line: int
    program: str
    call: int = 0
    """Which call or command line it belongs to (they are numbered over all files)."""
    taken_from: Setting | None = None
    """The variable of a .env file from which a source takes the value."""
