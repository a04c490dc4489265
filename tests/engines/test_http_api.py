"""Asking a server over HTTP: every answer ends at its limit, and no password is printed."""

from __future__ import annotations

import threading
import time

import pytest
from odd_servers import odd_server

from vramctl.engines.http_api import Api, ApiFailed, shown_url


@pytest.mark.parametrize("how", ["drip", "mute"])
@pytest.mark.parametrize("kind", ["get", "post", "stream"])
def test_an_answer_that_never_ends_is_cut_at_the_limit(how: str, kind: str) -> None:
    with odd_server(how) as (url, _):
        api, began = Api(url), time.monotonic()
        with pytest.raises(ApiFailed) as raised:
            if kind == "get":
                api.get("/props", timeout_seconds=0.3)
            elif kind == "post":
                api.post("/completion", {}, timeout_seconds=0.3)
            else:
                list(api.stream("/completion", {}, timeout_seconds=0.3))
    assert raised.value.timed_out
    assert 0.2 < time.monotonic() - began < 3


def test_a_request_under_way_is_given_up_from_another_thread_and_later_ones_are_refused() -> None:
    with odd_server("mute") as (url, _):
        api, began = Api(url), time.monotonic()
        threading.Timer(0.2, api.give_up, ("it was stopped",)).start()
        with pytest.raises(ApiFailed, match="it was stopped"):
            api.get("/props", timeout_seconds=60)
        with pytest.raises(ApiFailed, match="it was stopped"):
            api.get("/props", timeout_seconds=60)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("how", ["page", "nested"])
def test_what_is_no_json_is_none(how: str) -> None:
    with odd_server(how) as (url, _):
        reply = Api(url).get("/props", timeout_seconds=5)
    assert (reply.status, reply.document) == (200, None)


def test_a_key_and_a_user_are_sent_and_never_shown() -> None:
    with odd_server("page") as (url, asked):
        Api(url, api_key="k1").get("/", timeout_seconds=5)
        Api(url.replace("//", "//me:p%40ss@")).get("/", timeout_seconds=5)
    assert [one["Authorization"] for one in asked] == ["Bearer k1", "Basic bWU6cEBzcw=="]
    assert shown_url("https://me:secret@host:8080/v1?key=secret") == "https://host:8080/v1"
    assert Api("https://me:secret@host").url == "https://host"
    with pytest.raises(ValueError, match="ftp://host is no"):
        Api("ftp://me:secret@host")


@pytest.mark.parametrize("password", ["pa/ss", "pa?ss", "p@ss", "pa#ss", "12/34"])
def test_a_password_that_is_not_written_as_it_should_be_is_not_shown_either(password: str) -> None:
    assert shown_url(f"http://me:{password}@host:8080/v1") == "http://host:8080/v1"


@pytest.mark.parametrize("key", ["first\nsecond", "\u043a\u043b\u044e\u0447", "tab\there"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="LLAMA_API_KEY has a character") as raised:
        Api("http://127.0.0.1:1", api_key=key)
    assert key not in str(raised.value)


@pytest.mark.parametrize("host", ["a..b", "a" * 80])
def test_a_name_that_no_host_can_have_is_no_answer(host: str) -> None:
    with pytest.raises(ApiFailed):
        Api(f"http://{host}").get("/props", timeout_seconds=2)
