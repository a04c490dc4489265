"""How an Ollama server is found, and which of its variables count."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from vramctl.checks import doctor_ollama
from vramctl.checks.runner import NotKnown
from vramctl.doctor.facts import Asked, MachineFacts
from vramctl.doctor.looks import LOOKS
from vramctl.probes.doctor_ollama import server_url
from vramctl.records.facts import OllamaServer, Platform
from vramctl.records.unknown import Absent, Unknown
from vramctl.world.machine import Live, World

LINUX = Platform(system="linux")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"), ("0.0.0.0", "http://127.0.0.1:11434"), ("0.0.0.0:11435", "http://127.0.0.1:11435"),
        ("gpu-box", "http://gpu-box:11434"), ("http://gpu-box", "http://gpu-box:80"), ("https://gpu-box/x", "https://gpu-box:443"),
        ("[::]:11434", "http://[::1]:11434"), ('"127.0.0.1:1"', "http://127.0.0.1:1"), ("a:b:c", "http://127.0.0.1:11434"),
    ],
)  # fmt: skip
def test_the_address_is_where_a_client_connects(text: str, url: str) -> None:
    assert server_url(text) == url


class Answers(Live):
    """A machine with an environment of its own."""

    def __init__(self, **told: Any) -> None:
        super().__init__()
        self._told = {key.replace("__", " "): value for key, value in told.items()}


class Server(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"version": 5}', b"\xff\xfe", b'{"models": 3}', b"null"])
def test_a_server_that_answers_nonsense_is_no_fault_of_ours(body: bytes) -> None:
    handler = type("Handler", (Server,), {"body": body})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        host = f"127.0.0.1:{server.server_port}"
        facts = MachineFacts(World(Answers(environ={"OLLAMA_HOST": host}, processes__ollama=[])), Asked(), LOOKS)
        found = facts.fact("ollama")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert isinstance(found, OllamaServer | Absent)


def test_no_server_is_absent_and_not_unknown() -> None:
    facts = MachineFacts(World(Answers(environ={"OLLAMA_HOST": "127.0.0.1:9"}, processes__ollama=[])), Asked(), LOOKS)
    found = facts.fact("ollama")
    assert isinstance(found, Absent | OllamaServer)
    if isinstance(found, Absent):
        assert "127.0.0.1:9" in found.reason


def server(**fields: Any) -> OllamaServer:
    return OllamaServer(url="http://127.0.0.1:11434", **fields)


@pytest.mark.parametrize(
    ("version", "variables", "severity"),
    [
        ("0.6.8", {"OLLAMA_KV_CACHE_TYPE": "q8_0"}, "warning"),
        ("0.6.8", {"OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_FLASH_ATTENTION": "1"}, ""),
        ("0.6.8", {"OLLAMA_KV_CACHE_TYPE": "f16"}, ""),
        ("0.13.5", {"OLLAMA_KV_CACHE_TYPE": "q8_0"}, "warning"),
        ("0.30.0", {"OLLAMA_KV_CACHE_TYPE": "q8_0"}, ""),
        ("0.30.0", {"OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_FLASH_ATTENTION": "0"}, "error"),
        ("0.30.0", {"OLLAMA_FLASH_ATTENTION": "0"}, ""),
    ],
)
def test_a_cache_type_needs_flash_attention_as_the_version_has_it(
    version: str, variables: dict[str, str], severity: str
) -> None:
    found = list(doctor_ollama.ollama_kv_type_without_fa(LINUX, ollama=server(version=version, environment=variables)))
    assert [one.severity for one in found] == ([severity] if severity else [])


def test_the_same_value_in_other_words_is_the_same() -> None:
    ours, theirs = {"OLLAMA_FLASH_ATTENTION": "1", "OLLAMA_HOST": "x"}, {"OLLAMA_FLASH_ATTENTION": "true"}
    assert (
        list(doctor_ollama.ollama_env_not_in_service(server(client_environment=ours, environment=theirs), LINUX)) == []
    )
    (finding,) = doctor_ollama.ollama_env_not_in_service(server(client_environment=ours, environment={}), LINUX)
    assert "OLLAMA_FLASH_ATTENTION=1" in finding.fix


def test_a_server_whose_variables_cannot_be_read_is_unknown() -> None:
    with pytest.raises(NotKnown):
        list(
            doctor_ollama.ollama_env_not_in_service(
                server(client_environment={"OLLAMA_X": "1"}, environment=Unknown("no")), LINUX
            )
        )


@pytest.mark.parametrize(
    ("value", "severity"), [("cpu", "error"), ("cuda_v12", "warning"), ("cuda", "error"), ("rocm_v7", "warning")]
)
def test_a_forced_backend_that_is_none_leaves_the_cpu(value: str, severity: str) -> None:
    found = doctor_ollama.ollama_llm_library_override(LINUX, ollama=server(environment={"OLLAMA_LLM_LIBRARY": value}))
    assert [one.severity for one in found] == [severity]


def test_the_request_for_parameters_is_a_key_of_a_recording() -> None:
    assert json.dumps({"model": "llama3.1:8b"}) == '{"model": "llama3.1:8b"}'
