"""Several requests at a time against a llama-server: how much it gives out in all, and what each of them waits."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from vramctl.engines.http_api import Api, ApiFailed

LEAST_WAIT_SECONDS, WAITS = 120.0, 4
"""A request is given up after so many times the seconds of its row, and never before LEAST_WAIT_SECONDS."""


@dataclass(slots=True)
class Requests:
    """What was measured with `parallel` requests at a time, per round and per request; seconds and tokens per second."""

    parallel: int
    asked: int = 0
    throughput: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    ended: str = ""
    """Why it stopped early: every request of a round failed."""


@dataclass(slots=True)
class _One:
    arrivals: list[float] = field(default_factory=list)
    tokens: int = 0
    total: float = 0.0
    error: str = ""


def load_test(
    api: Api, *, parallel: int, prompt_tokens: int, n_tokens: int, rounds: int, seconds: float, n_vocab: int
) -> Requests:
    """Rounds of `parallel` requests that start together; a first round warms up and is not counted."""
    found, rng = Requests(parallel), random.Random(7)
    patience = max(LEAST_WAIT_SECONDS, WAITS * seconds)
    wall, ones = _round(api, parallel, prompt_tokens, n_tokens, n_vocab, rng, patience)
    if all(one.error for one in ones):
        return Requests(parallel, asked=parallel, failed=[one.error for one in ones], ended=ones[0].error)
    start = time.monotonic()
    for _ in range(rounds):
        began = time.monotonic()
        wall, ones = _round(api, parallel, prompt_tokens, n_tokens, n_vocab, rng, patience)
        found.asked += parallel
        good = [one for one in ones if not one.error]
        found.failed += [one.error for one in ones if one.error]
        if good:
            found.throughput.append(sum(one.tokens for one in good) / wall)
            found.per_second.append(len(good) / wall)
        for one in good:
            found.first_token.append(one.arrivals[0])
            found.gaps += [b - a for a, b in zip(one.arrivals, one.arrivals[1:], strict=False)]
            if one.tokens > 1 and one.arrivals[-1] > one.arrivals[0]:
                found.decode.append((one.tokens - 1) / (one.arrivals[-1] - one.arrivals[0]))
        now = time.monotonic()
        found.ended = "" if good else ones[0].error
        if not good or now - start + (now - began) / 2 >= seconds:
            break
    return found


def _round(
    api: Api, parallel: int, prompt_tokens: int, n_tokens: int, n_vocab: int, rng: random.Random, patience: float
) -> tuple[float, list[_One]]:
    """Seconds from the common start to the last end, and each request's own story."""
    prompts = [[rng.randrange(1, max(2, n_vocab)) for _ in range(prompt_tokens)] for _ in range(parallel)]
    gate, ones = threading.Barrier(parallel + 1), [_One() for _ in range(parallel)]

    def ask(one: _One, prompt: list[int]) -> None:
        gate.wait()
        try:
            for at, tokens in _pieces(api, prompt, n_tokens, patience):
                one.arrivals.append(at)
                one.tokens = max(one.tokens, tokens)
        except ApiFailed as error:
            one.error = str(error)
        if not one.arrivals and not one.error:
            one.error = "no token came"

    workers = [threading.Thread(target=ask, args=pair, daemon=True) for pair in zip(ones, prompts, strict=True)]
    for worker in workers:
        worker.start()
    gate.wait()
    start = time.monotonic()
    for worker in workers:
        worker.join()
    return max(time.monotonic() - start, 1e-9), ones


def _pieces(api: Api, prompt: list[int], n_tokens: int, patience: float) -> Iterator[tuple[float, int]]:
    """(seconds since the request began, tokens so far) of each piece that arrives."""
    body = {
        "prompt": prompt, "n_predict": n_tokens, "stream": True, "cache_prompt": False, "ignore_eos": True, "temperature": 0.0,
        "timings_per_token": True,
    }  # fmt: skip
    count = 0
    for at, reply in api.stream("/completion", body, timeout_seconds=patience):
        document = reply.document
        if reply.status != 200 or not isinstance(document, dict) or "error" in document:
            raise ApiFailed(reply.error, timed_out=False)
        timings = document.get("timings")
        told = timings.get("predicted_n") if isinstance(timings, dict) else None
        count = told if isinstance(told, int) else count + 1
        if not document.get("stop") or not count:
            yield at, count
