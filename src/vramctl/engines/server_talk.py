"""Measures over llama-server's HTTP API: prompts of invented tokens, its own timings, and when pieces arrive here.

`/completion` and its `timings` are read as tools/server of llama.cpp b11434 writes them: `predicted_ms` starts at the first
token, so `predicted_n` tokens are `predicted_n - 1` decode steps; `cache_n` of the prompt were in the cache before.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vramctl.engines.http_api import Api, ApiFailed, Reply
from vramctl.records import Unknown
from vramctl.records.run import BY_CLIENT, BY_SERVER, Answer, Generation, Prefill

ASK_SECONDS = 10.0
_MULTIPLIER, _INCREMENT, _MODULUS, _SHIFT = 1103515245, 12345, 1 << 31, 8
_PLAIN = {"ignore_eos": True, "temperature": 0.0, "samplers": ["temperature"], "id_slot": 0, "stop": []}


class Refused(Exception):
    """The server answered that it will not; the text is its own."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself."""

    build: str | Unknown
    model: str | Unknown
    n_ctx_seq: int | Unknown
    slots: int | Unknown
    n_vocab: int | Unknown


def facts(api: Api) -> ServerFacts:
    """`/props` and `/v1/models` of a server that is ready; ApiFailed where it does not answer."""
    props = api.get("/props", timeout_seconds=ASK_SECONDS).document
    listed = api.get("/v1/models", timeout_seconds=ASK_SECONDS).document
    meta = _at(listed, "data", 0, "meta")
    return ServerFacts(
        build=_build(_known(_at(props, "build_info"), str, "build_info in /props")),
        model=_known(_at(props, "model_path"), str, "model_path in /props"),
        n_ctx_seq=_known(_at(props, "default_generation_settings", "n_ctx"), int, "n_ctx in /props"),
        slots=_known(_at(props, "total_slots"), int, "total_slots in /props"),
        n_vocab=_known(_at(meta, "n_vocab"), int, "n_vocab in /v1/models"),
    )


class Talk:
    """One server's slot 0. ApiFailed where it does not answer in time, Refused where it says no."""

    def __init__(self, api: Api, n_vocab: int) -> None:
        self._api = api
        self._n_vocab = n_vocab
        self._seed = 7
        self._runs = {"prefill": 0, "generate": 0}

    def prefill(self, n_tokens: int, depth: int, *, timeout_seconds: float) -> Prefill:
        """The server's time for `n_tokens` on top of a cached prompt; its own counts of both."""
        before = self._held(depth, timeout_seconds) if depth else []
        body = {"prompt": before + self._tokens(n_tokens), "n_predict": 0, "cache_prompt": depth > 0}
        timings = self._complete(body, timeout_seconds)
        self._runs["prefill"] += 1
        return Prefill(
            n_tokens=int(timings["prompt_n"]),
            depth=int(timings.get("cache_n", depth)),
            seconds=timings["prompt_ms"] / 1000,
            first_run=self._runs["prefill"] == 1,
            measured_by=BY_SERVER,
        )

    def generate(self, n_tokens: int, depth: int, *, timeout_seconds: float) -> Generation:
        """The server's time for each decode step, sampling included; a depth of 0 is one token, which it needs."""
        prompt = self._held(depth, timeout_seconds) if depth else self._tokens(1)
        body = {"prompt": prompt, "n_predict": n_tokens + 1, "cache_prompt": depth > 0, "timings_per_token": True}
        counts = [(t["predicted_n"], t["predicted_ms"] / 1000) for _, t in self._streamed(body, timeout_seconds)]
        steps = _shared([(1, 0.0), *counts])
        count, seconds = counts[-1][0] - 1, counts[-1][1]
        if count < 1:
            raise Refused("the server gave one token only")
        self._runs["generate"] += 1
        return Generation(
            n_tokens=count,
            depth=max(1, depth),
            seconds=seconds,
            token_seconds=tuple(steps),
            first_run=self._runs["generate"] == 1,
            measured_by=BY_SERVER,
        )

    def answer(self, prompt_tokens: int, n_tokens: int, *, timeout_seconds: float) -> Answer:
        """One request as a client sees it; tokens that arrive together share the gap before them, the first ones have none."""
        body = {
            "prompt": self._tokens(prompt_tokens),
            "n_predict": n_tokens,
            "cache_prompt": False,
            "timings_per_token": True,
        }
        arrivals = [(t["predicted_n"], at, t) for at, t in self._streamed(body, timeout_seconds)]
        gaps = [0.0] * (arrivals[0][0] - 1) + _shared([(count, at) for count, at, _ in arrivals])
        count, total, timings = arrivals[-1]
        return Answer(
            prompt_tokens=int(timings["prompt_n"]),
            n_tokens=count,
            prompt_seconds=timings["prompt_ms"] / 1000,
            first_token_seconds=arrivals[0][1],
            gap_seconds=tuple(gaps),
            total_seconds=total,
            measured_by=BY_CLIENT,
            cached_tokens=int(timings.get("cache_n", 0)),
        )

    def _held(self, depth: int, timeout_seconds: float) -> list[int]:
        """A prompt of `depth` tokens that is in the slot's cache now: always the same one."""
        prompt = [self._shortened(i * _MULTIPLIER + _INCREMENT) for i in range(depth)]
        self._complete({"prompt": prompt, "n_predict": 0, "cache_prompt": True}, timeout_seconds)
        return prompt

    def _complete(self, body: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        reply = self._api.post("/completion", {**_PLAIN, **body}, timeout_seconds=timeout_seconds)
        return _timings(reply)

    def _streamed(self, body: dict[str, Any], timeout_seconds: float) -> list[tuple[float, dict[str, Any]]]:
        """(arrival in seconds, timings) of each piece that has any."""
        found = []
        pieces = self._api.stream("/completion", {**_PLAIN, **body, "stream": True}, timeout_seconds=timeout_seconds)
        ended = False
        for at, reply in pieces:
            if reply.status != 200 or not isinstance(reply.document, dict) or "error" in reply.document:
                raise Refused(reply.error)
            ended = ended or bool(reply.document.get("stop"))
            if "timings" in reply.document:
                found.append((at, _timings(reply)))
        if not ended:
            raise ApiFailed(f"{self._api.url} broke off its answer", timed_out=False)
        if not found:
            raise Refused("the server sends no timings")
        return found

    def _tokens(self, count: int) -> list[int]:
        """New invented tokens, other ones each time: nothing of them is cached."""
        found = []
        for _ in range(count):
            self._seed = (self._seed * _MULTIPLIER + _INCREMENT) % _MODULUS
            found.append(self._shortened(self._seed))
        return found

    def _shortened(self, number: int) -> int:
        return (number % _MODULUS >> _SHIFT) % self._n_vocab


def _shared(counts: list[tuple[int, float]]) -> list[float]:
    """Seconds of each token after the first count's: those between two moments share the time between them."""
    found: list[float] = []
    for (n_before, before), (n_after, after) in pairwise(counts):
        found += [(after - before) / (n_after - n_before)] * (n_after - n_before) if n_after > n_before else []
    return found


def _timings(reply: Reply) -> dict[str, Any]:
    found = _at(reply.document, "timings")
    if reply.status != 200 or not isinstance(found, dict):
        raise Refused(reply.error if reply.status != 200 else "the answer has no timings")
    if not all(
        isinstance(found.get(key), (int, float)) for key in ("prompt_n", "prompt_ms", "predicted_n", "predicted_ms")
    ):
        raise Refused("the answer's timings are not those of llama-server")
    return found


def _at(document: Any, *keys: str | int) -> Any:
    """What lies at the end of these keys, None where the way is not there."""
    for key in keys:
        if isinstance(document, dict) and isinstance(key, str):
            document = document.get(key)
        elif isinstance(document, list) and isinstance(key, int) and len(document) > key:
            document = document[key]
        else:
            return None
    return document


def _build(told: str | Unknown) -> str | Unknown:
    """The server's build; one that was made outside its repository calls itself `b0-unknown`."""
    return Unknown("the server was built without its number") if told in ("b0-unknown", "b0") else told


def _known(value: Any, kind: type, what: str) -> Any:
    """The value, or Unknown where the server says none of that kind."""
    return value if isinstance(value, kind) and not isinstance(value, bool) else Unknown(f"the server has no {what}")
