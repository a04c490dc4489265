"""What an Ollama server is set to: its variables, by its process, its unit, its log, or a configuration that starts it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vramctl.checks.config_call import Asked
from vramctl.checks.runner import NotKnown, known
from vramctl.records.facts import OllamaServer
from vramctl.records.load import Log
from vramctl.records.unknown import Absent, Unknown


def server_environment(ollama: OllamaServer, log: object = None) -> Mapping[str, str]:
    """The server's variables: of its process or unit, else as its log prints them; NotKnown where neither is there."""
    if isinstance(ollama.environment, Mapping):
        return ollama.environment
    if isinstance(log, Log) and log.environment:  # it prints defaults too: false and empty say nothing
        return {name: text for name, text in log.environment.items() if text not in {"", "false", "0"}}
    raise NotKnown(ollama.environment.reason)


def ollama_variables(ollama: object, calls: object, log: object = None) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each set of variables that an Ollama server gets, with where it stands; NotThere, NotKnown where there is none."""
    given = [Asked.of(call) for call in calls] if isinstance(calls, tuple) else []
    found = False
    for asked in given:
        if asked.program == "ollama" and asked.marker.value == "variables":
            found = True
            yield (
                asked.marker.file,
                {name: str(s.value) for name, s in asked.settings.items() if not isinstance(s.value, Unknown)},
            )
    if isinstance(ollama, OllamaServer):
        yield "the server's environment", server_environment(ollama, log)
    elif not found:
        known(ollama if isinstance(ollama, Unknown | Absent) else Absent("there is no Ollama server"))
