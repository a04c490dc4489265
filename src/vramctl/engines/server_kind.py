"""Which program answers at an address: llama-server, Ollama, or why that cannot be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vramctl.engines.http_api import KEY_VARIABLE, Api, ApiFailed, Reply, key_of_environment, shown_url
from vramctl.engines.server_process import listening_process
from vramctl.engines.stopped import is_stopped
from vramctl.errors import CouldNotTell
from vramctl.records import Unknown

ASK_SECONDS = 5.0
LLAMA_SERVER, OLLAMA = "llama-server", "ollama"
_FIX = "Give the address of a llama-server or an Ollama, such as http://127.0.0.1:8080."
_OWN_KEYS = ("default_generation_settings", "total_slots", "model_path")


@dataclass(frozen=True, slots=True)
class Answering:
    """A server that was recognised: its API, which program it is, and its process where that is on this machine."""

    api: Api
    kind: str
    pid: int | Unknown
    props: dict[str, Any]
    """llama-server's /props; empty for Ollama."""


def look_server(url: str) -> Answering:
    """The server at `url`; CouldNotTell where none answers, where it is another program, or where it is not ready."""
    shown = shown_url(url)
    try:
        api = Api(url, api_key=key_of_environment())
    except ValueError as error:
        raise _no_server(shown, str(error)) from error
    pid = listening_process(api.host, api.port)
    try:
        props = api.get("/props", timeout_seconds=ASK_SECONDS)
        if _is_llama_server(props):
            _refuse_router(shown, props.document)
            return Answering(api, LLAMA_SERVER, pid, props.document)
        _refuse(shown, props)
        version = api.get("/api/version", timeout_seconds=ASK_SECONDS)
    except ApiFailed as error:
        if error.timed_out and not isinstance(pid, Unknown) and is_stopped(pid):
            raise _stopped(shown, pid) from error
        raise _no_server(shown, str(error)) from error
    if (
        version.status == 200
        and isinstance(version.document, dict)
        and isinstance(version.document.get("version"), str)
    ):
        return Answering(api, OLLAMA, pid, {})
    raise CouldNotTell(
        "server-not-known", f"What answers at {shown} is neither llama-server nor Ollama.",
        because=(f"/props: {_brief(props)}", f"/api/version: {_brief(version)}"), fix=_FIX,
    )  # fmt: skip


def _is_llama_server(props: Reply) -> bool:
    return props.status == 200 and isinstance(props.document, dict) and any(key in props.document for key in _OWN_KEYS)


def _refuse(url: str, props: Reply) -> None:
    """CouldNotTell for a server that wants a key, or that still loads its model."""
    if props.status in (401, 403):
        raise CouldNotTell(
            "server-needs-key", f"The server at {url} asks for an API key.", because=(f"/props: {_brief(props)}",),
            fix=f"Set {KEY_VARIABLE} to the key that the server was started with (--api-key).",
        )  # fmt: skip
    if props.status == 503 and isinstance(props.document, dict):
        raise CouldNotTell(
            "server-not-ready", f"The server at {url} has no model loaded yet.", because=(f"/props: {_brief(props)}",),
            fix="Ask again once its model is loaded (/health answers 200 then).",
        )  # fmt: skip


def _refuse_router(url: str, props: dict[str, Any]) -> None:
    """CouldNotTell for a llama-server that has no model and passes requests on to other ones (tools/server, b11434)."""
    if props.get("role") == "router":
        raise CouldNotTell(
            "server-is-router", f"The llama-server at {url} is a router: its models run in servers of their own.",
            because=("/props: role router",),
            fix="Give the address of one of these (`pgrep -af llama-server` names their ports), or start one with --model.",
        )  # fmt: skip


def _brief(reply: Reply) -> str:
    return reply.error if reply.document is not None or reply.status != 200 else "HTTP 200 without JSON"


def _stopped(url: str, pid: int) -> CouldNotTell:
    return CouldNotTell(
        "server-stopped", f"The server at {url} does not answer: its process {pid} is stopped.",
        because=("it was sent SIGSTOP, or Ctrl-Z in its terminal",), fix=f"Let it go on: kill -CONT {pid}",
    )  # fmt: skip


def _no_server(url: str, reason: str) -> CouldNotTell:
    return CouldNotTell("no-server", f"No server answers at {url}.", because=(reason,), fix=_FIX)
